"""PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects."""

from collections.abc import AsyncIterator, Sequence

from rustfs.core.buffers import Buffer
from rustfs.http.messages import Response
from rustfs.objects.types import PUT_BYTES_MAX, DeleteTarget, ObjectInfo, OpenObject, PutSpec, WriteCondition
from rustfs.s3.body import open_body
from rustfs.s3.call import Call
from rustfs.s3.conditions import (
    check_read,
    delete_condition,
    parse_etags,
    range_applies,
    version_condition,
    write_condition,
)
from rustfs.s3.errors import S3Error
from rustfs.s3.failures import s3_error
from rustfs.s3.metadata import (
    RESPONSE_OVERRIDES,
    checksum_headers,
    object_headers,
    part_checksum_headers,
    storage_class,
    system_headers,
    user_metadata,
)
from rustfs.s3.numbers import whole_number
from rustfs.s3.ranges import ByteRange, requested_range
from rustfs.s3.xmltext import Node, document, element, parse

DELETES_MAX = 1000


async def put_object(call: Call) -> Response:
    """PutObject."""
    headers = call.request.headers
    condition = write_condition(headers.get)
    spec = PutSpec(system_headers(headers), user_metadata(headers), storage_class(call), condition)
    body = open_body(call.request, call.authenticated)
    require_length(call)
    if body.length_bytes is not None and body.length_bytes > PUT_BYTES_MAX:
        raise S3Error(
            "EntityTooLarge",
            details=(("ProposedSize", str(body.length_bytes)), ("MaxSizeAllowed", str(PUT_BYTES_MAX))),
        )
    info = await call.layer.put_object(call.bucket, call.key, body, spec)
    return Response(200, [("etag", f'"{info.etag}"'), *checksum_headers(info)])


def require_length(call: Call) -> None:
    """A body must say how long it is, or that it is chunked. Raises S3Error MissingContentLength."""
    headers = call.request.headers
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise S3Error("MissingContentLength")


async def get_object(call: Call) -> Response:
    """GetObject."""
    opened = await call.layer.open_object(call.bucket, call.key)
    status, headers, wanted = _describe(call, opened.info)
    length = wanted.end - wanted.start
    if length == 0:
        return Response(status, headers, b"")
    whole = await opened.whole()
    if whole is not None:
        body = whole if length == len(whole) else whole[wanted.start : wanted.end]
        return Response(status, headers, body)
    return Response(status, headers, _pieces(opened, wanted), length_bytes=length)


async def head_object(call: Call) -> Response:
    """HeadObject."""
    info = await call.layer.head_object(call.bucket, call.key)
    status, headers, wanted = _describe(call, info)
    return Response(status, headers, b"", length_bytes=wanted.end - wanted.start)


async def _pieces(opened: OpenObject, wanted: ByteRange) -> AsyncIterator[Buffer | Sequence[Buffer]]:
    async for piece in opened.stream(wanted.start, wanted.end):
        yield piece


def _describe(call: Call, info: ObjectInfo) -> tuple[int, list[tuple[str, str]], ByteRange]:
    """Status and headers, and the bytes that are asked for; every refusal is raised."""
    check_read(info, call.header)
    mode = (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED"
    part = call.query.get("partNumber")
    if part is not None:
        if call.header("range"):
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        wanted, count = part_range(info, part)
    else:
        header = call.header("range") if range_applies(info, call.header("if-range")) else None
        wanted, count = requested_range(header, info.size_bytes), 0
    headers = object_headers(info, with_checksum=mode and not wanted.partial)
    if count:
        headers.append(("x-amz-mp-parts-count", str(count)))
        if mode:
            headers += part_checksum_headers(info, int(part or 0))
    for parameter, name in RESPONSE_OVERRIDES.items():
        value = call.query.get(parameter)
        if value is not None:
            headers = [pair for pair in headers if pair[0] != name]
            headers.append((name, _one_line(value)))
    if wanted.partial:
        headers.append(("content-range", f"bytes {wanted.start}-{wanted.end - 1}/{info.size_bytes}"))
        return 206, headers, wanted
    return 200, headers, wanted


def part_range(info: ObjectInfo, text: str) -> tuple[ByteRange, int]:
    """The bytes of a part, and the number of parts (0 for an object not made of parts)."""
    number = whole_number(text) or 0
    if not 1 <= number <= 10_000:
        raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    if not info.parts:
        if number != 1:
            raise S3Error("InvalidPartNumber")
        return ByteRange(0, info.size_bytes, partial=info.size_bytes > 0), 0
    start = 0
    for part in info.parts:
        if part.number == number:
            return ByteRange(start, start + part.size_bytes, partial=part.size_bytes > 0), len(info.parts)
        start += part.size_bytes
    raise S3Error("InvalidPartNumber")


def _one_line(value: str) -> str:
    if any(character in value for character in "\r\n\0"):
        raise S3Error("InvalidArgument", "A response header value cannot contain control characters.")
    return value if value.isascii() else value.encode().decode("latin-1")


async def delete_object(call: Call) -> Response:
    """DeleteObject."""
    await call.layer.delete_object(call.bucket, call.key, delete_condition(call.header))
    return Response(204)


async def delete_objects(call: Call) -> Response:
    """DeleteObjects."""
    headers = call.request.headers
    if headers.get("content-md5") is None and not any(
        name.startswith("x-amz-checksum-") or name == "x-amz-trailer" for name, _ in headers
    ):
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    node = parse(await call.document(), "Delete")
    entries = node.children("Object")
    if not 1 <= len(entries) <= DELETES_MAX:
        raise S3Error("MalformedXML")
    quiet = (node.child_text("Quiet") or "").strip().lower() == "true"
    results: list[str] = []
    targets = []
    for entry in entries:
        key = entry.child_text("Key")
        if not key:
            raise S3Error("MalformedXML")
        version = entry.child_text("VersionId")
        if version not in (None, "", "null"):
            results.append(_error(key, S3Error("NoSuchVersion")))
            continue
        targets.append(DeleteTarget(key, _entry_condition(entry)))
    outcomes = await call.layer.delete_objects(call.bucket, targets)
    for target, outcome in zip(targets, outcomes, strict=True):
        if outcome is not None:
            results.append(_error(target.key, s3_error(outcome)))
        elif not quiet:
            results.append(f"<Deleted>{element('Key', target.key)}</Deleted>")
    return document("DeleteResult", results)


def _entry_condition(entry: Node) -> WriteCondition | None:
    etags = parse_etags(entry.child_text("ETag"))
    size, modified = entry.child_text("Size"), entry.child_text("LastModifiedTime")
    if not etags and size is None and modified is None:
        return None
    return version_condition(etags, size, modified, "MalformedXML")


def _error(key: str, error: S3Error) -> str:
    return f"<Error>{element('Key', key)}{element('Code', error.code)}{element('Message', error.message)}</Error>"
