"""Multipart uploads over the drives: the operations, in terms of registers."""

import asyncio

from rustfs.core.drivetypes import Level, Scan
from rustfs.core.errors import NoSuchUpload, ObjectError, QuorumLost
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.ports import Entropy
from rustfs.core.stamps import StampClock
from rustfs.objects.buckets import Bucket
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import DriveSet, Place, Pools
from rustfs.objects.ingest import Ingest
from rustfs.objects.locate import Locator
from rustfs.objects.proposals import Proposal
from rustfs.objects.records import (
    PARTS,
    UPLOADS,
    algorithm_name,
    algorithm_number,
    checksum_message,
    header_messages,
    header_pairs,
    part_key,
    shard_file_ids,
    upload_key,
)
from rustfs.objects.register import Register
from rustfs.objects.remains import settle_remains
from rustfs.objects.rounds import SYSTEM, Reading
from rustfs.objects.scanning import LAST, Row, Scanner, common_prefix, merged
from rustfs.objects.types import (
    PART_BYTES_MAX,
    PART_COUNT_MAX,
    Body,
    CompleteSpec,
    ListedUpload,
    PartInfo,
    PartPage,
    UploadPage,
    UploadSpec,
)
from rustfs.objects.upload import Ingested
from rustfs.objects.uploads import (
    Assembled,
    assemble,
    check_upload_id,
    initiated_ms,
    listed_upload,
    part_info,
    request_digest,
    upload_id_from,
)

DROP_TIMEOUT_SECONDS = 1.0


class Multipart:
    """Uploads in parts. One per process."""

    def __init__(
        self,
        pools: Pools,
        locator: Locator,
        register: Register,
        scanner: Scanner,
        ingest: Ingest,
        stamps: StampClock,
        entropy: Entropy,
    ) -> None:
        self._pools = pools
        self._locator = locator
        self._register = register
        self._scanner = scanner
        self._ingest = ingest
        self._stamps = stamps
        self._entropy = entropy

    async def create(self, bucket: Bucket, place: Place, key: bytes, spec: UploadSpec) -> str:
        """Begin an upload at `place`, where its parts and what they make will lie, too. The upload id."""
        parity = place.pool.parity(spec.storage_class)
        upload_id = upload_id_from(self._stamps.next(), self._entropy.bytes(8))
        record = pb.UploadRecord(
            bucket=bucket.name.decode(),
            key=key.decode(),
            upload_id=upload_id,
            bucket_created=bucket.created,
            headers=header_messages(spec.headers),
            user_metadata=header_messages(spec.user_metadata),
            storage_class=spec.storage_class,
            checksum_algorithm=algorithm_number(spec.checksum_algorithm),
            checksum_composite=spec.checksum_composite,
            data_shards=place.set.size - parity,
            parity_shards=parity,
        )
        proposal = Proposal(version_flags(place.set.size, 1), record.SerializeToString())
        await self._register.write(place.set, UPLOADS, upload_key(bucket.name, key, upload_id), proposal, b"")
        return upload_id

    async def find(self, bucket: Bucket, key: bytes, upload_id: str) -> tuple[Place, pb.UploadRecord]:
        """An upload in progress or completed, and where it lies. Raises NoSuchUpload."""
        check_upload_id(upload_id)
        places = self._pools.places(bucket.name, key)
        place, reading = await self._locator.read(places, UPLOADS, upload_key(bucket.name, key, upload_id))
        return place, _upload_of(reading, bucket, upload_id)

    async def find_open(self, bucket: Bucket, key: bytes, upload_id: str) -> tuple[Place, pb.UploadRecord]:
        """An upload in progress, and where it lies. Raises NoSuchUpload."""
        place, record = await self.find(bucket, key, upload_id)
        if record.completed_etag:
            raise NoSuchUpload(upload_id)
        return place, record

    async def put_part(self, bucket: Bucket, key: bytes, upload_id: str, number: int, body: Body) -> PartInfo:
        """Store or replace a part."""
        place, upload = await self.find_open(bucket, key, upload_id)
        taken = await self._ingest.take(body, place, upload.parity_shards, PART_BYTES_MAX, inline=False)
        checksum = taken.checksum
        record = pb.PartRecord(
            number=number, etag=taken.md5.hex(), extent=taken.extent, checksum=checksum_message(checksum)
        )
        try:
            stamp = await self._write_part(place, upload_id, number, record, taken)
        except ObjectError:
            await taken.discard()
            raise
        return part_info(stamp, record)

    async def _write_part(
        self, place: Place, upload_id: str, number: int, record: pb.PartRecord, taken: Ingested
    ) -> bytes:
        extents = [record.extent] if taken.extent is not None else []
        refs = shard_file_ids(extents)
        proposal = Proposal(
            version_flags(place.set.size, taken.data_shards if extents else 1),
            record.SerializeToString(),
            refs,
            None,
            dict.fromkeys(taken.staged, refs),
            taken.positions,
        )
        return await self._register.write(place.set, PARTS, part_key(upload_id, number), proposal, b"")

    async def parts(self, drive_set: DriveSet, upload_id: str, after: int = 0) -> list[tuple[bytes, pb.PartRecord]]:
        """(stamp, record) of all parts with numbers above `after`, by number."""
        found: list[tuple[bytes, pb.PartRecord]] = []

        def take(row: Row) -> bool:
            found.append((row[1], pb.PartRecord.FromString(row[3])))
            return len(found) < PART_COUNT_MAX

        prefix = upload_id.encode() + b"/"
        request = Scan(PARTS, prefix, b"", part_key(upload_id, after), 1000, Level.RECORD)
        await merged(self._scanner, [drive_set], request, SYSTEM, take)
        return found

    async def assembled(self, drive_set: DriveSet, upload: pb.UploadRecord, spec: CompleteSpec) -> Assembled:
        """The object that the named parts make. Raises what `assemble` raises."""
        held = {record.number: record for _, record in await self.parts(drive_set, upload.upload_id)}
        return assemble(upload, held, spec)

    async def mark_completed(
        self, bucket: Bucket, key: bytes, upload_id: str, record: pb.ObjectRecord, stamp: bytes, spec: CompleteSpec
    ) -> None:
        """Note what became of the upload, so that a repeated request gets the same answer; then let its parts go."""
        place, _ = await self.find(bucket, key, upload_id)
        drive_set = place.set

        async def judge(reading: Reading) -> Proposal:
            upload = _upload_of(reading, bucket, upload_id)
            upload.completed_etag = record.etag
            upload.completed_stamp = stamp
            if record.HasField("checksum"):
                upload.completed_checksum.CopyFrom(record.checksum)
            upload.completed_request = request_digest(spec)
            return Proposal(version_flags(drive_set.size, 1), upload.SerializeToString())

        await self._register.swap(drive_set, UPLOADS, upload_key(bucket.name, key, upload_id), judge, b"")
        await self.drop_parts(drive_set, upload_id)

    async def abort(self, bucket: Bucket, key: bytes, upload_id: str) -> None:
        """Raises NoSuchUpload."""
        place, _ = await self.find(bucket, key, upload_id)
        drive_set = place.set

        async def judge(reading: Reading) -> Proposal:
            if _upload_of(reading, bucket, upload_id).completed_etag:
                raise NoSuchUpload(upload_id)
            return Proposal(version_flags(drive_set.size, 1, tombstone=True), b"")

        await self._register.swap(drive_set, UPLOADS, upload_key(bucket.name, key, upload_id), judge, b"")
        await self.drop_parts(drive_set, upload_id)

    async def drop_parts(self, drive_set: DriveSet, upload_id: str) -> None:
        """Forget the parts' registers on all drives in reach; what is left is swept up later."""
        try:
            parts = await self.parts(drive_set, upload_id)
        except QuorumLost:
            return
        drops = [
            drive.drop(PARTS, part_key(upload_id, record.number), stamp)
            for stamp, record in parts
            for drive in drive_set.online()
        ]
        if drops:
            # No reason to let a client wait for slow drives.
            await asyncio.wait(drops, timeout=DROP_TIMEOUT_SECONDS)

    async def part_page(self, bucket: Bucket, key: bytes, upload_id: str, after: int, limit: int) -> PartPage:
        """A page of ListParts."""
        place, upload = await self.find_open(bucket, key, upload_id)
        parts = [part_info(stamp, record) for stamp, record in await self.parts(place.set, upload_id, after)]
        shown = parts[:limit]
        return PartPage(shown, len(parts) > limit, shown[-1].number if shown else after, listed_upload(upload))

    async def upload_page(
        self, bucket: Bucket, prefix: bytes, delimiter: bytes, after_key: bytes, after_upload_id: str, limit: int
    ) -> UploadPage:
        """A page of ListMultipartUploads."""
        base = bucket.name + b"\0"
        if after_key and after_upload_id:
            after = upload_key(bucket.name, after_key, after_upload_id)
        else:
            after = base + after_key + b"\0" + LAST if after_key else base
        uploads: list[ListedUpload] = []
        prefixes: list[str] = []

        def take(row: Row) -> bool:
            record = pb.UploadRecord.FromString(row[3])
            if record.completed_etag or record.bucket_created != bucket.created:
                return True
            shared = common_prefix(record.key.encode(), prefix, delimiter)
            if shared is None:
                uploads.append(listed_upload(record))
            elif shared > after_key and (not prefixes or prefixes[-1] != shared.decode()):
                prefixes.append(shared.decode())
            return len(uploads) + len(prefixes) <= limit

        request = Scan(UPLOADS, base + prefix, b"", after, 1000, Level.RECORD)
        await merged(self._scanner, self._pools.sets, request, SYSTEM, take)
        return _upload_page(uploads, prefixes, limit)

    async def expired(self, before_ms: int, completed_before_ms: int) -> list[pb.UploadRecord]:
        """Uploads begun before `before_ms`, and completed ones begun before `completed_before_ms`."""
        found: list[pb.UploadRecord] = []

        def take(row: Row) -> bool:
            record = pb.UploadRecord.FromString(row[3])
            if initiated_ms(record.upload_id) < (completed_before_ms if record.completed_etag else before_ms):
                found.append(record)
            return len(found) < 1000

        request = Scan(UPLOADS, b"", b"", b"", 1000, Level.RECORD)
        await merged(self._scanner, self._pools.sets, request, SYSTEM, take)
        return found

    async def expire(self, upload: pb.UploadRecord) -> None:
        """Forget an upload and its parts."""
        bucket, key = upload.bucket.encode(), upload.key.encode()
        name = upload_key(bucket, key, upload.upload_id)
        place, _ = await self._locator.read(self._pools.places(bucket, key), UPLOADS, name)
        gone = Proposal(version_flags(place.set.size, 1, tombstone=True), b"")
        await self._register.write(place.set, UPLOADS, name, gone, b"")
        await self.drop_parts(place.set, upload.upload_id)

    async def settle_remains(self, drive_set: DriveSet, before_ms: int) -> int:
        """End what failed requests before `before_ms` left of uploads and parts. Keys settled."""
        uploads = await settle_remains(self._register, drive_set, UPLOADS, before_ms)
        return uploads + await settle_remains(self._register, drive_set, PARTS, before_ms)

    async def drop_orphans(self, drive_set: DriveSet, before_ms: int) -> int:
        """Forget parts, begun before `before_ms`, of uploads that are no longer in progress. Uploads swept."""
        open_ids: set[str] = set()

        def note(row: Row) -> bool:
            record = pb.UploadRecord.FromString(row[3])
            if not record.completed_etag:
                open_ids.add(record.upload_id)
            return True

        orphans: set[str] = set()

        def take(row: Row) -> bool:
            upload_id = row[0].partition(b"/")[0].decode()
            if initiated_ms(upload_id) < before_ms:
                orphans.add(upload_id)
            return True

        await merged(self._scanner, [drive_set], Scan(PARTS, b"", b"/", b"", 1000, Level.RECORD), SYSTEM, take)
        await merged(self._scanner, [drive_set], Scan(UPLOADS, b"", b"", b"", 1000, Level.RECORD), SYSTEM, note)
        orphans -= open_ids
        for upload_id in sorted(orphans):
            await self.drop_parts(drive_set, upload_id)
        return len(orphans)


def upload_spec(record: pb.UploadRecord) -> UploadSpec:
    """What CreateMultipartUpload fixed."""
    return UploadSpec(
        header_pairs(record.headers),
        header_pairs(record.user_metadata),
        record.storage_class or "STANDARD",
        algorithm_name(record.checksum_algorithm),
        record.checksum_composite,
    )


def _upload_of(reading: Reading, bucket: Bucket, upload_id: str) -> pb.UploadRecord:
    if reading.absent:
        raise NoSuchUpload(upload_id)
    record = pb.UploadRecord.FromString(reading.record)
    if record.bucket_created != bucket.created:
        raise NoSuchUpload(upload_id)
    return record


def _upload_page(uploads: list[ListedUpload], prefixes: list[str], limit: int) -> UploadPage:
    truncated = len(uploads) + len(prefixes) > limit
    if truncated:
        # Drop whichever came last in key order.
        if not prefixes or (uploads and uploads[-1].key.encode() > prefixes[-1].encode()):
            uploads.pop()
        else:
            prefixes.pop()
    last_key, last_id = "", ""
    if uploads:
        last_key, last_id = uploads[-1].key, uploads[-1].upload_id
    if prefixes and prefixes[-1].encode() > last_key.encode():
        last_key, last_id = prefixes[-1], ""
    return UploadPage(uploads, prefixes, truncated, last_key, last_id)
