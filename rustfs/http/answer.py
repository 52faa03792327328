"""The head of an answer, as bytes; and how its body ends.

Whatever the server owns (Server, Date, Content-Length, Transfer-Encoding, Connection) is written here and nowhere
else. A field that would break the framing of the head is an error of whoever made it, and never leaves the process.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from rustfs.core.buffers import Buffer
from rustfs.http.messages import Response

SERVER = "RustFS"
_OWNED = frozenset({"server", "date", "content-length", "transfer-encoding", "connection"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Framing:
    """How the body of an answer is delimited on the wire (RFC 9112, 6.3)."""

    has_body: bool
    length_bytes: int | None  # what Content-Length says; None: no such header
    chunked: bool
    keep_alive: bool


def frame(response: Response, *, head_only: bool, http11: bool, keep_alive: bool) -> Framing:
    """Decide it. Raises ValueError for a body that contradicts its length, and for a status that is no final one."""
    if not 200 <= response.status <= 999:
        raise ValueError(f"{response.status} is not the status of an answer")
    length_bytes = response.length_bytes
    if isinstance(response.body, bytes):
        if length_bytes is None:
            length_bytes = len(response.body)
        elif not head_only and length_bytes != len(response.body):
            raise ValueError("an answer's body is not as long as its length_bytes says")
    if response.status in _BODILESS:
        return Framing(has_body=False, length_bytes=None, chunked=False, keep_alive=keep_alive)
    if head_only:
        return Framing(has_body=False, length_bytes=length_bytes, chunked=False, keep_alive=keep_alive)
    if length_bytes is not None:
        return Framing(has_body=True, length_bytes=length_bytes, chunked=False, keep_alive=keep_alive)
    # HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
    return Framing(has_body=True, length_bytes=None, chunked=http11, keep_alive=keep_alive and http11)


def render_head(response: Response, framing: Framing, *, http11: bool) -> bytes:
    """The head of an answer. Raises ValueError (UnicodeEncodeError among them) for a field that HTTP cannot carry."""
    fields = "".join([f"{_field_name(name)}{value}\r\n" for name, value in response.headers])
    count = len(response.headers)
    if fields.count("\r") != count or fields.count("\n") != count or "\0" in fields:
        raise ValueError("a header value of an answer holds a line break or NUL")
    length = "" if framing.length_bytes is None else f"Content-Length: {framing.length_bytes}\r\n"
    coding = "Transfer-Encoding: chunked\r\n" if framing.chunked else ""
    connection = ("" if http11 else "Connection: keep-alive\r\n") if framing.keep_alive else "Connection: close\r\n"
    return f"{_beginning(response.status, int(time.time()))}{fields}{length}{coding}{connection}\r\n".encode("latin-1")


@lru_cache(maxsize=1024)
def _field_name(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower() in _OWNED:
        raise ValueError(f"{name!r} is not a header that a handler may set")
    return f"{name}: "


@lru_cache(maxsize=32)
def _beginning(status: int, unix_seconds: int) -> str:
    """Cached for the second that it holds (RFC 9110, 6.6.1)."""
    date = formatdate(unix_seconds, usegmt=True)
    return f"HTTP/1.1 {status} {_phrase(status)}\r\nServer: {SERVER}\r\nDate: {date}\r\n"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def chunk(pieces: Iterable[Buffer], size_bytes: int) -> list[Buffer]:
    """One chunk of the chunked coding (RFC 9112, 7.1), unjoined."""
    return [b"%x\r\n" % size_bytes, *pieces, b"\r\n"]
