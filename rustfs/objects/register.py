"""The quorum protocol over one key: read, blind write, compare-and-swap, and completing what others left half done.

The rules are in rustfs.objects.decide (reader) and rustfs.drive.rules (drive); here is the conversation. What keeps it
safe, in one paragraph: a version is acknowledged only when W drives hold it durably; a reader returns a version only
when that is known; a write that may be half done is never proposed anew under another stamp before a prepare, or enough
final refusals, made sure that it is dead; and nothing is ever undone: who cannot decide in time raises QuorumLost,
and whoever meets the remainder completes or supersedes it.

Every wait has a deadline; every loop is bounded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rustfs.core.buffers import Buffer
from rustfs.core.errors import ConditionalConflict, DriveFull, ObjectError, QuorumLost, StorageFull
from rustfs.core.ports import (
    CHOSEN,
    NO_MARK,
    Accept,
    AcceptAnswer,
    ClusterLocks,
    Drive,
    Entropy,
    Held,
    KeyAnswer,
    KeyLocks,
    Level,
    Mark,
    PrepareAnswer,
    Refusal,
)
from rustfs.core.stamps import StampClock
from rustfs.objects.decide import (
    Decision,
    Verdict,
    WriteOutcome,
    decide,
    is_tombstone,
    judge_write,
    write_quorum_of,
)
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.turns import Turn, Turns

log = logging.getLogger("rustfs.objects")

ROUND_TIMEOUT_SECONDS = 12.0
ATTEMPTS = 8
SWAP_ATTEMPTS = 24


class BucketChanged(ObjectError):
    """A drive knows a newer epoch of the bucket than the one that the caller went by."""

    def __init__(self, mark: Mark) -> None:
        super().__init__("the bucket changed")
        self.mark = mark


@dataclass(slots=True)
class Proposal:
    """A version to be offered: what is alike on all drives, and which shards each is to take into service."""

    flags: int
    record: bytes
    refs: tuple[bytes, ...] = ()
    inline: Sequence[bytes | Sequence[Buffer] | None] | None = None  # by position
    staged: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)  # position -> data ids staged there
    positions: Collection[int] | None = None  # drives that can take it; None: all


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


# Makes a proposal of an existing version for the drives that lack it, its shards rebuilt from the copies held.
Rebuild = Callable[[DriveSet, bytes, bytes, Reading], Awaitable[Proposal]]
# Looks at the current value and returns the next one, or raises ObjectError to refuse.
Judge = Callable[[Reading], Awaitable[Proposal]]


def newest_mark(marks: Collection[Mark]) -> Mark:
    """The mark of the highest epoch; fenced wins where epochs are equal."""
    return max(marks, key=lambda mark: (mark.epoch, mark.fenced), default=NO_MARK)


class Register:
    """Conversations with the drives of a set about one key at a time."""

    def __init__(
        self,
        stamps: StampClock,
        entropy: Entropy,
        rebuild: Rebuild,
        locks: KeyLocks | None = None,
        cluster_locks: ClusterLocks | None = None,
    ) -> None:
        self._stamps = stamps
        self._entropy = entropy
        self._rebuild = rebuild
        self._turns = Turns(entropy, locks, cluster_locks)
        self._background: set[asyncio.Task[None]] = set()

    async def read(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        *,
        inline_at: Collection[int] = (),
        not_below: bytes = b"",
    ) -> Reading:
        """The current value. Raises QuorumLost when too few drives answer to tell."""
        for attempt in range(ATTEMPTS):
            fan: Fanout[KeyAnswer] = Fanout(
                (
                    drive.position,
                    drive.read_key(bucket, key, Level.INLINE if drive.position in inline_at else Level.RECORD),
                )
                for drive in drive_set.drives
                if drive.online
            )
            answers = fan.answers
            blank = _blank(drive_set)
            decision = _UNKNOWN

            def enough(answers: dict[int, KeyAnswer] = answers, blank: frozenset[int] = blank) -> bool:
                nonlocal decision
                if len(answers) - len(blank & answers.keys()) < drive_set.read_quorum:
                    return False
                versions = {position: answer.versions for position, answer in answers.items()}
                decision = decide(drive_set.size, versions, blank & answers.keys(), not_below)
                return decision.verdict in _SETTLED

            settled = await fan.wait(enough, ROUND_TIMEOUT_SECONDS)
            if settled or decision.verdict is Verdict.COMPLETE:
                reading = _reading(
                    decision, {p: a.versions for p, a in answers.items()}, [a.mark for a in answers.values()]
                )
                if settled:
                    return reading
                if await self._complete(drive_set, bucket, key, reading, decision.stamp):
                    return reading
                await self._complete_prepared(drive_set, bucket, key, not_below)
            elif decision is _UNKNOWN and attempt >= 1:
                break
            await self._back_off(attempt)
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to read")

    async def write(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, proposal: Proposal, epoch: bytes, above: bytes = b""
    ) -> bytes:
        """Blind write: the newest stamp wins. Returns the version's stamp once it is chosen.

        Raises:
            BucketChanged: nothing was written, the bucket's epoch is not `epoch`.
            StorageFull: nothing was written.
            QuorumLost: outcome unknown.
        """
        high = above
        quorum = write_quorum_of(proposal.flags)
        for _ in range(ATTEMPTS):
            stamp = self._stamps.next(high)
            fan = self._offer(drive_set, bucket, key, proposal, stamp, stamp, epoch)
            tally = _Tally(drive_set.size, quorum, fan)
            await fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS)
            outcome = tally.outcome()
            if outcome is WriteOutcome.CHOSEN:
                self._when_chosen(drive_set, bucket, key, stamp, fan)
                return stamp
            high = max(high, stamp, tally.highest())
            if outcome is WriteOutcome.DEAD:
                if tally.bucket_refusals:
                    raise BucketChanged(tally.mark())
                continue
            if tally.accepted == 0 and fan.complete and tally.full_only():
                raise StorageFull(f"too few drives of set {drive_set.index} have room")
            return await self._settle(drive_set, bucket, key, proposal, epoch, stamp, high)
        raise QuorumLost("newer versions kept overtaking this write")

    async def swap(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        judge: Judge,
        epoch: bytes,
        not_below: bytes = b"",
    ) -> bytes:
        """Compare-and-swap: `judge` sees the current value and returns the next one, or raises to refuse.

        Returns the new version's stamp once it is chosen. Raises what `judge` raises, BucketChanged, StorageFull,
        ConditionalConflict (certainly nothing written), QuorumLost (outcome unknown).
        """
        async with self._turns.of(bucket + b"/" + key, drive_set.index) as turn:
            return await self._swap(drive_set, bucket, key, judge, epoch, not_below, turn)

    async def _swap(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, judge: Judge, epoch: bytes, not_below: bytes, turn: Turn
    ) -> bytes:
        high = not_below
        quorum_seen = False
        for attempt in range(SWAP_ATTEMPTS):
            await turn.next_try(clashed=quorum_seen)
            prepared = await self._prepare(drive_set, bucket, key, high)
            high = prepared.high
            quorum_seen = quorum_seen or prepared.answered
            if not prepared.ready:
                if not prepared.answered and attempt >= 1:
                    break
                await self._back_off(attempt)
                continue
            decision = decide(drive_set.size, prepared.versions, prepared.blank, not_below)
            if decision.verdict is Verdict.UNDECIDED:
                await self._back_off(attempt)
                continue
            reading = _reading(decision, prepared.versions, prepared.marks)
            try:
                proposal = await judge(reading)
            except ObjectError:
                # The refusal tells the client of a value: it must be one that later reads will see, too.
                if decision.verdict is Verdict.COMPLETE and not await self._complete(
                    drive_set, bucket, key, reading, prepared.token
                ):
                    await self._back_off(attempt)
                    continue
                raise
            fan = self._offer(drive_set, bucket, key, proposal, prepared.token, prepared.token, epoch)
            tally = _Tally(drive_set.size, write_quorum_of(proposal.flags), fan)
            await fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS)
            outcome = tally.outcome()
            if outcome is WriteOutcome.CHOSEN:
                self._when_chosen(drive_set, bucket, key, prepared.token, fan)
                return prepared.token
            high = max(high, tally.highest())
            if outcome is WriteOutcome.DEAD:
                if tally.bucket_refusals:
                    raise BucketChanged(tally.mark())
                await self._back_off(attempt)
                continue
            if tally.accepted == 0 and fan.complete and tally.full_only():
                raise StorageFull(f"too few drives of set {drive_set.index} have room")
            fate = await self._fate(drive_set, bucket, key, proposal, epoch, prepared.token, high)
            if fate is WriteOutcome.CHOSEN:
                return prepared.token
            if fate is WriteOutcome.OPEN:
                raise QuorumLost("the outcome of a conditional write is unknown")
        if quorum_seen:
            raise ConditionalConflict("concurrent conditional writes of the key")
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to write")

    # -- rounds ------------------------------------------------------------------------------------------------------

    def _offer(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        token: bytes,
        stamp: bytes,
        epoch: bytes,
    ) -> Fanout[AcceptAnswer]:
        inline, staged, allowed = proposal.inline, proposal.staged, proposal.positions
        flags, record, refs = proposal.flags, proposal.record, proposal.refs
        calls = []
        for drive in drive_set.drives:
            position = drive.position
            if not drive.online or (allowed is not None and position not in allowed):
                continue
            offer = Accept(
                bucket,
                key,
                token,
                stamp,
                flags,
                record,
                None if inline is None else inline[position],
                staged.get(position, ()),
                refs,
                epoch,
            )
            calls.append((position, drive.accept(offer)))
        return Fanout(calls)

    async def _prepare(self, drive_set: DriveSet, bucket: bytes, key: bytes, high: bytes) -> "_Prepared":
        token = self._stamps.next(high)
        fan: Fanout[PrepareAnswer] = Fanout(
            (drive.position, drive.prepare(bucket, key, token, Level.INLINE))
            for drive in drive_set.drives
            if drive.online
        )
        blank = _blank(drive_set)

        def promises() -> bool:
            good = sum(1 for p, answer in fan.answers.items() if answer.promised and p not in blank)
            return good >= drive_set.size - len(blank & fan.answers.keys())

        # All answers are worth the wait (the more, the fewer undecided reads): only silence ends it early.
        await fan.wait(promises, ROUND_TIMEOUT_SECONDS)
        promised = {p: answer for p, answer in fan.answers.items() if answer.promised}
        good = len(promised) - len(blank & promised.keys())
        # Drives that promised a higher token refuse what comes next: with many of them no write quorum is left.
        outbid = len(fan.answers) - len(promised)
        return _Prepared(
            token=token,
            ready=good >= drive_set.read_quorum and outbid <= drive_set.size - drive_set.majority,
            answered=len(fan.answers) - len(blank & fan.answers.keys()) >= drive_set.read_quorum,
            high=max([high, *(answer.highest for answer in fan.answers.values() if not answer.promised)]),
            versions={p: answer.versions for p, answer in promised.items()},
            blank=blank & promised.keys(),
            marks=[answer.mark for answer in fan.answers.values()],
        )

    async def _complete(self, drive_set: DriveSet, bucket: bytes, key: bytes, reading: Reading, token: bytes) -> bool:
        """Give a half-written version to the drives that lack it, under its own stamp. Whether it is chosen now."""
        try:
            proposal = await self._rebuild(drive_set, bucket, key, reading)
        except ObjectError:
            return False
        # Completion is not a new write: the version was admitted to its bucket when it was first offered.
        fan = self._offer(drive_set, bucket, key, proposal, token, reading.stamp, b"")
        tally = _Tally(drive_set.size, write_quorum_of(reading.flags), fan)
        await fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS)
        if tally.outcome() is not WriteOutcome.CHOSEN:
            return False
        self._when_chosen(drive_set, bucket, key, reading.stamp, fan)
        return True

    async def _complete_prepared(self, drive_set: DriveSet, bucket: bytes, key: bytes, not_below: bytes) -> None:
        """Complete under a fresh token, where the version's own is refused (a higher promise, a purged neighbour)."""
        prepared = await self._prepare(drive_set, bucket, key, not_below)
        if not prepared.ready:
            prepared = await self._prepare(drive_set, bucket, key, prepared.high)
        if prepared.ready:
            decision = decide(drive_set.size, prepared.versions, prepared.blank, not_below)
            if decision.verdict is Verdict.COMPLETE:
                reading = _reading(decision, prepared.versions, prepared.marks)
                await self._complete(drive_set, bucket, key, reading, prepared.token)

    async def _settle(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        epoch: bytes,
        stamp: bytes,
        high: bytes,
    ) -> bytes:
        """Find out what became of a half-accepted blind write, and finish it."""
        fate = await self._fate(drive_set, bucket, key, proposal, epoch, stamp, high)
        if fate is WriteOutcome.CHOSEN:
            return stamp
        if fate is WriteOutcome.DEAD:
            # Nobody can ever have read it: a fresh conditional write over whatever is there is the same write, later.
            async def same(_current: Reading) -> Proposal:
                return proposal

            return await self.swap(drive_set, bucket, key, same, epoch)
        raise QuorumLost("the outcome of a write is unknown")

    async def _fate(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        epoch: bytes,
        stamp: bytes,
        high: bytes,
    ) -> WriteOutcome:
        """Make the fate of a half-accepted version final: CHOSEN (completed if need be), DEAD, or still OPEN."""
        quorum = write_quorum_of(proposal.flags)
        for attempt in range(ATTEMPTS):
            prepared = await self._prepare(drive_set, bucket, key, high)
            high = prepared.high
            if not prepared.ready:
                await self._back_off(attempt)
                continue
            holders = [held for versions in prepared.versions.values() for held in versions if held.stamp == stamp]
            newer = any(versions and versions[0].stamp > stamp for versions in prepared.versions.values())
            if len(holders) >= quorum or any(held.flags & CHOSEN for held in holders):
                return WriteOutcome.CHOSEN
            unsure = drive_set.size - len(prepared.versions) + len(prepared.blank)
            if newer:
                # It may have been chosen, superseded and forgotten: to write it anew could bring it back to life.
                return WriteOutcome.OPEN
            if len(holders) + unsure < quorum:
                return WriteOutcome.DEAD
            fan = self._offer(drive_set, bucket, key, proposal, prepared.token, stamp, epoch)
            tally = _Tally(drive_set.size, quorum, fan)
            await fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS)
            if tally.outcome() is WriteOutcome.CHOSEN:
                self._when_chosen(drive_set, bucket, key, stamp, fan)
                return WriteOutcome.CHOSEN
            if not tally.refused:
                return WriteOutcome.OPEN
            high = max(high, tally.highest())
            await self._back_off(attempt)
        return WriteOutcome.OPEN

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _when_chosen(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes, fan: Fanout[AcceptAnswer]
    ) -> None:
        """Once the laggards have answered: tell the drives that it is chosen; queue a repair where one lacks it."""

        def finish() -> None:
            accepted = [p for p, answer in fan.answers.items() if answer.refusal is Refusal.NONE]
            for position in accepted:
                drive_set.drives[position].note_chosen(bucket, key, stamp, fan.answers[position].superseded)
            superseded = any(answer.refusal is Refusal.STALE for answer in fan.answers.values())
            if len(accepted) < drive_set.size and not superseded:
                queue_repair(drive_set, accepted, bucket, key)

        fan.when_all(finish)

    async def _back_off(self, attempt: int) -> None:
        ceiling = min(0.4, 0.004 * 2**attempt)
        await asyncio.sleep(self._entropy.uniform(ceiling / 4, ceiling))


def queue_repair(drive_set: DriveSet, positions: Collection[int], bucket: bytes, key: bytes) -> None:
    """Put a key on the durable repair queue of these drives (each finds the work done when another was first)."""
    for position in positions:
        drive_set.drives[position].queue_repair(bucket, key)


@dataclass(frozen=True, slots=True)
class _Prepared:
    token: bytes
    ready: bool
    answered: bool
    high: bytes
    versions: dict[int, tuple[Held, ...]]
    blank: frozenset[int]
    marks: list[Mark]


class _Tally:
    """Counts the answers to an offer."""

    __slots__ = ("_fan", "_quorum", "_size")

    def __init__(self, size: int, quorum: int, fan: Fanout[AcceptAnswer]) -> None:
        self._size = size
        self._quorum = quorum
        self._fan = fan

    @property
    def accepted(self) -> int:
        return sum(1 for answer in self._fan.answers.values() if answer.refusal is Refusal.NONE)

    @property
    def refused(self) -> int:
        return sum(1 for answer in self._fan.answers.values() if answer.refusal is not Refusal.NONE)

    @property
    def bucket_refusals(self) -> int:
        return sum(1 for answer in self._fan.answers.values() if answer.refusal is Refusal.BUCKET)

    def decided(self) -> bool:
        answers = self._fan.answers
        return len(answers) >= self._quorum and self.accepted >= self._quorum

    def outcome(self) -> WriteOutcome:
        final = sum(1 for a in self._fan.answers.values() if a.refusal in (Refusal.STALE, Refusal.BUCKET))
        return judge_write(self._size, self._quorum, self.accepted, final, self.refused)

    def highest(self) -> bytes:
        return max((answer.highest for answer in self._fan.answers.values()), default=b"")

    def mark(self) -> Mark:
        return newest_mark([answer.mark for answer in self._fan.answers.values()])

    def full_only(self) -> bool:
        errors = self._fan.errors.values()
        return any(isinstance(error, DriveFull) for error in errors) and self.refused == 0


_SETTLED = (Verdict.VALUE, Verdict.NOTHING)
_UNKNOWN = Decision(Verdict.UNDECIDED, b"", 0)


def _blank(drive_set: DriveSet) -> frozenset[int]:
    return frozenset(drive.position for drive in drive_set.drives if drive.healing)


def _reading(decision: Decision, answers: Mapping[int, tuple[Held, ...]], marks: Collection[Mark]) -> Reading:
    held = {}
    if decision.stamp:
        for position, versions in answers.items():
            for version in versions:
                if version.stamp == decision.stamp:
                    held[position] = version
    return Reading(decision.stamp, decision.flags, held, newest_mark(marks))


def drives_with_room(drive_set: DriveSet, size_bytes: int) -> list[Drive]:
    """The drives that would take a write of this size."""
    return [drive for drive in drive_set.drives if drive.online and drive.has_room(size_bytes)]
