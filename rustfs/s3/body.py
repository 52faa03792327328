"""An upload's body as the object layer takes it: rid of aws-chunked coding, and held to all that the client said of it.

A client may state the body's length, MD5, SHA-256 (in the signature), a checksum (in a header or a trailer) and a
signature per chunk. Claims are read before the body is (`open_body`), so that a request that contradicts itself is
refused before its bytes are asked for; they are verified in `settle`, or as early as a signed chunk ends.

`read` runs on the event loop and `absorb` in worker threads, some way behind. They share the decoder's queue of chunks,
appended to by the one and taken from by the other; data never overtakes the chunk that announces it.
"""

import asyncio
import binascii
import hashlib
import hmac
from base64 import b64encode
from collections import deque

from rustfs.core.buffers import Buffer
from rustfs.core.checksums import Hasher, hasher
from rustfs.http.messages import BodyBroken, Request
from rustfs.objects.types import Checksum
from rustfs.s3.auth import Authenticated, PayloadKind
from rustfs.s3.checksums import NO_CLAIM, ChecksumClaim, header_name, parse_claim, parse_value
from rustfs.s3.chunks import ChunkDecoder, ChunkVerifier
from rustfs.s3.errors import S3Error

_READ_BYTES = 64 << 10
_JOIN_BYTES_MAX = 4 << 10
_DIGEST_ON_LOOP_BYTES_MAX = 16 << 10

_TRAILING = frozenset({PayloadKind.STREAMING_SIGNED_TRAILER, PayloadKind.STREAMING_UNSIGNED_TRAILER})
_STREAMING = _TRAILING | {PayloadKind.STREAMING_SIGNED}
_CHUNK_SIGNED = frozenset({PayloadKind.STREAMING_SIGNED, PayloadKind.STREAMING_SIGNED_TRAILER})


class UploadBody:
    """The bytes of an upload; see rustfs.objects.types.Body.

    `requested_algorithm` is the checksum algorithm that the client chose, None where it chose none.
    """

    def __init__(
        self, request: Request, authenticated: Authenticated, claim: ChecksumClaim, default_algorithm: str | None
    ) -> None:
        self._source = request.body
        self._claim = claim
        self._md5 = _content_md5(request)
        self._content_sha256 = authenticated.content_sha256
        self._received_bytes = 0
        self._ended = False
        self._ready: deque[memoryview] = deque()
        self._decoder: ChunkDecoder | None = None
        self._verifier: ChunkVerifier | None = None
        kind = authenticated.payload
        self._trailing = kind in _TRAILING
        if kind in _STREAMING:
            self.length_bytes: int | None = _decoded_length(request)
            self._decoder = ChunkDecoder(self.length_bytes, signed=kind in _CHUNK_SIGNED, trailers=self._trailing)
            if kind in _CHUNK_SIGNED:
                self._verifier = ChunkVerifier(
                    self._decoder.chunks,
                    authenticated.signing_key,
                    authenticated.timestamp,
                    authenticated.scope,
                    authenticated.seed_signature,
                )
        else:
            self.length_bytes = request.body.length_bytes
        self.requested_algorithm = claim.algorithm
        self._algorithm = claim.algorithm or default_algorithm
        self._hasher = None if self._algorithm is None else hasher(self._algorithm)
        self._sha256: Hasher | None = None
        self._hashers = [] if self._hasher is None else [self._hasher]
        if self._content_sha256 is not None:
            if self._algorithm == "SHA256":
                self._sha256 = self._hasher  # one pass serves both
            else:
                self._sha256 = hashlib.sha256()
                self._hashers.append(self._sha256)

    @property
    def claims_md5(self) -> bool:
        """Whether the client sent Content-MD5."""
        return self._md5 is not None

    async def read(self, limit_bytes: int) -> Buffer:
        """The next piece, at most `limit_bytes`; b"" at the end, when length and trailers are as announced.

        Raises S3Error: IncompleteBody, RequestTimeout, InvalidRequest or MalformedTrailerError for broken coding.
        """
        if self._decoder is None:
            piece = await self._pull(limit_bytes)
            self._received_bytes += len(piece)
            if not piece:
                self._ended = True
                if self.length_bytes not in (None, self._received_bytes):
                    raise S3Error("IncompleteBody")
            return piece
        while not self._ready:
            if self._ended:
                return b""
            coded = await self._pull(limit_bytes)
            if coded:
                self._ready.extend(self._decoder.feed(coded))
            else:
                self._ended = True
                self._decoder.finish()
                self._take_trailers(self._decoder)
        view = self._ready.popleft()
        if len(view) > limit_bytes:
            self._ready.appendleft(view[limit_bytes:])
            return view[:limit_bytes]
        if len(view) < _JOIN_BYTES_MAX and self._ready:
            return self._join(view, limit_bytes)
        return view

    def _join(self, view: memoryview, limit_bytes: int) -> bytes:
        """Put small pieces together: tiny chunks must not cost whoever keeps the pieces an object per byte."""
        pieces, size = [view], len(view)
        while self._ready and size + len(self._ready[0]) <= min(limit_bytes, _READ_BYTES):
            pieces.append(self._ready.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)

    async def _pull(self, limit_bytes: int) -> Buffer:
        try:
            return await self._source.read(limit_bytes)
        except BodyBroken as error:
            raise S3Error("RequestTimeout" if error.status == 408 else "IncompleteBody") from error

    def _take_trailers(self, decoder: ChunkDecoder) -> None:
        """Hold the trailers against what x-amz-trailer announced."""
        claim = self._claim
        announced = {header_name(claim.algorithm)} if claim.trailer and claim.algorithm else set()
        if set(decoder.trailers) != announced:
            raise S3Error("MalformedTrailerError")
        if claim.trailer and claim.algorithm:
            text = decoder.trailers[header_name(claim.algorithm)]
            value = parse_value(claim.algorithm, text, trailer=True)
            self._claim = ChecksumClaim(claim.algorithm, value, trailer=True)

    def absorb(self, piece: Buffer) -> None:
        """Digest the next piece; see Body. Raises S3Error SignatureDoesNotMatch where a chunk's signature is wrong."""
        if self._verifier is not None:
            self._verifier.absorb(piece)
        for one in self._hashers:
            one.update(piece)

    def settle(self, md5_digest: bytes) -> Checksum | None:
        """Verify all that the client claimed; the checksum that it sent, or else the default one if there is any.

        Raises S3Error: SignatureDoesNotMatch, XAmzContentSHA256Mismatch, BadDigest; IncompleteBody for one that was not
        read to its end, where lengths and trailers are verified.
        """
        if not self._ended:
            raise S3Error("IncompleteBody")
        if self._verifier is not None and self._decoder is not None:
            trailers = self._decoder.trailers if self._trailing else None
            self._verifier.settle(trailers, self._decoder.trailer_signature)
        if self._sha256 is not None and self._content_sha256 is not None:
            computed = self._sha256.digest()
            if not hmac.compare_digest(computed, self._content_sha256):
                raise S3Error(
                    "XAmzContentSHA256Mismatch",
                    details=(
                        ("ClientComputedContentSHA256", self._content_sha256.hex()),
                        ("S3ComputedContentSHA256", computed.hex()),
                    ),
                )
        if self._md5 is not None and self._md5 != md5_digest:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                details=(("ExpectedDigest", self._md5.hex()), ("CalculatedDigest", b64encode(md5_digest).decode())),
            )
        if self._hasher is None or self._algorithm is None:
            return None
        value = self._hasher.digest()
        if self._claim.algorithm is not None and self._claim.value != value:
            raise S3Error("BadDigest", f"The {self._algorithm} you specified did not match the calculated checksum.")
        return Checksum(self._algorithm, value)


def open_body(
    request: Request, authenticated: Authenticated, *, default_algorithm: str | None = None, checksummed: bool = True
) -> UploadBody:
    """The body of an upload, before a byte of it is read.

    `default_algorithm` is computed where the client chose none. With `checksummed` False, x-amz-checksum-… headers are
    not about this body (CompleteMultipartUpload states the object's).

    Raises S3Error: MissingContentLength, InvalidArgument, InvalidDigest, InvalidRequest.
    """
    claim = parse_claim(request.headers) if checksummed else NO_CLAIM
    if claim.trailer and authenticated.payload not in _TRAILING:
        raise S3Error("InvalidRequest", "x-amz-trailer is for payloads that have trailing headers.")
    return UploadBody(request, authenticated, claim, default_algorithm)


async def read_small(
    request: Request,
    authenticated: Authenticated,
    limit_bytes: int,
    too_large_code: str,
    *,
    checksummed: bool = True,
) -> bytes:
    """A whole body of at most `limit_bytes`, verified: for requests whose bodies are documents.

    Raises S3Error with `too_large_code` for a longer one, and whatever UploadBody raises.
    """
    body = open_body(request, authenticated, checksummed=checksummed)
    if body.length_bytes is not None and body.length_bytes > limit_bytes:
        raise S3Error(too_large_code)
    pieces: list[Buffer] = []
    size = 0
    while piece := await body.read(_READ_BYTES):
        size += len(piece)
        if size > limit_bytes:
            raise S3Error(too_large_code)
        pieces.append(piece)
    data = b"".join(pieces)
    if size <= _DIGEST_ON_LOOP_BYTES_MAX:
        _verify_whole(body, data)
    else:
        await asyncio.to_thread(_verify_whole, body, data)
    return data


def _verify_whole(body: UploadBody, data: bytes) -> None:
    body.absorb(data)
    body.settle(hashlib.md5(data, usedforsecurity=False).digest() if body.claims_md5 else b"")


def _content_md5(request: Request) -> bytes | None:
    text = request.headers.get("content-md5")
    if text is None:
        return None
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.", details=(("Content-MD5", text),))
    return value


def _decoded_length(request: Request) -> int:
    text = request.headers.get("x-amz-decoded-content-length")
    if text is None:
        raise S3Error("MissingContentLength")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise S3Error(
            "InvalidArgument",
            "The value of x-amz-decoded-content-length is not a length.",
            details=(("ArgumentName", "x-amz-decoded-content-length"), ("ArgumentValue", text)),
        )
    return int(text)
