"""The object layer as the faces see it: one Protocol, implemented by rustfs.objects.store.ObjectStore.

Every method raises only ObjectError's subclasses (rustfs.core.errors) and what the given Body raises. Each operation is
linearizable per key; on QuorumLost the outcome of a write is unknown.
"""

from collections.abc import Sequence
from typing import Protocol

from rustfs.core.errors import ObjectError
from rustfs.objects.types import (
    Body,
    BucketInfo,
    BucketPage,
    Checksum,
    CompleteSpec,
    DeleteTarget,
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


class ObjectLayer(Protocol):
    """Buckets, objects, listings and multipart uploads."""

    async def create_bucket(self, name: str, location: str, owner: str) -> BucketInfo:
        """Raises BucketExists."""

    async def head_bucket(self, name: str) -> BucketInfo:
        """Raises NoSuchBucket."""

    async def delete_bucket(self, name: str) -> None:
        """Raises NoSuchBucket, BucketNotEmpty."""

    async def list_buckets(self, prefix: str, after: str, limit: int) -> BucketPage:
        """Buckets above `after` by name."""

    async def put_object(self, bucket: str, key: str, body: Body, spec: PutSpec) -> ObjectInfo:
        """Store a version. Raises NoSuchBucket, PreconditionFailed, NoSuchKey (If-Match on nothing), StorageFull."""

    async def open_object(self, bucket: str, key: str) -> OpenObject:
        """Raises NoSuchBucket, NoSuchKey."""

    async def head_object(self, bucket: str, key: str) -> ObjectInfo:
        """Raises NoSuchBucket, NoSuchKey."""

    async def delete_object(self, bucket: str, key: str, condition: WriteCondition | None) -> None:
        """No error where there is nothing. Raises NoSuchBucket, PreconditionFailed."""

    async def delete_objects(self, bucket: str, targets: Sequence[DeleteTarget]) -> list[ObjectError | None]:
        """An outcome per target, in order; raises NoSuchBucket as a whole."""

    async def list_objects(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> ListPage:
        """Objects and common prefixes above `after` (a common prefix equal to or below `after` is not repeated)."""

    async def create_upload(self, bucket: str, key: str, spec: UploadSpec) -> str:
        """The upload id."""

    async def head_upload(self, bucket: str, key: str, upload_id: str) -> UploadSpec:
        """What CreateMultipartUpload fixed, also of an upload just completed. Raises NoSuchUpload."""

    async def upload_part(self, bucket: str, key: str, upload_id: str, number: int, body: Body) -> PartInfo:
        """Store or replace a part. Raises NoSuchUpload."""

    async def complete_upload(self, bucket: str, key: str, upload_id: str, spec: CompleteSpec) -> ObjectInfo:
        """Raises NoSuchUpload, InvalidPart, InvalidPartOrder, PartTooSmall, PreconditionFailed, ChecksumMismatch."""

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Raises NoSuchUpload."""

    async def list_parts(self, bucket: str, key: str, upload_id: str, after: int, limit: int) -> PartPage:
        """Parts with numbers above `after`."""

    async def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        """Uploads above (after_key, after_upload_id); with an empty upload id, above all of after_key's."""

    async def update_metadata(self, info: ObjectInfo, spec: PutSpec, checksum: Checksum | None) -> ObjectInfo:
        """A new version with the bytes of `info`'s version and other metadata (CopyObject onto itself).

        No byte is copied. Raises NoSuchKey when that version is no longer the current one.
        """
