"""Forgetting deletions: once no drive of a set has or will take anything older, nobody needs a tombstone any more.

Before that it must stay, or a drive that missed the deletion would bring the object back to life. So every drive of the
set has to say that it holds nothing else of the key; then every one of them has to refuse from now on, durably, what is
older (write or heal, however late); then they say once more that they hold nothing else; only then does the first one
drop it. Whatever fails in between leaves tombstones, and the next round begins anew (docs/consistency.md).
"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from rustfs.core.drivetypes import CHOSEN, TOMBSTONE, KeyAnswer, Level
from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.ports import Clock, Drive
from rustfs.objects.driveset import DriveSet, Pools
from rustfs.objects.fanout import Fanout, in_time
from rustfs.services.throttle import Throttle

T = TypeVar("T")

TOMBSTONES_AT_ONCE = 500
ANSWER_TIMEOUT_SECONDS = 4.0
AT_ONCE = 32
SHARE_PERCENT = (
    10  # of its time that it works while there are requests: a tombstone costs listings a little, else nobody
)
KEPT_MS = 60_000  # longer than any request that may still carry an older stamp


def forgettable(answers: list[KeyAnswer], stamp: bytes) -> bool:
    """Whether no drive, all of them whole, holds anything but this tombstone, known to be chosen."""
    return not any(answer.blank for answer in answers) and all(
        not answer.versions
        or (
            len(answer.versions) == 1
            and answer.versions[0].stamp == stamp
            and answer.versions[0].flags & (CHOSEN | TOMBSTONE) == CHOSEN | TOMBSTONE
        )
        for answer in answers
    )


async def purge(pools: Pools, drive_set: DriveSet, now_ms: int, clock: Clock, throttle: Throttle | None = None) -> int:
    """Drop old tombstones of a set, all of whose drives must be well. Keys forgotten.

    Args:
        throttle: makes room for clients; without one the work goes on at full speed.
    """
    throttle = throttle or Throttle(clock, lambda: 0)
    drives = drive_set.drives
    if any(not drive.online or drive.healing for drive in drives):
        return 0
    before = max(0, now_ms - KEPT_MS).to_bytes(6, "big") + bytes(10)
    forgotten = 0
    try:
        for drive in drives:
            more = True
            while more:
                found = await in_time(drive.tombstones(before, TOMBSTONES_AT_ONCE), ANSWER_TIMEOUT_SECONDS)
                forgotten_before = forgotten
                for start in range(0, len(found), AT_ONCE):
                    async with throttle.turn(SHARE_PERCENT):
                        forgotten += await _purge_some(pools, drive_set, found[start : start + AT_ONCE], clock)
                more = len(found) == TOMBSTONES_AT_ONCE and forgotten > forgotten_before
    except DriveError:
        return forgotten  # a drive went away, or is slow: the next round tries again
    return forgotten


async def _purge_some(
    pools: Pools, drive_set: DriveSet, found: Sequence[tuple[bytes, bytes, bytes]], clock: Clock
) -> int:
    purges = [_purge_one(pools, drive_set, (bucket, key), stamp, clock) for bucket, key, stamp in found]
    outcomes = await asyncio.gather(*purges, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes.count(True)


async def _purge_one(pools: Pools, drive_set: DriveSet, name: tuple[bytes, bytes], stamp: bytes, clock: Clock) -> bool:
    """Drop one tombstone if that is safe. Raises DriveError where not all drives go along."""
    drives = drive_set.drives
    if not await _clear_elsewhere(pools, drive_set, name, stamp, clock) or not await _is_last(
        drives, name, stamp, clock
    ):
        return False
    for other in _elsewhere(pools, drive_set, *name):
        # Holds nothing; but a write that is late must not be accepted there, either.
        await _all([each.drop(*name, stamp) for each in other.drives], clock)
    await _all([each.drop(*name, just_below(stamp)) for each in drives], clock)
    if not await _is_last(drives, name, stamp, clock):
        return False
    await _all([each.drop(*name, stamp) for each in drives], clock)
    return True


async def _is_last(drives: Sequence[Drive], name: tuple[bytes, bytes], stamp: bytes, clock: Clock) -> bool:
    return forgettable(await _all([each.read_key(*name, Level.STAMPS) for each in drives], clock), stamp)


def just_below(stamp: bytes) -> bytes:
    """The highest stamp below this one."""
    return (int.from_bytes(stamp, "big") - 1).to_bytes(len(stamp), "big")


async def _clear_elsewhere(
    pools: Pools, drive_set: DriveSet, name: tuple[bytes, bytes], stamp: bytes, clock: Clock
) -> bool:
    """Whether no other pool holds anything below the tombstone that would come back without it; drops it otherwise.

    Raises DriveError where not all drives say so.
    """
    clear = True
    for other in _elsewhere(pools, drive_set, *name):
        if any(not drive.online for drive in other.drives):
            return False
        answers = await _all([each.read_key(*name, Level.STAMPS) for each in other.drives], clock)
        lower = [held.stamp for answer in answers for held in answer.versions if held.stamp < stamp]
        if any(answer.blank for answer in answers):
            return False
        if lower:
            clear = False  # the next round finds it gone
            await _all([each.drop(*name, max(lower)) for each in other.drives], clock)
    return clear


def _elsewhere(pools: Pools, drive_set: DriveSet, bucket: bytes, key: bytes) -> list[DriveSet]:
    """The sets of other pools where the key may be. Registers of the system lie in one pool each, under a name of its
    own, or in the first one only."""
    if bucket.startswith(b"."):
        return []
    return pools.beside(drive_set, bucket, key)


async def _all(calls: "Sequence[asyncio.Future[T]]", clock: Clock) -> list[T]:
    """The answers of all drives, slow ones too: nobody waits for this. Raises DriveError when one fails or is late."""
    fan = Fanout(enumerate(calls), clock)
    await fan.wait(lambda: bool(fan.errors), ANSWER_TIMEOUT_SECONDS)
    if len(fan.answers) < len(calls):
        raise DriveOffline("a drive does not answer")
    return list(fan.answers.values())
