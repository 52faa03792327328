"""Waiting for most of the drives: what is late is left out, and looked after when the others have gone on.

A drive that is late with its shard, when enough others have theirs, is waited for three times as long as the others
took, or for as long as the whole upload took, if that is more: a shard that is written anew by the repair costs more
than the wait. Then the version is written without it, and the key is repaired.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.ports import StagedShard
from rustfs.objects.fanout import grace_seconds

T = TypeVar("T")

STRAGGLER_SECONDS_MIN = 0.05
STRAGGLER_SECONDS_MAX = 1.0  # of three times as long as the others took
SPENT_SECONDS_MAX = 5.0  # of the time of the whole upload
STALL_SECONDS = 1.0  # this much later still silent, it is taken for stalled: uploads leave it out for a while


def straggler_seconds(took_seconds: float, spent_seconds: float) -> float:
    """How long to wait for the rest, where enough took this long, after an upload that has taken that long so far."""
    usual = max(STRAGGLER_SECONDS_MIN, grace_seconds(took_seconds, STRAGGLER_SECONDS_MAX))
    return max(usual, min(SPENT_SECONDS_MAX, spent_seconds))


async def most(
    tasks: Mapping[int, "asyncio.Task[T]"], enough: int, timeout_seconds: float, spent_seconds: float = 0.0
) -> None:
    """Wait until all have ended; once `enough` have succeeded, only for a grace. Cancelled: all are.

    Args:
        spent_seconds: since the upload began.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + timeout_seconds
    pending: set[asyncio.Task[T]] = set(tasks.values())
    generous = True
    try:
        while pending and loop.time() < deadline:
            await asyncio.wait(pending, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
            good = sum(1 for task in tasks.values() if task.done() and task.exception() is None)
            if generous and good >= enough:
                generous = False
                took = loop.time() - started
                deadline = min(deadline, loop.time() + straggler_seconds(took, spent_seconds + took))
    except asyncio.CancelledError:
        for task in pending:
            task.cancel()
        raise


def outcome(task: "asyncio.Task[T]") -> BaseException | None:
    """What a task ended in; one that has not ended is late."""
    return task.exception() if task.done() else DriveOffline("the drive was too slow to wait for")


_leftovers: set["asyncio.Task[None]"] = set()  # the loop itself holds tasks weakly


def afterwards(cleaning: Coroutine[None, None, None]) -> None:
    """Let it run when nobody waits for it any more."""
    task = asyncio.ensure_future(cleaning)
    _leftovers.add(task)
    task.add_done_callback(_leftovers.discard)


async def unstage(staging: "asyncio.Task[StagedShard]", on_stall: Callable[[], None]) -> None:
    """Remove what a late drive staged in the end."""
    with contextlib.suppress(DriveError, asyncio.CancelledError):
        await (await _late(staging, on_stall)).abort()


async def give_up(finishing: "asyncio.Task[None]", shard: StagedShard, on_stall: Callable[[], None]) -> None:
    """Remove the shard of a drive that failed or is late; not while it is still being written."""
    with contextlib.suppress(DriveError, asyncio.CancelledError):
        await _late(finishing, on_stall)
    await shard.abort()


async def _late(task: "asyncio.Task[T]", on_stall: Callable[[], None]) -> T:
    """What a late drive's task ends in; tells when it is not late but stalled."""
    await asyncio.wait([task], timeout=STALL_SECONDS)
    if not task.done():
        on_stall()
    return await task
