"""The aws-chunked coding: chunks of a body, each perhaps signed, and trailing headers. Without I/O.

Sources: S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks" and "Including Trailing Headers".

    hex-size[;chunk-signature=hex] CRLF data CRLF  …  0[;chunk-signature=hex] CRLF [trailer CRLF]… CRLF

Framing and digesting are apart: the decoder finds the data in what the network brought, copying none of it, on the
event loop; the verifier digests the same bytes in order, in a worker thread, some way behind. Data is thus handed on
before its chunk's signature is known to be right. That is sound because nothing of an upload becomes visible before it
is settled.

Clients end differently, with a blank line more or less (botocore, minio-go, the examples of S3 itself), so what follows
the last chunk is read as lines, of which blank ones mean nothing.
"""

import hashlib
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from rustfs.core.buffers import Buffer
from rustfs.s3 import sigv4
from rustfs.s3.errors import S3Error

HEADER_BYTES_MAX = 1024
TRAILER_BYTES_MAX = 8 << 10
CHUNK_BYTES_MAX = 5 << 30
SIGNED_CHUNK_BYTES_MIN = 8 << 10  # S3's rule, which also bounds what each block in flight may cost

_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[ \t]*chunk-signature=([0-9A-Fa-f]{64}))?[ \t]*").fullmatch
_TRAILER_NAME = re.compile(r"[a-z0-9-]+").fullmatch
TRAILER_SIGNATURE = "x-amz-trailer-signature"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as its header announces it."""

    size_bytes: int
    signature: str  # "" where chunks are not signed


class ChunkDecoder:
    """Takes the coded body in pieces of any size, gives the data in it.

    `chunks` fills with the chunks met, for a verifier to take them from; it holds nothing where chunks are not signed.
    """

    def __init__(self, decoded_bytes: int, *, signed: bool, trailers: bool) -> None:
        self._decoded_bytes = decoded_bytes
        self._signed = signed
        self._may_trail = trailers
        self._announced_bytes = 0  # of data, in all chunks met
        self._left_bytes = 0  # of data, in this chunk
        self._small = False  # this chunk must be the last one with data
        self._after_data = False  # CRLF is due
        self._ended = False  # the last chunk's header was met
        self._partial = b""  # of a header line, or of what follows the last chunk
        self.chunks: deque[Chunk] = deque()
        self.trailers: dict[str, str] = {}
        self.trailer_signature = ""

    def feed(self, data: Buffer) -> list[memoryview]:
        """The data in the next piece of the coded body, as views of it.

        Raises S3Error: IncompleteBody for more data than declared, InvalidRequest for broken framing,
        InvalidChunkSizeError.
        """
        view = memoryview(data)
        pieces: list[memoryview] = []
        position = 0
        while position < len(view):
            if self._ended:
                self._trail(bytes(view[position:]))
                break
            if self._left_bytes:
                piece = view[position : position + self._left_bytes]
                pieces.append(piece)
                position += len(piece)
                self._left_bytes -= len(piece)
            else:
                position = self._line(view, position)
        return pieces

    def finish(self) -> None:
        """The coded body has ended: read its trailers.

        Raises S3Error: IncompleteBody when chunks are missing, MalformedTrailerError.
        """
        if not self._ended or self._announced_bytes != self._decoded_bytes:
            raise S3Error("IncompleteBody")
        for line in self._partial.decode("latin-1").split("\n"):
            text = line.strip(" \t\r")
            if text:
                self._take_trailer(text)
        self._partial = b""

    def _line(self, view: memoryview, position: int) -> int:
        """Read the CRLF behind a chunk's data, or the header of the next; the position behind what was taken."""
        window = bytes(view[position : position + HEADER_BYTES_MAX])
        end = window.find(b"\n") + 1
        self._partial += window[:end] if end else window
        if len(self._partial) > HEADER_BYTES_MAX:
            raise _malformed("a chunk's header is too long")
        if not end:
            return position + len(window)
        line, self._partial = self._partial, b""
        if not line.endswith(b"\r\n"):
            raise _malformed("a chunk's header does not end with CRLF")
        if not self._after_data:
            self._open(line[:-2])
        elif line == b"\r\n":
            self._after_data = False
        else:
            raise _malformed("a chunk is longer than its header says")
        return position + end

    def _open(self, header: bytes) -> None:
        match = _HEADER(header)
        if match is None:
            raise _malformed("a chunk's header cannot be read")
        size, signature = int(match[1], 16), match[2]
        if self._signed and signature is None:
            raise _malformed("a chunk's signature is missing")
        if size > CHUNK_BYTES_MAX:
            raise _malformed("a chunk is too large")
        self._announced_bytes += size
        if self._announced_bytes > self._decoded_bytes:
            raise S3Error("IncompleteBody")
        if self._signed:
            if self._small and size:
                raise S3Error("InvalidChunkSizeError")
            self._small = size < SIGNED_CHUNK_BYTES_MIN
            self.chunks.append(Chunk(size, signature.decode()))
        self._left_bytes = size
        self._after_data = size > 0
        self._ended = size == 0

    def _trail(self, data: bytes) -> None:
        self._partial += data
        if len(self._partial) > TRAILER_BYTES_MAX:
            raise S3Error("MalformedTrailerError")

    def _take_trailer(self, line: str) -> None:
        name, colon, value = line.partition(":")
        name, value = name.rstrip(" ").lower(), value.strip(" \t")
        if not (self._may_trail and colon and _TRAILER_NAME(name)) or self.trailer_signature or name in self.trailers:
            raise S3Error("MalformedTrailerError")
        if name == TRAILER_SIGNATURE:
            self.trailer_signature = value
        else:
            self.trailers[name] = value


class ChunkVerifier:
    """Digests the data that a decoder has found and verifies every chunk's signature where its data ends."""

    def __init__(self, chunks: deque[Chunk], key: bytes, timestamp: str, scope: str, seed_signature: str) -> None:
        self._chunks = chunks
        self._key = key
        self._timestamp = timestamp
        self._scope = scope
        self._previous = seed_signature
        self._current = Chunk(0, "")
        self._left_bytes = 0
        self._digest = hashlib.sha256()

    def absorb(self, data: Buffer) -> None:
        """Digest data, cut in any way, in order. Raises S3Error SignatureDoesNotMatch."""
        view = memoryview(data)
        while view:
            if not self._left_bytes:
                self._current = self._chunks.popleft()
                self._left_bytes = self._current.size_bytes
                self._digest = hashlib.sha256()
            piece = view[: self._left_bytes]
            self._digest.update(piece)
            self._left_bytes -= len(piece)
            view = view[len(piece) :]
            if not self._left_bytes:
                self._verify(self._current, self._digest.hexdigest())

    def settle(self, trailers: Mapping[str, str] | None, trailer_signature: str) -> None:
        """Verify the last, empty chunk and the trailers (None: the coding has none).

        Raises S3Error: SignatureDoesNotMatch; IncompleteBody when data is missing.
        """
        if self._left_bytes or len(self._chunks) != 1:
            raise S3Error("IncompleteBody")
        self._verify(self._chunks.popleft(), sigv4.EMPTY_SHA256)
        if trailers is None:
            return
        text = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode("latin-1")
        expected = sigv4.trailer_signature(self._key, self._timestamp, self._scope, self._previous, text)
        if not sigv4.same(expected, trailer_signature):
            raise S3Error("SignatureDoesNotMatch")

    def _verify(self, chunk: Chunk, sha256: str) -> None:
        expected = sigv4.chunk_signature(self._key, self._timestamp, self._scope, self._previous, sha256)
        if not sigv4.same(expected, chunk.signature):
            raise S3Error("SignatureDoesNotMatch")
        self._previous = expected


def _malformed(why: str) -> S3Error:
    return S3Error("InvalidRequest", f"The aws-chunked body is malformed: {why}.")
