"""Requests and responses as the server hands them to a handler and takes them back.

Header names are lower case; header values are the wire's bytes read as Latin-1, which loses nothing: who expects UTF-8
encodes back and decodes. The path and the query are as they came, percent-encoding and all, because signatures are
over these bytes.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from rustfs.core.buffers import Buffer

Pieces: TypeAlias = AsyncIterator[Buffer | Sequence[Buffer]]


class HttpError(Exception):
    """A request that HTTP itself refuses; the connection is closed after the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BodyBroken(HttpError):
    """The rest of a body will not come: the client went away, stalled, or broke the transfer coding."""


class Headers:
    """Header fields in order of arrival; names in lower case, looked up by name."""

    __slots__ = ("_first", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(pairs)
        self._first: dict[str, str] = {}
        for name, value in self._pairs:
            self._first.setdefault(name, value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of a header, by its lower-case name."""
        return self._first.get(name, default)

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for known, value in self._pairs if known == name]

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(name, value) pairs in order of arrival."""
        return iter(self._pairs)


class RequestBody(Protocol):
    """The bytes of a request, rid of HTTP's transfer coding, pulled by one task."""

    @property
    def length_bytes(self) -> int | None:
        """Content-Length; 0 where the request has no body; None for Transfer-Encoding: chunked."""

    async def read(self, limit_bytes: int) -> Buffer:
        """The next piece, at most `limit_bytes`; b"" at the end.

        The first call answers `Expect: 100-continue`; a handler that never reads lets the client keep its bytes.
        Raises BodyBroken (408 for a stalled client, 400 for broken framing or an early end).
        """


@dataclass(slots=True)
class Request:
    """One request; `body` is read by the handler, or drained (within limits) or cut off after its answer."""

    method: str
    path: str  # as sent, percent-encoded, always starting with "/"
    query: str  # as sent, without "?"; "" where there is none
    headers: Headers
    body: RequestBody
    peer: str = ""  # address of the client
    started_seconds: float = 0.0  # monotonic, when the head was complete
    scheme: str = "http"  # or "https": how the client reached this server


@dataclass(slots=True)
class Response:
    """An answer. Content-Length, Date, Connection and Server are the server's business; all else is in `headers`."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | Pieces = b""
    length_bytes: int | None = None  # of streamed pieces, or what Content-Length says in answer to HEAD
    close: bool = False  # end the connection after this answer
    # Called once when the answer has been sent, or failed: bytes of body sent, and whether that was all.
    finished: Callable[[int, bool], None] | None = None
