"""What a request is about: by path and by host name; keys mean themselves, whatever they look like."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.http.messages import Headers
from rustfs.s3.address import address_of, can_exist, check_new_bucket_name
from rustfs.s3.errors import S3Error
from tests.s3.facing import facing, target_of
from tests.s3.signing import request_of

ODD_KEYS = [
    "a//b", "/", "//", "/leading", "trailing/", ".", "..", "../..", "./a", "a/../b", "a/./b", "%2F", "%", "a+b", "a b",
    "?", "a?b=c", "#", "a&b", "é", "猫", "🙂", "\u0001", "\n", "\x7f", "~", "'\"<>", "a" * 1024, "é" * 512,
]  # fmt: skip


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:12]))
def test_odd_keys_are_keys_of_their_own(face, key):
    for other in ODD_KEYS:
        face.put(other, ascii(other).encode())
    assert face.ask("GET", target_of(key)).body == ascii(key).encode()
    assert face.ask("DELETE", target_of(key)).status == 204
    gone = face.ask("GET", target_of(key))
    assert gone.status == 404
    assert b"<Code>NoSuchKey</Code>" in gone.body  # with control characters it is no XML that every parser takes
    remaining = {other for other in ODD_KEYS if face.ask("HEAD", target_of(other)).status == 200}
    assert remaining == set(ODD_KEYS) - {key}


@settings(deadline=None, derandomize=True, max_examples=200)
@given(key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_every_key_survives_its_escaping(key):
    assert address_of(request_of("GET", target_of(key)), ()).key == key
    by_host = request_of("GET", target_of(key, bucket="")[1:], {"host": "bucket.s3.example.com:9000"})
    address = address_of(by_host, ["s3.example.com"])
    assert (address.bucket, address.key) == ("bucket", key)


@pytest.mark.parametrize(("key", "size"), [("a" * 1025, 1025), ("é" * 513, 1026)])
def test_keys_beyond_1024_bytes_are_too_long(face, key, size):
    reply = face.ask("PUT", target_of(key), {}, b"data")
    assert (reply.status, reply.code) == (400, "KeyTooLongError")
    assert (reply.text("Size"), reply.text("MaxSizeAllowed")) == (str(size), "1024")


@pytest.mark.parametrize("target", ["/bucket/%FF", "/bucket/%C3%28", "/%FF", "/bucket?prefix=%FF", "/bucket/\xff"])
def test_what_is_not_utf_8_is_no_address(face, target):
    assert face.ask("GET", target).code == "InvalidURI"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("acl", {"acl": ""}),
        ("acl=", {"acl": ""}),
        ("prefix=a%20b+c%2Bd", {"prefix": "a b c+d"}),
        ("prefix=a=b", {"prefix": "a=b"}),
        ("prefix=1&prefix=2", {"prefix": "2"}),
        ("&&prefix=1&", {"prefix": "1"}),
        ("pre%66ix=%C3%A9", {"prefix": "é"}),
    ],
)
def test_queries(query, expected):
    assert address_of(request_of("GET", f"/bucket?{query}"), ()).query == expected


@pytest.mark.parametrize(
    ("host", "bucket", "key"),
    [
        ("pictures.s3.example.com", "pictures", "a/b"),
        ("pictures.s3.example.com:9000", "pictures", "a/b"),
        ("PICTURES.S3.Example.COM", "pictures", "a/b"),
        ("my.pictures.s3.example.com", "my.pictures", "a/b"),
        ("pictures.local", "pictures", "a/b"),
        ("s3.example.com", "a", "b"),
        ("s3.example.com:9000", "a", "b"),
        ("evils3.example.com", "a", "b"),
        ("elsewhere.org", "a", "b"),
        ("127.0.0.1:9000", "a", "b"),
        ("[::1]:9000", "a", "b"),
        ("[::1]", "a", "b"),
        ("", "a", "b"),
    ],
)
def test_buckets_by_host_name(host, bucket, key):
    address = address_of(request_of("GET", "/a/b", {"host": host}), ["s3.example.com", "local"])
    assert (address.bucket, address.key) == (bucket, key)


def test_both_styles_reach_the_same_objects():
    with facing(domains=["s3.example.com"]) as face:
        host = {"host": "pictures.s3.example.com"}
        assert face.ask("PUT", "/", host).status == 200
        assert face.ask("PUT", "/a//b%20c", host, b"by host").status == 200
        assert face.ask("GET", "/pictures/a//b%20c").body == b"by host"
        face.ask("PUT", "/pictures/other", {}, b"by path")
        assert face.ask("GET", "/other", host).body == b"by path"
        assert face.ask("GET", "/?list-type=2", host).texts("Contents/Key") == ["a//b c", "other"]
        missing = face.ask("GET", "/gone", host)
        assert (missing.text("BucketName"), missing.text("Key")) == ("pictures", "gone")


def test_without_domains_the_host_name_says_nothing():
    with facing() as face:
        face.make_bucket("pictures")
        assert face.ask("GET", "/gone", {"host": "pictures.s3.example.com"}).code == "NoSuchBucket"


def test_the_host_is_signed():
    with facing(domains=["s3.example.com"]) as face:
        face.make_bucket("mine")
        face.make_bucket("theirs")
        request = face.signed(request_of("GET", "/", {"host": "mine.s3.example.com"}))
        assert face.send(request).status == 200
        pairs = [(name, value.replace("mine.", "theirs.")) for name, value in request.headers]
        request.headers = Headers(pairs)
        assert face.send(request).code == "SignatureDoesNotMatch"


GOOD_NAMES = ["abc", "a-b", "a.b", "1bc", "a" * 63, "my.bucket-1", "1.2.3", "xn-a", "a--b"]
BAD_NAMES = [
    "ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b", "a.-b", "a-.b", "192.168.5.4", "999.1.1.1",
    "xn--abc", "sthree-a", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "rustfs", "minio", "a b", "bücket",
    "abc\n",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_that_buckets_may_have(name):
    check_new_bucket_name(name)
    assert can_exist(name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_names_that_no_bucket_gets(face, name):
    with pytest.raises(S3Error, match="InvalidBucketName"):
        check_new_bucket_name(name)
    reply = face.ask("PUT", f"/{quote(name)}")
    assert (reply.status, reply.code) == (400, "InvalidBucketName")
    assert reply.text("BucketName") == name


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("target", ["/Upper/key", "/a_b/key", "/../key", "/./key", "/ab/key", "//key"])
def test_buckets_that_cannot_exist_are_not_there(face, method, target):
    face.layer.failure = AssertionError("the layer is not asked")
    assert face.ask(method, target, {}, b"data" if method == "PUT" else b"").code == "NoSuchBucket"
