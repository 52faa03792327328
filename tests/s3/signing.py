"""Requests for tests of the face: bodies that come in chosen pieces, signers that sign as clients do."""

import hashlib
from collections.abc import Sequence

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rustfs.core.buffers import Buffer
from rustfs.http.messages import Headers, Request
from rustfs.s3 import sigv4

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"


class FixedClock:
    """A clock that stands still."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def now_milliseconds(self) -> int:
        """See Clock."""
        return self.milliseconds

    def monotonic_seconds(self) -> float:
        """See Clock."""
        return self.milliseconds / 1000


class PiecedBody:
    """A body that arrives in the pieces given; then ends, or breaks with `error`."""

    def __init__(
        self, pieces: Sequence[Buffer], length_bytes: int | None = None, error: Exception | None = None
    ) -> None:
        self._pieces = [bytes(piece) for piece in pieces if len(piece)]
        self._error = error
        self.length_bytes = sum(map(len, self._pieces)) if length_bytes is None else length_bytes
        self.was_read = False

    async def read(self, limit_bytes: int) -> Buffer:
        """See RequestBody."""
        self.was_read = True
        if not self._pieces:
            if self._error is not None:
                raise self._error
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > limit_bytes:
            self._pieces.insert(0, piece[limit_bytes:])
        return piece[:limit_bytes]


def request_of(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]] | dict[str, str] = (),
    body: PiecedBody | None = None,
) -> Request:
    """A request for a path with an optional query."""
    path, _, query = target.partition("?")
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    return Request(
        method, path, query, Headers([(name.lower(), value) for name, value in pairs]), body or PiecedBody([])
    )


def sign_with_botocore(
    method: str, target: str, headers: dict[str, str], *, expires_seconds: int | None = None, payload: bytes = b""
) -> Request:
    """The request as botocore signs it now; with `expires_seconds`, presigned."""
    unsigned = AWSRequest(method, f"http://localhost:9000{target}", headers=dict(headers), data=payload)
    unsigned.context["payload_signing_enabled"] = True
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    if expires_seconds is None:
        S3SigV4Auth(credentials, "s3", REGION).add_auth(unsigned)
    else:
        S3SigV4QueryAuth(credentials, "s3", REGION, expires=expires_seconds).add_auth(unsigned)
    target = unsigned.url.removeprefix("http://localhost:9000")
    pairs = {"host": "localhost:9000", **{name.lower(): value for name, value in unsigned.headers.items()}}
    return request_of(method, target, pairs, PiecedBody([payload]))


def encode_chunks(
    parts: Sequence[bytes],
    *,
    key: bytes | None = None,
    timestamp: str = "",
    scope: str = "",
    seed: str = "",
    trailers: dict[str, str] | None = None,
    blank: bytes = b"",
    end: bytes = b"\r\n",
) -> bytes:
    """A body in aws-chunked coding, signed where there is a key; `blank` goes between trailers and their signature."""
    coded = bytearray()
    previous = seed
    for part in [*parts, b""]:
        coded += f"{len(part):x}".encode()
        if key is not None:
            previous = sigv4.chunk_signature(key, timestamp, scope, previous, hashlib.sha256(part).hexdigest())
            coded += f";chunk-signature={previous}".encode()
        coded += b"\r\n" + part + (b"\r\n" if part else b"")
    if trailers is not None:
        for name, value in trailers.items():
            coded += f"{name}:{value}\r\n".encode()
        coded += blank
        if key is not None:
            canonical = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()
            signature = sigv4.trailer_signature(key, timestamp, scope, previous, canonical)
            coded += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return bytes(coded + end)
