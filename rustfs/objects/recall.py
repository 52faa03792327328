"""What a drive that was wiped has to learn from its set before its answers count again, besides versions of keys."""

import asyncio
import contextlib

from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.ports import Drive, MarksPage
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import in_time

MARKS_PER_PAGE = 500
ANSWER_TIMEOUT_SECONDS = 12.0


async def copy_marks(drive_set: DriveSet, learner: Drive) -> None:
    """Bring the marks of buckets, of deleted ones too, to a drive that forgot them.

    A fence is on a majority of the set, and a read quorum of drives that forgot nothing meets every majority: so what
    that many say is all that the learner can have been shown and that counted. A mark never falls, so it does no harm
    if more is told, or the same again.

    Raises:
        QuorumLost: too few drives say what marks they hold.
        DriveError: the learner fails.
    """
    heard = 0
    for drive in drive_set.online():
        if drive.position != learner.position:
            heard += await _copy_from(drive, learner)
    if heard < drive_set.read_quorum:
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to tell the marks of its buckets")


async def _copy_from(drive: Drive, learner: Drive) -> bool:
    """Whether the drive told all it holds, and forgot nothing itself. Raises DriveError where the learner fails."""
    after = b""
    while True:
        page: MarksPage | None = None
        with contextlib.suppress(DriveError):
            page = await in_time(drive.marks(after, MARKS_PER_PAGE), ANSWER_TIMEOUT_SECONDS)
        if page is None or page.blank:
            return False
        writes = [learner.mark_bucket(bucket, mark) for bucket, mark in page.marks]
        await asyncio.gather(*(in_time(write, ANSWER_TIMEOUT_SECONDS) for write in writes))
        if len(page.marks) < MARKS_PER_PAGE:
            return True
        after = page.marks[-1][0]
