"""What a request is about: its bucket, its key, and its query, by path or by host name.

Keys are taken literally: `//`, `..`, `.` and trailing slashes mean themselves, and nothing maps them to a file system.
Source: Amazon S3 User Guide, "Virtual hosting", "Bucket naming rules", "Creating object key names".
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from rustfs.http.messages import Request
from rustfs.s3.errors import S3Error

KEY_BYTES_MAX = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_RESERVED_NAMES = frozenset({"rustfs", "minio"})


@dataclass(frozen=True, slots=True)
class Address:
    """Bucket and key as text; both empty for requests to the service, the key for requests to a bucket."""

    bucket: str
    key: str
    query: dict[str, str]  # decoded; the last value of a repeated name counts


def address_of(request: Request, domains: Sequence[str]) -> Address:
    """Read a request's address. Raises S3Error InvalidURI, KeyTooLongError."""
    path = request.path[1:]
    bucket = bucket_by_host(request, domains)
    if bucket:
        key = path
    else:
        bucket, _, key = path.partition("/")
        bucket = _decoded(bucket)
    key = _decoded(key)
    if len(key.encode()) > KEY_BYTES_MAX:
        raise S3Error(
            "KeyTooLongError", details=(("Size", str(len(key.encode()))), ("MaxSizeAllowed", str(KEY_BYTES_MAX)))
        )
    return Address(bucket, key, parse_query(request.query))


def parse_query(query: str) -> dict[str, str]:
    """A query string's parameters; a name without "=" has the value "". Raises S3Error InvalidURI."""
    if not query:
        return {}
    found = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found[_decoded(name.replace("+", " "))] = _decoded(value.replace("+", " "))
    return found


def _decoded(text: str) -> str:
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None


def bucket_by_host(request: Request, domains: Sequence[str]) -> str:
    """The bucket that the Host header names; "" for a request in path style."""
    name = (request.headers.get("host") or "").lower() if domains else ""
    if not name.endswith("]"):
        name = name.rpartition(":")[0] if re.search(r":\d+$", name) else name
    for domain in domains:
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
    return ""


def check_new_bucket_name(name: str) -> None:
    """The rules for buckets to be made. Raises S3Error InvalidBucketName."""
    good = (
        _BUCKET.fullmatch(name) is not None
        and not any(edge in name for edge in ("..", ".-", "-."))  # each label has to be one of a host name
        and not name.startswith(_RESERVED_PREFIXES)
        and not name.endswith(_RESERVED_SUFFIXES)
        and name not in _RESERVED_NAMES
        and not _is_address(name)
    )
    if not good:
        raise S3Error("InvalidBucketName", details=(("BucketName", name),))


def _is_address(name: str) -> bool:
    if name.count(".") != 3:
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return bool(re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name))
    return True


def can_exist(bucket: str) -> bool:
    """Whether a bucket of this name can have been made."""
    return _BUCKET.fullmatch(bucket) is not None
