"""DeleteObject's conditions, and DeleteObjects: limits, outcomes per key, and documents that are refused."""

import base64
import hashlib
from xml.sax.saxutils import escape

import pytest

BOMB = (
    b'<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">'
    b'<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>'
    b"<Delete><Object><Key>&lol3;</Key></Object></Delete>"
)
FILE = b'<!DOCTYPE a [<!ENTITY file SYSTEM "file:///etc/hostname">]><Delete><Object><Key>&file;</Key></Object></Delete>'


def delete(face, document, headers=None, bucket="bucket"):
    if headers is None:
        headers = {"content-md5": base64.b64encode(hashlib.md5(document).digest()).decode()}
    return face.ask("POST", f"/{bucket}?delete", headers, document)


def document_of(keys, more=""):
    entries = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}{more}</Delete>'.encode()


def keys_left(face):
    return face.ask("GET", "/bucket").texts("Contents/Key")


def test_many_keys_at_once_there_or_not(face):
    for key in ("a", "b<&>", "é", "kept"):
        face.put(key)
    reply = delete(face, document_of(["a", "b<&>", "é", "never there"]))
    assert (reply.status, reply.xml.tag) == (200, "DeleteResult")
    assert reply.texts("Deleted/Key") == ["a", "b<&>", "é", "never there"]
    assert reply.texts("Error/Key") == []
    assert keys_left(face) == ["kept"]


@pytest.mark.parametrize(("text", "quiet"), [("true", True), (" TRUE ", True), ("false", False), ("", False)])
def test_quiet_answers_name_errors_only(face, text, quiet):
    face.put("a")
    wrong = "<Object><Key>b</Key><VersionId>other</VersionId></Object>"
    reply = delete(face, document_of(["a"], f"{wrong}<Quiet>{text}</Quiet>"))
    assert reply.texts("Deleted/Key") == ([] if quiet else ["a"])
    assert (reply.texts("Error/Key"), reply.texts("Error/Code")) == (["b"], ["NoSuchVersion"])
    assert keys_left(face) == []


@pytest.mark.parametrize(("count", "status"), [(1, 200), (1000, 200), (1001, 400), (0, 400)])
def test_a_thousand_keys_at_most(face, count, status):
    face.put("key-0")
    reply = delete(face, document_of(f"key-{number}" for number in range(count)))
    assert reply.status == status
    assert status == 200 or reply.code == "MalformedXML"
    assert keys_left(face) == ([] if status == 200 else ["key-0"])


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"key",
        b"<Delete>",
        b"<Remove><Object><Key>key</Key></Object></Remove>",
        b"<Delete><Object/></Delete>",
        b"<Delete><Object><Key></Key></Object></Delete>",
        b"<Delete><Object><Key>key</Key></Object><Object></Object></Delete>",
        b"<Delete><Object><Key>key</Key><Size>\xc2\xb2</Size></Object></Delete>",
        b"<Delete><Object><Key>key</Key><Size>" + b"9" * 5000 + b"</Size></Object></Delete>",
        b"<Delete><Object><Key>key</Key><LastModifiedTime>soon</LastModifiedTime></Object></Delete>",
        b"<Delete><Object><Key>\xff</Key></Object></Delete>",
        b"<Delete><Object><Key>&#x1;</Key></Object></Delete>",
        b"<Delete><Object><Key>&unknown;</Key></Object></Delete>",
        b"<!DOCTYPE Delete><Delete><Object><Key>key</Key></Object></Delete>",
        BOMB,
        FILE,
    ],
)
def test_documents_that_are_refused_delete_nothing(face, document):
    face.put("key")
    reply = delete(face, document)
    assert (reply.status, reply.code) == (400, "MalformedXML")
    assert keys_left(face) == ["key"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"content-md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"content-md5": "junk"}, "InvalidDigest"),
        ({"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()}, "BadDigest"),
        ({"x-amz-content-sha256": "0" * 64, "x-amz-checksum-crc32": "AAAAAA=="}, "XAmzContentSHA256Mismatch"),
    ],
)
def test_documents_are_held_to_their_digests(face, headers, code):
    face.put("key")
    assert delete(face, document_of(["key"]), headers).code == code
    assert keys_left(face) == ["key"]


def test_a_checksum_will_do_for_a_digest(face):
    face.put("key")
    document = document_of(["key"])
    value = base64.b64encode(hashlib.sha256(document).digest()).decode()
    assert delete(face, document, {"x-amz-checksum-sha256": value}).status == 200
    assert keys_left(face) == []


def test_a_missing_bucket_fails_as_a_whole(face):
    assert delete(face, document_of(["key"]), bucket="nobodys").code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("condition", "deleted"),
    [
        ("<ETag>{etag}</ETag>", True),
        ("<ETag>*</ETag>", True),
        ("<ETag>other</ETag>", False),
        ("<Size>4</Size>", True),
        ("<Size>5</Size>", False),
        ("<LastModifiedTime>Tue, 14 Nov 2023 22:13:20 GMT</LastModifiedTime>", True),
        ("<LastModifiedTime>Tue, 14 Nov 2023 22:13:21 GMT</LastModifiedTime>", False),
    ],
)
def test_conditions_of_single_keys(face, condition, deleted):
    etag = face.put("key").headers["etag"]
    face.put("other")
    entry = f"<Object><Key>key</Key>{condition.format(etag=escape(etag))}</Object>"
    reply = delete(face, document_of(["other"], entry))
    assert reply.texts("Deleted/Key") == ["other"] + ["key"] * deleted
    assert reply.texts("Error/Code") == ([] if deleted else ["PreconditionFailed"])
    assert keys_left(face) == ([] if deleted else ["key"])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"if-match": "{etag}"}, None),
        ({"if-match": "*"}, None),
        ({"if-match": '"other"'}, "PreconditionFailed"),
        ({"if-match": '""'}, "PreconditionFailed"),
        ({"x-amz-if-match-size": "4"}, None),
        ({"x-amz-if-match-size": "5"}, "PreconditionFailed"),
        ({"x-amz-if-match-size": "\xb2"}, "InvalidArgument"),
        ({"x-amz-if-match-size": "9" * 5000}, "InvalidArgument"),
        ({"x-amz-if-match-last-modified-time": "Tue, 14 Nov 2023 22:13:20 GMT"}, None),
        ({"x-amz-if-match-last-modified-time": "Tue, 14 Nov 2023 22:13:19 GMT"}, "PreconditionFailed"),
        ({"x-amz-if-match-last-modified-time": "soon"}, "InvalidArgument"),
    ],
)
def test_conditions_of_deleting_one_object(face, headers, code):
    etag = face.put("key").headers["etag"]
    reply = face.ask("DELETE", "/bucket/key", {name: value.format(etag=etag) for name, value in headers.items()})
    assert reply.status == 204 if code is None else reply.code == code
    assert keys_left(face) == ([] if code is None else ["key"])
