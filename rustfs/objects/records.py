"""Between records as drives hold them (protobuf) and the values that the faces see."""

from collections.abc import Iterable

from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.stamps import milliseconds_of
from rustfs.objects.types import Checksum, ListedObject, ObjectInfo, Pairs, PartInfo

BUCKETS = b".buckets"  # key: bucket name; BucketRecord
CONFIGURATION = b".configuration"  # one key; ConfigurationRecord; see rustfs.objects.configuration
UPLOADS = b".uploads"  # key: upload_key(); UploadRecord; in the set of the object to come
PARTS = b".parts"  # key: part_key(); PartRecord; in the set of the object to come

UPLOAD_ID_LENGTH = 48

_ALGORITHM_NAMES = {number: name for name, number in pb.Checksum.Algorithm.items()}
_ALGORITHM_NAMES[pb.Checksum.NONE] = ""


def upload_key(bucket: bytes, key: bytes, upload_id: str) -> bytes:
    """Key of an upload's register: ascends by bucket, object key, then time of initiation."""
    return b"%b\0%b\0%b" % (bucket, key, upload_id.encode())


def part_key(upload_id: str, number: int) -> bytes:
    """Key of a part's register."""
    return b"%b/%05d" % (upload_id.encode(), number)


def algorithm_number(name: str) -> pb.Checksum.Algorithm:
    """The enum value of an algorithm's S3 name ("" is none)."""
    number: pb.Checksum.Algorithm = getattr(pb.Checksum, name or "NONE")
    return number


def algorithm_name(number: int) -> str:
    """The S3 name of an algorithm."""
    return _ALGORITHM_NAMES[number]


def checksum_message(checksum: Checksum | None) -> pb.Checksum | None:
    """A checksum as stored."""
    if checksum is None:
        return None
    return pb.Checksum(
        algorithm=algorithm_number(checksum.algorithm), value=checksum.value, composite=checksum.composite
    )


def checksum_value(message: pb.Checksum) -> Checksum | None:
    """A checksum as seen by the faces."""
    if message.algorithm == pb.Checksum.NONE:
        return None
    return Checksum(_ALGORITHM_NAMES[message.algorithm], message.value, message.composite)


def header_messages(pairs: Pairs) -> list[pb.Header]:
    """Headers as stored."""
    return [pb.Header(name=name, value=value) for name, value in pairs]


def header_pairs(messages: Iterable[pb.Header]) -> Pairs:
    """Headers as seen by the faces."""
    return tuple((header.name, header.value) for header in messages)


def object_info(bucket: str, key: str, stamp: bytes, record: pb.ObjectRecord) -> ObjectInfo:
    """A version as seen by the faces."""
    checksum = checksum_value(record.checksum) if record.HasField("checksum") else None
    parts: tuple[PartInfo, ...] = ()
    if record.parts:
        algorithm = checksum.algorithm if checksum else ""
        parts = tuple(
            PartInfo(
                part.number, part.size_bytes, checksum=Checksum(algorithm, part.checksum) if part.checksum else None
            )
            for part in record.parts
        )
    return ObjectInfo(
        bucket,
        key,
        record.size_bytes,
        record.etag,
        milliseconds_of(stamp),
        stamp,
        header_pairs(record.headers),
        header_pairs(record.user_metadata),
        record.storage_class or "STANDARD",
        checksum,
        parts,
    )


def listed_object(key: bytes, stamp: bytes, encoded: bytes) -> ListedObject:
    """A version as a listing shows it."""
    record = pb.ObjectRecord.FromString(encoded)
    checksum = record.checksum
    return ListedObject(
        key.decode(),
        record.size_bytes,
        record.etag,
        milliseconds_of(stamp),
        record.storage_class or "STANDARD",
        _ALGORITHM_NAMES[checksum.algorithm],
        checksum.composite,
    )


def extents_of(bucket: bytes, encoded: bytes) -> list[pb.Extent]:
    """The extents that a register's record names, whatever kind of register it is."""
    if not encoded or bucket in (BUCKETS, CONFIGURATION, UPLOADS):
        return []
    if bucket == PARTS:
        part = pb.PartRecord.FromString(encoded)
        return [part.extent] if part.extent.size_bytes else []
    return list(pb.ObjectRecord.FromString(encoded).extents)


def shard_file_ids(extents: Iterable[pb.Extent]) -> tuple[bytes, ...]:
    """Data ids of the extents whose shards are files."""
    return tuple(extent.data_id for extent in extents if not extent.inline)
