"""Upload bodies: every payload kind comes out whole, every claim of the client is held against the bytes."""

import asyncio
import base64
import hashlib
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.checksums import ALGORITHMS, digest
from rustfs.http.messages import BodyBroken
from rustfs.objects.types import Checksum
from rustfs.s3 import sigv4
from rustfs.s3.auth import Authenticated, PayloadKind
from rustfs.s3.body import open_body, read_small
from rustfs.s3.checksums import format_value, header_name
from rustfs.s3.errors import S3Error
from tests.s3.signing import ACCESS_KEY, SECRET_KEY, PiecedBody, encode_chunks, request_of

TIMESTAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = sigv4.signing_key(SECRET_KEY, "20130524", "us-east-1", "s3")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
DATA = random.Random(7).randbytes(30_000)
TRAILING = (PayloadKind.STREAMING_SIGNED_TRAILER, PayloadKind.STREAMING_UNSIGNED_TRAILER)
SIGNED_CHUNKS = (PayloadKind.STREAMING_SIGNED, PayloadKind.STREAMING_SIGNED_TRAILER)


@dataclass
class Upload:
    """An upload as a client would send it, with what a test changes of it."""

    kind: PayloadKind = PayloadKind.UNSIGNED
    data: bytes = DATA
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    content_sha256: bytes | None = None
    chunk_bytes: int = 8192
    piece_bytes: int = 5_000
    length_bytes: int | None = None
    error: Exception | None = None

    def open(self, **options):
        """The request's body, and the request."""
        return open_body(self.request(), self.authenticated(), **options)

    def authenticated(self):
        sha256 = self.content_sha256 or (
            hashlib.sha256(self.data).digest() if self.kind is PayloadKind.SIGNED else None
        )
        return Authenticated(ACCESS_KEY, self.kind, sha256, SEED, KEY, TIMESTAMP, SCOPE)

    def request(self):
        coded, headers = self.data, dict(self.headers)
        if self.kind not in (PayloadKind.SIGNED, PayloadKind.UNSIGNED):
            headers = {"x-amz-decoded-content-length": str(len(self.data)), **headers}
            coded = encode_chunks(
                [self.data[start : start + self.chunk_bytes] for start in range(0, len(self.data), self.chunk_bytes)],
                key=KEY if self.kind in SIGNED_CHUNKS else None,
                timestamp=TIMESTAMP,
                scope=SCOPE,
                seed=SEED,
                trailers=self.trailers if self.kind in TRAILING else None,
            )
        pieces = [coded[start : start + self.piece_bytes] for start in range(0, len(coded), self.piece_bytes)]
        return request_of("PUT", "/bucket/key", headers, PiecedBody(pieces, self.length_bytes, self.error))


async def drain(body, limit_bytes=4_000):
    """Take a body as the object layer does: read, digest in a thread some way behind, settle."""
    pieces = []
    while piece := await body.read(limit_bytes):
        assert len(piece) <= limit_bytes
        pieces.append(piece)
    assert not await body.read(limit_bytes)
    data = b"".join(pieces)
    await asyncio.to_thread(absorb_in_thirds, body, data)
    return data, body.settle(hashlib.md5(data).digest())


def absorb_in_thirds(body, data):
    third = len(data) // 3 + 1
    for start in range(0, len(data), third):
        body.absorb(memoryview(data)[start : start + third])


def take(upload, **options):
    return asyncio.run(drain(upload.open(**options)))


def refusal(upload):
    with pytest.raises(S3Error) as raised:
        take(upload)
    return raised.value


def refused_unread(upload):
    """The refusal of a request whose body was not asked for."""
    request = upload.request()
    with pytest.raises(S3Error) as raised:
        open_body(request, upload.authenticated())
    assert not request.body.was_read
    return raised.value


def checksum_header(algorithm, data=DATA):
    return {header_name(algorithm): format_value(digest(algorithm, data))}


def trailing(algorithm, data=DATA):
    """Announcement and value of a trailer."""
    return {"headers": {"x-amz-trailer": header_name(algorithm)}, "trailers": checksum_header(algorithm, data)}


@pytest.mark.parametrize("size_bytes", [0, 1, 8192, 30_000])
@pytest.mark.parametrize("kind", PayloadKind)
def test_every_kind_comes_out_whole(kind, size_bytes):
    upload = Upload(kind, DATA[:size_bytes])
    assert upload.open().length_bytes == size_bytes
    assert take(upload) == (DATA[:size_bytes], None)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    kind=st.sampled_from(list(PayloadKind)),
    size=st.integers(0, 30_000),
    piece_bytes=st.integers(20, 40_000),
    limit_bytes=st.integers(40, 40_000),
)
def test_reads_of_any_size_give_the_same(kind, size, piece_bytes, limit_bytes):
    upload = Upload(kind, DATA[:size], piece_bytes=piece_bytes)
    assert asyncio.run(drain(upload.open(), limit_bytes)) == (DATA[:size], None)


def test_tiny_chunks_are_put_together():
    upload = Upload(PayloadKind.STREAMING_UNSIGNED_TRAILER, DATA[:10_000], chunk_bytes=1, piece_bytes=20_000)

    async def count():
        body = upload.open()
        pieces = []
        while piece := await body.read(1 << 20):
            pieces.append(piece)
        return pieces

    pieces = asyncio.run(count())
    assert b"".join(pieces) == DATA[:10_000]
    assert len(pieces) <= 2 * (60_000 // 20_000 + 1)


def test_large_plain_pieces_are_not_copied():
    request = Upload(piece_bytes=30_000).request()
    source = request.body._pieces[0]
    body = open_body(request, Upload().authenticated())
    assert asyncio.run(body.read(1 << 20)) is source


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", [PayloadKind.UNSIGNED, PayloadKind.SIGNED, PayloadKind.STREAMING_SIGNED])
def test_a_checksum_in_a_header(kind, algorithm):
    right = Upload(kind, headers=checksum_header(algorithm))
    assert take(right) == (DATA, Checksum(algorithm, digest(algorithm, DATA)))
    assert right.open().requested_algorithm == algorithm
    wrong = refusal(Upload(kind, headers=checksum_header(algorithm, b"other")))
    assert (wrong.code, wrong.status) == ("BadDigest", 400)
    assert wrong.message == f"The {algorithm} you specified did not match the calculated checksum."


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", TRAILING)
def test_a_checksum_in_a_trailer(kind, algorithm):
    right = Upload(kind, **trailing(algorithm))
    assert take(right) == (DATA, Checksum(algorithm, digest(algorithm, DATA)))
    assert right.open().requested_algorithm == algorithm
    assert refusal(Upload(kind, **trailing(algorithm, b"other"))).code == "BadDigest"


def test_the_face_may_want_a_checksum_that_the_client_did_not_name():
    upload = Upload()
    assert take(upload, default_algorithm="CRC64NVME") == (DATA, Checksum("CRC64NVME", digest("CRC64NVME", DATA)))
    assert upload.open(default_algorithm="CRC64NVME").requested_algorithm is None
    named = Upload(headers=checksum_header("SHA1"))
    assert take(named, default_algorithm="CRC64NVME")[1].algorithm == "SHA1"


@pytest.mark.parametrize("kind", TRAILING)
@pytest.mark.parametrize(
    ("announced", "trailers", "code"),
    [
        ("x-amz-checksum-crc32", {}, "MalformedTrailerError"),
        ("x-amz-checksum-crc32", checksum_header("CRC32C"), "MalformedTrailerError"),
        ("x-amz-checksum-crc32", {**checksum_header("CRC32"), "x-amz-meta-a": "1"}, "MalformedTrailerError"),
        ("", checksum_header("CRC32"), "MalformedTrailerError"),
        ("x-amz-checksum-crc32", {"x-amz-checksum-crc32": "short"}, "InvalidRequest"),
    ],
)
def test_trailers_other_than_announced(kind, announced, trailers, code):
    assert refusal(Upload(kind, headers={"x-amz-trailer": announced}, trailers=trailers)).code == code


def test_contradictions_are_refused_before_the_body_is_read():
    announced = {"x-amz-trailer": "x-amz-checksum-crc32"}
    assert refused_unread(Upload(headers=announced)).code == "InvalidRequest"
    assert (
        refused_unread(Upload(headers={**checksum_header("CRC32"), **checksum_header("SHA1")})).code == "InvalidRequest"
    )
    assert refused_unread(Upload(headers={"content-md5": "x"})).code == "InvalidDigest"
    for length, code in (("", "InvalidArgument"), ("-1", "InvalidArgument"), ("1" * 30, "InvalidArgument")):
        headers = {"x-amz-decoded-content-length": length}
        assert refused_unread(Upload(PayloadKind.STREAMING_SIGNED, headers=headers)).code == code


def test_the_decoded_length_must_be_given():
    upload = Upload(PayloadKind.STREAMING_UNSIGNED_TRAILER)
    with pytest.raises(S3Error) as raised:
        open_body(request_of("PUT", "/b/k", {}, PiecedBody([b"0\r\n\r\n"])), upload.authenticated())
    assert (raised.value.code, raised.value.status) == ("MissingContentLength", 411)


@pytest.mark.parametrize("kind", PayloadKind)
def test_content_md5(kind):
    right = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    assert take(Upload(kind, headers={"content-md5": right}))[0] == DATA
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refusal(Upload(kind, headers={"content-md5": wrong})).code == "BadDigest"


@pytest.mark.parametrize("text", ["", "x", "AAAA", "rL0Y20zC+Fzt72VPzMSk2A", "rL0Y20zC Fzt72VPzMSk2A=="])
def test_a_content_md5_that_is_none(text):
    assert refused_unread(Upload(headers={"content-md5": text})).code == "InvalidDigest"


@pytest.mark.parametrize("headers", [{}, checksum_header("SHA256"), checksum_header("CRC32")])
def test_a_signed_payload_has_to_be_the_one_that_was_signed(headers):
    assert take(Upload(PayloadKind.SIGNED, headers=headers))[0] == DATA
    error = refusal(Upload(PayloadKind.SIGNED, headers=headers, content_sha256=bytes(32)))
    assert (error.code, error.status) == ("XAmzContentSHA256Mismatch", 400)
    details = dict(error.details)
    assert details["ClientComputedContentSHA256"] == bytes(32).hex()
    assert details["S3ComputedContentSHA256"] == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("kind", SIGNED_CHUNKS)
def test_a_forged_chunk_is_refused(kind):
    upload = Upload(kind)
    request = upload.request()
    request.body._pieces[3] = bytes(len(request.body._pieces[3]))
    with pytest.raises(S3Error) as raised:
        asyncio.run(drain(open_body(request, upload.authenticated())))
    assert raised.value.code in ("SignatureDoesNotMatch", "InvalidRequest")


def test_a_wrong_seed_fails_at_the_first_chunk():
    upload = Upload(PayloadKind.STREAMING_SIGNED)
    known = Authenticated(ACCESS_KEY, upload.kind, None, "0" * 64, KEY, TIMESTAMP, SCOPE)

    async def first_chunk():
        body = open_body(upload.request(), known)
        size = 0
        while size < 8192:
            piece = await body.read(1 << 20)
            size += len(piece)
            body.absorb(piece)

    with pytest.raises(S3Error) as raised:
        asyncio.run(first_chunk())
    assert raised.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("kind", PayloadKind)
@pytest.mark.parametrize(("status", "code"), [(400, "IncompleteBody"), (408, "RequestTimeout")])
def test_a_broken_body(kind, status, code):
    assert refusal(Upload(kind, error=BodyBroken(status, "gone"))).code == code


@pytest.mark.parametrize("declared", [29_999, 30_001])
@pytest.mark.parametrize("kind", PayloadKind)
def test_a_length_other_than_declared(kind, declared):
    upload = Upload(kind, length_bytes=declared, headers={"x-amz-decoded-content-length": str(declared)})
    assert refusal(upload).code == "IncompleteBody"


def test_a_plain_body_of_unknown_length():
    request = Upload().request()
    request.body.length_bytes = None
    body = open_body(request, Upload().authenticated())
    assert body.length_bytes is None
    assert asyncio.run(drain(body)) == (DATA, None)


def small(upload, limit_bytes=100_000, **options):
    return asyncio.run(read_small(upload.request(), upload.authenticated(), limit_bytes, "MalformedXML", **options))


@pytest.mark.parametrize("size_bytes", [0, 100, 30_000])
@pytest.mark.parametrize("kind", PayloadKind)
def test_documents_are_read_whole(kind, size_bytes):
    data = DATA[:size_bytes]
    headers = {"content-md5": base64.b64encode(hashlib.md5(data).digest()).decode(), **checksum_header("CRC32", data)}
    assert small(Upload(kind, data, headers=headers)) == data


@pytest.mark.parametrize(
    "wrong",
    [{"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, checksum_header("CRC32", b"other")],
)
def test_documents_are_verified(wrong):
    with pytest.raises(S3Error) as raised:
        small(Upload(headers=wrong))
    assert raised.value.code == "BadDigest"
    with pytest.raises(S3Error) as raised:
        small(Upload(PayloadKind.SIGNED, content_sha256=bytes(32)))
    assert raised.value.code == "XAmzContentSHA256Mismatch"


def test_a_documents_checksum_header_may_be_about_something_else():
    assert small(Upload(headers=checksum_header("CRC32", b"the object")), checksummed=False) == DATA


def test_documents_have_a_limit():
    assert small(Upload(), 30_000) == DATA
    upload = Upload()
    request = upload.request()
    with pytest.raises(S3Error) as raised:
        asyncio.run(read_small(request, upload.authenticated(), 29_999, "MalformedXML"))
    assert raised.value.code == "MalformedXML"
    assert not request.body.was_read
    endless = upload.request()
    endless.body.length_bytes = None
    with pytest.raises(S3Error) as raised:
        asyncio.run(read_small(endless, upload.authenticated(), 29_999, "MalformedXML"))
    assert raised.value.code == "MalformedXML"


@pytest.mark.parametrize("kind", PayloadKind)
def test_a_later_read_may_ask_for_less(kind):
    async def shrink():
        body = Upload(kind, piece_bytes=30_000).open()
        data, limit = b"", 12_000
        while piece := await body.read(limit):
            assert len(piece) <= limit
            data += piece
            limit = 100
        return data

    assert asyncio.run(shrink()) == DATA


@pytest.mark.parametrize("kind", PayloadKind)
def test_a_body_that_was_not_read_to_its_end_cannot_be_settled(kind):
    async def stop_early():
        body = Upload(kind).open()
        data = b""
        while len(data) < len(DATA):
            data += await body.read(100_000)
        body.absorb(data)
        return body.settle(hashlib.md5(data).digest())

    with pytest.raises(S3Error) as raised:
        asyncio.run(stop_early())
    assert raised.value.code == "IncompleteBody"
