"""What a drive that was wiped has to learn from its set before its answers count again, besides versions of keys."""

import asyncio
import contextlib

from rustfs.core.drivetypes import MarksPage
from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.ports import Clock, Drive
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout, in_time

MARKS_PER_PAGE = 500
ANSWER_TIMEOUT_SECONDS = 12.0
ROUNDS_OVER_SECONDS = 35.0  # what was under way when the drive was wiped has ended by then (rustfs.objects.register)


async def learn_ceiling(
    drive_set: DriveSet, learner: Drive, formatting: bytes, wiped_seconds: float, clock: Clock
) -> None:
    """Tell a drive that forgot its promises how high those may have gone, where the others of its set know.

    What it promised counted together with the promises of a read quorum it was part of. As many of the others as meet
    each such quorum are asked how high they went; the learner refuses for every key what is below. A read quorum will
    do where the rest says that it forgot, too, and nobody else is left to be heard; or once every round that was under
    way at the wipe is over, for only such a round can still go by a promise that nobody else gave.

    Args:
        formatting: of the learner, which does not know how high it went.
        wiped_seconds: for how long it has been formatted so, at least.

    Raises:
        QuorumLost: too few drives know how high they went.
        DriveError: the learner fails.
    """
    others = [drive for drive in drive_set.online() if drive.position != learner.position]
    fan = Fanout(((drive.position, drive.ceiling()) for drive in others), clock)

    def told() -> list[bytes]:
        return [answer.stamp for answer in fan.answers.values() if answer.known]

    needed = min(drive_set.majority, drive_set.size - 1)
    await fan.wait(lambda: False, ANSWER_TIMEOUT_SECONDS, lambda: len(told()) >= needed)
    if wiped_seconds > ROUNDS_OVER_SECONDS or len(fan.answers) == drive_set.size - 1:
        needed = min(needed, drive_set.read_quorum)
    if len(told()) < needed:
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to tell how high they promised")
    await in_time(learner.learn(formatting, max(told(), default=b"")), ANSWER_TIMEOUT_SECONDS)


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
