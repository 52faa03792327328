"""What has come of a round of the quorum protocol so far: counting and judging answers, without waiting for any."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rustfs.core.drivetypes import CHOSEN, NO_MARK, AcceptAnswer, Held, KeyAnswer, Level, Mark, PrepareAnswer, Refusal
from rustfs.core.errors import DriveFull
from rustfs.core.ports import Drive
from rustfs.core.stamps import HIGHEST_STAMP
from rustfs.objects.decide import (
    Decision,
    Verdict,
    WriteOutcome,
    copies_needed_of,
    decide,
    is_tombstone,
    judge_write,
    write_quorum_of,
)
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout

SETTLED = (Verdict.VALUE, Verdict.NOTHING)
UNKNOWN = Decision(Verdict.UNDECIDED, b"", 0)


@dataclass(frozen=True, slots=True)
class Reading:
    """A register's value; `held` is what each drive that answered holds of it. No value: `stamp` is empty."""

    stamp: bytes
    flags: int
    held: dict[int, Held]
    mark: Mark

    @property
    def record(self) -> bytes:
        """The encoded record, b"" where there is no value."""
        for held in self.held.values():
            return held.record
        return b""

    @property
    def absent(self) -> bool:
        """No value, or a tombstone."""
        return not self.stamp or is_tombstone(self.flags)


class Era(NamedTuple):
    """Which versions of a key count, and whether half-written ones may be brought forward under a new stamp.

    What a deleted bucket's keys left behind half-written must not appear in a later bucket of that name.
    """

    created: bytes  # stamps below it belong to an earlier bucket of this name
    epoch: bytes | None  # of the bucket, b"" for system registers; None: nothing is brought forward


SYSTEM = Era(b"", b"")
ANY = Era(b"", None)


def newest_mark(marks: Collection[Mark]) -> Mark:
    """The mark of the highest epoch; fenced wins where epochs are equal."""
    return max(marks, key=lambda mark: (mark.epoch, mark.fenced), default=NO_MARK)


class Inquiry:
    """The question what a key's value is, and what has been answered so far."""

    __slots__ = ("_created", "bucket", "decision", "drive_set", "fan", "inline_at", "key")

    fan: Fanout[KeyAnswer]

    def __init__(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, inline_at: Collection[int], created: bytes
    ) -> None:
        self.drive_set = drive_set
        self.bucket = bucket
        self.key = key
        self.inline_at = inline_at
        self.decision = UNKNOWN
        self._created = created

    def calls(
        self, drives: Collection[Drive], inline_at: Collection[int]
    ) -> list[tuple[int, "asyncio.Future[KeyAnswer]"]]:
        """Ask these drives."""
        bucket, key = self.bucket, self.key
        return [
            (each.position, each.read_key(bucket, key, Level.INLINE if each.position in inline_at else Level.RECORD))
            for each in drives
        ]

    def settled(self) -> bool:
        """Whether the answers so far say what the value is."""
        answers = self.fan.answers
        blank = [position for position, answer in answers.items() if answer.blank]
        if len(answers) - len(blank) < self.drive_set.read_quorum:
            return False
        versions = {position: answer.versions for position, answer in answers.items()}
        self.decision = decide(self.drive_set.size, versions, blank, self._created)
        return self.decision.verdict in SETTLED

    def completable(self) -> bool:
        """Whether the version in question can be completed with what has come."""
        return self.decision.verdict is Verdict.COMPLETE

    def reading(self) -> Reading:
        """What was decided."""
        answers = self.fan.answers
        versions = {position: answer.versions for position, answer in answers.items()}
        return reading_of(self.decision, versions, [answer.mark for answer in answers.values()])


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the drives answered to a token."""

    drive_set: DriveSet
    token: bytes
    ready: bool  # promised by a quorum, and not outbid on so many that no write quorum is left
    answered: bool
    sure: int  # promises by drives whose silence counts
    outbid: int  # drives that promised a higher token or hold a higher stamp: they refuse what comes next
    high: bytes
    versions: dict[int, tuple[Held, ...]]  # of the drives that promised
    blank: frozenset[int]
    marks: list[Mark]
    floor: bytes  # what these drives forgot is not above it

    @classmethod
    def of(cls, drive_set: DriveSet, token: bytes, answers: Mapping[int, PrepareAnswer]) -> "Prepared":
        promised = {p: answer for p, answer in answers.items() if answer.promised}
        blank = frozenset(p for p, answer in promised.items() if answer.blank)
        sure, outbid = len(promised) - len(blank), len(answers) - len(promised)
        return cls(
            drive_set=drive_set,
            token=token,
            ready=sure >= drive_set.read_quorum and outbid <= drive_set.size - drive_set.majority,
            answered=sum(not answer.blank for answer in answers.values()) >= drive_set.read_quorum,
            sure=sure,
            outbid=outbid,
            high=max((answer.highest for answer in answers.values() if not answer.promised), default=b""),
            versions={p: answer.versions for p, answer in promised.items()},
            blank=blank,
            marks=[answer.mark for answer in answers.values()],
            floor=max((answer.floor or HIGHEST_STAMP for answer in promised.values()), default=HIGHEST_STAMP),
        )

    def decide(self, not_below: bytes) -> Decision:
        """The value, as in a read; promises make "not chosen" final for all tokens below this one."""
        return decide(self.drive_set.size, self.versions, self.blank, not_below)

    @property
    def newest(self) -> bytes:
        """The highest stamp held anywhere, b"" for none."""
        return max((each[0].stamp for each in self.versions.values() if each), default=b"")

    def holds_chosen(self, stamp: bytes) -> bool:
        """Whether this version is known to be chosen."""
        held = [each for versions in self.versions.values() for each in versions if each.stamp == stamp]
        return any(each.flags & CHOSEN or len(held) >= write_quorum_of(each.flags) for each in held)


class Tally:
    """Counts the answers to an offer."""

    __slots__ = ("_needed", "_quorum", "fan")

    def __init__(self, flags: int, fan: Fanout[AcceptAnswer]) -> None:
        self._quorum = write_quorum_of(flags)
        self._needed = copies_needed_of(flags)
        self.fan = fan

    @property
    def accepted(self) -> int:
        return sum(1 for answer in self.fan.answers.values() if answer.refusal is Refusal.NONE)

    @property
    def holders(self) -> list[int]:
        return [p for p, answer in self.fan.answers.items() if answer.refusal is Refusal.NONE]

    @property
    def refused(self) -> int:
        return sum(1 for answer in self.fan.answers.values() if answer.refusal is not Refusal.NONE)

    @property
    def declined(self) -> int:
        """Drives that hold nothing which this deletion would delete."""
        return sum(1 for answer in self.fan.answers.values() if answer.refusal is Refusal.ABSENT)

    def absent(self, read_quorum: int) -> bool:
        """Whether there was nothing to delete, and no drive holds the deletion, nor will ever.

        A copy left behind on a drive that has not answered could be completed later, and delete what is written next.
        """
        return self.fan.complete and self.declined == len(self.fan.asked) >= read_quorum

    @property
    def bucket_changed(self) -> bool:
        """Whether a drive refused because it knows a newer epoch of the bucket."""
        return any(answer.refusal is Refusal.BUCKET for answer in self.fan.answers.values())

    def decided(self) -> bool:
        return self.accepted >= self._quorum

    def exhausted(self) -> bool:
        """Whether as many have answered as would have been enough, or too few are left: no reason to wait for long."""
        return len(self.fan.answers) >= self._quorum or self.accepted + len(self.fan.silent) < self._quorum

    def outcome(self) -> WriteOutcome:
        return judge_write(len(self.fan.asked), self._quorum, self._needed, self.accepted, self.refused + self.full)

    def highest(self) -> bytes:
        return max((answer.highest for answer in self.fan.answers.values()), default=b"")

    def mark(self) -> Mark:
        return newest_mark([answer.mark for answer in self.fan.answers.values()])

    @property
    def full(self) -> int:
        """Drives that would have accepted, had they had room."""
        return sum(1 for error in self.fan.errors.values() if isinstance(error, DriveFull))

    def nothing_written(self) -> bool:
        """Whether it is certain that no drive holds it, and want of room is one of the reasons, or the only one."""
        return self.full > 0 and self.full == len(self.fan.errors) and self.fan.complete and not self.fan.answers

    def for_want_of_room(self) -> bool:
        """Whether the drives that are full are why there is no quorum: with them there would be one."""
        return self.full > 0 and self.refused == 0 and self.accepted + self.full >= self._quorum


def reading_of(decision: Decision, answers: Mapping[int, tuple[Held, ...]], marks: Collection[Mark]) -> Reading:
    held = {}
    if decision.stamp:
        for position, versions in answers.items():
            for version in versions:
                if version.stamp == decision.stamp:
                    held[position] = version
    return Reading(decision.stamp, decision.flags, held, newest_mark(marks))
