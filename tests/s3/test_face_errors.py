"""Errors: each in S3's words, with the ids by which an operator finds it; none tells what only the log may know."""

import ast
import asyncio
import logging
import pathlib
import re

import pytest

import rustfs
from rustfs.core import errors
from rustfs.http.messages import HttpError
from rustfs.s3.errors import TABLE, S3Error
from tests.s3.facing import HOST, whole
from tests.s3.signing import request_of

SOURCES = sorted(pathlib.Path(rustfs.__file__).parent.joinpath("s3").rglob("*.py"))

# what the object layer raises -> code, status, further elements of the document
FAILURES = [
    (errors.NoSuchBucket("b"), "NoSuchBucket", 404, {}),
    (errors.BucketNotEmpty("b"), "BucketNotEmpty", 409, {}),
    (errors.NoSuchKey("k"), "NoSuchKey", 404, {}),
    (errors.NoSuchUpload("u"), "NoSuchUpload", 404, {}),
    (errors.InvalidPart("p"), "InvalidPart", 400, {}),
    (errors.InvalidPartOrder("p"), "InvalidPartOrder", 400, {}),
    (errors.EntityTooLarge("e"), "EntityTooLarge", 400, {}),
    (errors.ConditionalConflict("c"), "ConditionalRequestConflict", 409, {}),
    (errors.StorageFull("s"), "XMinioStorageFull", 507, {}),
    (errors.QuorumLost("q"), "ServiceUnavailable", 503, {}),
    (errors.PreconditionFailed("If-Match"), "PreconditionFailed", 412, {"Condition": "If-Match"}),
    (errors.BucketExists("b"), "BucketAlreadyOwnedByYou", 409, {}),
    (
        errors.PartTooSmall(3, 10, 100, "ab"),
        "EntityTooSmall",
        400,
        {"ProposedSize": "10", "MinSizeAllowed": "100", "PartNumber": "3", "ETag": "ab"},
    ),
    (errors.ChecksumMismatch("x-amz-mp-object-size"), "InvalidRequest", 400, {}),
    (errors.ChecksumMismatch("x-amz-checksum-crc32"), "BadDigest", 400, {}),
    (errors.ObjectError("a kind without an entry"), "InternalError", 500, {}),
    (RuntimeError("a bug at /srv/secret"), "InternalError", 500, {}),
]


def strings_of(path):
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


def test_every_code_of_the_table_is_answered_somewhere():
    used = set().union(*(strings_of(path) for path in SOURCES if path.name != "errors.py"))
    assert set(TABLE) - used == set()


def test_the_table_holds_statuses_and_sentences():
    assert list(TABLE) == sorted(TABLE, key=str.lower)
    for code, (status, sentence) in TABLE.items():
        assert status == 304 or 400 <= status < 600, code
        assert sentence, code


def test_every_error_of_the_object_layer_has_a_code_of_its_own():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ObjectError)}
    assert kinds <= {type(error) for error, *_ in FAILURES}


@pytest.mark.parametrize(("error", "code", "status", "details"), FAILURES, ids=lambda value: type(value).__name__)
def test_what_the_object_layer_raises_is_answered_as_s3_does(face, caplog, error, code, status, details):
    face.layer.failure = error
    with caplog.at_level(logging.CRITICAL if status < 500 else logging.NOTSET, "rustfs.s3"):
        reply = face.ask("GET", "/bucket/a%20key?x-id=GetObject")
    assert (reply.status, reply.code) == (status, code)
    for name, value in details.items():
        assert reply.text(name) == value
    assert reply.text("Message")
    assert b"secret" not in reply.body
    if code == "InternalError" and isinstance(error, RuntimeError):
        assert reply.text("RequestId") in caplog.text
        assert "/srv/secret" in caplog.text
    assert face.sample("rustfs_s3_requests_total", operation="GetObject", status=str(status)) == 1


def test_a_lost_quorum_says_when_to_come_again(face):
    face.layer.failure = errors.QuorumLost("two of four drives")
    assert face.ask("GET", "/bucket/key").headers["retry-after"] == "2"


def test_the_document_names_what_it_is_about(face):
    reply = face.ask("GET", "/bucket/a%20%3Ckey%3E/%C3%A9")
    assert reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Error>')
    assert [each.tag for each in reply.xml] == [
        "Code", "Message", "BucketName", "Key", "Resource", "RequestId", "HostId"
    ]  # fmt: skip
    assert (reply.text("BucketName"), reply.text("Key")) == ("bucket", "a <key>/é")
    assert reply.text("Resource") == "/bucket/a%20%3Ckey%3E/%C3%A9"
    assert re.fullmatch(r"[0-9A-F]{16}", reply.text("RequestId"))
    assert reply.text("RequestId") == reply.headers["x-amz-request-id"]
    assert reply.text("HostId") == reply.headers["x-amz-id-2"]


def test_a_key_cannot_pass_itself_off_as_the_request_id(face):
    reply = face.ask("GET", "/bucket/%3CRequestId%3E0123456789ABCDEF%3C%2FRequestId%3E")
    assert reply.headers["x-amz-request-id"] == reply.text("RequestId") != "0123456789ABCDEF"


def test_every_answer_has_an_id_of_its_own(face):
    replies = [face.ask("GET", "/"), face.ask("HEAD", "/bucket"), face.ask("GET", "/nobodys"), face.ask("PUT", "/new")]
    assert len({reply.headers["x-amz-request-id"] for reply in replies}) == len(replies)
    assert len({reply.headers["x-amz-id-2"] for reply in replies}) == 1


@pytest.mark.parametrize(("target", "status"), [("/nobodys", 404), ("/bucket/gone", 404), ("/B", 400), ("/", 405)])
def test_errors_of_head_have_a_status_and_no_body(face, target, status):
    reply = face.ask("HEAD", target)
    assert (reply.status, reply.body, reply.length_bytes) == (status, b"", 0)
    assert "x-amz-request-id" in reply.headers


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [
        (400, "BadRequest", 400),
        (408, "RequestTimeout", 400),
        (417, "BadRequest", 400),
        (431, "RequestHeaderSectionTooLarge", 400),
        (501, "NotImplemented", 501),
        (503, "SlowDown", 503),
    ],
)
def test_what_http_refuses_is_answered_in_the_manner_of_s3(face, status, code, answered):
    request = request_of("GET", "/bucket/key", {"host": HOST})
    for known in (request, None):
        response = face.face.refused(HttpError(status, "the reason"), known)
        assert response.close
        reply = asyncio.run(whole(request, response))
        assert (reply.status, reply.code) == (answered, code)
        assert reply.text("RequestId") == reply.headers["x-amz-request-id"]
        assert reply.text("Resource") == (None if known is None else "/bucket/key")
    assert (reply.text("Message") == "the reason") == (code == "BadRequest")


@pytest.mark.parametrize(
    ("error", "status", "code", "close"),
    [
        (S3Error("NoSuchKey"), 404, "NoSuchKey", False),
        (HttpError(400, "broken"), 400, "BadRequest", True),
        (RuntimeError("what only the log may tell"), 500, "InternalError", False),
    ],
)
def test_what_breaks_while_an_answer_is_made(face, caplog, error, status, code, close):
    request = request_of("GET", "/bucket/key", {"host": HOST})
    response = face.face.failed(request, error)
    assert response.close is close
    reply = asyncio.run(whole(request, response))
    assert (reply.status, reply.code) == (status, code)
    assert b"only the log" not in reply.body
    assert ("only the log" in caplog.text) == isinstance(error, RuntimeError)


def test_a_request_that_is_given_up_is_counted_and_ends(face):
    face.layer.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        face.ask("GET", "/bucket/key")
    assert face.sample("rustfs_s3_requests_total", operation="GetObject", status="499") == 1
    assert face.sample("rustfs_s3_requests_in_flight") == 0
