"""ListObjects (both versions), and ListObjectVersions over a store whose versions are all current."""

import base64
from collections.abc import Callable
from urllib.parse import quote

from rustfs.http.messages import Response
from rustfs.objects.types import ListedObject, ListPage
from rustfs.s3.call import Call
from rustfs.s3.errors import S3Error
from rustfs.s3.xmltext import boolean, document, element, escape, iso_time

KEYS_MAX = 1000


def text_of(call: Call) -> Callable[[str], str]:
    """How keys are written in this listing. Raises S3Error InvalidArgument."""
    encoding = call.query.get("encoding-type")
    if encoding is None or encoding == "":
        return escape
    if encoding.lower() != "url":
        raise S3Error(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            details=(("ArgumentName", "encoding-type"), ("ArgumentValue", encoding)),
        )
    return lambda key: quote(key, safe="/")


async def list_objects(call: Call) -> Response:
    """ListObjects."""
    write = text_of(call)
    limit = call.number("max-keys", KEYS_MAX, 0, KEYS_MAX)
    prefix, delimiter, marker = (call.query.get(name, "") for name in ("prefix", "delimiter", "marker"))
    page = await call.layer.list_objects(call.bucket, prefix, delimiter, marker, limit)
    parts = [
        element("Name", call.bucket),
        f"<Prefix>{write(prefix)}</Prefix><Marker>{write(marker)}</Marker>",
        f"<MaxKeys>{limit}</MaxKeys>",
        f"<Delimiter>{write(delimiter)}</Delimiter>" if delimiter else "",
        _encoding(call),
        f"<IsTruncated>{boolean(page.truncated)}</IsTruncated>",
        f"<NextMarker>{write(page.next_after)}</NextMarker>" if page.truncated and delimiter else "",
        *_contents(call, page, write, with_owner=True),
    ]
    return document("ListBucketResult", parts)


async def list_objects_v2(call: Call) -> Response:
    """ListObjectsV2."""
    write = text_of(call)
    limit = call.number("max-keys", KEYS_MAX, 0, KEYS_MAX)
    prefix, delimiter, start_after = (call.query.get(name, "") for name in ("prefix", "delimiter", "start-after"))
    token = call.query.get("continuation-token")
    after = _parse_token(token) if token else start_after
    page = await call.layer.list_objects(call.bucket, prefix, delimiter, after, limit)
    parts = [
        element("Name", call.bucket),
        f"<Prefix>{write(prefix)}</Prefix>",
        f"<MaxKeys>{limit}</MaxKeys><KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount>",
        f"<Delimiter>{write(delimiter)}</Delimiter>" if delimiter else "",
        f"<StartAfter>{write(start_after)}</StartAfter>" if start_after else "",
        element("ContinuationToken", token) if token is not None else "",
        _encoding(call),
        f"<IsTruncated>{boolean(page.truncated)}</IsTruncated>",
        element("NextContinuationToken", _token(page.next_after)) if page.truncated else "",
        *_contents(call, page, write, with_owner=call.query.get("fetch-owner") == "true"),
    ]
    return document("ListBucketResult", parts)


def _token(after: str) -> str:
    return base64.urlsafe_b64encode(b"1" + after.encode()).decode()


def _parse_token(token: str) -> str:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        if raw[:1] == b"1":
            return raw[1:].decode()
    except ValueError:
        pass
    raise S3Error(
        "InvalidArgument",
        "The continuation token provided is incorrect",
        details=(("ArgumentName", "continuation-token"),),
    )


def _encoding(call: Call) -> str:
    return "<EncodingType>url</EncodingType>" if call.query.get("encoding-type") else ""


def _contents(call: Call, page: ListPage, write: Callable[[str], str], *, with_owner: bool) -> list[str]:
    owner = ""
    if with_owner:
        root = call.owner
        owner = f"<Owner>{element('ID', root.owner_id)}{element('DisplayName', root.display_name)}</Owner>"
    rows = [f"<Contents><Key>{write(each.key)}</Key>{_facts(each)}{owner}</Contents>" for each in page.objects]
    rows += [f"<CommonPrefixes><Prefix>{write(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes]
    return rows


def _facts(each: ListedObject) -> str:
    checksum = ""
    if each.checksum_algorithm:
        kind = "COMPOSITE" if each.checksum_composite else "FULL_OBJECT"
        checksum = (
            f"<ChecksumAlgorithm>{each.checksum_algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
        )
    return (
        f"<LastModified>{iso_time(each.modified_ms)}</LastModified><ETag>&quot;{each.etag}&quot;</ETag>{checksum}"
        f"<Size>{each.size_bytes}</Size><StorageClass>{each.storage_class}</StorageClass>"
    )


async def list_object_versions(call: Call) -> Response:
    """ListObjectVersions: every object is its only version, "null", as in a bucket that was never versioned."""
    write = text_of(call)
    limit = call.number("max-keys", KEYS_MAX, 0, KEYS_MAX)
    prefix, delimiter, marker = (call.query.get(name, "") for name in ("prefix", "delimiter", "key-marker"))
    page = await call.layer.list_objects(call.bucket, prefix, delimiter, marker, limit)
    root = call.owner
    owner = f"<Owner>{element('ID', root.owner_id)}{element('DisplayName', root.display_name)}</Owner>"
    parts = [
        element("Name", call.bucket),
        f"<Prefix>{write(prefix)}</Prefix><KeyMarker>{write(marker)}</KeyMarker><VersionIdMarker></VersionIdMarker>",
        f"<MaxKeys>{limit}</MaxKeys>",
        f"<Delimiter>{write(delimiter)}</Delimiter>" if delimiter else "",
        _encoding(call),
        f"<IsTruncated>{boolean(page.truncated)}</IsTruncated>",
    ]
    if page.truncated:
        parts.append(f"<NextKeyMarker>{write(page.next_after)}</NextKeyMarker>")
        parts.append("<NextVersionIdMarker>null</NextVersionIdMarker>")
    parts += [
        f"<Version><Key>{write(each.key)}</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>"
        f"{_facts(each)}{owner}</Version>"
        for each in page.objects
    ]
    parts += [f"<CommonPrefixes><Prefix>{write(name)}</Prefix></CommonPrefixes>" for name in page.prefixes]
    return document("ListVersionsResult", parts)
