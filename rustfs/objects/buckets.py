"""Buckets: registers in a system bucket, and a cache of them that is validated by every use.

A bucket's *epoch* is the stamp of its record. Writes carry the epoch they go by; drives refuse one older than what they
were shown, and every answer says what that is, so a cached bucket is as good as one just read. DeleteBucket first
fences the bucket (no write under an older epoch is accepted by a majority of any set from then on), then looks whether
it is empty: so of a PUT and a DeleteBucket that race, one fails.
"""

import asyncio
import contextlib
from typing import NamedTuple

from rustfs.core.drivetypes import Level, Mark, Scan
from rustfs.core.errors import BucketExists, BucketNotEmpty, ConditionalConflict, NoSuchBucket, ObjectError, QuorumLost
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.ports import Clock
from rustfs.core.stamps import StampClock, milliseconds_of
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import DriveSet, Pools
from rustfs.objects.fanout import Fanout
from rustfs.objects.proposals import Proposal
from rustfs.objects.records import BUCKETS
from rustfs.objects.register import Register
from rustfs.objects.rounds import ANY, SYSTEM, Era, Reading
from rustfs.objects.scanning import Row, Scanner, merged
from rustfs.objects.types import BucketInfo, BucketPage

FENCE_TIMEOUT_SECONDS = 12.0
DELETING_SECONDS_MAX = 3.0  # a deletion that takes longer has died: whoever meets it takes it back
POLL_SECONDS = 0.1


class Bucket(NamedTuple):
    """A live bucket."""

    name: bytes
    epoch: bytes
    created: bytes
    location: str
    owner: str

    @property
    def era(self) -> Era:
        """Which versions are its objects'."""
        return Era(self.created, self.epoch)

    @property
    def info(self) -> BucketInfo:
        """As the faces see it."""
        return BucketInfo(self.name.decode(), milliseconds_of(self.created), self.location, self.owner)


class _Taken(ObjectError):
    """The record is not the one that was expected."""


class Buckets:
    """Creates, finds, deletes and lists buckets. One per process."""

    def __init__(self, pools: Pools, register: Register, scanner: Scanner, stamps: StampClock, clock: Clock) -> None:
        self._pools = pools
        self._register = register
        self._scanner = scanner
        self._stamps = stamps
        self._clock = clock
        self._cache: dict[bytes, Bucket] = {}

    async def get(self, name: bytes) -> Bucket:
        """The bucket, from the cache where it is known. Raises NoSuchBucket."""
        return self._cache.get(name) or await self.look_up(name)

    async def validated(self, bucket: Bucket, mark: Mark) -> Bucket:
        """The bucket as of `mark`, which a drive just showed. Raises NoSuchBucket."""
        if mark.epoch < bucket.epoch or (mark.epoch == bucket.epoch and not mark.fenced):
            return bucket
        return await self.look_up(bucket.name)

    async def look_up(self, name: bytes) -> Bucket:
        """The bucket as of now. Waits for a deletion under way to end. Raises NoSuchBucket, QuorumLost."""
        deadline = self._clock.monotonic_seconds() + DELETING_SECONDS_MAX
        while True:
            reading = await self._register.read(self._set(name), BUCKETS, name, era=SYSTEM)
            if reading.absent:
                self._cache.pop(name, None)
                raise NoSuchBucket(name.decode())
            record = pb.BucketRecord.FromString(reading.record)
            if record.state == pb.BucketRecord.LIVE:
                bucket = Bucket(name, reading.stamp, record.created, record.location, record.owner)
                self._cache[name] = bucket
                return bucket
            if self._clock.monotonic_seconds() > deadline:
                await self._revive(name, reading.stamp)
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def era(self, name: bytes) -> Era:
        """Of a bucket's keys as of now, or of a system register's. Nothing of a deleted bucket is brought forward."""
        if name.startswith(b"."):
            return SYSTEM
        try:
            return (await self.look_up(name)).era
        except NoSuchBucket:
            return ANY

    async def create(self, name: bytes, location: str, owner: str) -> Bucket:
        """Raises BucketExists."""

        async def judge(reading: Reading) -> Proposal:
            if not reading.absent:
                raise BucketExists(name.decode())
            # Above all that an earlier bucket of this name can hold; objects written to this one get higher stamps.
            record = pb.BucketRecord(created=self._stamps.next(reading.stamp), location=location, owner=owner)
            return self._proposal(name, record)

        await self._register.swap(self._set(name), BUCKETS, name, judge, b"")
        return await self.look_up(name)

    async def delete(self, name: bytes) -> None:
        """Raises NoSuchBucket, BucketNotEmpty."""
        bucket = await self.look_up(name)
        try:
            fence = await self._exchange(name, bucket.epoch, pb.BucketRecord.DELETING)
        except _Taken:
            raise ConditionalConflict("the bucket changed while it was to be deleted") from None
        self._cache.pop(name, None)
        try:
            await self._fence(name, Mark(fence, fenced=True))
            empty = await self.is_empty(bucket)
        except ObjectError:
            await self._revive(name, fence)
            raise
        if not empty:
            await self._revive(name, fence)
            raise BucketNotEmpty(name.decode())
        try:
            await self._exchange(name, fence, None)
        except _Taken:
            raise ConditionalConflict("the bucket changed while it was deleted") from None

    async def _revive(self, name: bytes, fence: bytes) -> None:
        """End a deletion that does not come to its end; whoever waited for it may have done so already."""
        with contextlib.suppress(_Taken):
            await self._exchange(name, fence, pb.BucketRecord.LIVE)

    async def is_empty(self, bucket: Bucket) -> bool:
        """Whether no object is in the bucket."""
        found: list[Row] = []

        def take(row: Row) -> bool:
            found.append(row)
            return False

        request = Scan(bucket.name, b"", b"", b"", 32, Level.RECORD)
        await merged(self._scanner, self._pools.sets, request, Era(bucket.created, None), take)
        return not found

    async def page(self, prefix: str, after: str, limit: int) -> BucketPage:
        """A page of ListBuckets."""
        found: list[BucketInfo] = []

        def take(row: Row) -> bool:
            record = pb.BucketRecord.FromString(row[3])
            found.append(BucketInfo(row[0].decode(), milliseconds_of(record.created), record.location, record.owner))
            return len(found) <= limit

        request = Scan(BUCKETS, prefix.encode(), b"", after.encode(), min(limit + 1, 1000), Level.RECORD)
        await merged(self._scanner, self._pools.first.sets, request, SYSTEM, take)
        more = len(found) > limit
        del found[limit:]
        return BucketPage(tuple(found), found[-1].name if more and found else None)

    async def all_names(self) -> list[bytes]:
        """Every bucket's name."""
        names: list[bytes] = []

        def take(row: Row) -> bool:
            names.append(row[0])
            return True

        await merged(
            self._scanner, self._pools.first.sets, Scan(BUCKETS, b"", b"", b"", 1000, Level.RECORD), SYSTEM, take
        )
        return names

    def _set(self, name: bytes) -> DriveSet:
        return self._pools.first.place(BUCKETS, name).set

    def _proposal(self, name: bytes, record: pb.BucketRecord | None) -> Proposal:
        size = self._set(name).size
        flags = version_flags(size, 1, tombstone=record is None)
        return Proposal(flags, b"" if record is None else record.SerializeToString())

    async def _exchange(self, name: bytes, expected: bytes, state: "pb.BucketRecord.State | None") -> bytes:
        """Change the state of the record with stamp `expected` (None: remove it). Raises _Taken. The new stamp."""

        async def judge(reading: Reading) -> Proposal:
            if reading.stamp != expected:
                raise _Taken(name.decode())
            if state is None:
                return self._proposal(name, None)
            record = pb.BucketRecord.FromString(reading.record)
            record.state = state
            return self._proposal(name, record)

        return await self._register.swap(self._set(name), BUCKETS, name, judge, b"")

    async def _fence(self, name: bytes, mark: Mark) -> None:
        """Show the fence to a majority of every set. Raises QuorumLost."""

        async def fence(drive_set: DriveSet) -> None:
            fan = Fanout(((drive.position, drive.mark_bucket(name, mark)) for drive in drive_set.online()), self._clock)
            if not await fan.wait(lambda: len(fan.answers) >= drive_set.majority, FENCE_TIMEOUT_SECONDS):
                raise QuorumLost(f"too few drives of set {drive_set.index} answered to fence a bucket")

        await asyncio.gather(*map(fence, self._pools.sets))
