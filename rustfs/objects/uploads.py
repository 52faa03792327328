"""Multipart uploads: their registers, their parts, and how parts become an object.

An upload and its parts live in the set of the object to come, so completing it moves no byte: the object's record names
the parts' extents. What CompleteMultipartUpload decides (which parts, which ETag, which checksum) is pure and stands
at the end of this file.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rustfs.core import checksums
from rustfs.core.errors import (
    ChecksumMismatch,
    EntityTooLarge,
    InvalidPart,
    InvalidPartOrder,
    NoSuchUpload,
    PartTooSmall,
)
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.stamps import STAMP_BYTES, milliseconds_of
from rustfs.objects.records import (
    UPLOAD_ID_LENGTH,
    algorithm_name,
    checksum_message,
    checksum_value,
)
from rustfs.objects.types import (
    OBJECT_BYTES_MAX,
    PART_BYTES_MIN,
    Checksum,
    CompleteSpec,
    ListedUpload,
    PartInfo,
)


def initiated_ms(upload_id: str) -> int:
    """When an upload was begun: its id starts with a stamp."""
    return milliseconds_of(bytes.fromhex(upload_id[: 2 * STAMP_BYTES]))


def check_upload_id(upload_id: str) -> None:
    """Raises NoSuchUpload for what can be no upload id."""
    if len(upload_id) != UPLOAD_ID_LENGTH or not all(c in "0123456789abcdef" for c in upload_id):
        raise NoSuchUpload(upload_id)


def listed_upload(record: pb.UploadRecord) -> ListedUpload:
    """An upload as listings show it."""
    return ListedUpload(
        record.key,
        record.upload_id,
        initiated_ms(record.upload_id),
        record.storage_class or "STANDARD",
        algorithm_name(record.checksum_algorithm),
        record.checksum_composite,
    )


def part_info(stamp: bytes, record: pb.PartRecord) -> PartInfo:
    """A part as listings show it."""
    checksum = checksum_value(record.checksum) if record.HasField("checksum") else None
    return PartInfo(record.number, record.extent.size_bytes, record.etag, milliseconds_of(stamp), checksum)


def request_digest(spec: CompleteSpec) -> bytes:
    """What tells a repeated CompleteMultipartUpload from a different one."""
    text = ";".join(f"{part.number}:{part.etag}" for part in spec.parts)
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Assembled:
    """The object that an upload's parts make."""

    record: pb.ObjectRecord
    data_shards: int


def assemble(upload: pb.UploadRecord, held: Mapping[int, pb.PartRecord], spec: CompleteSpec) -> Assembled:
    """The record of the completed object.

    Raises:
        InvalidPart, InvalidPartOrder, PartTooSmall, ChecksumMismatch, EntityTooLarge
    """
    parts = _chosen_parts(upload, held, spec)
    size = sum(part.extent.size_bytes for part in parts)
    if size > OBJECT_BYTES_MAX:
        raise EntityTooLarge(f"{size} bytes are more than {OBJECT_BYTES_MAX}")
    if spec.size_bytes is not None and spec.size_bytes != size:
        raise ChecksumMismatch("x-amz-mp-object-size")
    etags = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    checksum = _checksum(upload, parts, spec.checksum)
    record = pb.ObjectRecord(
        size_bytes=size,
        etag=f"{etags}-{len(parts)}",
        extents=[part.extent for part in parts if part.extent.size_bytes],
        headers=upload.headers,
        user_metadata=upload.user_metadata,
        storage_class=upload.storage_class,
        checksum=checksum_message(checksum),
        parts=[
            pb.ObjectPart(number=part.number, size_bytes=part.extent.size_bytes, checksum=part.checksum.value)
            for part in parts
        ],
        upload_id=upload.upload_id,
    )
    data_shards = max((part.extent.data_shards for part in parts if part.extent.size_bytes), default=1)
    return Assembled(record, data_shards)


def _chosen_parts(
    upload: pb.UploadRecord, held: Mapping[int, pb.PartRecord], spec: CompleteSpec
) -> Sequence[pb.PartRecord]:
    numbers = [part.number for part in spec.parts]
    if any(later < earlier for earlier, later in itertools.pairwise(numbers)):
        raise InvalidPartOrder
    chosen = []
    for wanted in {part.number: part for part in spec.parts}.values():  # of a part named twice, the last counts
        part = held.get(wanted.number)
        if part is None or part.etag != wanted.etag:
            raise InvalidPart(f"part {wanted.number}")
        if wanted.checksum is not None and wanted.checksum != part.checksum.value:
            raise InvalidPart(f"part {wanted.number}")
        if (
            upload.checksum_composite
            and upload.checksum_algorithm
            and wanted.checksum is None
            and not (part.checksum.value)
        ):
            raise InvalidPart(f"part {wanted.number}")
        chosen.append(part)
    if not chosen:
        raise InvalidPart("no parts")
    for part in chosen[:-1]:
        if part.extent.size_bytes < PART_BYTES_MIN:
            raise PartTooSmall(part.number, part.extent.size_bytes, PART_BYTES_MIN, part.etag)
    return chosen


def _checksum(upload: pb.UploadRecord, parts: Sequence[pb.PartRecord], claimed: Checksum | None) -> Checksum | None:
    algorithm = algorithm_name(upload.checksum_algorithm)
    if not algorithm:
        return None
    if any(not part.checksum.value for part in parts):
        return None
    if upload.checksum_composite:
        value = checksums.composite(algorithm, [part.checksum.value for part in parts])
    else:
        value = checksums.combine(algorithm, [(part.checksum.value, part.extent.size_bytes) for part in parts])
    checksum = Checksum(algorithm, value, upload.checksum_composite)
    if claimed is not None and (claimed.algorithm != algorithm or claimed.value != value):
        raise ChecksumMismatch(f"the {claimed.algorithm} of the whole object")
    return checksum


def upload_id_from(stamp: bytes, entropy: bytes) -> str:
    """A new upload id: ascends by time of initiation, and cannot be guessed."""
    return (stamp + entropy).hex()
