"""The object layer over sets of drives: rustfs.objects.layer.ObjectLayer, put together from its parts."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from rustfs.core.drivetypes import CHOSEN, Level, Mark, Scan
from rustfs.core.errors import ConditionalConflict, NoSuchKey, NoSuchUpload, ObjectError
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.ports import Clock, Entropy
from rustfs.core.stamps import StampClock
from rustfs.erasure.parity import STANDARD
from rustfs.objects.buckets import Bucket, Buckets
from rustfs.objects.conditions import check_condition
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import Place, Pools
from rustfs.objects.egress import Egress, OpenVersion
from rustfs.objects.ingest import Ingest
from rustfs.objects.locate import Locator
from rustfs.objects.multipart import Multipart, upload_spec
from rustfs.objects.proposals import BucketChanged, Proposal, Unsettled
from rustfs.objects.records import (
    checksum_message,
    header_messages,
    listed_object,
    object_info,
    shard_file_ids,
)
from rustfs.objects.register import Register
from rustfs.objects.rounds import Reading
from rustfs.objects.scanning import LAST, ROWS_MAX, ROWS_MIN, Row, Scanner, common_prefix, merged
from rustfs.objects.types import (
    PUT_BYTES_MAX,
    Body,
    BucketInfo,
    BucketPage,
    Checksum,
    CompleteSpec,
    DeleteTarget,
    ListedObject,
    ListPage,
    ObjectInfo,
    PartInfo,
    PartPage,
    PutSpec,
    UploadPage,
    UploadSpec,
    WriteCondition,
)
from rustfs.objects.upload import Ingested
from rustfs.objects.uploads import request_digest

DELETES_AT_ONCE = 64
BUCKET_ATTEMPTS = 5

T = TypeVar("T")


class ObjectStore:
    """See ObjectLayer. One per process."""

    def __init__(
        self,
        pools: Pools,
        register: Register,
        scanner: Scanner,
        ingest: Ingest,
        egress: Egress,
        stamps: StampClock,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._pools = pools
        self._locator = Locator(pools, register, entropy)
        self._scanner = scanner
        self._ingest = ingest
        self._egress = egress
        self.buckets = Buckets(pools, register, scanner, stamps, clock)
        self.multipart = Multipart(pools, self._locator, register, scanner, ingest, stamps, entropy)

    # -- buckets -------------------------------------------------------------------------------------------------------

    async def create_bucket(self, name: str, location: str, owner: str) -> BucketInfo:
        """See ObjectLayer."""
        return (await self.buckets.create(name.encode(), location, owner)).info

    async def head_bucket(self, name: str) -> BucketInfo:
        """See ObjectLayer."""
        return (await self.buckets.look_up(name.encode())).info

    async def delete_bucket(self, name: str) -> None:
        """See ObjectLayer."""
        await self.buckets.delete(name.encode())

    async def list_buckets(self, prefix: str, after: str, limit: int) -> BucketPage:
        """See ObjectLayer."""
        return await self.buckets.page(prefix, after, limit)

    # -- objects -------------------------------------------------------------------------------------------------------

    async def put_object(self, bucket: str, key: str, body: Body, spec: PutSpec) -> ObjectInfo:
        """See ObjectLayer."""
        home, name = await self.buckets.get(bucket.encode()), key.encode()
        place, reading = await self._place_for(home, name, body.length_bytes or 0, look=spec.condition is not None)
        if spec.condition is not None and reading is not None:
            # A precondition that fails already spares the client its upload; it is checked again at the end.
            check_condition(spec.condition, _current(bucket, key, reading))
        taken = await self._ingest.take(body, place, place.pool.parity(spec.storage_class), PUT_BYTES_MAX)
        record = pb.ObjectRecord(
            size_bytes=taken.size_bytes,
            etag=taken.md5.hex(),
            extents=() if taken.extent is None else (taken.extent,),
            headers=header_messages(spec.headers),
            user_metadata=header_messages(spec.user_metadata),
            storage_class="" if spec.storage_class == STANDARD else spec.storage_class,
            checksum=checksum_message(taken.checksum),
        )
        proposal = _proposal(place.set.size, record, taken)
        try:
            stamp = await self._write(home, place, name, proposal, spec.condition)
        except BaseException:
            await taken.discard()
            raise
        return object_info(bucket, key, stamp, record)

    async def open_object(self, bucket: str, key: str) -> OpenVersion:
        """See ObjectLayer."""
        place, reading = await self._current_version(bucket, key, inline=True)
        return self._open(bucket, key, place, reading)

    def _open(self, bucket: str, key: str, place: Place, reading: Reading) -> OpenVersion:
        record = pb.ObjectRecord.FromString(reading.record)
        info = object_info(bucket, key, reading.stamp, record)
        return self._egress.open(place.set, bucket.encode(), key.encode(), reading, record, info)

    async def head_object(self, bucket: str, key: str) -> ObjectInfo:
        """See ObjectLayer."""
        _, reading = await self._current_version(bucket, key, inline=False)
        return object_info(bucket, key, reading.stamp, pb.ObjectRecord.FromString(reading.record))

    async def delete_object(self, bucket: str, key: str, condition: WriteCondition | None) -> None:
        """See ObjectLayer."""
        home, name = await self.buckets.get(bucket.encode()), key.encode()
        places = self._pools.places(home.name, name)
        if condition is None and len(places) == 1:
            gone = Proposal(version_flags(places[0].set.size, 1, tombstone=True), b"", if_held=True)
            await self._write(home, places[0], name, gone, None)
            return
        home, place, reading = await self._read(home, name)
        if reading.absent:
            return  # also under a condition: what is to be gone is gone (API Reference, DeleteObject)
        if condition is not None:
            check_condition(condition, _current(bucket, key, reading))
        gone = Proposal(version_flags(place.set.size, 1, tombstone=True), b"")
        with contextlib.suppress(NoSuchKey):  # deleted by another at the same moment
            await self._write(home, place, name, gone, condition)

    async def delete_objects(self, bucket: str, targets: Sequence[DeleteTarget]) -> list[ObjectError | None]:
        """See ObjectLayer."""
        await self.buckets.get(bucket.encode())
        gate = asyncio.Semaphore(DELETES_AT_ONCE)

        async def delete(target: DeleteTarget) -> ObjectError | None:
            async with gate:
                try:
                    await self.delete_object(bucket, target.key, target.condition)
                except ObjectError as error:
                    return error
            return None

        return await asyncio.gather(*map(delete, targets))

    async def update_metadata(self, info: ObjectInfo, spec: PutSpec, checksum: Checksum | None) -> ObjectInfo:
        """See ObjectLayer."""
        home, name = await self.buckets.get(info.bucket.encode()), info.key.encode()
        place, reading = await self._current_version(info.bucket, info.key, inline=True)
        opened = self._open(info.bucket, info.key, place, reading)
        if opened.info.stamp != info.stamp:
            raise NoSuchKey(info.key)
        whole = await opened.whole()
        record = pb.ObjectRecord()

        async def judge(reading: Reading) -> Proposal:
            if reading.stamp != info.stamp:
                raise NoSuchKey(info.key)
            record.ParseFromString(reading.record)
            del record.headers[:], record.user_metadata[:]
            record.headers.extend(header_messages(spec.headers))
            record.user_metadata.extend(header_messages(spec.user_metadata))
            record.storage_class = "" if spec.storage_class == STANDARD else spec.storage_class
            if checksum is not None:
                record.checksum.CopyFrom(checksum_message(checksum) or pb.Checksum())
            extents = record.extents
            inline = self._ingest.inline_again(whole, extents[0], place) if whole and extents else None
            return Proposal(reading.flags & ~CHOSEN, record.SerializeToString(), shard_file_ids(extents), inline)

        stamp = await self._in_bucket(
            home,
            lambda bucket: self._locator.swap(place, bucket.name, name, judge, bucket.epoch, bucket.created),
        )
        return object_info(info.bucket, info.key, stamp, record)

    # -- listing -------------------------------------------------------------------------------------------------------

    async def list_objects(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> ListPage:
        """See ObjectLayer."""
        home = await self.buckets.get(bucket.encode())
        for _ in range(BUCKET_ATTEMPTS):
            marks: list[Mark] = []
            try:
                page = await self._list(home, prefix.encode(), delimiter.encode(), after.encode(), limit, marks.append)
            except BucketChanged:
                home = await self.buckets.look_up(home.name)
                continue
            current = home
            for mark in marks:
                current = await self.buckets.validated(current, mark)
            if current.created == home.created:
                return page
            home = current
        raise ConditionalConflict("the bucket kept changing")

    async def _list(
        self, home: Bucket, prefix: bytes, delimiter: bytes, after: bytes, limit: int, see: Callable[[Mark], None]
    ) -> ListPage:
        objects: list[ListedObject] = []
        prefixes: list[str] = []
        last = b""
        truncated = False
        passed = common_prefix(after, prefix, delimiter) if after.startswith(prefix) else None
        if passed is not None:
            after = passed + LAST  # the common prefix was shown on a page before: its keys are passed over

        def take(row: Row) -> bool:
            nonlocal last, truncated
            if len(objects) + len(prefixes) == limit:
                truncated = True
                return False
            shared = common_prefix(row[0], prefix, delimiter)
            if shared is None:
                objects.append(listed_object(row[0], row[1], row[3]))
                last = row[0]
            elif not prefixes or prefixes[-1].encode() != shared:
                prefixes.append(shared.decode())
                last = shared
            return True

        if limit == 0:
            await self._pool_scan(home, Scan(home.name, prefix, b"", after, 1, Level.RECORD), lambda _row: False, see)
            return ListPage([], [], False, "")
        rows = min(ROWS_MAX, max(ROWS_MIN, limit + 1))
        await self._pool_scan(home, Scan(home.name, prefix, delimiter, after, rows, Level.RECORD), take, see)
        return ListPage(objects, prefixes, truncated, last.decode())

    async def _pool_scan(
        self, home: Bucket, request: Scan, take: Callable[[Row], bool], see: Callable[[Mark], None]
    ) -> None:
        await merged(self._scanner, self._pools.sets, request, home.era, take, see)

    # -- multipart -----------------------------------------------------------------------------------------------------

    async def create_upload(self, bucket: str, key: str, spec: UploadSpec) -> str:
        """See ObjectLayer."""
        home = await self.buckets.look_up(bucket.encode())
        place, _ = await self._place_for(home, key.encode(), 0)
        return await self.multipart.create(home, place, key.encode(), spec)

    async def head_upload(self, bucket: str, key: str, upload_id: str) -> UploadSpec:
        """See ObjectLayer."""
        home = await self.buckets.get(bucket.encode())
        _, upload = await self.multipart.find(home, key.encode(), upload_id)
        return upload_spec(upload)

    async def upload_part(self, bucket: str, key: str, upload_id: str, number: int, body: Body) -> PartInfo:
        """See ObjectLayer."""
        home = await self.buckets.get(bucket.encode())
        return await self.multipart.put_part(home, key.encode(), upload_id, number, body)

    async def complete_upload(self, bucket: str, key: str, upload_id: str, spec: CompleteSpec) -> ObjectInfo:
        """See ObjectLayer."""
        home, name = await self.buckets.look_up(bucket.encode()), key.encode()
        place, upload = await self.multipart.find(home, name, upload_id)
        if upload.completed_etag:
            return _completed_before(bucket, key, upload, spec)
        made = await self.multipart.assembled(place.set, upload, spec)
        refs = shard_file_ids(made.record.extents)
        flags = version_flags(place.set.size, made.data_shards)
        proposal = Proposal(flags, made.record.SerializeToString(), refs)
        stamp = await self._write(home, place, name, proposal, spec.condition)
        with contextlib.suppress(NoSuchUpload):  # aborted at the same moment: the object is there all the same
            await self.multipart.mark_completed(home, name, upload_id, made.record, stamp, spec)
        return object_info(bucket, key, stamp, made.record)

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """See ObjectLayer."""
        home = await self.buckets.get(bucket.encode())
        await self.multipart.abort(home, key.encode(), upload_id)

    async def list_parts(self, bucket: str, key: str, upload_id: str, after: int, limit: int) -> PartPage:
        """See ObjectLayer."""
        home = await self.buckets.get(bucket.encode())
        return await self.multipart.part_page(home, key.encode(), upload_id, after, limit)

    async def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        """See ObjectLayer."""
        home = await self.buckets.look_up(bucket.encode())
        return await self.multipart.upload_page(
            home, prefix.encode(), delimiter.encode(), after_key.encode(), after_upload_id, limit
        )

    # -- registers -----------------------------------------------------------------------------------------------------

    async def _place_for(
        self, home: Bucket, key: bytes, size_bytes: int, *, look: bool = False
    ) -> tuple[Place, Reading | None]:
        """Where to write the key's next version, and its value now, where that was to be looked at or had to be."""
        places = self._pools.places(home.name, key)
        if len(places) == 1 and not look:
            return places[0], None
        _, at, reading = await self._read(home, key)
        return self._locator.choose(places, size_bytes, at if reading.stamp else None), reading

    async def _read(self, home: Bucket, key: bytes, *, inline: bool = False) -> tuple[Bucket, Place, Reading]:
        """The key's value, where it lies, and the bucket as the drives know it. Raises NoSuchBucket."""
        places = self._pools.places(home.name, key)
        for _ in range(BUCKET_ATTEMPTS):
            try:
                place, reading = await self._locator.read(places, home.name, key, inline=inline, era=home.era)
            except BucketChanged:
                home = await self.buckets.look_up(home.name)
                continue
            current = await self.buckets.validated(home, reading.mark)
            if current.created == home.created:
                return current, place, reading
            home = current
        raise ConditionalConflict("the bucket kept changing")

    async def _current_version(self, bucket: str, key: str, *, inline: bool) -> tuple[Place, Reading]:
        home = await self.buckets.get(bucket.encode())
        _, place, reading = await self._read(home, key.encode(), inline=inline)
        if reading.absent:
            raise NoSuchKey(key)
        return place, reading

    async def _write(
        self, home: Bucket, place: Place, key: bytes, proposal: Proposal, condition: WriteCondition | None
    ) -> bytes:
        """Write a version, blindly or under a condition. Its stamp."""
        if condition is None:
            return await self._in_bucket(
                home,
                lambda bucket: self._locator.write(place, bucket.name, key, proposal, bucket.epoch, bucket.created),
            )

        async def judge(reading: Reading) -> Proposal:
            check_condition(condition, _current("", "", reading))
            return proposal

        return await self._in_bucket(
            home, lambda bucket: self._locator.swap(place, bucket.name, key, judge, bucket.epoch, bucket.created)
        )

    async def _in_bucket(self, home: Bucket, write: Callable[[Bucket], Awaitable[bytes]]) -> bytes:
        """Run a write, again with the bucket as it is now where that turned out to have changed. The stamp."""
        unsettled: Unsettled | None = None
        for _ in range(BUCKET_ATTEMPTS):
            try:
                if unsettled is not None and (stamp := await self._locator.resume(unsettled, home.epoch)):
                    return stamp
                return await write(home)
            except BucketChanged as error:
                unsettled = error.unsettled
                created, home = home.created, await self.buckets.look_up(home.name)
                if home.created != created:
                    unsettled = None  # what the earlier bucket of this name was left with cannot be seen in this one
        raise ConditionalConflict("the bucket kept changing")


def _proposal(size: int, record: pb.ObjectRecord, taken: Ingested) -> Proposal:
    refs = shard_file_ids(record.extents)
    return Proposal(
        version_flags(size, taken.data_shards if taken.extent is not None else 1),
        record.SerializeToString(),
        refs,
        taken.inline,
        dict.fromkeys(taken.staged, refs),
        taken.positions,
    )


def _current(bucket: str, key: str, reading: Reading) -> ObjectInfo | None:
    if reading.absent:
        return None
    return object_info(bucket, key, reading.stamp, pb.ObjectRecord.FromString(reading.record))


def _completed_before(bucket: str, key: str, upload: pb.UploadRecord, spec: CompleteSpec) -> ObjectInfo:
    """The answer to a repeated CompleteMultipartUpload. Raises NoSuchUpload where it differs from the first."""
    if upload.completed_request != request_digest(spec):
        raise NoSuchUpload(upload.upload_id)
    record = pb.ObjectRecord(etag=upload.completed_etag)
    if upload.HasField("completed_checksum"):
        record.checksum.CopyFrom(upload.completed_checksum)
    return object_info(bucket, key, upload.completed_stamp, record)
