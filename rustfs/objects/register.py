"""The quorum protocol over one key: read, blind write, compare-and-swap, and completing what others left half done.

The rules are in rustfs.objects.decide (reader) and rustfs.drive.rules (drive); here is the conversation. What keeps it
safe, in one paragraph: a version is acknowledged only when W drives hold it durably; a reader returns a version only
when that is known; a write that may be half done is never proposed anew under another stamp before a prepare, or enough
final refusals, made sure that it is dead; and nothing is ever undone: who cannot decide in time raises QuorumLost,
and whoever meets the remainder completes or supersedes it.

Every wait has a deadline; every loop is bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rustfs.core import placement
from rustfs.core.buffers import Buffer
from rustfs.core.errors import ConditionalConflict, DriveError, ObjectError, QuorumLost, StorageFull
from rustfs.core.ports import (
    CHOSEN,
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
from rustfs.objects.decide import Decision, Verdict, WriteOutcome, write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.pace import Pace
from rustfs.objects.rounds import UNKNOWN, Inquiry, Prepared, Reading, Tally, reading_of
from rustfs.objects.turns import Turns

ROUND_TIMEOUT_SECONDS = 12.0
PATIENCE_SECONDS = 20.0  # no round is begun later than this after the first one
LAGGARD_SECONDS = 1.0  # a drive that has not accepted by then is taken for one that will not
ATTEMPTS = 8
READ_ATTEMPTS = 24  # where writers compete for the key, what they leave half done changes under the reader's hands
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


# Makes a proposal of an existing version for the drives that lack it, its shards rebuilt from the copies held.
Rebuild = Callable[[DriveSet, bytes, bytes, Reading], Awaitable[Proposal]]
# Looks at the current value and returns the next one, or raises ObjectError to refuse.
Judge = Callable[[Reading], Awaitable[Proposal]]


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
    ) -> None:
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
        not_below: bytes = b"",
    ) -> Reading:
        """The current value. Raises QuorumLost when too few drives answer to tell."""
        deadline = self._deadline()
        for attempt in range(READ_ATTEMPTS):
            inquiry = Inquiry(drive_set, bucket, key, inline_at, not_below)
            settled = await self._inquire(inquiry, everyone=attempt > 0)
            decision = inquiry.decision
            if settled:
                return inquiry.reading()
            if decision.verdict is Verdict.COMPLETE:
                reading = inquiry.reading()
                if await self._complete(drive_set, bucket, key, reading, decision.stamp):
                    return reading
                await self._complete_prepared(drive_set, bucket, key, not_below)
            elif decision is UNKNOWN and attempt >= 1:
                break
            if self._clock.monotonic_seconds() > deadline:
                break
            await self._back_off(attempt)
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to read")

    async def _inquire(self, inquiry: Inquiry, *, everyone: bool) -> bool:
        """Ask as few drives as may settle what the value is, then all. Whether it is settled."""
        drive_set, wanted = inquiry.drive_set, inquiry.inline_at
        if everyone or all(drive.near for drive in drive_set.drives):
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

        Raises:
            BucketChanged: nothing was written, the bucket's epoch is not `epoch`.
            StorageFull: nothing was written.
            QuorumLost: outcome unknown.
        """
        high = above
        deadline = self._deadline()
        for _ in range(ATTEMPTS):
            if self._clock.monotonic_seconds() > deadline:
                break
            stamp = self._stamps.next(high)
            tally = await self._round(drive_set, bucket, key, proposal, stamp, stamp, epoch)
            outcome = tally.outcome()
            if outcome is WriteOutcome.CHOSEN:
                return stamp
            high = max(high, stamp, tally.highest())
            if outcome is WriteOutcome.DEAD:
                if tally.bucket_refusals:
                    raise BucketChanged(tally.mark())
                continue
            if tally.nothing_written():
                raise _unwritten(drive_set, tally)
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
            offered: list[bytes] = []  # versions of ours that some drive may hold

            async def once(reading: Reading) -> Proposal:
                try:
                    return await judge(reading)
                except ObjectError:
                    if offered and reading.stamp >= offered[0]:
                        # It may be our own earlier offer, completed by a reader, that stands in the way now.
                        raise QuorumLost("the outcome of a conditional write is unknown") from None
                    raise

            for attempt in range(SWAP_ATTEMPTS):
                if attempt:
                    await self._back_off(attempt - 1)
                await turn.next_try(clashed=quorum_seen)
                if self._clock.monotonic_seconds() > deadline:
                    break
                token = self._stamps.next(high)
                rounds = [self._prepare(each, bucket, key, token, not_below) for each in (drive_set, *others)]
                promises = await asyncio.gather(*rounds) if others else [await rounds[0]]
                high = max(high, *(prepared.high for prepared in promises))
                quorum_seen = quorum_seen or all(prepared.answered for prepared in promises)
                if not quorum_seen and attempt >= 1:
                    break
                current = _current(promises, not_below)
                if current is None:
                    continue
                high, chosen = await self._replace(promises, current, bucket, key, once, epoch, high)
                offered.append(token)
                if chosen:
                    for other in promises[1:]:
                        seen = [held.stamp for versions in other.versions.values() for held in versions]
                        if seen:
                            forget(other.drive_set, bucket, key, max(seen))
                    return token
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
    ) -> tuple[bytes, bool]:
        """Judge the current value and offer the next one. The highest token known now, and whether it is chosen.

        Not chosen: certainly nothing was written, a repeat under a higher token may succeed.
        """
        prepared, decision = current
        reading = reading_of(decision, prepared.versions, [mark for each in promises for mark in each.marks])
        try:
            proposal = await judge(reading)
        except ObjectError:
            # The refusal tells the client of a value: it must be one that later reads will see, too.
            if decision.verdict is Verdict.COMPLETE and not await self._complete(
                prepared.drive_set, bucket, key, reading, prepared.token
            ):
                return high, False
            raise
        drive_set, token = promises[0].drive_set, promises[0].token
        tally = await self._round(drive_set, bucket, key, proposal, token, token, epoch)
        outcome = tally.outcome()
        if outcome is WriteOutcome.CHOSEN:
            return high, True
        high = max(high, tally.highest())
        if outcome is WriteOutcome.DEAD:
            if tally.bucket_refusals:
                raise BucketChanged(tally.mark())
            return high, False
        if tally.nothing_written():
            raise _unwritten(drive_set, tally)
        fate = await self._fate(drive_set, bucket, key, proposal, epoch, token, high)
        if fate is WriteOutcome.CHOSEN:
            return high, True
        if fate is WriteOutcome.OPEN:
            raise QuorumLost("the outcome of a conditional write is unknown")
        if tally.full and not tally.refused:
            raise _unwritten(drive_set, tally)
        return high, False

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
        return Tally(drive_set.size, write_quorum_of(flags), Fanout(calls, self._clock))

    async def _round(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        token: bytes,
        stamp: bytes,
        epoch: bytes,
    ) -> Tally:
        """Offer a version to the drives, and wait until it is chosen or waiting makes no sense any more."""
        tally = self._offer(drive_set, bucket, key, proposal, token, stamp, epoch)
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

    async def _complete(self, drive_set: DriveSet, bucket: bytes, key: bytes, reading: Reading, token: bytes) -> bool:
        """Give a half-written version to the drives that lack it, under its own stamp. Whether it is chosen now."""
        try:
            proposal = await self._rebuild(drive_set, bucket, key, reading)
        except ObjectError:
            return False
        # Completion is not a new write: the version was admitted to its bucket when it was first offered.
        tally = await self._round(drive_set, bucket, key, proposal, token, reading.stamp, b"")
        return tally.outcome() is WriteOutcome.CHOSEN

    async def _complete_prepared(self, drive_set: DriveSet, bucket: bytes, key: bytes, not_below: bytes) -> None:
        """Complete under a fresh token, where the version's own is refused (a higher promise, a purged neighbour)."""
        prepared = await self._prepare(drive_set, bucket, key, self._stamps.next(not_below), not_below)
        if not prepared.ready:
            prepared = await self._prepare(drive_set, bucket, key, self._stamps.next(prepared.high), not_below)
        if prepared.ready:
            decision = prepared.decide(not_below)
            if decision.verdict is Verdict.COMPLETE:
                reading = reading_of(decision, prepared.versions, prepared.marks)
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
            # Dead below the token of that prepare. Until the next one somebody may have completed it all the same, and
            # somebody may have overwritten that: to write it once more would then bring it back.
            async def same(current: Reading) -> Proposal:
                if current.stamp > stamp:
                    raise QuorumLost("the outcome of a write is unknown")
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
        deadline = self._deadline()
        for attempt in range(ATTEMPTS):
            if self._clock.monotonic_seconds() > deadline:
                break
            prepared = await self._prepare(drive_set, bucket, key, self._stamps.next(high))
            high = max(high, prepared.high)
            if not prepared.ready:
                await self._back_off(attempt)
                continue
            holders = [held for versions in prepared.versions.values() for held in versions if held.stamp == stamp]
            newer = any(versions and versions[0].stamp > stamp for versions in prepared.versions.values())
            if len(holders) >= quorum or any(held.flags & CHOSEN for held in holders):
                self._found_chosen(drive_set, bucket, key, stamp, prepared)
                return WriteOutcome.CHOSEN
            unsure = drive_set.size - len(prepared.versions) + len(prepared.blank)
            if newer:
                # It may have been chosen, superseded and forgotten: to write it anew could bring it back to life.
                break
            if len(holders) + unsure < quorum:
                return WriteOutcome.DEAD
            tally = await self._round(drive_set, bucket, key, proposal, prepared.token, stamp, epoch)
            if tally.outcome() is WriteOutcome.CHOSEN:
                return WriteOutcome.CHOSEN
            if not tally.refused:
                break
            high = max(high, tally.highest())
            await self._back_off(attempt)
        # Whoever may hold it has the key looked at: that completes it, or finds it superseded.
        queue_repair(drive_set, [drive.position for drive in drive_set.online()], bucket, key)
        return WriteOutcome.OPEN

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
