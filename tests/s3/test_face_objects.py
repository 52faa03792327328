"""Objects: bytes, headers and metadata come back as S3 gives them back; nothing half right is stored."""

import base64
import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.checksums import ALGORITHMS, digest
from rustfs.http.messages import BodyBroken, Headers
from rustfs.s3.metadata import system_headers, user_metadata
from tests.s3.facing import target_of
from tests.s3.signing import PiecedBody

DATA = random.Random(5).randbytes(250_000)  # some pieces of the layer's stream
MD5 = base64.b64encode(hashlib.md5(b"data").digest()).decode()


def wire(text):
    """Text as the server reads UTF-8 from the wire."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize("data", [b"", b"x", DATA[: 16 << 10], DATA], ids=len)
def test_bytes_come_back(face, data):
    reply = face.put("key", data)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert reply.headers["etag"] == etag
    got = face.ask("GET", "/bucket/key")
    assert (got.status, got.body) == (200, data)
    assert got.headers["etag"] == etag
    assert got.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert got.headers["content-type"] == "binary/octet-stream"
    assert got.headers["accept-ranges"] == "bytes"
    head = face.ask("HEAD", "/bucket/key")
    assert (head.body, head.length_bytes) == (b"", len(data))
    same = ("etag", "last-modified", "content-type", "accept-ranges")
    assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}
    assert face.sample("rustfs_s3_sent_bytes_total", operation="GetObject") == len(data)
    assert face.sample("rustfs_s3_received_bytes_total", operation="PutObject") == len(data)


def test_overwriting_replaces_bytes_and_metadata(face):
    face.put("key", b"old", {"x-amz-meta-a": "1", "content-type": "text/plain"})
    face.put("key", b"new")
    got = face.ask("GET", "/bucket/key")
    assert (got.body, got.headers["content-type"]) == (b"new", "binary/octet-stream")
    assert "x-amz-meta-a" not in got.headers


def test_deleting_is_final_and_can_be_repeated(face):
    face.put("key")
    for _ in range(2):
        reply = face.ask("DELETE", "/bucket/key")
        assert (reply.status, reply.body) == (204, b"")
        assert face.ask("GET", "/bucket/key").code == "NoSuchKey"


SYSTEM = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "max-age=60",
    "content-disposition": wire('attachment; filename="é.txt"'),
    "content-encoding": "gzip",
    "content-language": "de, fr",
    "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
    "x-amz-website-redirect-location": "/elsewhere",
}


def test_system_headers_are_kept(face):
    face.put("key", headers=SYSTEM)
    for method in ("GET", "HEAD"):
        headers = face.ask(method, "/bucket/key").headers
        assert {name: headers[name] for name in SYSTEM} == SYSTEM


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, AWS-Chunked", "gzip"), ("br, gzip", "br, gzip")],
)
def test_aws_chunked_is_no_encoding_of_the_object(sent, kept):
    assert dict(system_headers(Headers([("content-encoding", sent)]))).get("content-encoding") == kept


@pytest.mark.parametrize("location", ["elsewhere", "ftp://example.com/", ""])
def test_redirects_lead_to_a_path_or_a_web_page(face, location):
    reply = face.ask("PUT", "/bucket/key", {"x-amz-website-redirect-location": location}, b"data")
    assert reply.code == "InvalidRequest"


def test_storage_classes(face):
    face.put("key", headers={"x-amz-storage-class": "REDUCED_REDUNDANCY"})
    assert face.ask("HEAD", "/bucket/key").headers["x-amz-storage-class"] == "REDUCED_REDUNDANCY"
    face.put("key", headers={"x-amz-storage-class": "STANDARD"})
    assert "x-amz-storage-class" not in face.ask("HEAD", "/bucket/key").headers
    reply = face.ask("PUT", "/bucket/key", {"x-amz-storage-class": "GLACIER"}, b"data")
    assert (reply.code, reply.text("StorageClassRequested")) == ("InvalidStorageClass", "GLACIER")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("a=b; c", "a=b; c"),
        (wire("grün"), f"=?UTF-8?B?{base64.b64encode('grün'.encode()).decode()}?="),
        (wire("猫"), f"=?UTF-8?B?{base64.b64encode('猫'.encode()).decode()}?="),
        ("=?UTF-8?B?Z3LDvG4=?=", f"=?UTF-8?B?{base64.b64encode('grün'.encode()).decode()}?="),
        ("=?UTF-8?Q?gr=C3=BCn?=", f"=?UTF-8?B?{base64.b64encode('grün'.encode()).decode()}?="),
        ("=?utf-8?q?plain?=", "plain"),
        ("gr\xfcn", f"=?UTF-8?B?{base64.b64encode('grün'.encode()).decode()}?="),  # Latin-1, as some clients send it
        # no words at all, or of no text: kept as they are
        ("=?UTF-8?B?a?=", "=?UTF-8?B?a?="),
        ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="),
        ("=?martian?B?YQ==?=", "=?martian?B?YQ==?="),
        ("=?zlib?B?eJwDAAAAAAE=?=", "=?zlib?B?eJwDAAAAAAE=?="),
        ("=?utf-7?Q?+2AA-?=", "=?utf-7?Q?+2AA-?="),
        ("=?", "=?"),
        # what would break out of the header stays in its words
        ("=?UTF-8?B?DQpldmlsOiAx?=", "=?UTF-8?B?DQpldmlsOiAx?="),
    ],
)
def test_user_metadata_in_the_ways_that_clients_write_it(face, sent, shown):
    face.put("key", headers={"x-amz-meta-note": sent})
    for method in ("GET", "HEAD"):
        assert face.ask(method, "/bucket/key").headers["x-amz-meta-note"] == shown


@settings(deadline=None, derandomize=True, max_examples=100)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_what_is_shown_of_metadata_stores_the_same_metadata(text):
    word = f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="
    ((_, kept),) = user_metadata(Headers([("x-amz-meta-a", word)]))
    assert kept == text


def test_repeated_metadata_is_joined(face):
    assert face.ask("PUT", "/bucket/key", [("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")], b"data").status == 200
    assert face.ask("HEAD", "/bucket/key").headers["x-amz-meta-a"] == "1,2"


@pytest.mark.parametrize(
    ("names", "value", "fits"),
    [
        (["k"], "a" * 2047, True),
        (["k"], "a" * 2048, False),
        (["k"], wire("é" * 1023), True),
        (["k"], wire("é" * 1024), False),
        (["k" * 24, "l" * 1000], "a" * 512, True),
        (["k" * 24, "l" * 1001], "a" * 512, False),
    ],
)
def test_metadata_has_2_kib(face, names, value, fits):
    reply = face.ask("PUT", "/bucket/key", {f"x-amz-meta-{name}": value for name in names}, b"data")
    if fits:
        assert reply.status == 200
    else:
        assert (reply.status, reply.code, reply.text("MaxSizeAllowed")) == (400, "MetadataTooLarge", "2048")
        assert face.ask("HEAD", "/bucket/key").status == 404


OVERRIDES = {
    "response-content-type": "text/x-other",
    "response-content-language": "tlh",
    "response-expires": "Thu, 01 Dec 2044 16:00:00 GMT",
    "response-cache-control": "no-cache",
    "response-content-disposition": 'attachment; filename="é"',
    "response-content-encoding": "identity",
}


@pytest.mark.parametrize("parameter", OVERRIDES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_headers_of_the_answer_can_be_replaced(face, method, parameter):
    face.put("key", headers=SYSTEM)
    query = target_of(OVERRIDES[parameter], bucket="")[2:].replace("/", "%2F")
    headers = face.ask(method, f"/bucket/key?{parameter}={query}").headers
    name = parameter.removeprefix("response-")
    assert headers[name] == wire(OVERRIDES[parameter])
    assert {other: headers[other] for other in SYSTEM if other != name} == {
        other: value for other, value in SYSTEM.items() if other != name
    }


@pytest.mark.parametrize("break_", ["%0D%0A", "%0A", "%00"])
def test_no_header_is_smuggled_into_the_answer(face, break_):
    face.put("key")
    reply = face.ask("GET", f"/bucket/key?response-content-type=a{break_}x-evil:1")
    assert reply.code == "InvalidArgument"
    assert "x-evil" not in reply.headers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_are_verified_kept_and_shown_when_asked_for(face, algorithm):
    name = f"x-amz-checksum-{algorithm.lower()}"
    value = base64.b64encode(digest(algorithm, b"data")).decode()
    reply = face.put("key", headers={name: value})
    assert (reply.headers[name], reply.headers["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
    shown = face.ask("HEAD", "/bucket/key", {"x-amz-checksum-mode": "ENABLED"}).headers
    assert (shown[name], shown["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
    assert name not in face.ask("GET", "/bucket/key").headers
    ranged = face.ask("GET", "/bucket/key", {"x-amz-checksum-mode": "ENABLED", "range": "bytes=0-1"})
    assert name not in ranged.headers  # it is not that of these bytes
    wrong = base64.b64encode(digest(algorithm, b"other")).decode()
    assert face.ask("PUT", "/bucket/key", {name: wrong}, b"data").code == "BadDigest"
    assert face.ask("PUT", "/bucket/key", {name: "junk"}, b"data").code == "InvalidRequest"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"content-md5": "junk"}, "InvalidDigest"),
        ({"content-md5": ""}, "InvalidDigest"),
        ({"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-content-sha256": "junk"}, "InvalidArgument"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-checksum-martian": "AAAA"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"if-match": '"0"', "if-none-match": "*"}, "NotImplemented"),
    ],
)
def test_a_body_that_is_not_what_was_said_of_it_is_never_visible(face, headers, code):
    face.put("key", b"before")
    assert face.ask("PUT", "/bucket/key", headers, b"data").code == code
    assert face.ask("GET", "/bucket/key").body == b"before"


def test_a_right_md5_is_accepted(face):
    face.put("key", headers={"content-md5": MD5})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (PiecedBody([b"dat"], length_bytes=4), "IncompleteBody"),
        (PiecedBody([b"dat"], length_bytes=4, error=BodyBroken(400, "gone")), "IncompleteBody"),
        (PiecedBody([b"dat"], length_bytes=4, error=BodyBroken(408, "slow")), "RequestTimeout"),
    ],
)
def test_an_upload_that_is_cut_short_is_never_visible(face, body, code):
    reply = face.ask("PUT", "/bucket/key", pieces=body)
    assert (reply.status, reply.code) == (400, code)
    assert face.ask("HEAD", "/bucket/key").status == 404


def test_an_upload_says_how_long_it_is(face):
    body = PiecedBody([b"data"])
    reply = face.ask("PUT", "/bucket/key", pieces=body, lengthless=True)
    assert (reply.status, reply.code) == (411, "MissingContentLength")
    assert not body.was_read
    chunked = PiecedBody([b"da", b"ta"])
    chunked.length_bytes = None
    assert (
        face.ask("PUT", "/bucket/key", {"transfer-encoding": "chunked"}, pieces=chunked, lengthless=True).status == 200
    )
    assert face.ask("GET", "/bucket/key").body == b"data"


def test_an_upload_beyond_5_gib_is_not_read(face):
    body = PiecedBody([b"data"], length_bytes=(5 << 30) + 1)
    reply = face.ask("PUT", "/bucket/key", pieces=body)
    assert (reply.status, reply.code) == (400, "EntityTooLarge")
    assert reply.text("MaxSizeAllowed") == str(5 << 30)
    assert not body.was_read


@pytest.mark.parametrize(
    "headers",
    [{"x-amz-storage-class": "GLACIER"}, {"x-amz-meta-a": "a" * 3000}, {"if-none-match": "*"}, {"content-md5": "junk"}],
)
def test_a_body_is_not_asked_for_where_the_request_is_refused_anyway(face, headers):
    face.put("key")
    body = PiecedBody([b"data"])
    assert face.ask("PUT", "/bucket/key", headers, pieces=body).status >= 400
    assert not body.was_read


@pytest.mark.parametrize("attributes", ["", "Owner", "ETag, Owner", "etag"])
def test_attributes_that_objects_do_not_have(face, attributes):
    face.put("key")
    headers = {"x-amz-object-attributes": attributes} if attributes else {}
    assert face.ask("GET", "/bucket/key?attributes", headers).code == "InvalidArgument"


def test_attributes_of_an_object(face):
    crc32 = base64.b64encode(digest("CRC32", b"data")).decode()
    face.put("key", headers={"x-amz-checksum-crc32": crc32})
    everything = [
        ("x-amz-object-attributes", "ETag, Checksum"),
        ("x-amz-object-attributes", "ObjectParts,StorageClass,ObjectSize"),
    ]
    reply = face.ask("GET", "/bucket/key?attributes", everything)
    assert [(each.tag, "".join(each.itertext())) for each in reply.xml] == [
        ("ETag", hashlib.md5(b"data").hexdigest()),
        ("Checksum", f"{crc32}FULL_OBJECT"),
        ("StorageClass", "STANDARD"),
        ("ObjectSize", "4"),
    ]
    assert reply.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    only = face.ask("GET", "/bucket/key?attributes", {"x-amz-object-attributes": "ObjectSize"})
    assert [each.tag for each in only.xml] == ["ObjectSize"]
