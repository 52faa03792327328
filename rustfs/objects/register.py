"""The quorum protocol over one key: read, blind write, compare-and-swap, and completing what others left half done.

The rules are in rustfs.objects.decide (reader) and rustfs.drive.rules (drive); here is the conversation. What keeps it
safe, in one paragraph: a version is acknowledged only when W drives hold it durably; a reader returns a version only
when that is known; and nothing is ever undone: who cannot decide in time raises QuorumLost, and whoever meets the
remainder completes or supersedes it.

A version's stamp is its token, always. It may be completed under its own stamp by anyone at any time. Under a fresh
token, which a prepare won, it is *brought forward*: proposed anew, under the new stamp, and only where the promises
showed nothing newer. Between the two nothing can have been chosen, so the copy follows its original directly, and
stamps order the values of a key whoever wrote them. To offer it under a fresh token with its old stamp would break
that: others may have judged it dead, and go on with a token in between (docs/consistency.md).

Every wait has a deadline; every loop is bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rustfs.core import placement
from rustfs.core.buffers import Buffer
from rustfs.core.errors import ConditionalConflict, DriveError, ObjectError, QuorumLost, StorageFull
from rustfs.core.ports import (
    BLIND,
    Accept,
    AcceptAnswer,
    Clock,
    ClusterLocks,
    Entropy,
    KeyAnswer,
    KeyLocks,
    Level,
    Mark,
    PrepareAnswer,
    Refusal,
)
from rustfs.core.stamps import StampClock
from rustfs.objects.decide import Decision, Verdict, WriteOutcome, is_tombstone, overwritten, write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.lineage import Fate, ancestors_of, descended, fate, plain
from rustfs.objects.pace import Pace
from rustfs.objects.rounds import ANY, UNKNOWN, Era, Inquiry, Prepared, Reading, Tally, reading_of
from rustfs.objects.turns import Turns

ROUND_TIMEOUT_SECONDS = 12.0
PATIENCE_SECONDS = 20.0  # no round is begun later than this after the first one
LAGGARD_SECONDS = 1.0  # a drive that has not accepted by then is taken for one that will not
ATTEMPTS = 8
READ_ATTEMPTS = 24  # where writers compete for the key, what they leave half done changes under the reader's hands
SWAP_ATTEMPTS = 24


@dataclass(slots=True)
class Proposal:
    """A version to be offered: what is alike on all drives, and which shards each is to take into service."""

    flags: int
    record: bytes
    refs: tuple[bytes, ...] = ()
    inline: Sequence[bytes | Sequence[Buffer] | None] | None = None  # by position
    staged: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)  # position -> data ids staged there
    positions: Collection[int] | None = None  # drives that can take it; None: all
    if_held: bool = False  # a deletion, for drives that hold something to delete: see Register.write


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A write that some drives may hold: it may be chosen, or become so. See Register.resume."""

    drive_set: DriveSet
    bucket: bytes
    key: bytes
    proposal: Proposal
    stamps: tuple[bytes, ...]  # under which it was offered, ascending
    blind: bool = False  # no condition depends on what it overwrites


class BucketChanged(ObjectError):
    """A drive knows a newer epoch of the bucket than the one that the caller went by.

    Nothing was written, unless something is `unsettled`: that has to be resumed, not written anew.
    """

    def __init__(self, mark: Mark, unsettled: Unsettled | None = None) -> None:
        super().__init__("the bucket changed")
        self.mark = mark
        self.unsettled = unsettled


# Makes a proposal of an existing version for the drives that lack it, its shards rebuilt from the copies held.
Rebuild = Callable[[DriveSet, bytes, bytes, Reading], Awaitable[Proposal]]
# Looks at the current value and returns the next one, or raises ObjectError to refuse.
Judge = Callable[[Reading], Awaitable[Proposal]]
# The sets of other pools in which a key of this set may live, too.
Elsewhere = Callable[[DriveSet, bytes, bytes], Sequence[DriveSet]]


def nowhere_else(_drive_set: DriveSet, _bucket: bytes, _key: bytes) -> Sequence[DriveSet]:
    """There is one pool."""
    return ()


class Register:
    """Conversations with the drives of a set about one key at a time."""

    def __init__(
        self,
        stamps: StampClock,
        clock: Clock,
        entropy: Entropy,
        pace: Pace,
        rebuild: Rebuild,
        locks: KeyLocks | None = None,
        cluster_locks: ClusterLocks | None = None,
        elsewhere: Elsewhere = nowhere_else,
    ) -> None:
        self._elsewhere = elsewhere
        self._stamps = stamps
        self._clock = clock
        self._pace = pace
        self._entropy = entropy
        self._rebuild = rebuild
        self._turns = Turns(entropy, locks, cluster_locks)

    async def read(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        *,
        inline_at: Collection[int] = (),
        era: Era = ANY,
    ) -> Reading:
        """The current value.

        Raises:
            QuorumLost: too few drives answer to tell.
            BucketChanged: the bucket's epoch is not the era's.
        """
        deadline = self._deadline()
        for attempt in range(READ_ATTEMPTS):
            inquiry = Inquiry(drive_set, bucket, key, inline_at, era.created)
            settled = await self._inquire(inquiry, everyone=attempt > 0)
            decision = inquiry.decision
            if settled:
                return inquiry.reading()
            if decision.verdict is Verdict.COMPLETE:
                reading = inquiry.reading()
                if await self._offer_again(drive_set, bucket, key, reading, decision.stamp, b""):
                    return reading
                if era.epoch is not None:
                    await self._bring_forward(drive_set, bucket, key, era.created, era.epoch)
            elif decision is UNKNOWN and attempt >= 1:
                break
            if self._clock.monotonic_seconds() > deadline:
                break
            await self._back_off(attempt)
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to read")

    async def _inquire(self, inquiry: Inquiry, *, everyone: bool) -> bool:
        """Ask as few drives as may settle what the value is, then all. Whether it is settled."""
        drive_set, wanted = inquiry.drive_set, inquiry.inline_at
        if everyone:
            fan: Fanout[KeyAnswer] = Fanout(inquiry.calls(drive_set.online(), wanted), self._clock)
            inquiry.fan = fan
            return await fan.wait(inquiry.settled, ROUND_TIMEOUT_SECONDS, inquiry.completable)
        rotation = placement.rotation(placement.placement_hash(inquiry.bucket, inquiry.key), drive_set.size)
        first, rest = self._pace.split(drive_set, max(drive_set.read_quorum, len(wanted)), rotation, wanted)
        inline_at = [drive.position for drive in first[: len(wanted)]]
        fan = inquiry.fan = Fanout(inquiry.calls(first, inline_at), self._clock)
        if await fan.wait(inquiry.settled, self._pace.hedge_seconds):
            self._pace.took(fan.elapsed_seconds)
            return True
        silent = fan.silent
        short = bool(silent or fan.errors)  # of shards, too
        fan.ask(inquiry.calls(rest, [drive.position for drive in rest] if wanted and short else ()))
        settled = await fan.wait(inquiry.settled, ROUND_TIMEOUT_SECONDS, inquiry.completable)
        overtaken = silent & fan.silent
        self._pace.late([drive_set.drives[position] for position in overtaken])
        if not overtaken:
            self._pace.took(fan.elapsed_seconds)
        return settled

    async def write(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, proposal: Proposal, epoch: bytes, above: bytes = b""
    ) -> bytes:
        """Blind write: the newest stamp wins. Returns the version's stamp once it is chosen.

        A deletion `if_held` that every drive declines writes nothing, and returns b"". If only some decline, it is
        offered to all without that condition under the same stamp: as if that had been its first and only round.

        Raises:
            BucketChanged: nothing was written, the bucket's epoch is not `epoch`.
            StorageFull: too few drives have room; outcome unknown where some took it.
            QuorumLost: outcome unknown.
        """
        high = above
        deadline = self._deadline()
        first = replace(proposal, flags=proposal.flags | BLIND)
        proposal = replace(proposal, if_held=False)
        for _ in range(ATTEMPTS):
            if self._clock.monotonic_seconds() > deadline:
                break
            _require_quorum(drive_set, first)
            stamp = self._stamps.next(high)
            tally = await self._round(drive_set, bucket, key, first, stamp, epoch)
            if tally.absent(drive_set.read_quorum):
                return b""
            if tally.declined and tally.outcome() is not WriteOutcome.CHOSEN:
                first = replace(first, if_held=False)
                tally = await self._round(drive_set, bucket, key, first, stamp, epoch)
            if tally.outcome() is WriteOutcome.OPEN and tally.refused:
                if await self._overwritten(drive_set, bucket, key, stamp, tally):
                    return stamp
                if tally.outcome() is WriteOutcome.CHOSEN:  # more have answered meanwhile
                    self._when_chosen(drive_set, bucket, key, stamp, tally.fan)
            if tally.outcome() is WriteOutcome.CHOSEN:
                return stamp
            if tally.outcome() is WriteOutcome.OPEN:
                found = await self._go_on(tally, Unsettled(drive_set, bucket, key, proposal, (stamp,), True), epoch)
                if found:
                    return found
            if tally.bucket_changed:
                raise BucketChanged(tally.mark())
            if tally.full and not tally.refused:
                raise _unwritten(drive_set, tally)
            high = max(high, stamp, tally.highest())
        raise QuorumLost("newer versions kept overtaking this write")

    async def swap(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        judge: Judge,
        epoch: bytes,
        not_below: bytes = b"",
        others: Sequence[DriveSet] = (),
    ) -> bytes:
        """Compare-and-swap: `judge` sees the current value and returns the next one, or raises to refuse.

        Args:
            others: where the key may live in other pools: they promise, too, and of what all of them hold the highest
                stamp is the current value. The next one goes to `drive_set` and supersedes it wherever it lies.

        Returns the new version's stamp once it is chosen. Raises what `judge` raises, BucketChanged, StorageFull,
        ConditionalConflict (certainly nothing written), QuorumLost (outcome unknown).
        """
        async with self._turns.of(bucket + b"/" + key, drive_set.index) as turn:
            high = not_below
            quorum_seen = False
            deadline = self._deadline()
            for attempt in range(SWAP_ATTEMPTS):
                if attempt:
                    await self._back_off(attempt - 1)
                await turn.next_try(clashed=quorum_seen)
                if self._clock.monotonic_seconds() > deadline:
                    break
                token = self._stamps.next(high)
                promises = await self._prepare_all((drive_set, *others), bucket, key, token, not_below)
                high = max(high, *(prepared.high for prepared in promises))
                quorum_seen = quorum_seen or all(prepared.answered for prepared in promises)
                if not quorum_seen and attempt >= 1:
                    break
                current = _current(promises, not_below)
                if current is None:
                    continue
                floor = max(not_below, *(prepared.floor for prepared in promises))
                high, stamp = await self._replace(promises, current, bucket, key, judge, epoch, high, floor)
                if stamp:
                    for other in promises[1:]:
                        seen = [held.stamp for versions in other.versions.values() for held in versions]
                        if seen:
                            forget(other.drive_set, bucket, key, max(seen))
                    return stamp
        if quorum_seen:
            raise ConditionalConflict("concurrent conditional writes of the key")
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to write")

    async def _replace(
        self,
        promises: Sequence[Prepared],
        current: tuple[Prepared, Decision],
        bucket: bytes,
        key: bytes,
        judge: Judge,
        epoch: bytes,
        high: bytes,
        floor: bytes,
    ) -> tuple[bytes, bytes]:
        """Judge the current value and offer the next one. The highest token known now, and the stamp that was chosen.

        No stamp: certainly nothing was written, a repeat under a higher token may succeed.

        Args:
            floor: whatever the key held and holds no more is not above it.
        """
        prepared, decision = current
        reading = reading_of(decision, prepared.versions, [mark for each in promises for mark in each.marks])
        drive_set, token = promises[0].drive_set, promises[0].token
        try:
            proposal = await judge(reading)
        except ObjectError:
            # The refusal tells the client of a value: it must be one that later reads will see, too.
            if decision.verdict is Verdict.COMPLETE and not await self._offer_again(
                prepared.drive_set, bucket, key, reading, token, epoch
            ):
                return high, b""
            raise
        _require_quorum(drive_set, proposal)
        line = (reading.stamp or floor, *ancestors_of(reading.record))
        proposal = replace(proposal, record=descended(proposal.record, line))
        tally = await self._round(drive_set, bucket, key, proposal, token, epoch)
        outcome = tally.outcome()
        if outcome is WriteOutcome.CHOSEN:
            return high, token
        if outcome is WriteOutcome.OPEN:
            unsettled = Unsettled(drive_set, bucket, key, proposal, (token,))
            return high, await self._go_on(tally, unsettled, epoch)
        if tally.bucket_changed:
            raise BucketChanged(tally.mark())
        if tally.full and not tally.refused:
            raise _unwritten(drive_set, tally)
        return max(high, tally.highest()), b""

    async def resume(self, unsettled: Unsettled, epoch: bytes) -> bytes:
        """Bring a write to its end that may be half done. The stamp that is chosen; b"": it never was, nor will be.

        Where promises show nothing newer than what was offered, nothing can have been chosen since: offering the same
        under the new token is the same write. Where they do, it may have been chosen and superseded: to write it anew
        could bring it back to life. What is newer may say by its line what became of it.

        Raises:
            BucketChanged: the bucket's epoch is not `epoch`.
            QuorumLost: outcome unknown.
        """
        drive_set, bucket, key = unsettled.drive_set, unsettled.bucket, unsettled.key
        everywhere = (drive_set, *self._elsewhere(drive_set, bucket, key))
        own = list(unsettled.stamps)
        high = own[-1]
        deadline = self._deadline()
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._back_off(attempt - 1)
            if self._clock.monotonic_seconds() > deadline:
                break
            promises = await self._prepare_all(everywhere, bucket, key, self._stamps.next(high))
            here, token = promises[0], promises[0].token
            high = max(high, *(prepared.high for prepared in promises))
            for stamp in own:
                if here.holds_chosen(stamp):
                    self._found_chosen(drive_set, bucket, key, stamp, here)
                    return stamp
            if not all(prepared.ready for prepared in promises):
                continue
            if any(prepared.newest > own[-1] for prepared in promises):
                found, known = await self._superseded(unsettled, own, promises, epoch)
                if known:
                    return found
                continue
            proposal = unsettled.proposal
            line = (*reversed(own), *ancestors_of(proposal.record))
            proposal = replace(proposal, record=descended(proposal.record, line))
            tally = await self._round(drive_set, bucket, key, proposal, token, epoch)
            if tally.outcome() is WriteOutcome.CHOSEN:
                return token
            if tally.outcome() is WriteOutcome.OPEN:
                own.append(token)
            if tally.bucket_changed:
                raise BucketChanged(tally.mark(), replace(unsettled, stamps=tuple(own)))
            if not tally.refused:
                break
            high = max(high, tally.highest())
        self._look_again(unsettled)
        raise QuorumLost("the outcome of a write is unknown")

    async def _superseded(
        self, unsettled: Unsettled, own: Sequence[bytes], promises: Sequence[Prepared], epoch: bytes
    ) -> tuple[bytes, bool]:
        """What became of a write beside which something newer is held: its stamp, or b"" if it is dead; whether known.

        A blind write that is dead took effect all the same where somebody wrote just the same after it: to write it
        once more would change nothing. Raises QuorumLost where nobody will ever be able to tell.
        """
        current = _current(promises, b"")
        if current is None:
            return b"", False
        prepared, decision = current
        reading = reading_of(decision, prepared.versions, prepared.marks)
        stamp, line = reading.stamp, ancestors_of(reading.record)
        if decision.verdict is Verdict.COMPLETE:
            drive_set, bucket, key = prepared.drive_set, unsettled.bucket, unsettled.key
            if not await self._offer_again(drive_set, bucket, key, reading, prepared.token, epoch):
                return b"", False
            stamp, line = prepared.token, (reading.stamp, *line)
        if not reading.stamp or stamp < own[-1]:
            return b"", False
        alike = is_tombstone(reading.flags) == is_tombstone(unsettled.proposal.flags)
        if unsettled.blind and alike and plain(reading.record) == unsettled.proposal.record:
            return stamp, True
        outcome = fate(own, stamp, line)
        if outcome is Fate.UNKNOWN:
            # Whoever may hold it has the key looked at: that completes it, or finds it superseded.
            self._look_again(unsettled)
            raise QuorumLost("the outcome of a write is unknown")
        return (stamp if outcome is Fate.EFFECT else b""), True

    async def _overwritten(self, drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes, tally: Tally) -> bool:
        """Whether a blind write that was partly refused is known to have taken effect: see decide.overwritten."""
        if any(drive.healing for drive in drive_set.drives):
            return False  # it may have accepted because it forgot what it held
        try:
            reading = await self.read(drive_set, bucket, key)
        except QuorumLost:
            return False
        value = Decision(Verdict.VALUE, reading.stamp, reading.flags)
        return overwritten(drive_set.size, tally.accepted, stamp, value)

    def _look_again(self, unsettled: Unsettled) -> None:
        positions = [drive.position for drive in unsettled.drive_set.online()]
        queue_repair(unsettled.drive_set, positions, unsettled.bucket, unsettled.key)

    async def _go_on(self, tally: Tally, unsettled: Unsettled, epoch: bytes) -> bytes:
        """After an offer whose outcome is open. As `resume`; raises StorageFull, too."""
        if tally.nothing_written() or tally.for_want_of_room():
            self._look_again(unsettled)
            raise _unwritten(unsettled.drive_set, tally)
        if tally.bucket_changed:
            raise BucketChanged(tally.mark(), unsettled)
        return await self.resume(unsettled, epoch)

    # -- rounds ------------------------------------------------------------------------------------------------------

    def _offer(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        stamp: bytes,
        epoch: bytes,
    ) -> Tally:
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
                stamp,
                flags,
                record,
                None if inline is None else inline[position],
                staged.get(position, ()),
                refs,
                epoch,
                proposal.if_held,
            )
            calls.append((position, drive.accept(offer)))
        return Tally(flags, Fanout(calls, self._clock))

    async def _round(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        stamp: bytes,
        epoch: bytes,
    ) -> Tally:
        """Offer a version to the drives, and wait until it is chosen or waiting makes no sense any more."""
        tally = self._offer(drive_set, bucket, key, proposal, stamp, epoch)
        try:
            await tally.fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS, tally.exhausted)
        except asyncio.CancelledError:
            self._left_open(drive_set, bucket, key, tally)
            raise
        if tally.outcome() is WriteOutcome.CHOSEN:
            self._when_chosen(drive_set, bucket, key, stamp, tally.fan)
        return tally

    async def _prepare(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, token: bytes, not_below: bytes = b""
    ) -> Prepared:
        fan: Fanout[PrepareAnswer] = Fanout(
            (
                (drive.position, drive.prepare(bucket, key, token, Level.INLINE))
                for drive in drive_set.drives
                if drive.online
            ),
            self._clock,
        )

        def prepared() -> Prepared:
            return Prepared.of(drive_set, token, fan.answers)

        def proceed() -> bool:
            now = prepared()
            if now.sure + len(fan.silent) < drive_set.read_quorum or now.outbid > drive_set.size - drive_set.majority:
                return True  # nothing can come of this token
            return now.ready and now.decide(not_below).verdict is not Verdict.UNDECIDED

        # All answers are worth a grace (the more, the fewer undecided reads).
        await fan.wait(lambda: False, ROUND_TIMEOUT_SECONDS, proceed)
        return prepared()

    async def _prepare_all(
        self, sets: Sequence[DriveSet], bucket: bytes, key: bytes, token: bytes, not_below: bytes = b""
    ) -> list[Prepared]:
        rounds = [self._prepare(each, bucket, key, token, not_below) for each in sets]
        return await asyncio.gather(*rounds) if len(rounds) > 1 else [await rounds[0]]

    async def _offer_again(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, reading: Reading, stamp: bytes, epoch: bytes
    ) -> bool:
        """Offer a half-written version to all drives; whether it is chosen now.

        Args:
            stamp: its own, or the token of promises that show nothing newer.
            epoch: b"" under its own stamp: it was admitted to its bucket when it was first offered.
        """
        try:
            proposal = await self._rebuild(drive_set, bucket, key, reading)
        except ObjectError:
            return False
        if stamp != reading.stamp:
            # No longer blind: its writer may have had its answer long ago.
            record = descended(proposal.record, (reading.stamp, *ancestors_of(proposal.record)))
            proposal = replace(proposal, flags=proposal.flags & ~BLIND, record=record)
        tally = await self._round(drive_set, bucket, key, proposal, stamp, epoch)
        if epoch and tally.bucket_changed:
            raise BucketChanged(tally.mark())
        return tally.outcome() is WriteOutcome.CHOSEN

    async def _bring_forward(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, not_below: bytes, epoch: bytes
    ) -> None:
        """Complete under a fresh token, where the version's own stamp is refused (someone promised a higher one)."""
        everywhere = (drive_set, *self._elsewhere(drive_set, bucket, key))
        high = not_below
        for _ in range(2):
            promises = await self._prepare_all(everywhere, bucket, key, self._stamps.next(high), not_below)
            current = _current(promises, not_below)
            if current is not None and current[1].verdict is Verdict.COMPLETE:
                prepared, decision = current
                reading = reading_of(decision, prepared.versions, prepared.marks)
                await self._offer_again(prepared.drive_set, bucket, key, reading, prepared.token, epoch)
                return
            high = max(high, *(prepared.high for prepared in promises))

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _when_chosen(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes, fan: Fanout[AcceptAnswer]
    ) -> None:
        """Once the laggards have answered, or had time to: tell the drives; queue a repair where one lacks it."""
        told: set[int] = set()

        def tell() -> None:
            accepted = [p for p, answer in fan.answers.items() if answer.refusal is Refusal.NONE]
            first = not told
            for position in accepted:
                if position not in told:
                    drive_set.drives[position].note_chosen(bucket, key, stamp, fan.answers[position].superseded)
            told.update(accepted)
            superseded = any(answer.refusal is Refusal.STALE for answer in fan.answers.values())
            if first and len(accepted) < drive_set.size and not superseded:
                queue_repair(drive_set, accepted, bucket, key)

        if fan.complete:
            tell()
            return
        timer = asyncio.get_running_loop().call_later(LAGGARD_SECONDS, tell)

        def all_came() -> None:
            timer.cancel()
            tell()

        fan.when_all(all_came)

    def _left_open(self, drive_set: DriveSet, bucket: bytes, key: bytes, tally: Tally) -> None:
        """Nobody waits for the outcome any more: have the key looked at where the version was accepted."""

        def look() -> None:
            queue_repair(drive_set, tally.holders, bucket, key)

        tally.fan.when_all(look)

    def _found_chosen(self, drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes, prepared: Prepared) -> None:
        """The same for a version whose acceptances were lost on the way: they were seen by a prepare."""
        holders = [p for p, versions in prepared.versions.items() if any(held.stamp == stamp for held in versions)]
        for position in holders:
            drive_set.drives[position].note_chosen(bucket, key, stamp, True)
        if len(holders) < drive_set.size:
            queue_repair(drive_set, holders, bucket, key)

    def _deadline(self) -> float:
        return self._clock.monotonic_seconds() + PATIENCE_SECONDS

    async def _back_off(self, attempt: int) -> None:
        ceiling = min(0.4, 0.004 * 2**attempt)
        await asyncio.sleep(self._entropy.uniform(ceiling / 4, ceiling))


def queue_repair(drive_set: DriveSet, positions: Collection[int], bucket: bytes, key: bytes) -> None:
    """Put a key on the durable repair queue of these drives (each finds the work done when another was first)."""
    for position in positions:
        drive_set.drives[position].queue_repair(bucket, key)


def _require_quorum(drive_set: DriveSet, proposal: Proposal) -> None:
    """Raises QuorumLost where too few drives are in reach for a version to be chosen: half of one helps nobody."""
    if len(drive_set.online()) < write_quorum_of(proposal.flags):
        raise QuorumLost(f"too few drives of set {drive_set.index} are online")


def _unwritten(drive_set: DriveSet, tally: Tally) -> ObjectError:
    """Why nothing was written to a set of which some drives are full."""
    if tally.for_want_of_room():
        return StorageFull(f"too few drives of set {drive_set.index} have room")
    return QuorumLost(f"too few drives of set {drive_set.index} can be written")


def forget(drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes) -> None:
    """Drop what this pool holds of a key up to `stamp`: a version chosen in another pool has superseded it.

    Nobody waits for it: what is left is dropped by whoever meets it next, and by the purge of tombstones at the latest.
    """
    for drive in drive_set.online():
        drive.drop(bucket, key, stamp).add_done_callback(_ignore_drive_error)


def _ignore_drive_error(future: "asyncio.Future[None]") -> None:
    if not future.cancelled() and isinstance(future.exception(), DriveError):
        return


def _current(promises: Sequence[Prepared], not_below: bytes) -> tuple[Prepared, Decision] | None:
    """The current value by what all pools hold, and the pool that holds it; None: nothing can be said."""
    if not all(prepared.ready for prepared in promises):
        return None
    decided = [(prepared, prepared.decide(not_below)) for prepared in promises]
    if any(decision.verdict is Verdict.UNDECIDED for _, decision in decided):
        return None
    return max(decided, key=lambda each: each[1].stamp)
