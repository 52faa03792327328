"""GetObjectAttributes."""

from rustfs.http.messages import Response
from rustfs.objects.types import ObjectInfo
from rustfs.s3.call import Call
from rustfs.s3.checksums import format_value
from rustfs.s3.errors import S3Error
from rustfs.s3.numbers import whole_number
from rustfs.s3.xmltext import boolean, document, element, http_time

KNOWN = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
PARTS_MAX = 1000


async def get_object_attributes(call: Call) -> Response:
    """GetObjectAttributes."""
    wanted = {
        name.strip() for value in call.request.headers.get_all("x-amz-object-attributes") for name in value.split(",")
    }
    if not wanted or not wanted <= KNOWN:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.")
    limit = _number(call.header("x-amz-max-parts"), PARTS_MAX)
    after = _number(call.header("x-amz-part-number-marker"), 0)
    info = await call.layer.head_object(call.bucket, call.key)
    parts = []
    if "ETag" in wanted:
        parts.append(element("ETag", info.etag))
    if "Checksum" in wanted and info.checksum is not None:
        checksum = info.checksum
        count = len(info.parts) if checksum.composite else None
        kind = "COMPOSITE" if checksum.composite else "FULL_OBJECT"
        value = element(f"Checksum{checksum.algorithm}", format_value(checksum.value, count))
        parts.append(f"<Checksum>{value}{element('ChecksumType', kind)}</Checksum>")
    if "ObjectParts" in wanted and info.parts:
        parts.append(_object_parts(info, after, min(limit, PARTS_MAX)))
    if "StorageClass" in wanted:
        parts.append(element("StorageClass", info.storage_class))
    if "ObjectSize" in wanted:
        parts.append(element("ObjectSize", info.size_bytes))
    modified = ("last-modified", http_time(info.modified_ms // 1000))
    return document("GetObjectAttributesResponse", parts, headers=[modified])


def _object_parts(info: ObjectInfo, after: int, limit: int) -> str:
    text = f"<PartsCount>{len(info.parts)}</PartsCount>"
    rest = [part for part in info.parts if part.number > after]
    shown = rest[:limit]
    text += element("PartNumberMarker", after)
    text += element("NextPartNumberMarker", shown[-1].number if shown else after)
    text += element("MaxParts", limit) + f"<IsTruncated>{boolean(len(rest) > limit)}</IsTruncated>"
    for part in shown:
        checksum = part.checksum
        value = element(f"Checksum{checksum.algorithm}", format_value(checksum.value)) if checksum else ""
        text += f"<Part>{element('PartNumber', part.number)}{element('Size', part.size_bytes)}{value}</Part>"
    return f"<ObjectParts>{text}</ObjectParts>"


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    number = whole_number(text)
    if number is None:
        raise S3Error("InvalidArgument", "Provided argument is not a number.")
    return number
