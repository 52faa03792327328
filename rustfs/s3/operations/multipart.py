"""Multipart uploads: create, upload, complete, abort, and the two listings."""

from rustfs.core.checksums import COMPOSITE_ALGORITHMS, FULL_OBJECT_ALGORITHMS
from rustfs.http.messages import Response
from rustfs.objects.types import (
    PART_BYTES_MAX,
    PART_COUNT_MAX,
    Checksum,
    CompletePart,
    CompleteSpec,
    ObjectInfo,
    UploadSpec,
)
from rustfs.s3.body import open_body
from rustfs.s3.call import NUMBER_MAX, Call
from rustfs.s3.checksums import (
    format_value,
    header_name,
    parse_algorithm,
    parse_object_value,
    parse_value,
    stated_value,
)
from rustfs.s3.conditions import write_condition
from rustfs.s3.errors import S3Error
from rustfs.s3.metadata import storage_class, system_headers, user_metadata
from rustfs.s3.numbers import whole_number
from rustfs.s3.operations.listing import text_of
from rustfs.s3.operations.objects import require_length
from rustfs.s3.sigv4 import canonical_path
from rustfs.s3.xmltext import Node, boolean, document, element, iso_time, parse

PARTS_PER_PAGE_MAX = 1000
UPLOADS_PER_PAGE_MAX = 1000


def part_number(call: Call) -> int:
    """The partNumber of the query. Raises S3Error InvalidArgument."""
    text = call.query.get("partNumber", "")
    number = whole_number(text) or 0
    if not 1 <= number <= PART_COUNT_MAX:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            details=(("ArgumentName", "partNumber"), ("ArgumentValue", text)),
        )
    return number


async def create_multipart_upload(call: Call) -> Response:
    """CreateMultipartUpload."""
    headers = call.request.headers
    algorithm = parse_algorithm(headers, "x-amz-checksum-algorithm") or ""
    kind = _checksum_type(call, algorithm)
    spec = UploadSpec(
        system_headers(headers), user_metadata(headers), storage_class(call), algorithm, kind == "COMPOSITE"
    )
    upload_id = await call.layer.create_upload(call.bucket, call.key, spec)
    answer = []
    if algorithm:
        answer = [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)]
    parts = [element("Bucket", call.bucket), element("Key", call.key), element("UploadId", upload_id)]
    return document("InitiateMultipartUploadResult", parts, headers=answer)


def _checksum_type(call: Call, algorithm: str) -> str:
    kind = (call.header("x-amz-checksum-type") or "").upper()
    if not algorithm:
        if kind:
            raise S3Error(
                "InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm."
            )
        return ""
    if not kind:
        return "COMPOSITE" if algorithm in COMPOSITE_ALGORITHMS else "FULL_OBJECT"
    allowed = {"COMPOSITE": COMPOSITE_ALGORITHMS, "FULL_OBJECT": FULL_OBJECT_ALGORITHMS}.get(kind)
    if allowed is None:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if algorithm not in allowed:
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
        )
    return kind


async def upload_part(call: Call) -> Response:
    """UploadPart."""
    number = part_number(call)
    upload_id = call.query["uploadId"]
    upload = await call.layer.head_upload(call.bucket, call.key, upload_id)
    body = open_body(call.request, call.authenticated, default_algorithm=upload.checksum_algorithm or None)
    require_length(call)
    if body.length_bytes is not None and body.length_bytes > PART_BYTES_MAX:
        raise S3Error("EntityTooLarge", details=(("ProposedSize", str(body.length_bytes)),))
    claimed = body.requested_algorithm
    if claimed and upload.checksum_algorithm and claimed != upload.checksum_algorithm:
        raise _mismatch(upload, claimed)
    part = await call.layer.upload_part(call.bucket, call.key, upload_id, number, body)
    headers = [("etag", f'"{part.etag}"')]
    if part.checksum is not None:
        headers.append((header_name(part.checksum.algorithm), format_value(part.checksum.value)))
    return Response(200, headers)


def _mismatch(upload: UploadSpec, claimed: str) -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"Checksum Type mismatch occurred, expected checksum Type: {upload.checksum_algorithm.lower() or 'null'}, "
        f"actual checksum Type: {claimed.lower()}",
    )


async def complete_multipart_upload(call: Call) -> Response:
    """CompleteMultipartUpload."""
    upload_id = call.query["uploadId"]
    condition = write_condition(call.request.headers.get)
    node = parse(await call.document(checksummed=False), "CompleteMultipartUpload")
    upload = await call.layer.head_upload(call.bucket, call.key, upload_id)
    parts = tuple(_part(entry, upload) for entry in node.children("Part"))
    if not 1 <= len(parts) <= PART_COUNT_MAX:
        raise S3Error("MalformedXML")
    size = call.header("x-amz-mp-object-size")
    size_bytes = None if size is None else whole_number(size)
    if size is not None and size_bytes is None:
        raise S3Error("InvalidArgument", "Value for x-amz-mp-object-size header is invalid.")
    spec = CompleteSpec(parts, condition, _claimed_checksum(call, upload), size_bytes)
    info = await call.layer.complete_upload(call.bucket, call.key, upload_id, spec)
    host = call.header("host") or ""
    result = [
        element("Location", f"{call.request.scheme}://{host}{canonical_path(call.request.path)}"),
        element("Bucket", call.bucket),
        element("Key", call.key),
        element("ETag", f'"{info.etag}"'),
        *_checksum_elements(info, len({part.number for part in parts})),  # a part may be named twice
    ]
    return document("CompleteMultipartUploadResult", result)


def _part(entry: Node, upload: UploadSpec) -> CompletePart:
    number, etag = whole_number((entry.child_text("PartNumber") or "").strip()), entry.child_text("ETag")
    if number is None or etag is None:
        raise S3Error("MalformedXML")
    checksum = None
    for child in entry.children():
        algorithm = child.name.removeprefix("Checksum")
        if algorithm != child.name and child.text:
            if algorithm != upload.checksum_algorithm:
                raise S3Error("InvalidPart" if upload.checksum_algorithm else "InvalidRequest")
            checksum = parse_value(algorithm, child.text)
    return CompletePart(number, etag.strip().strip('"'), checksum)


def _claimed_checksum(call: Call, upload: UploadSpec) -> Checksum | None:
    kind = (call.header("x-amz-checksum-type") or "").upper()
    if kind and upload.checksum_algorithm and (kind == "COMPOSITE") != upload.checksum_composite:
        was = "COMPOSITE" if upload.checksum_composite else "FULL_OBJECT"
        raise S3Error(
            "InvalidRequest", f"The upload was created using the {was} checksum mode; the complete request must use it."
        )
    stated = stated_value(call.request.headers)
    if stated is None:
        return None
    algorithm, text = stated
    if algorithm != upload.checksum_algorithm:
        raise _mismatch(upload, algorithm)
    value, count = parse_object_value(algorithm, text)
    return Checksum(algorithm, value, composite=count is not None)


def _checksum_elements(info: ObjectInfo, count: int) -> list[str]:
    checksum = info.checksum
    if checksum is None:
        return []
    return [
        element(f"Checksum{checksum.algorithm}", format_value(checksum.value, count if checksum.composite else None)),
        element("ChecksumType", "COMPOSITE" if checksum.composite else "FULL_OBJECT"),
    ]


async def abort_multipart_upload(call: Call) -> Response:
    """AbortMultipartUpload."""
    await call.layer.abort_upload(call.bucket, call.key, call.query["uploadId"])
    return Response(204)


async def list_parts(call: Call) -> Response:
    """ListParts."""
    write = text_of(call)
    limit = call.number("max-parts", PARTS_PER_PAGE_MAX, 0, PARTS_PER_PAGE_MAX)
    after = call.number("part-number-marker", 0, 0, NUMBER_MAX)
    upload_id = call.query["uploadId"]
    page = await call.layer.list_parts(call.bucket, call.key, upload_id, after, limit)
    upload = page.upload
    parts = [
        element("Bucket", call.bucket),
        f"<Key>{write(call.key)}</Key>",
        element("UploadId", upload_id),
        *_people(call),
        element("StorageClass", upload.storage_class),
        element("PartNumberMarker", after),
        element("NextPartNumberMarker", page.next_number if page.parts else 0),
        element("MaxParts", limit),
        f"<IsTruncated>{boolean(page.truncated)}</IsTruncated>",
        *_checksum_kind(upload.checksum_algorithm, composite=upload.checksum_composite),
    ]
    for part in page.parts:
        checksum = part.checksum
        digest = element(f"Checksum{checksum.algorithm}", format_value(checksum.value)) if checksum else ""
        parts.append(
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso_time(part.modified_ms)}</LastModified>"
            f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size_bytes}</Size>{digest}</Part>"
        )
    return document("ListPartsResult", parts)


async def list_multipart_uploads(call: Call) -> Response:
    """ListMultipartUploads."""
    write = text_of(call)
    limit = call.number("max-uploads", UPLOADS_PER_PAGE_MAX, 1, UPLOADS_PER_PAGE_MAX)
    names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
    prefix, delimiter, key_marker, id_marker = (call.query.get(name, "") for name in names)
    page = await call.layer.list_uploads(call.bucket, prefix, delimiter, key_marker, id_marker, limit)
    parts = [
        element("Bucket", call.bucket),
        f"<KeyMarker>{write(key_marker)}</KeyMarker>",
        element("UploadIdMarker", id_marker),
        f"<NextKeyMarker>{write(page.next_key)}</NextKeyMarker>" if page.truncated else "",
        element("NextUploadIdMarker", page.next_upload_id) if page.truncated else "",
        f"<Prefix>{write(prefix)}</Prefix>",
        f"<Delimiter>{write(delimiter)}</Delimiter>" if delimiter else "",
        "<EncodingType>url</EncodingType>" if call.query.get("encoding-type") else "",
        element("MaxUploads", limit),
        f"<IsTruncated>{boolean(page.truncated)}</IsTruncated>",
    ]
    people = "".join(_people(call))
    for upload in page.uploads:
        kind = "".join(_checksum_kind(upload.checksum_algorithm, composite=upload.checksum_composite))
        parts.append(
            f"<Upload><Key>{write(upload.key)}</Key>{element('UploadId', upload.upload_id)}{people}"
            f"{element('StorageClass', upload.storage_class)}"
            f"<Initiated>{iso_time(upload.initiated_ms)}</Initiated>{kind}</Upload>"
        )
    parts += [f"<CommonPrefixes><Prefix>{write(name)}</Prefix></CommonPrefixes>" for name in page.prefixes]
    return document("ListMultipartUploadsResult", parts)


def _people(call: Call) -> list[str]:
    root = call.owner
    who = f"{element('ID', root.owner_id)}{element('DisplayName', root.display_name)}"
    return [f"<Initiator>{who}</Initiator>", f"<Owner>{who}</Owner>"]


def _checksum_kind(algorithm: str, *, composite: bool) -> list[str]:
    if not algorithm:
        return []
    return [
        element("ChecksumAlgorithm", algorithm),
        element("ChecksumType", "COMPOSITE" if composite else "FULL_OBJECT"),
    ]
