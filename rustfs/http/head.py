"""The head of a request: from the wire's bytes to its target, its fields and how its body is framed.

A head is parsed in one go, when its last byte has come, by a parser of its own (llhttp, through httptools, in its
strict mode): making one costs less than half a microsecond, and no state can leak from one message into the next.
Bodies never pass through that parser, which would copy them. What it tolerates and RFC 9112 does not is refused here,
above all whatever could make another server see a different end of the message.
"""

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import httptools

from rustfs.http.messages import Headers, HttpError

_VERSIONS = {b" HTTP/1.1": True, b" HTTP/1.0": False}
_LENGTH_DIGITS_MAX = 18  # fits in 63 bits, and no object is near that


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head; see rustfs.http.messages.Request for the forms of path, query and headers."""

    method: str
    path: str
    query: str
    headers: Headers
    http11: bool  # else HTTP/1.0
    keep_alive: bool  # as far as the client is concerned
    length_bytes: int | None  # of the body; None where it is chunked
    expects_continue: bool


class _Fields:
    """What the parser calls back with."""

    __slots__ = ("complete", "pairs", "target")

    def __init__(self) -> None:
        self.target = b""
        self.pairs: list[tuple[str, str]] = []
        self.complete = False

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((_lower(name), value.rstrip(b" \t").decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.complete = True


@lru_cache(maxsize=1024)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def parse_head(head: bytes) -> Head:
    """Read a head that starts with its request line and ends with its empty line.

    Raises HttpError: 400 for what breaks the grammar or the rules of RFC 9112,
    501 for a method or a transfer coding unknown here, 505 for another version of HTTP.
    """
    line_end = head.find(b"\r\n")
    http11 = _VERSIONS.get(head[max(0, line_end - 9) : line_end])
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # an offer to change protocols, which any server may decline by ignoring it (RFC 9110, 7.8)
    except httptools.HttpParserInvalidMethodError as error:
        raise HttpError(HTTPStatus.NOT_IMPLEMENTED, "unknown method") from error
    except httptools.HttpParserError as error:
        # The parser refuses transfer codings other than chunked only after the fields, which are read below.
        if not fields.complete:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"malformed request: {error}") from error
    if http11 is None:
        raise HttpError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "the version of HTTP has to be 1.1 or 1.0")
    if not fields.complete:
        raise HttpError(HTTPStatus.BAD_REQUEST, "malformed request head")
    method = parser.get_method().decode("ascii")
    headers = Headers(fields.pairs)
    path, query = _split_target(method, fields.target.decode("latin-1"))
    _check_host(headers, http11=http11)
    length_bytes = _body_length(headers, http11=http11)
    return Head(
        method,
        path,
        query,
        headers,
        http11,
        _keep_alive(headers, http11=http11),
        length_bytes,
        _expects_continue(headers, http11=http11) and length_bytes != 0,
    )


def _split_target(method: str, target: str) -> tuple[str, str]:
    """Path and query of a request target (RFC 9112, 3.2): origin form, absolute form, or the asterisk of OPTIONS."""
    if target == "*" and method == "OPTIONS":
        return "/", ""  # asks about the server as a whole, which is what the root of the paths stands for
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        scheme, separator, rest = path.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise HttpError(HTTPStatus.BAD_REQUEST, "the request target has to be a path or an absolute URL")
        path = "/" + rest.partition("/")[2]
    return path, query


def _check_host(headers: Headers, *, http11: bool) -> None:
    """RFC 9112, 3.2: exactly one Host in HTTP/1.1."""
    count = 0 if "host" not in headers else len(headers.get_all("host"))
    if count > 1 or (http11 and count == 0):
        raise HttpError(HTTPStatus.BAD_REQUEST, "a request has exactly one Host header")


def _body_length(headers: Headers, *, http11: bool) -> int | None:
    """RFC 9112, 6.3. Both framings at once, and lengths that disagree, are how requests are smuggled."""
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None or not http11:
            raise HttpError(HTTPStatus.BAD_REQUEST, "Transfer-Encoding together with Content-Length or HTTP/1.0")
        if coding.lower() != "chunked" or len(headers.get_all("transfer-encoding")) > 1:
            raise HttpError(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding here is chunked")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()) or len(length) > _LENGTH_DIGITS_MAX:
        raise HttpError(HTTPStatus.BAD_REQUEST, "malformed Content-Length")
    if len(headers.get_all("content-length")) > 1:
        raise HttpError(HTTPStatus.BAD_REQUEST, "more than one Content-Length")
    return int(length)


def _keep_alive(headers: Headers, *, http11: bool) -> bool:
    """RFC 9112, 9.3."""
    if "connection" not in headers:
        return http11
    options = {option.strip().lower() for value in headers.get_all("connection") for option in value.split(",")}
    return "close" not in options and (http11 or "keep-alive" in options)


def _expects_continue(headers: Headers, *, http11: bool) -> bool:
    """RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored."""
    expectation = headers.get("expect")
    if expectation is None or not http11:
        return False
    return expectation.lower() == "100-continue"  # S3 passes over what it does not know
