"""CopyObject: what goes along, what is replaced, and what the source must be."""

import base64
import random

import pytest

from rustfs.core.checksums import digest
from tests.s3.facing import target_of
from tests.s3.signing import PiecedBody

DATA = random.Random(8).randbytes(230_000)
OLD = {"content-type": "text/plain", "cache-control": "no-cache", "x-amz-meta-a": "1"}
NEW = {"content-type": "text/html", "x-amz-meta-b": "2"}


def copy(face, source, target="/bucket/copy", headers=None):
    return face.ask("PUT", target, {"x-amz-copy-source": source, **(headers or {})})


def test_a_copy_has_the_bytes_and_the_metadata_of_its_source(face):
    etag = face.put("key", DATA, OLD).headers["etag"]
    reply = copy(face, "/bucket/key", headers=NEW)  # headers that COPY passes over
    assert (reply.status, reply.xml.tag, reply.text("ETag")) == (200, "CopyObjectResult", etag)
    assert reply.text("LastModified") == "2023-11-14T22:13:20.500Z"
    got = face.ask("GET", "/bucket/copy")
    assert got.body == DATA
    assert {name: got.headers.get(name) for name in OLD} == OLD
    assert "x-amz-meta-b" not in got.headers


def test_a_copy_may_have_other_metadata(face):
    face.put("key", DATA, OLD)
    assert copy(face, "/bucket/key", headers={"x-amz-metadata-directive": "REPLACE", **NEW}).status == 200
    got = face.ask("GET", "/bucket/copy")
    assert got.body == DATA
    assert {name: got.headers.get(name) for name in NEW} == NEW
    assert "cache-control" not in got.headers
    assert "x-amz-meta-a" not in got.headers


def test_between_buckets_and_over_an_object(face):
    face.make_bucket("other")
    face.put("key", b"new")
    face.ask("PUT", "/other/key", {}, b"old")
    assert copy(face, "bucket/key", "/other/key").status == 200
    assert face.ask("GET", "/other/key").body == b"new"
    assert face.ask("GET", "/bucket/key").body == b"new"


@pytest.mark.parametrize("key", ["a b", "a+b", "a%2Fb", "é/猫", "a?b", "a//b", "..", "/leading"])
def test_sources_with_odd_keys(face, key):
    face.put(key, b"odd")
    assert copy(face, target_of(key)[1:]).status == 200
    assert face.ask("GET", "/bucket/copy").body == b"odd"


def test_a_source_may_be_written_unescaped(face):
    face.put("é+a b", b"odd")
    assert copy(face, "bucket/é+a b".encode().decode("latin-1")).status == 200


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", "InvalidArgument"),
        ("bucket", "InvalidArgument"),
        ("/bucket/", "InvalidArgument"),
        ("//key", "InvalidArgument"),
        ("bucket/%FF", "InvalidURI"),
        ("bucket/key?versionId=other", "NoSuchVersion"),
        ("bucket/key?acl", "InvalidArgument"),
        ("bucket/gone", "NoSuchKey"),
        ("nobodys/key", "NoSuchBucket"),
        ("../key", "NoSuchBucket"),
    ],
)
def test_sources_that_are_none(face, source, code):
    face.put("key")
    assert copy(face, source).code == code
    assert face.ask("HEAD", "/bucket/copy").status == 404
    upload_id = face.ask("POST", "/bucket/up?uploads").text("UploadId")
    assert copy(face, source, f"/bucket/up?partNumber=1&uploadId={upload_id}").code == code


def test_the_current_version_may_be_named(face):
    face.put("key")
    assert copy(face, "bucket/key?versionId=null").status == 200


@pytest.mark.parametrize("name", ["x-amz-metadata-directive", "x-amz-tagging-directive"])
def test_directives_that_are_none(face, name):
    face.put("key")
    reply = copy(face, "/bucket/key", headers={name: "MERGE"})
    assert (reply.code, reply.text("ArgumentName"), reply.text("ArgumentValue")) == ("InvalidArgument", name, "MERGE")


def test_a_copy_onto_itself_must_change_something(face):
    face.put("key", DATA, OLD)
    assert copy(face, "/bucket/key", "/bucket/key").code == "InvalidRequest"
    for change in (
        {"x-amz-metadata-directive": "REPLACE", **NEW},
        {"x-amz-storage-class": "REDUCED_REDUNDANCY"},
        {"x-amz-website-redirect-location": "/there"},
        {"x-amz-checksum-algorithm": "SHA256"},
    ):
        face.put("key", DATA, OLD)
        assert copy(face, "/bucket/key", "/bucket/key", change).status == 200, change
        got = face.ask("GET", "/bucket/key", {"x-amz-checksum-mode": "ENABLED"})
        assert got.body == DATA
        if "x-amz-metadata-directive" in change:
            assert (got.headers["content-type"], got.headers.get("x-amz-meta-a")) == ("text/html", None)
        else:
            assert {name: got.headers.get(name) for name in OLD} == OLD
        for name in ("x-amz-storage-class", "x-amz-website-redirect-location"):
            assert got.headers.get(name) == change.get(name)
        assert ("x-amz-checksum-sha256" in got.headers) == ("x-amz-checksum-algorithm" in change)


def test_a_redirect_does_not_go_along(face):
    face.put("key", DATA, {"x-amz-website-redirect-location": "/there"})
    assert copy(face, "/bucket/key").status == 200
    assert "x-amz-website-redirect-location" not in face.ask("HEAD", "/bucket/copy").headers


@pytest.mark.parametrize(
    ("had", "asked", "has"), [("CRC32", None, "CRC32"), (None, "SHA1", "SHA1"), ("CRC32", "SHA256", "SHA256")]
)
def test_a_copy_keeps_the_checksum_or_gets_the_one_asked_for(face, had, asked, has):
    headers = {f"x-amz-checksum-{had.lower()}": base64.b64encode(digest(had, DATA)).decode()} if had else {}
    face.put("key", DATA, headers)
    reply = copy(face, "/bucket/key", headers={"x-amz-checksum-algorithm": asked} if asked else {})
    value = base64.b64encode(digest(has, DATA)).decode()
    assert (reply.text(f"Checksum{has}"), reply.text("ChecksumType")) == (value, "FULL_OBJECT")
    shown = face.ask("HEAD", "/bucket/copy", {"x-amz-checksum-mode": "ENABLED"}).headers
    assert shown[f"x-amz-checksum-{has.lower()}"] == value


def test_preconditions_on_source_and_target(face):
    etag = face.put("key", b"new").headers["etag"]
    for name, value in [
        ("x-amz-copy-source-if-match", '"other"'),
        ("x-amz-copy-source-if-none-match", etag),
        ("x-amz-copy-source-if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("x-amz-copy-source-if-unmodified-since", "Tue, 14 Nov 2023 22:13:19 GMT"),
    ]:
        reply = copy(face, "/bucket/key", headers={name: value})
        assert (reply.status, reply.code) == (412, "PreconditionFailed")
        assert reply.text("Condition").lower() == name
    assert face.ask("HEAD", "/bucket/copy").status == 404
    assert copy(face, "/bucket/key", headers={"if-none-match": "*"}).status == 200
    assert copy(face, "/bucket/key", headers={"if-none-match": "*"}).code == "PreconditionFailed"
    assert copy(face, "/bucket/key", headers={"if-match": etag}).status == 200


def test_conditions_of_writes(face):
    assert face.ask("PUT", "/bucket/key", {"if-match": '"other"'}, b"1").code == "NoSuchKey"
    assert face.ask("PUT", "/bucket/key", {"if-none-match": "*"}, b"1").status == 200
    refused = face.ask("PUT", "/bucket/key", {"if-none-match": "*"}, b"2")
    assert (refused.status, refused.code, refused.text("Condition")) == (412, "PreconditionFailed", "If-None-Match")
    etag = face.ask("HEAD", "/bucket/key").headers["etag"]
    assert face.ask("PUT", "/bucket/key", {"if-match": '""'}, b"2").code == "PreconditionFailed"
    assert face.ask("PUT", "/bucket/key", {"if-match": etag}, b"2").status == 200
    assert face.ask("PUT", "/bucket/key", {"if-match": etag}, b"3").code == "PreconditionFailed"
    assert face.ask("GET", "/bucket/key").body == b"2"


def test_sources_beyond_5_gib_are_copied_in_parts_only(face):
    face.put("key")
    info, data = face.layer._objects["bucket"]["key"]
    face.layer._objects["bucket"]["key"] = (type(info)("bucket", "key", (5 << 30) + 1, info.etag, 0, b""), data)
    assert copy(face, "/bucket/key").code == "InvalidRequest"
    upload_id = face.ask("POST", "/bucket/up?uploads").text("UploadId")
    assert copy(face, "/bucket/key", f"/bucket/up?partNumber=1&uploadId={upload_id}").code == "EntityTooLarge"


@pytest.mark.parametrize(
    ("span", "expected"), [(None, DATA), ("bytes=0-0", DATA[:1]), ("bytes=99990-200010", DATA[99_990:200_011])]
)
def test_parts_are_copied_from_ranges(face, span, expected):
    face.put("key", DATA)
    upload_id = face.ask("POST", "/bucket/up?uploads", {"x-amz-checksum-algorithm": "CRC32"}).text("UploadId")
    headers = {"x-amz-copy-source-range": span} if span else {}
    reply = copy(face, "bucket/key", f"/bucket/up?partNumber=1&uploadId={upload_id}", headers)
    assert reply.xml.tag == "CopyPartResult"
    assert reply.text("ChecksumCRC32") == base64.b64encode(digest("CRC32", expected)).decode()
    part = f"<PartNumber>1</PartNumber><ETag>{reply.text('ETag')}</ETag>"
    document = f"<CompleteMultipartUpload><Part>{part}</Part></CompleteMultipartUpload>".encode()
    assert face.ask("POST", f"/bucket/up?uploadId={upload_id}", {}, document).status == 200
    assert face.ask("GET", "/bucket/up").body == expected


@pytest.mark.parametrize(("span", "code"), [("bytes=0-230000", "InvalidRange"), ("bytes=5-", "InvalidArgument")])
def test_parts_from_ranges_that_the_source_has_not(face, span, code):
    face.put("key", DATA)
    upload_id = face.ask("POST", "/bucket/up?uploads").text("UploadId")
    target = f"/bucket/up?partNumber=1&uploadId={upload_id}"
    assert copy(face, "bucket/key", target, {"x-amz-copy-source-range": span}).code == code
    assert face.ask("GET", f"/bucket/up?uploadId={upload_id}").texts("Part/PartNumber") == []


def test_the_body_of_a_copy_is_not_read(face):
    face.put("key")
    body = PiecedBody([b"what nobody asked for"])
    assert face.ask("PUT", "/bucket/copy", {"x-amz-copy-source": "bucket/key"}, pieces=body).status == 200
    assert not body.was_read
