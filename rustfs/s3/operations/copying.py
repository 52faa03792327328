"""CopyObject and UploadPartCopy: the bytes go through this node, never back to the client."""

from collections.abc import AsyncGenerator, Sequence
from urllib.parse import unquote_to_bytes

from rustfs.core.buffers import Buffer
from rustfs.core.checksums import Hasher, hasher
from rustfs.core.errors import NoSuchKey
from rustfs.http.messages import Response
from rustfs.objects.types import (
    PART_BYTES_MAX,
    PUT_BYTES_MAX,
    Checksum,
    ObjectInfo,
    OpenObject,
    PutSpec,
)
from rustfs.s3.call import Call
from rustfs.s3.checksums import format_value, parse_algorithm
from rustfs.s3.conditions import check_copy_source, write_condition
from rustfs.s3.errors import S3Error
from rustfs.s3.metadata import storage_class, system_headers, user_metadata
from rustfs.s3.operations.multipart import part_number
from rustfs.s3.ranges import copy_range
from rustfs.s3.xmltext import document, element, iso_time


class CopiedBody:
    """Bytes [start, end) of an open object as the body of an upload; see rustfs.objects.types.Body."""

    def __init__(self, source: OpenObject, start: int, end: int, algorithm: str | None) -> None:
        self.length_bytes: int | None = end - start
        self._stream: AsyncGenerator[Buffer | Sequence[Buffer], None] = _pieces(source, start, end)
        self._pending: list[Buffer] = []
        self._algorithm = algorithm
        self._hasher: Hasher | None = hasher(algorithm) if algorithm else None

    async def read(self, limit_bytes: int) -> Buffer:
        """See Body.read."""
        while not self._pending:
            try:
                piece = await anext(self._stream)
            except StopAsyncIteration:
                return b""
            if isinstance(piece, bytes | bytearray | memoryview):
                self._pending.append(piece)
            else:
                self._pending.extend(piece)
        first = self._pending.pop(0)
        if len(first) > limit_bytes:
            view = memoryview(first)
            self._pending.insert(0, view[limit_bytes:])
            return view[:limit_bytes]
        return first

    def absorb(self, piece: Buffer) -> None:
        """See Body.absorb."""
        if self._hasher is not None:
            self._hasher.update(piece)

    def settle(self, _md5_digest: bytes) -> Checksum | None:
        """See Body.settle."""
        if self._hasher is None or self._algorithm is None:
            return None
        return Checksum(self._algorithm, self._hasher.digest())

    async def close(self) -> None:
        """Let go of the source."""
        await self._stream.aclose()


async def _pieces(source: OpenObject, start: int, end: int) -> AsyncGenerator[Buffer | Sequence[Buffer], None]:
    if start < end:
        async for piece in source.stream(start, end):
            yield piece


def copy_source(call: Call) -> tuple[str, str]:
    """Bucket and key of x-amz-copy-source. Raises S3Error InvalidArgument, NoSuchVersion."""
    header = call.header("x-amz-copy-source") or ""
    path, _, query = header.partition("?")
    try:
        bucket, slash, key = unquote_to_bytes(path.encode("latin-1")).decode().lstrip("/").partition("/")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    if not bucket or not slash or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            details=(("ArgumentName", "x-amz-copy-source"), ("ArgumentValue", header)),
        )
    if query and query != "versionId=null":
        if query.startswith("versionId="):
            raise S3Error("NoSuchVersion")
        raise S3Error("InvalidArgument", "Unsupported copy source parameter.")
    return bucket, key


async def copy_object(call: Call) -> Response:
    """CopyObject."""
    bucket, key = copy_source(call)
    directive = _directive(call, "x-amz-metadata-directive")
    _directive(call, "x-amz-tagging-directive")
    headers = call.request.headers
    algorithm = parse_algorithm(headers, "x-amz-checksum-algorithm")
    condition = write_condition(headers.get)
    to_itself = (bucket, key) == (call.bucket, call.key)
    new_class = storage_class(call)
    changes = directive == "REPLACE" or algorithm or call.header("x-amz-storage-class")
    if to_itself and not changes and call.header("x-amz-website-redirect-location") is None:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    await call.layer.head_bucket(call.bucket)
    source = await call.layer.open_object(bucket, key)
    info = source.info
    check_copy_source(info, call.header)
    if info.size_bytes > PUT_BYTES_MAX:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        )
    if directive == "REPLACE":
        spec = PutSpec(system_headers(headers), user_metadata(headers), new_class, condition)
    else:
        kept = tuple(pair for pair in info.headers if pair[0] != "x-amz-website-redirect-location")
        redirect = tuple(pair for pair in system_headers(headers) if pair[0] == "x-amz-website-redirect-location")
        spec = PutSpec(kept + redirect, info.user_metadata, new_class, condition)
    made = await _copy(call, source, spec, algorithm, to_itself=to_itself)
    return document("CopyObjectResult", [_result(made)])


async def _copy(call: Call, source: OpenObject, spec: PutSpec, algorithm: str | None, *, to_itself: bool) -> ObjectInfo:
    info = source.info
    if to_itself and not algorithm and spec.storage_class == info.storage_class and spec.condition is None:
        try:
            return await call.layer.update_metadata(info, spec, None)
        except NoSuchKey:
            pass  # written over meanwhile: the copy of the version that was opened becomes the newest
    if algorithm is None and info.checksum is not None:
        algorithm = info.checksum.algorithm
    body = CopiedBody(source, 0, info.size_bytes, algorithm)
    try:
        return await call.layer.put_object(call.bucket, call.key, body, spec)
    finally:
        await body.close()


def _result(info: ObjectInfo) -> str:
    text = element("LastModified", iso_time(info.modified_ms)) + element("ETag", f'"{info.etag}"')
    if info.checksum is not None:
        name = f"Checksum{info.checksum.algorithm}"
        text += element(name, format_value(info.checksum.value)) + element("ChecksumType", "FULL_OBJECT")
    return text


def _directive(call: Call, name: str) -> str:
    value = call.header(name) or "COPY"
    if value not in ("COPY", "REPLACE"):
        raise S3Error(
            "InvalidArgument", f"Unknown {name[6:]}.", details=(("ArgumentName", name), ("ArgumentValue", value))
        )
    return value


async def upload_part_copy(call: Call) -> Response:
    """UploadPartCopy."""
    number = part_number(call)
    upload_id = call.query["uploadId"]
    bucket, key = copy_source(call)
    upload = await call.layer.head_upload(call.bucket, call.key, upload_id)
    source = await call.layer.open_object(bucket, key)
    check_copy_source(source.info, call.header)
    header = call.header("x-amz-copy-source-range")
    start, end = (0, source.info.size_bytes) if header is None else copy_range(header, source.info.size_bytes)
    if end - start > PART_BYTES_MAX:
        raise S3Error("EntityTooLarge")
    body = CopiedBody(source, start, end, upload.checksum_algorithm or None)
    try:
        part = await call.layer.upload_part(call.bucket, call.key, upload_id, number, body)
    finally:
        await body.close()
    text = element("LastModified", iso_time(part.modified_ms)) + element("ETag", f'"{part.etag}"')
    if part.checksum is not None:
        text += element(f"Checksum{part.checksum.algorithm}", format_value(part.checksum.value))
    return document("CopyPartResult", [text])
