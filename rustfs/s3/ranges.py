"""The Range header: pure arithmetic (RFC 9110, 14.1.2; S3 serves one range, and ignores what it cannot read)."""

import re
from typing import NamedTuple

from rustfs.s3.errors import S3Error

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,20})\s*-\s*(\d{0,20})\s*", re.IGNORECASE | re.ASCII)


class ByteRange(NamedTuple):
    """Bytes [start, end) of an object, and whether it was asked for as a range."""

    start: int
    end: int
    partial: bool


def requested_range(header: str | None, size_bytes: int) -> ByteRange:
    """The bytes to send. Raises S3Error InvalidRange."""
    match = _RANGE.fullmatch(header) if header else None
    if match is None or not (match[1] or match[2]):
        return ByteRange(0, size_bytes, partial=False)
    if not match[1]:
        length = int(match[2])
        if length == 0 or size_bytes == 0:
            raise unsatisfiable(header or "", size_bytes)
        return ByteRange(max(0, size_bytes - length), size_bytes, partial=True)
    start = int(match[1])
    end = int(match[2]) + 1 if match[2] else size_bytes
    if end <= start and match[2]:
        return ByteRange(0, size_bytes, partial=False)  # not a range at all: ignored
    if start >= size_bytes:
        raise unsatisfiable(header or "", size_bytes)
    return ByteRange(start, min(end, size_bytes), partial=True)


def unsatisfiable(header: str, size_bytes: int) -> S3Error:
    """The error for a range outside the object."""
    return S3Error(
        "InvalidRange",
        details=(("RangeRequested", header), ("ActualObjectSize", str(size_bytes))),
        headers=(("content-range", f"bytes */{size_bytes}"),),
    )


def copy_range(header: str, size_bytes: int) -> tuple[int, int]:
    """Bytes [start, end) of x-amz-copy-source-range. Raises S3Error InvalidArgument, InvalidRange."""
    match = re.fullmatch(r"bytes=(\d{1,20})-(\d{1,20})", header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            details=(("ArgumentName", "x-amz-copy-source-range"), ("ArgumentValue", header)),
        )
    start, end = int(match[1]), int(match[2]) + 1
    if end > size_bytes:
        raise S3Error(
            "InvalidRange",
            f"Range specified is not valid for source object of size: {size_bytes}",
        )
    return start, end
