"""Local drives in a temporary directory, without a node around them."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from rustfs.core.system import SystemClock
from rustfs.drive.format import FORMAT_VERSION, Format
from rustfs.drive.local import LocalDrive
from rustfs.drive.reader import ReadBatcher
from rustfs.drive.session import format_drive


def identities(count: int) -> list[Format]:
    """The identities of one set of drives."""
    ids = tuple(f"drive-{number}" for number in range(count))
    return [Format(FORMAT_VERSION, "deployment", each, (ids,), ()) for each in ids]


def format_all(roots: Sequence[str]) -> None:
    """Format directories as the drives of one set."""
    for root, identity in zip(roots, identities(len(roots)), strict=True):
        format_drive(root, identity, 0, healing=False)


async def make_whole(drive: LocalDrive) -> None:
    """What ends the rebuild of a drive that was wiped, where its peers promised nothing."""
    formatting = (await drive.ceiling()).formatting
    await drive.learn(formatting, b"")
    await drive.healed(formatting)


@asynccontextmanager
async def open_drives(roots: Sequence[str], *, rebuildable: bool = True) -> AsyncIterator[list[LocalDrive]]:
    """The drives of one set, opened; formatted first where they are not."""
    if not any(os.path.exists(os.path.join(root, ".rustfs")) for root in roots):
        format_all(roots)
    with ThreadPoolExecutor(16) as executor:
        batcher = ReadBatcher(executor, SystemClock(), asyncio.get_running_loop())
        drives = [
            LocalDrive(root, identity, batcher, executor, SystemClock(), lambda: rebuildable)
            for root, identity in zip(roots, identities(len(roots)), strict=True)
        ]
        for drive in drives:
            await drive.open()
        try:
            yield drives
        finally:
            for drive in drives:
                await drive.close()
