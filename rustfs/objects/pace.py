"""Whom to ask first, and how long to wait before asking others: what this process has lately seen of its drives.

Asking a drive costs, one of another node both nodes far more than a local one, so reads ask as few as can settle them:
near ones first, and others in an order that differs from key to key, so that no drive is a hot spot. A drive that
let others overtake it stands at the end of the line for a while. All of this is about time alone: whatever is asked
late or not at all, the quorum rules decide what the answers mean.
"""

from collections.abc import Collection

from rustfs.core.ports import Clock, Drive
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import GRACE_FACTOR

HEDGE_SECONDS_MIN = 0.002
HEDGE_SECONDS_FIRST = 0.02
HEDGE_SECONDS_MAX = 0.25
LATE_SECONDS = 2.0
STALLED_SECONDS = 4.0
_SMOOTHING = 0.125


class Pace:
    """One per process; used by the loop's thread."""

    __slots__ = ("_clock", "_late_until", "_stalled_until", "_usual_seconds")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._usual_seconds = HEDGE_SECONDS_FIRST / GRACE_FACTOR
        self._late_until: dict[str, float] = {}
        self._stalled_until: dict[str, float] = {}

    @property
    def hedge_seconds(self) -> float:
        """How long to wait for the few that were asked before others are asked as well."""
        return min(HEDGE_SECONDS_MAX, max(HEDGE_SECONDS_MIN, GRACE_FACTOR * self._usual_seconds))

    def took(self, seconds: float) -> None:
        """Remote drives answered after this time: when they are busy, hedging must not make it worse."""
        self._usual_seconds += _SMOOTHING * (seconds - self._usual_seconds)

    def late(self, drives: Collection[Drive]) -> None:
        """These were overtaken by drives that were asked later, or left out of a round."""
        until = self._clock.monotonic_seconds() + LATE_SECONDS
        for drive in drives:
            self._late_until[drive.drive_id] = until

    def is_late(self, drive: Drive) -> bool:
        """Whether the drive was late not long ago."""
        return self._within(self._late_until, drive)

    def stalled(self, drive: Drive) -> None:
        """It did not take a shard long after the others had theirs: uploads do without it for a while."""
        self._stalled_until[drive.drive_id] = self._clock.monotonic_seconds() + STALLED_SECONDS

    def is_stalled(self, drive: Drive) -> bool:
        """Whether the drive was stalled not long ago."""
        return self._within(self._stalled_until, drive)

    def _within(self, deadlines: dict[str, float], drive: Drive) -> bool:
        until = deadlines.get(drive.drive_id)
        if until is None:
            return False
        if until < self._clock.monotonic_seconds():
            del deadlines[drive.drive_id]
            return False
        return True

    def split(
        self, drive_set: DriveSet, count: int, rotation: int, preferred: Collection[int] = ()
    ) -> tuple[list[Drive], list[Drive]]:
        """The drives to ask first, and those to ask when these do not settle it; both in order of preference.

        Beside remote drives, asking a near one costs nothing worth saving: all that are not late are among the first.

        Args:
            count: drives needed.
            rotation: where the line of remote drives starts.
            preferred: positions of the remote drives that are best asked.
        """
        size = drive_set.size
        alone = all(drive.near for drive in drive_set.drives)

        def rank(drive: Drive) -> tuple[bool, bool, bool, bool, int]:
            position = drive.position
            return (
                drive.healing,
                self.is_late(drive),
                not drive.near,
                position not in preferred,
                (position - rotation) % size,
            )

        line = sorted(drive_set.online(), key=rank)
        first: list[Drive] = []
        rest: list[Drive] = []
        for index, drive in enumerate(line):
            at_once = index < count or (drive.near and not alone and not self.is_late(drive))
            (first if at_once else rest).append(drive)
        return first, rest
