"""The rounds of requests that a conversation about a key consists of: to offer a version, to ask for promises.

Whatever is found to be chosen in them is told to the drives, and queued for repair where a drive lacks it.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from rustfs.core.drivetypes import BLIND, Accept, AcceptAnswer, Level, PrepareAnswer, Refusal
from rustfs.core.errors import DriveError, ObjectError, QuorumLost, StorageFull
from rustfs.core.ports import Clock
from rustfs.objects.decide import Decision, Verdict, WriteOutcome, write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.lineage import ancestors_of, descended
from rustfs.objects.proposals import BucketChanged, Proposal, Rebuild
from rustfs.objects.rounds import Prepared, Reading, Tally

ROUND_TIMEOUT_SECONDS = 12.0
LAGGARD_SECONDS = 1.0  # a drive that has not accepted by then is taken for one that will not


class Conversation:
    """Rounds with the drives of a set, each with a deadline."""

    def __init__(self, clock: Clock, rebuild: Rebuild) -> None:
        self._clock = clock
        self._rebuild = rebuild

    async def offer(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        proposal: Proposal,
        stamp: bytes,
        epoch: bytes,
    ) -> Tally:
        """Offer a version to the drives, and wait until it is chosen or waiting makes no sense any more."""
        tally = self._sent(drive_set, bucket, key, proposal, stamp, epoch)
        try:
            await tally.fan.wait(tally.decided, ROUND_TIMEOUT_SECONDS, tally.exhausted)
        except asyncio.CancelledError:
            self._left_open(drive_set, bucket, key, tally)
            raise
        if tally.outcome() is WriteOutcome.CHOSEN:
            self.when_chosen(drive_set, bucket, key, stamp, tally.fan)
        return tally

    async def offer_again(
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
        tally = await self.offer(drive_set, bucket, key, proposal, stamp, epoch)
        if epoch and tally.bucket_changed:
            raise BucketChanged(tally.mark())
        return tally.outcome() is WriteOutcome.CHOSEN

    async def prepare(
        self, sets: Sequence[DriveSet], bucket: bytes, key: bytes, token: bytes, not_below: bytes = b""
    ) -> list[Prepared]:
        """Ask the drives of these sets for promises."""
        rounds = [self._prepare(each, bucket, key, token, not_below) for each in sets]
        return await asyncio.gather(*rounds) if len(rounds) > 1 else [await rounds[0]]

    def found_chosen(self, drive_set: DriveSet, bucket: bytes, key: bytes, stamp: bytes, prepared: Prepared) -> None:
        """As after an offer, for a version whose acceptances were lost on the way: they were seen by a prepare."""
        holders = [p for p, versions in prepared.versions.items() if any(held.stamp == stamp for held in versions)]
        for position in holders:
            drive_set.drives[position].note_chosen(bucket, key, stamp, True)
        if len(holders) < drive_set.size:
            queue_repair(drive_set, holders, bucket, key)

    def _sent(
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

    def when_chosen(
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


def queue_repair(drive_set: DriveSet, positions: Collection[int], bucket: bytes, key: bytes) -> None:
    """Put a key on the durable repair queue of these drives (each finds the work done when another was first)."""
    for position in positions:
        drive_set.drives[position].queue_repair(bucket, key)


def require_quorum(drive_set: DriveSet, proposal: Proposal) -> None:
    """Raises QuorumLost where too few drives are in reach for a version to be chosen: half of one helps nobody."""
    if len(drive_set.online()) < write_quorum_of(proposal.flags):
        raise QuorumLost(f"too few drives of set {drive_set.index} are online")


def unwritten(drive_set: DriveSet, tally: Tally) -> ObjectError:
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


def current_of(promises: Sequence[Prepared], not_below: bytes) -> tuple[Prepared, Decision] | None:
    """The current value by what all pools hold, and the pool that holds it; None: nothing can be said."""
    if not all(prepared.ready for prepared in promises):
        return None
    decided = [(prepared, prepared.decide(not_below)) for prepared in promises]
    if any(decision.verdict is Verdict.UNDECIDED for _, decision in decided):
        return None
    return max(decided, key=lambda each: each[1].stamp)
