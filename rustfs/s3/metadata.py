"""An object's metadata between headers and the object layer.

User metadata that is not ASCII comes as UTF-8 bytes or as RFC 2047 words and goes back as RFC 2047 words, as S3 does it
(User Guide, "Working with object metadata").
"""

import base64
import email.errors
import email.header

from rustfs.erasure.parity import STANDARD
from rustfs.http.messages import Headers
from rustfs.objects.types import ObjectInfo, Pairs
from rustfs.s3.call import Call
from rustfs.s3.checksums import format_value, header_name
from rustfs.s3.errors import S3Error
from rustfs.s3.xmltext import http_time

USER_PREFIX = "x-amz-meta-"
USER_BYTES_MAX = 2048
DEFAULT_TYPE = "binary/octet-stream"
SYSTEM_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
)
RESPONSE_OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}


def system_headers(headers: Headers) -> Pairs:
    """The headers that are kept with an object."""
    kept = []
    for name in SYSTEM_HEADERS:
        value = headers.get(name)
        if name == "content-encoding" and value is not None and "aws-chunked" in value.lower():
            codings = [coding.strip() for coding in value.split(",")]
            value = ", ".join(coding for coding in codings if coding.lower() != "aws-chunked") or None
        if value is not None:
            kept.append((name, _text(value)))
    redirect = headers.get("x-amz-website-redirect-location")
    if redirect is not None and not redirect.startswith(("/", "http://", "https://")):
        raise S3Error(
            "InvalidRequest", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        )
    return tuple(kept)


def user_metadata(headers: Headers) -> Pairs:
    """The x-amz-meta-… headers; repeated ones are joined. Raises S3Error MetadataTooLarge."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(USER_PREFIX):
            name = name[len(USER_PREFIX) :]  # noqa: PLW2901 -- the prefix is of no more use
            text = _decoded_words(_text(value))
            found[name] = f"{found[name]},{text}" if name in found else text
    size = sum(len(name.encode()) + len(value.encode()) for name, value in found.items())
    if size > USER_BYTES_MAX:
        raise S3Error("MetadataTooLarge", details=(("Size", str(size)), ("MaxSizeAllowed", str(USER_BYTES_MAX))))
    return tuple(found.items())


def storage_class(call: Call) -> str:
    """The storage class asked for. Raises S3Error InvalidStorageClass."""
    name = call.header("x-amz-storage-class") or STANDARD
    if name not in call.environment.storage_classes:
        raise S3Error("InvalidStorageClass", details=(("StorageClassRequested", name),))
    return name


def object_headers(info: ObjectInfo, *, with_checksum: bool) -> list[tuple[str, str]]:
    """The headers that describe an object in answer to GetObject and HeadObject."""
    headers = [
        ("last-modified", http_time(info.modified_ms // 1000)),
        ("etag", f'"{info.etag}"'),
        ("accept-ranges", "bytes"),
    ]
    named = dict(info.headers)
    headers.append(("content-type", wire_text(named.pop("content-type", DEFAULT_TYPE))))
    headers += [(name, wire_text(value)) for name, value in named.items()]
    headers += [(USER_PREFIX + name, _encoded_words(value)) for name, value in info.user_metadata]
    if info.storage_class != STANDARD:
        headers.append(("x-amz-storage-class", info.storage_class))
    if with_checksum:
        headers += checksum_headers(info)
    return headers


def checksum_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """The object's checksum, and of what kind it is."""
    checksum = info.checksum
    if checksum is None:
        return []
    count = len(info.parts) if checksum.composite and info.parts else None
    return [
        (header_name(checksum.algorithm), format_value(checksum.value, count)),
        ("x-amz-checksum-type", "COMPOSITE" if checksum.composite else "FULL_OBJECT"),
    ]


def part_checksum_headers(info: ObjectInfo, number: int) -> list[tuple[str, str]]:
    """A part's checksum, in answer to a request for that part alone."""
    for part in info.parts:
        if part.number == number and part.checksum is not None and info.checksum is not None:
            kind = "COMPOSITE" if info.checksum.composite else "FULL_OBJECT"
            value = format_value(part.checksum.value)
            return [(header_name(part.checksum.algorithm), value), ("x-amz-checksum-type", kind)]
    return []


def _text(value: str) -> str:
    """A header's value as UTF-8 where it is that, else as the Latin-1 it was read as."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def wire_text(text: str) -> str:
    """Text as a header's value can carry it: UTF-8 bytes, read as Latin-1."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _decoded_words(text: str) -> str:
    if "=?" not in text:
        return text
    try:
        decoded = str(email.header.make_header(email.header.decode_header(text)))
        decoded.encode()  # some charsets hold lone surrogates, which nothing can store
    except (ValueError, LookupError, email.errors.MessageError):
        return text
    return decoded


def _encoded_words(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="
