"""Checksums as S3 requests and responses write them: header names, base64 values, names of algorithms.

Source: S3 User Guide, "Checking object integrity", and the headers of PutObject. What a client claims of a body is
collected here, before a byte of it is read, so that a request that contradicts itself costs no upload.
"""

import binascii
from base64 import b64encode
from dataclasses import dataclass

from rustfs.core.checksums import ALGORITHMS, DIGEST_BYTES
from rustfs.http.messages import Headers
from rustfs.s3.errors import S3Error

PREFIX = "x-amz-checksum-"
SDK_ALGORITHM = "x-amz-sdk-checksum-algorithm"
HEADERS = {f"{PREFIX}{algorithm.lower()}": algorithm for algorithm in ALGORITHMS}
# Headers that share the prefix and carry no value.
_NOT_VALUES = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"})


@dataclass(frozen=True, slots=True)
class ChecksumClaim:
    """What a request says of its body's checksum.

    With `trailer` the value comes behind the body; without `algorithm` the client claims nothing.
    """

    algorithm: str | None = None
    value: bytes | None = None
    trailer: bool = False


NO_CLAIM = ChecksumClaim()


def header_name(algorithm: str) -> str:
    """The header (and trailer) of an algorithm's value."""
    return f"{PREFIX}{algorithm.lower()}"


def format_value(value: bytes, part_count: int | None = None) -> str:
    """A digest as responses show it; a composite one names its number of parts."""
    text = b64encode(value).decode()
    return text if part_count is None else f"{text}-{part_count}"


def parse_value(algorithm: str, text: str, *, trailer: bool = False) -> bytes:
    """The digest that a header, trailer or XML element states. Raises S3Error InvalidRequest."""
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        value = b""
    if len(value) != DIGEST_BYTES[algorithm]:
        what = "trailing header" if trailer else "header"
        raise S3Error("InvalidRequest", f"Value for {header_name(algorithm)} {what} is invalid.")
    return value


def parse_object_value(algorithm: str, text: str) -> tuple[bytes, int | None]:
    """A multipart object's checksum as CompleteMultipartUpload states it: digest, and number of parts if given.

    Raises S3Error InvalidRequest.
    """
    value, dash, count = text.partition("-")  # base64 has no dash
    if not dash:
        return parse_value(algorithm, text), None
    if not (count.isascii() and count.isdigit() and len(count) <= 5):
        raise S3Error("InvalidRequest", f"Value for {header_name(algorithm)} header is invalid.")
    return parse_value(algorithm, value), int(count)


def parse_algorithm(headers: Headers, header: str) -> str | None:
    """The algorithm that a header names, None where there is no such header. Raises S3Error InvalidRequest."""
    text = headers.get(header)
    if text is None:
        return None
    algorithm = text.upper()
    if algorithm in DIGEST_BYTES:
        return algorithm
    if header == SDK_ALGORITHM:
        raise S3Error("InvalidRequest", f"Value for {header} header is invalid.")
    raise S3Error(
        "InvalidRequest",
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
        f"[{', '.join(ALGORITHMS)}]",
    )


def stated_value(headers: Headers) -> tuple[str, str] | None:
    """Algorithm and text of the header that states a checksum. Raises S3Error InvalidRequest for several or unknown."""
    stated = [(name, value) for name, value in headers if name.startswith(PREFIX) and name not in _NOT_VALUES]
    if not stated:
        return None
    if len(stated) > 1:
        raise _several()
    name, text = stated[0]
    return _known(name), text


def _several() -> S3Error:
    return S3Error(
        "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    )


def parse_claim(headers: Headers) -> ChecksumClaim:
    """What the headers of an upload claim of its bytes. Raises S3Error InvalidRequest."""
    stated = stated_value(headers)
    trailers = _announced(headers)
    if len(trailers) + (stated is not None) > 1:
        raise _several()
    claim = NO_CLAIM
    if stated is not None:
        algorithm, text = stated
        claim = ChecksumClaim(algorithm, parse_value(algorithm, text))
    elif trailers:
        claim = ChecksumClaim(_known(trailers[0]), trailer=True)
    for header in (SDK_ALGORITHM, "x-amz-checksum-algorithm"):
        named = parse_algorithm(headers, header)
        if named is None:
            continue
        if claim.algorithm is None:
            raise S3Error(
                "InvalidRequest",
                f"{header} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
            )
        if claim.algorithm != named:
            raise S3Error("InvalidRequest", f"Value for {header} header is invalid.")
    return claim


def _known(name: str) -> str:
    algorithm = HEADERS.get(name)
    if algorithm is None:
        raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    return algorithm


def _announced(headers: Headers) -> list[str]:
    """Names in x-amz-trailer; only checksums may trail."""
    if "x-amz-trailer" not in headers:
        return []
    names = [name.strip().lower() for line in headers.get_all("x-amz-trailer") for name in line.split(",")]
    names = [name for name in names if name]
    if any(name not in HEADERS for name in names):
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return names
