"""The quorum protocol over one key: read, blind write, compare-and-swap.

The rules are in rustfs.objects.decide (reader) and rustfs.drive.rules (drive), the rounds of requests in
rustfs.objects.conversation, and what is half done is brought to its end by rustfs.objects.settling. What keeps it safe,
in one paragraph: a version is acknowledged only when W drives hold it durably; a reader returns a version only
when that is known; and nothing is ever undone: who cannot decide in time raises QuorumLost, and whoever meets the
remainder completes or supersedes it.

A version's stamp is its token, always. It may be completed under its own stamp by anyone at any time. Under a fresh
token, which a prepare won, it is *brought forward*: proposed anew, under the new stamp, and only where the promises
showed nothing newer. Between the two nothing can have been chosen, so the copy follows its original directly, and
stamps order the values of a key whoever wrote them. To offer it under a fresh token with its old stamp would break
that: others may have judged it dead, and go on with a token in between (docs/consistency.md).

Every wait has a deadline; every loop is bounded.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from rustfs.core import placement
from rustfs.core.drivetypes import BLIND, KeyAnswer
from rustfs.core.errors import ConditionalConflict, ObjectError, QuorumLost
from rustfs.core.ports import Clock, ClusterLocks, Entropy, KeyLocks
from rustfs.core.stamps import StampClock
from rustfs.objects.conversation import (
    ROUND_TIMEOUT_SECONDS,
    Conversation,
    current_of,
    forget,
    require_quorum,
    unwritten,
)
from rustfs.objects.decide import Decision, Verdict, WriteOutcome, overwritten
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.lineage import ancestors_of, descended
from rustfs.objects.pace import Pace
from rustfs.objects.patience import Patience
from rustfs.objects.proposals import BucketChanged, Elsewhere, Judge, Proposal, Rebuild, Unsettled, nowhere_else
from rustfs.objects.rounds import ANY, UNKNOWN, Era, Inquiry, Prepared, Reading, Tally, reading_of
from rustfs.objects.settling import Settler
from rustfs.objects.turns import Turns

ATTEMPTS = 8
READ_ATTEMPTS = 24  # where writers compete for the key, what they leave half done changes under the reader's hands
SWAP_ATTEMPTS = 24


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
        self._stamps = stamps
        self._clock = clock
        self._pace = pace
        self._patience = Patience(clock, entropy)
        self._rounds = Conversation(clock, rebuild)
        self._settler = Settler(self._rounds, stamps, self._patience, elsewhere)
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
        deadline = self._patience.deadline()
        for attempt in range(READ_ATTEMPTS):
            inquiry = Inquiry(drive_set, bucket, key, inline_at, era.created)
            settled = await self._inquire(inquiry, everyone=attempt > 0)
            decision = inquiry.decision
            if settled:
                return inquiry.reading()
            if decision.verdict is Verdict.COMPLETE:
                reading = inquiry.reading()
                if await self._rounds.offer_again(drive_set, bucket, key, reading, decision.stamp, b""):
                    return reading
                if era.epoch is not None:
                    await self._settler.bring_forward(drive_set, bucket, key, era.created, era.epoch)
            elif decision is UNKNOWN and attempt >= 1:
                break
            if self._patience.over(deadline):
                break
            await self._patience.pause(attempt)
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
        deadline = self._patience.deadline()
        first = replace(proposal, flags=proposal.flags | BLIND)
        proposal = replace(proposal, if_held=False)
        for _ in range(ATTEMPTS):
            if self._patience.over(deadline):
                break
            require_quorum(drive_set, first)
            stamp = self._stamps.next(high)
            tally = await self._rounds.offer(drive_set, bucket, key, first, stamp, epoch)
            if tally.absent(drive_set.read_quorum):
                return b""
            if tally.declined and tally.outcome() is not WriteOutcome.CHOSEN:
                first = replace(first, if_held=False)
                tally = await self._rounds.offer(drive_set, bucket, key, first, stamp, epoch)
            if tally.outcome() is WriteOutcome.OPEN and tally.refused:
                if await self._overwritten(drive_set, bucket, key, stamp, tally):
                    return stamp
                if tally.outcome() is WriteOutcome.CHOSEN:  # more have answered meanwhile
                    self._rounds.when_chosen(drive_set, bucket, key, stamp, tally.fan)
            if tally.outcome() is WriteOutcome.CHOSEN:
                return stamp
            if tally.outcome() is WriteOutcome.OPEN:
                unsettled = Unsettled(drive_set, bucket, key, proposal, (stamp,), True)
                found = await self._settler.go_on(tally, unsettled, epoch)
                if found:
                    return found
            if tally.bucket_changed:
                raise BucketChanged(tally.mark())
            if tally.full and not tally.refused:
                raise unwritten(drive_set, tally)
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
            deadline = self._patience.deadline()
            for attempt in range(SWAP_ATTEMPTS):
                if attempt:
                    await self._patience.pause(attempt - 1)
                await turn.next_try(clashed=quorum_seen)
                if self._patience.over(deadline):
                    break
                token = self._stamps.next(high)
                promises = await self._rounds.prepare((drive_set, *others), bucket, key, token, not_below)
                high = max(high, *(prepared.high for prepared in promises))
                quorum_seen = quorum_seen or all(prepared.answered for prepared in promises)
                if not quorum_seen and attempt >= 1:
                    break
                current = current_of(promises, not_below)
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
            if decision.verdict is Verdict.COMPLETE and not await self._rounds.offer_again(
                prepared.drive_set, bucket, key, reading, token, epoch
            ):
                return high, b""
            raise
        require_quorum(drive_set, proposal)
        line = (reading.stamp or floor, *ancestors_of(reading.record))
        proposal = replace(proposal, record=descended(proposal.record, line))
        tally = await self._rounds.offer(drive_set, bucket, key, proposal, token, epoch)
        outcome = tally.outcome()
        if outcome is WriteOutcome.CHOSEN:
            return high, token
        if outcome is WriteOutcome.OPEN:
            unsettled = Unsettled(drive_set, bucket, key, proposal, (token,))
            return high, await self._settler.go_on(tally, unsettled, epoch)
        if tally.bucket_changed:
            raise BucketChanged(tally.mark())
        if tally.full and not tally.refused:
            raise unwritten(drive_set, tally)
        return max(high, tally.highest()), b""

    async def resume(self, unsettled: Unsettled, epoch: bytes) -> bytes:
        """Bring a write to its end that may be half done: see Settler.resume."""
        return await self._settler.resume(unsettled, epoch)

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
