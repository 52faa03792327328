"""Preconditions of requests: those of reads are judged here (pure), those of writes only read from the headers.

Source: RFC 9110, 13.2.2 (precedence); Amazon S3 User Guide, "Conditional requests".
"""

import email.utils
from collections.abc import Callable
from datetime import UTC

from rustfs.objects.types import ObjectInfo, WriteCondition
from rustfs.s3.errors import S3Error
from rustfs.s3.metadata import wire_text
from rustfs.s3.numbers import whole_number
from rustfs.s3.xmltext import http_time

Lookup = Callable[[str], str | None]


def parse_etags(header: str | None) -> tuple[str, ...]:
    """The ETags of an If-Match or If-None-Match header, without quotes; "*" stands for any."""
    if header is None:
        return ()
    etags = (each.strip().removeprefix("W/") for each in header.split(","))
    return tuple(each.strip('"') for each in etags if each)


def parse_http_time(header: str | None) -> int | None:
    """Seconds since the epoch; None for what is no date (which HTTP ignores)."""
    if not header:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(header)
        if moment.tzinfo is None:  # the asctime form names no zone and means GMT (RFC 9110, 5.6.7)
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def check_read(info: ObjectInfo, header: Lookup) -> None:
    """Raises S3Error PreconditionFailed or NotModified."""
    modified = info.modified_ms // 1000
    if_match = parse_etags(header("if-match"))
    if if_match:
        if not _names(if_match, info.etag):
            raise _failed("If-Match")
    else:
        unmodified_since = parse_http_time(header("if-unmodified-since"))
        if unmodified_since is not None and modified > unmodified_since:
            raise _failed("If-Unmodified-Since")
    if_none_match = parse_etags(header("if-none-match"))
    if if_none_match:
        if _names(if_none_match, info.etag):
            raise _not_modified(info)
    else:
        modified_since = parse_http_time(header("if-modified-since"))
        if modified_since is not None and modified <= modified_since:
            raise _not_modified(info)


def range_applies(info: ObjectInfo, if_range: str | None) -> bool:
    """Whether a range is still of the version that If-Range names; if not, all of it is sent (RFC 9110, 13.1.5)."""
    if if_range is None or if_range.strip() == f'"{info.etag}"':
        return True
    return parse_http_time(if_range) == info.modified_ms // 1000


def check_copy_source(info: ObjectInfo, header: Lookup) -> None:
    """The x-amz-copy-source-if-… headers. Raises S3Error PreconditionFailed."""
    modified = info.modified_ms // 1000
    if_match = parse_etags(header("x-amz-copy-source-if-match"))
    if if_match:
        if not _names(if_match, info.etag):
            raise _failed("x-amz-copy-source-If-Match")
    else:
        unmodified_since = parse_http_time(header("x-amz-copy-source-if-unmodified-since"))
        if unmodified_since is not None and modified > unmodified_since:
            raise _failed("x-amz-copy-source-If-Unmodified-Since")
    if_none_match = parse_etags(header("x-amz-copy-source-if-none-match"))
    if if_none_match:
        if _names(if_none_match, info.etag):
            raise _failed("x-amz-copy-source-If-None-Match")
    else:
        modified_since = parse_http_time(header("x-amz-copy-source-if-modified-since"))
        if modified_since is not None and modified <= modified_since:
            raise _failed("x-amz-copy-source-If-Modified-Since")


def write_condition(header: Lookup) -> WriteCondition | None:
    """The precondition of a PutObject or CompleteMultipartUpload. Raises S3Error NotImplemented, InvalidArgument."""
    if_match = parse_etags(header("if-match"))
    if_none_match = parse_etags(header("if-none-match"))
    if not if_match and not if_none_match:
        return None
    if if_match and if_none_match:
        raise S3Error("NotImplemented", "If-Match and If-None-Match cannot be combined in a write.")
    return WriteCondition(if_match, if_none_match)


def delete_condition(header: Lookup) -> WriteCondition | None:
    """The precondition of a DeleteObject. Raises S3Error InvalidArgument."""
    if_match = parse_etags(header("if-match"))
    size = header("x-amz-if-match-size")
    modified = header("x-amz-if-match-last-modified-time")
    if not if_match and size is None and modified is None:
        return None
    return version_condition(if_match, size, modified, "InvalidArgument")


def version_condition(etags: tuple[str, ...], size: str | None, modified: str | None, refusal: str) -> WriteCondition:
    """The condition that a version has these ETags, this size and this time. Raises S3Error with code `refusal`."""
    size_bytes = None if size is None else whole_number(size)
    seconds = parse_http_time(modified)
    if (size is not None and size_bytes is None) or (modified is not None and seconds is None):
        raise S3Error(refusal, "The precondition's value is not valid.")
    return WriteCondition(
        etags,
        if_match_size_bytes=size_bytes,
        if_match_modified_ms=None if seconds is None else seconds * 1000,
    )


def _names(etags: tuple[str, ...], etag: str) -> bool:
    return "*" in etags or etag in etags


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", details=(("Condition", condition),))


def _not_modified(info: ObjectInfo) -> S3Error:
    """What a cache needs to renew what it has goes along (RFC 9110, 15.4.5)."""
    caching = [(name, wire_text(value)) for name, value in info.headers if name in ("cache-control", "expires")]
    modified = http_time(info.modified_ms // 1000)
    return S3Error("NotModified", headers=(("etag", f'"{info.etag}"'), ("last-modified", modified), *caching))
