"""An object layer over real local drives in a temporary directory."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rustfs.core import checksums
from rustfs.core.buffers import Buffer
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive.local import LocalDrive
from rustfs.erasure.codec import best_codec
from rustfs.erasure.parity import parity_table
from rustfs.objects.driveset import DriveSet, Pool
from rustfs.objects.types import Checksum, OpenObject
from rustfs.objects.wiring import INLINE_BYTES_MAX, ObjectRoom, wire
from tests.drive.harness import open_drives


class BytesBody:
    """A Body over bytes in memory."""

    def __init__(self, data: bytes, *, piece_bytes: int = 1 << 20, known: bool = True, algorithm: str = "") -> None:
        self._view = memoryview(data)
        self._piece_bytes = piece_bytes
        self.length_bytes = len(data) if known else None
        self._hasher = checksums.hasher(algorithm) if algorithm else None
        self._algorithm = algorithm
        self._sha = hashlib.md5(usedforsecurity=False)

    async def read(self, limit_bytes: int) -> Buffer:
        size = min(limit_bytes, self._piece_bytes)
        piece, self._view = self._view[:size], self._view[size:]
        return piece

    def absorb(self, piece: Buffer) -> None:
        self._sha.update(piece)
        if self._hasher is not None:
            self._hasher.update(piece)

    def settle(self, md5_digest: bytes) -> Checksum | None:
        assert md5_digest == self._sha.digest(), "pieces were absorbed out of order"
        return Checksum(self._algorithm, self._hasher.digest()) if self._hasher is not None else None


@dataclass
class Room:
    """Drives and the object layer over them."""

    drives: list[LocalDrive]
    room: ObjectRoom

    @property
    def store(self):
        return self.room.store


@asynccontextmanager
async def open_room(
    roots: Sequence[str],
    *,
    inline_bytes_max: int = INLINE_BYTES_MAX,
    compress: bool = True,
    parity: str | None = None,
    face=lambda drive: drive,
) -> AsyncIterator[Room]:
    """An object layer over one set of drives in these directories; `face` may put something in front of each."""
    async with open_drives(roots) as opened:
        drives = [face(drive) for drive in opened]
        with ThreadPoolExecutor(4) as executor:
            room = wire(
                [Pool([DriveSet(0, tuple(drives))], parity_table(parity, None, len(drives)))],
                best_codec(),
                SystemClock(),
                SystemEntropy(),
                executor,
                compress=compress,
                inline_bytes_max=inline_bytes_max,
            )
            yield Room(drives, room)


async def contents(opened: OpenObject, start: int = 0, end: int | None = None) -> bytes:
    """Bytes [start, end) of an open object."""
    pieces = []
    async with contextlib.aclosing(opened.stream(start, opened.info.size_bytes if end is None else end)) as stream:
        async for piece in stream:
            pieces += [piece] if isinstance(piece, bytes | bytearray | memoryview) else piece
    return b"".join(pieces)
