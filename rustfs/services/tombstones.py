"""Forgetting deletions: once every drive of a set has a tombstone, nobody needs it any more.

Before that it must stay, or a drive that missed the deletion would bring the object back to life.
"""

import asyncio

from rustfs.core.errors import DriveError
from rustfs.core.ports import CHOSEN, TOMBSTONE, KeyAnswer, Level
from rustfs.objects.driveset import DriveSet

TOMBSTONES_PER_ROUND = 500
KEPT_MS = 60_000  # longer than any request that may still carry an older stamp


def forgettable(answers: list[KeyAnswer], stamp: bytes) -> bool:
    """Whether no drive holds anything but this tombstone, known to be chosen."""
    return all(
        not answer.versions
        or (
            len(answer.versions) == 1
            and answer.versions[0].stamp == stamp
            and answer.versions[0].flags & (CHOSEN | TOMBSTONE) == CHOSEN | TOMBSTONE
        )
        for answer in answers
    )


async def purge(drive_set: DriveSet, now_ms: int) -> int:
    """Drop old tombstones of a set, all of whose drives must be well. Keys forgotten."""
    drives = drive_set.drives
    if any(not drive.online or drive.healing for drive in drives):
        return 0
    before = max(0, now_ms - KEPT_MS).to_bytes(6, "big") + bytes(10)
    forgotten = 0
    try:
        for drive in drives:
            for bucket, key, stamp in await drive.tombstones(before, TOMBSTONES_PER_ROUND):
                answers = await asyncio.gather(*(each.read_key(bucket, key, Level.STAMPS) for each in drives))
                if forgettable(answers, stamp):
                    await asyncio.gather(*(each.drop(bucket, key, stamp) for each in drives))
                    forgotten += 1
    except DriveError:
        return forgotten  # a drive went away: the next round tries again
    return forgotten
