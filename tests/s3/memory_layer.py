"""An ObjectLayer in memory, so that the face is tested end to end without a drive.

It keeps every rule of rustfs.objects.layer.ObjectLayer that a client can see, in the plainest way there is, and
nothing of how the real one works: no quorum, no blocks, no threads.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from awscrt import checksums

from rustfs.core.buffers import Buffer
from rustfs.core.errors import (
    BucketExists,
    BucketNotEmpty,
    ChecksumMismatch,
    EntityTooLarge,
    InvalidPart,
    InvalidPartOrder,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    ObjectError,
    PartTooSmall,
    PreconditionFailed,
)
from rustfs.core.ports import Clock
from rustfs.objects.types import (
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    PUT_BYTES_MAX,
    Body,
    BucketInfo,
    BucketPage,
    Checksum,
    CompleteSpec,
    DeleteTarget,
    ListedObject,
    ListedUpload,
    ListPage,
    ObjectInfo,
    OpenObject,
    PartInfo,
    PartPage,
    PutSpec,
    UploadPage,
    UploadSpec,
    WriteCondition,
)

PIECE_BYTES = 100_000  # odd on purpose: no face may count on pieces of a certain size
WHOLE_BYTES_MAX = 16 << 10


@dataclass(slots=True)
class _Upload:
    key: str
    upload_id: str
    initiated_ms: int
    spec: UploadSpec
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


class _OpenedObject:
    def __init__(self, info: ObjectInfo, data: bytes, small_bytes_max: int) -> None:
        self._info = info
        self._data = data
        self._small_bytes_max = small_bytes_max

    @property
    def info(self) -> ObjectInfo:
        return self._info

    async def stream(self, start: int, end: int) -> AsyncIterator[Buffer | Sequence[Buffer]]:
        for number, at in enumerate(range(start, end, PIECE_BYTES)):
            piece = memoryview(self._data)[at : min(at + PIECE_BYTES, end)]
            yield piece if number % 2 else [piece[:10], piece[10:]]

    async def whole(self) -> bytes | None:
        return self._data if len(self._data) <= self._small_bytes_max else None


class MemoryLayer:
    """See rustfs.objects.layer.ObjectLayer. `failure`, when set, is what every operation raises."""

    def __init__(self, clock: Clock, part_bytes_min: int = PART_BYTES_MIN) -> None:
        self._clock = clock
        self._part_bytes_min = part_bytes_min
        self._buckets: dict[str, BucketInfo] = {}
        self._objects: dict[str, dict[str, tuple[ObjectInfo, bytes]]] = {}
        self._uploads: dict[str, dict[str, _Upload]] = {}
        self._completed: dict[tuple[str, str], tuple[str, tuple[int, ...], UploadSpec]] = {}
        self._numbers = itertools.count(1)
        self.failure: Exception | None = None

    def _require(self, bucket: str) -> dict[str, tuple[ObjectInfo, bytes]]:
        if self.failure is not None:
            raise self.failure
        if bucket not in self._buckets:
            raise NoSuchBucket(bucket)
        return self._objects[bucket]

    async def create_bucket(self, name: str, location: str, owner: str) -> BucketInfo:
        if self.failure is not None:
            raise self.failure
        if name in self._buckets:
            raise BucketExists(name)
        info = BucketInfo(name, self._clock.now_milliseconds(), location, owner)
        self._buckets[name] = info
        self._objects[name] = {}
        self._uploads[name] = {}
        return info

    async def head_bucket(self, name: str) -> BucketInfo:
        self._require(name)
        return self._buckets[name]

    async def delete_bucket(self, name: str) -> None:
        if self._require(name):
            raise BucketNotEmpty(name)
        del self._buckets[name], self._objects[name], self._uploads[name]

    async def list_buckets(self, prefix: str, after: str, limit: int) -> BucketPage:
        if self.failure is not None:
            raise self.failure
        names = [name for name in sorted(self._buckets) if name.startswith(prefix) and name > after]
        page = tuple(self._buckets[name] for name in names[:limit])
        return BucketPage(page, page[-1].name if len(names) > limit and page else None)

    async def put_object(self, bucket: str, key: str, body: Body, spec: PutSpec) -> ObjectInfo:
        self._check(self._require(bucket), key, spec.condition)
        data, md5, checksum = await _take(body, PUT_BYTES_MAX)
        objects = self._require(bucket)
        self._check(objects, key, spec.condition)
        info = self._new_info(bucket, key, data, md5.hex(), spec, checksum)
        objects[key] = (info, data)
        return info

    async def open_object(self, bucket: str, key: str) -> OpenObject:
        info, data = self._current(bucket, key)
        return _OpenedObject(info, data, WHOLE_BYTES_MAX)

    async def head_object(self, bucket: str, key: str) -> ObjectInfo:
        return self._current(bucket, key)[0]

    async def delete_object(self, bucket: str, key: str, condition: WriteCondition | None) -> None:
        objects = self._require(bucket)
        if key in objects:
            self._check(objects, key, condition)
            del objects[key]

    async def delete_objects(self, bucket: str, targets: Sequence[DeleteTarget]) -> list[ObjectError | None]:
        self._require(bucket)
        outcomes: list[ObjectError | None] = []
        for target in targets:
            try:
                await self.delete_object(bucket, target.key, target.condition)
            except ObjectError as error:
                outcomes.append(error)
            else:
                outcomes.append(None)
        return outcomes

    async def list_objects(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> ListPage:
        objects = self._require(bucket)
        page = ListPage([], [], False, "")
        if limit == 0:
            return page
        next_after = ""
        for key in sorted(objects, key=str.encode):
            common = _common_prefix(key, prefix, delimiter)
            name = common or key
            if not key.startswith(prefix) or name.encode() <= after.encode() or common in page.prefixes:
                continue
            if len(page.objects) + len(page.prefixes) == limit:
                return replace(page, truncated=True, next_after=next_after)
            next_after = name
            if common:
                page.prefixes.append(common)
            else:
                info = objects[key][0]
                algorithm, composite = (
                    (info.checksum.algorithm, info.checksum.composite) if info.checksum else ("", False)
                )
                page.objects.append(
                    ListedObject(
                        key, info.size_bytes, info.etag, info.modified_ms, info.storage_class, algorithm, composite
                    )
                )
        return replace(page, next_after=next_after)

    async def create_upload(self, bucket: str, key: str, spec: UploadSpec) -> str:
        self._require(bucket)
        upload_id = f"{next(self._numbers):032x}"
        self._uploads[bucket][upload_id] = _Upload(key, upload_id, self._clock.now_milliseconds(), spec)
        return upload_id

    async def head_upload(self, bucket: str, key: str, upload_id: str) -> UploadSpec:
        done = self._completed.get((bucket, upload_id))
        if done is not None and done[0] == key:
            return done[2]
        return self._upload(bucket, key, upload_id).spec

    async def upload_part(self, bucket: str, key: str, upload_id: str, number: int, body: Body) -> PartInfo:
        self._upload(bucket, key, upload_id)
        data, md5, checksum = await _take(body, PART_BYTES_MAX)
        upload = self._upload(bucket, key, upload_id)
        part = PartInfo(number, len(data), md5.hex(), self._clock.now_milliseconds(), checksum)
        upload.parts[number] = (part, data)
        return part

    async def complete_upload(self, bucket: str, key: str, upload_id: str, spec: CompleteSpec) -> ObjectInfo:
        objects = self._require(bucket)
        done = self._completed.get((bucket, upload_id))
        if done is not None and done[:2] == (key, tuple(part.number for part in spec.parts)) and key in objects:
            return objects[key][0]
        upload = self._upload(bucket, key, upload_id)
        chosen = self._choose(upload, spec)
        data = b"".join(piece for _, piece in chosen)
        if spec.size_bytes is not None and spec.size_bytes != len(data):
            raise ChecksumMismatch("x-amz-mp-object-size")
        checksum = _checksum_of_parts(upload.spec, chosen, data)
        if spec.checksum is not None and checksum is not None and spec.checksum.value != checksum.value:
            raise ChecksumMismatch(f"x-amz-checksum-{spec.checksum.algorithm.lower()}")
        self._check(objects, key, spec.condition)
        digest = hashlib.md5(
            b"".join(bytes.fromhex(part.etag) for part, _ in chosen), usedforsecurity=False
        ).hexdigest()
        put = PutSpec(upload.spec.headers, upload.spec.user_metadata, upload.spec.storage_class)
        info = self._new_info(bucket, key, data, f"{digest}-{len(chosen)}", put, checksum)
        info = replace(info, parts=tuple(part for part, _ in chosen))
        objects[key] = (info, data)
        del self._uploads[bucket][upload_id]
        self._completed[bucket, upload_id] = (key, tuple(part.number for part in spec.parts), upload.spec)
        return info

    def _choose(self, upload: _Upload, spec: CompleteSpec) -> list[tuple[PartInfo, bytes]]:
        numbers = [part.number for part in spec.parts]
        if any(second < first for first, second in itertools.pairwise(numbers)):
            raise InvalidPartOrder("parts do not ascend")
        named = {part.number: part for part in spec.parts}  # of a part named twice, the last counts
        chosen = []
        for position, wanted in enumerate(named.values(), 1):
            if wanted.number not in upload.parts:
                raise InvalidPart(f"part {wanted.number} was not uploaded")
            part, data = upload.parts[wanted.number]
            if part.etag != wanted.etag:
                raise InvalidPart(f"part {wanted.number} has another ETag")
            if wanted.checksum is not None and (part.checksum is None or part.checksum.value != wanted.checksum):
                raise InvalidPart(f"part {wanted.number} has another checksum")
            if position < len(named) and part.size_bytes < self._part_bytes_min:
                raise PartTooSmall(part.number, part.size_bytes, self._part_bytes_min, part.etag)
            chosen.append((part, data))
        return chosen

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        self._upload(bucket, key, upload_id)
        del self._uploads[bucket][upload_id]

    async def list_parts(self, bucket: str, key: str, upload_id: str, after: int, limit: int) -> PartPage:
        upload = self._upload(bucket, key, upload_id)
        above = [upload.parts[number][0] for number in sorted(upload.parts) if number > after]
        page = above[:limit]
        return PartPage(page, len(above) > limit, page[-1].number if page else after, _listed(upload))

    async def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        self._require(bucket)
        page = UploadPage([], [], False, "", "")
        marks = ("", "")
        uploads = self._uploads[bucket].values()
        for upload in sorted(uploads, key=lambda upload: (upload.key.encode(), upload.upload_id)):
            common = _common_prefix(upload.key, prefix, delimiter)
            name = (common or upload.key).encode()
            if not upload.key.startswith(prefix) or common in page.prefixes or name < after_key.encode():
                continue
            if name == after_key.encode() and (common or not after_upload_id or upload.upload_id <= after_upload_id):
                continue
            if len(page.uploads) + len(page.prefixes) == limit:
                return replace(page, truncated=True, next_key=marks[0], next_upload_id=marks[1])
            marks = (common, "") if common else (upload.key, upload.upload_id)
            if common:
                page.prefixes.append(common)
            else:
                page.uploads.append(_listed(upload))
        return replace(page, next_key=marks[0], next_upload_id=marks[1])

    async def update_metadata(self, info: ObjectInfo, spec: PutSpec, checksum: Checksum | None) -> ObjectInfo:
        current, data = self._current(info.bucket, info.key)
        if current.stamp != info.stamp:
            raise NoSuchKey(info.key)
        new = self._new_info(info.bucket, info.key, data, info.etag, spec, checksum)
        self._objects[info.bucket][info.key] = (replace(new, parts=info.parts), data)
        return self._objects[info.bucket][info.key][0]

    def _current(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes]:
        objects = self._require(bucket)
        if key not in objects:
            raise NoSuchKey(key)
        return objects[key]

    def _upload(self, bucket: str, key: str, upload_id: str) -> _Upload:
        self._require(bucket)
        upload = self._uploads[bucket].get(upload_id)
        if upload is None or upload.key != key:
            raise NoSuchUpload(upload_id)
        return upload

    def _new_info(
        self, bucket: str, key: str, data: bytes, etag: str, spec: PutSpec, checksum: Checksum | None
    ) -> ObjectInfo:
        return ObjectInfo(
            bucket,
            key,
            len(data),
            etag,
            self._clock.now_milliseconds(),
            next(self._numbers).to_bytes(16, "big"),
            spec.headers,
            spec.user_metadata,
            spec.storage_class,
            checksum,
        )

    @staticmethod
    def _check(objects: dict[str, tuple[ObjectInfo, bytes]], key: str, condition: WriteCondition | None) -> None:
        if condition is None:
            return
        info = objects[key][0] if key in objects else None
        if info is None:
            if (
                condition.if_match
                or condition.if_match_size_bytes is not None
                or condition.if_match_modified_ms is not None
            ):
                raise NoSuchKey(key)
            return
        if condition.if_match and "*" not in condition.if_match and info.etag not in condition.if_match:
            raise PreconditionFailed("If-Match")
        if "*" in condition.if_none_match or info.etag in condition.if_none_match:
            raise PreconditionFailed("If-None-Match")
        if condition.if_match_size_bytes is not None and info.size_bytes != condition.if_match_size_bytes:
            raise PreconditionFailed("x-amz-if-match-size")
        modified_ms = condition.if_match_modified_ms
        if modified_ms is not None and info.modified_ms // 1_000 != modified_ms // 1_000:
            raise PreconditionFailed("x-amz-if-match-last-modified-time")


async def _take(body: Body, size_bytes_max: int) -> tuple[bytes, bytes, Checksum | None]:
    if body.length_bytes is not None and body.length_bytes > size_bytes_max:
        raise EntityTooLarge(f"more than {size_bytes_max} bytes")
    pieces: list[bytes] = []
    while piece := await body.read(1 << 20):
        body.absorb(piece)
        pieces.append(bytes(piece))
    data = b"".join(pieces)
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return data, md5, body.settle(md5)


def _common_prefix(key: str, prefix: str, delimiter: str) -> str:
    if not delimiter or not key.startswith(prefix):
        return ""
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return prefix + head + delimiter if found else ""


def _listed(upload: _Upload) -> ListedUpload:
    return ListedUpload(
        upload.key,
        upload.upload_id,
        upload.initiated_ms,
        upload.spec.storage_class,
        upload.spec.checksum_algorithm,
        upload.spec.checksum_composite,
    )


def _digest(algorithm: str, data: bytes) -> bytes:
    match algorithm:
        case "CRC32":
            return checksums.crc32(data).to_bytes(4, "big")
        case "CRC32C":
            return checksums.crc32c(data).to_bytes(4, "big")
        case "CRC64NVME":
            return checksums.crc64nvme(data).to_bytes(8, "big")
        case "SHA1":
            return hashlib.sha1(data, usedforsecurity=False).digest()
        case _:
            return hashlib.sha256(data).digest()


def _checksum_of_parts(spec: UploadSpec, chosen: list[tuple[PartInfo, bytes]], data: bytes) -> Checksum | None:
    if not spec.checksum_algorithm:
        return None
    if not spec.checksum_composite:
        return Checksum(spec.checksum_algorithm, _digest(spec.checksum_algorithm, data))
    digests = [part.checksum.value for part, _ in chosen if part.checksum is not None]
    if len(digests) < len(chosen):
        raise InvalidPart("a part has no checksum")
    return Checksum(spec.checksum_algorithm, _digest(spec.checksum_algorithm, b"".join(digests)), composite=True)
