"""Values that pass between the object layer and the faces above it.

Buckets and keys are str here, sizes are bytes, times are milliseconds since the epoch, ETags carry no quotes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rustfs.core.buffers import Buffer

BLOCK_BYTES = 1 << 20
OBJECT_BYTES_MAX = 5 << 40
PART_BYTES_MIN = 5 << 20
PART_BYTES_MAX = 5 << 30
PUT_BYTES_MAX = 5 << 30
PART_COUNT_MAX = 10_000

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum that a client sent or asked for, of the original bytes."""

    algorithm: str  # CRC32, CRC32C, CRC64NVME, SHA1 or SHA256
    value: bytes  # raw digest
    composite: bool = False  # of the parts' digests rather than of the bytes
    # (S3 writes a composite one as base64-of-digest "-" number of parts.)


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part of a completed multipart object, or an uploaded part."""

    number: int
    size_bytes: int
    etag: str = ""
    modified_ms: int = 0
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object's current version."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    modified_ms: int
    stamp: bytes
    headers: Pairs = ()  # system headers kept with the object, lower-case names (content-type, …)
    user_metadata: Pairs = ()  # names without x-amz-meta-
    storage_class: str = "STANDARD"
    checksum: Checksum | None = None
    parts: tuple[PartInfo, ...] = ()  # of a multipart object


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """Precondition of a write on the key's current version; ETags without quotes, "*" matches any version."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    # If-Match of DeleteObject on a general purpose bucket may name size and time, too.
    if_match_size_bytes: int | None = None
    if_match_modified_ms: int | None = None  # compared in whole seconds


@dataclass(frozen=True, slots=True)
class PutSpec:
    """What a new version is to carry besides its bytes."""

    headers: Pairs = ()
    user_metadata: Pairs = ()
    storage_class: str = "STANDARD"
    condition: WriteCondition | None = None


class Body(Protocol):
    """The bytes of an upload, already rid of any transfer coding. Used by one task, pulled in order.

    The object layer calls `read` until it returns b"", `absorb` once for every piece, in order but in a worker thread
    for large ones, and `settle` at the end, before anything becomes visible.
    """

    @property
    def length_bytes(self) -> int | None:
        """Length if known beforehand."""

    async def read(self, limit_bytes: int) -> Buffer:
        """The next piece, at most `limit_bytes`, b"" at the end. Raises what the face raises for broken bodies."""

    def absorb(self, piece: Buffer) -> None:
        """Digest a piece (payload hash, checksums). May run in a worker thread; never concurrently with itself."""

    def settle(self, md5_digest: bytes) -> Checksum | None:
        """Verify everything that the client claimed of the bytes; the checksum to keep with them.

        Raises what the face raises for bytes that differ from what the client claimed.
        """


class OpenObject(Protocol):
    """A version opened for reading: its bytes stay readable, whatever is written over it meanwhile."""

    @property
    def info(self) -> ObjectInfo: ...

    def stream(self, start: int, end: int) -> AsyncIterator[Buffer | Sequence[Buffer]]:
        """Bytes [start, end) in order. The first piece is fetched before it is asked for where that is cheap.

        Raises QuorumLost when fewer than k good shards of a block are in reach.
        """

    async def whole(self) -> bytes | None:
        """All bytes, if the object is small enough to have come with its record; None otherwise."""


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket."""

    name: str
    created_ms: int
    location: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class BucketPage:
    """A page of ListBuckets, by name."""

    buckets: tuple[BucketInfo, ...]
    next_after: str | None  # pass as `after` for the next page


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object in a listing."""

    key: str
    size_bytes: int
    etag: str
    modified_ms: int
    storage_class: str
    checksum_algorithm: str = ""
    checksum_composite: bool = False


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a listing: objects and common prefixes, each in UTF-8 byte order."""

    objects: list[ListedObject]
    prefixes: list[str]
    truncated: bool
    next_after: str  # the last key or common prefix of the page; pass as `after` for the next one


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """A multipart upload in progress."""

    key: str
    upload_id: str
    initiated_ms: int
    storage_class: str = "STANDARD"
    checksum_algorithm: str = ""
    checksum_composite: bool = False


@dataclass(frozen=True, slots=True)
class UploadPage:
    """A page of ListMultipartUploads, by key, then by time of initiation."""

    uploads: list[ListedUpload]
    prefixes: list[str]
    truncated: bool
    next_key: str
    next_upload_id: str


@dataclass(frozen=True, slots=True)
class PartPage:
    """A page of ListParts."""

    parts: list[PartInfo]
    truncated: bool
    next_number: int
    upload: ListedUpload


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What CreateMultipartUpload fixes for the object to come."""

    headers: Pairs = ()
    user_metadata: Pairs = ()
    storage_class: str = "STANDARD"
    checksum_algorithm: str = ""
    checksum_composite: bool = False


@dataclass(frozen=True, slots=True)
class CompletePart:
    """A part named by CompleteMultipartUpload."""

    number: int
    etag: str
    checksum: bytes | None = None  # raw digest in the upload's algorithm


@dataclass(frozen=True, slots=True)
class CompleteSpec:
    """CompleteMultipartUpload's request."""

    parts: tuple[CompletePart, ...]
    condition: WriteCondition | None = None
    checksum: Checksum | None = None  # claimed for the whole object
    size_bytes: int | None = None  # claimed (x-amz-mp-object-size)


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """One key of DeleteObjects."""

    key: str
    condition: WriteCondition | None = None
