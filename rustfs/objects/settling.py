"""Settling what is half done: a write whose outcome is open, and versions that others left behind.

Every wait has a deadline; every loop is bounded.
"""

from collections.abc import Sequence
from dataclasses import replace

from rustfs.core.errors import QuorumLost
from rustfs.core.stamps import StampClock
from rustfs.objects.conversation import Conversation, current_of, queue_repair, unwritten
from rustfs.objects.decide import Verdict, WriteOutcome, is_tombstone
from rustfs.objects.driveset import DriveSet
from rustfs.objects.lineage import Fate, ancestors_of, descended, fate, plain
from rustfs.objects.patience import Patience
from rustfs.objects.proposals import BucketChanged, Elsewhere, Unsettled
from rustfs.objects.rounds import Prepared, Tally, reading_of

ATTEMPTS = 8


class Settler:
    """Finds out what became of a write, and brings it to its end where that can be done."""

    def __init__(self, rounds: Conversation, stamps: StampClock, patience: Patience, elsewhere: Elsewhere) -> None:
        self._rounds = rounds
        self._stamps = stamps
        self._patience = patience
        self._elsewhere = elsewhere

    async def go_on(self, tally: Tally, unsettled: Unsettled, epoch: bytes) -> bytes:
        """After an offer whose outcome is open. As `resume`; raises StorageFull, too."""
        if tally.nothing_written() or tally.for_want_of_room():
            self._look_again(unsettled)
            raise unwritten(unsettled.drive_set, tally)
        if tally.bucket_changed:
            raise BucketChanged(tally.mark(), unsettled)
        return await self.resume(unsettled, epoch)

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
        deadline = self._patience.deadline()
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._patience.pause(attempt - 1)
            if self._patience.over(deadline):
                break
            promises = await self._rounds.prepare(everywhere, bucket, key, self._stamps.next(high))
            here, token = promises[0], promises[0].token
            high = max(high, *(prepared.high for prepared in promises))
            for stamp in own:
                if here.holds_chosen(stamp):
                    self._rounds.found_chosen(drive_set, bucket, key, stamp, here)
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
            tally = await self._rounds.offer(drive_set, bucket, key, proposal, token, epoch)
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

    async def bring_forward(
        self, drive_set: DriveSet, bucket: bytes, key: bytes, not_below: bytes, epoch: bytes
    ) -> None:
        """Complete under a fresh token, where the version's own stamp is refused (someone promised a higher one)."""
        everywhere = (drive_set, *self._elsewhere(drive_set, bucket, key))
        high = not_below
        for _ in range(2):
            promises = await self._rounds.prepare(everywhere, bucket, key, self._stamps.next(high), not_below)
            current = current_of(promises, not_below)
            if current is not None and current[1].verdict is Verdict.COMPLETE:
                prepared, decision = current
                reading = reading_of(decision, prepared.versions, prepared.marks)
                await self._rounds.offer_again(prepared.drive_set, bucket, key, reading, prepared.token, epoch)
                return
            high = max(high, *(prepared.high for prepared in promises))

    async def _superseded(
        self, unsettled: Unsettled, own: Sequence[bytes], promises: Sequence[Prepared], epoch: bytes
    ) -> tuple[bytes, bool]:
        """What became of a write beside which something newer is held: its stamp, or b"" if it is dead; whether known.

        A blind write that is dead took effect all the same where somebody wrote just the same after it: to write it
        once more would change nothing. Raises QuorumLost where nobody will ever be able to tell.
        """
        current = current_of(promises, b"")
        if current is None:
            return b"", False
        prepared, decision = current
        reading = reading_of(decision, prepared.versions, prepared.marks)
        stamp, line = reading.stamp, ancestors_of(reading.record)
        if decision.verdict is Verdict.COMPLETE:
            drive_set, bucket, key = prepared.drive_set, unsettled.bucket, unsettled.key
            if not await self._rounds.offer_again(drive_set, bucket, key, reading, prepared.token, epoch):
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

    def _look_again(self, unsettled: Unsettled) -> None:
        positions = [drive.position for drive in unsettled.drive_set.online()]
        queue_repair(unsettled.drive_set, positions, unsettled.bucket, unsettled.key)
