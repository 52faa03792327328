"""Every operation of the router's table answers as itself; what has no entry is refused, never taken for another."""

import itertools

import pytest

from rustfs.http.messages import Headers
from rustfs.s3 import router
from tests.s3.signing import request_of

MD5_OF_DELETE = {"content-md5": "huHypdSrravATozENYdOuw=="}
DELETE_GONE = b"<Delete><Object><Key>gone</Key></Object></Delete>"
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")

# operation -> method, target ({id} is an upload of bucket/up), headers, body, status
CALLS = {
    "ListBuckets": ("GET", "/", {}, b"", 200),
    "ListObjects": ("GET", "/bucket", {}, b"", 200),
    "ListObjectsV2": ("GET", "/bucket?list-type=2", {}, b"", 200),
    "ListObjectVersions": ("GET", "/bucket?versions", {}, b"", 200),
    "CreateBucket": ("PUT", "/fresh", {}, b"", 200),
    "HeadBucket": ("HEAD", "/bucket", {}, b"", 200),
    "DeleteBucket": ("DELETE", "/empty", {}, b"", 204),
    "DeleteObjects": ("POST", "/bucket?delete", MD5_OF_DELETE, DELETE_GONE, 200),
    "GetBucketLocation": ("GET", "/bucket?location", {}, b"", 200),
    "ListMultipartUploads": ("GET", "/bucket?uploads", {}, b"", 200),
    "GetBucketAcl": ("GET", "/bucket?acl", {}, b"", 200),
    "PutBucketAcl": ("PUT", "/bucket?acl", {"x-amz-acl": "private"}, b"", 200),
    "GetBucketVersioning": ("GET", "/bucket?versioning", {}, b"", 200),
    "GetBucketLogging": ("GET", "/bucket?logging", {}, b"", 200),
    "GetBucketAccelerateConfiguration": ("GET", "/bucket?accelerate", {}, b"", 200),
    "GetBucketNotificationConfiguration": ("GET", "/bucket?notification", {}, b"", 200),
    "GetBucketRequestPayment": ("GET", "/bucket?requestPayment", {}, b"", 200),
    "GetBucketPolicyStatus": ("GET", "/bucket?policyStatus", {}, b"", 200),
    "GetBucketPolicy": ("GET", "/bucket?policy", {}, b"", 404),
    "GetBucketCors": ("GET", "/bucket?cors", {}, b"", 404),
    "GetBucketLifecycleConfiguration": ("GET", "/bucket?lifecycle", {}, b"", 404),
    "GetBucketTagging": ("GET", "/bucket?tagging", {}, b"", 404),
    "GetBucketWebsite": ("GET", "/bucket?website", {}, b"", 404),
    "GetBucketEncryption": ("GET", "/bucket?encryption", {}, b"", 404),
    "GetObjectLockConfiguration": ("GET", "/bucket?object-lock", {}, b"", 404),
    "GetBucketReplication": ("GET", "/bucket?replication", {}, b"", 404),
    "GetObject": ("GET", "/bucket/key", {}, b"", 200),
    "HeadObject": ("HEAD", "/bucket/key", {}, b"", 200),
    "PutObject": ("PUT", "/bucket/new", {}, b"data", 200),
    "CopyObject": ("PUT", "/bucket/copy", {"x-amz-copy-source": "/bucket/key"}, b"", 200),
    "DeleteObject": ("DELETE", "/bucket/key", {}, b"", 204),
    "CreateMultipartUpload": ("POST", "/bucket/other?uploads", {}, b"", 200),
    "UploadPart": ("PUT", "/bucket/up?uploadId={id}&partNumber=1", {}, b"part", 200),
    "UploadPartCopy": ("PUT", "/bucket/up?uploadId={id}&partNumber=1", {"x-amz-copy-source": "bucket/key"}, b"", 200),
    "CompleteMultipartUpload": ("POST", "/bucket/up?uploadId={id}", {}, b"<CompleteMultipartUpload/>", 400),
    "AbortMultipartUpload": ("DELETE", "/bucket/up?uploadId={id}", {}, b"", 204),
    "ListParts": ("GET", "/bucket/up?uploadId={id}", {}, b"", 200),
    "GetObjectAttributes": ("GET", "/bucket/key?attributes", {"x-amz-object-attributes": "ETag"}, b"", 200),
    "GetObjectAcl": ("GET", "/bucket/key?acl", {}, b"", 200),
    "PutObjectAcl": ("PUT", "/bucket/key?acl", {"x-amz-acl": "private"}, b"", 200),
    "GetObjectTagging": ("GET", "/bucket/key?tagging", {}, b"", 200),
}


def routed_names():
    tables = (router._SERVICE, router._BUCKET, router._OBJECT)
    names = {found.name for table in tables for found in table.values()}
    return names | {router._LIST_V2.name, router._COPY.name, router._PART_COPY.name}


@pytest.fixture
def filled(face):
    face.make_bucket("empty")
    face.put("key")
    face.upload_id = face.ask("POST", "/bucket/up?uploads").text("UploadId")
    return face


def test_every_entry_of_the_router_is_called_here():
    assert set(CALLS) == routed_names()


@pytest.mark.parametrize("name", CALLS)
def test_every_operation_answers_as_itself(filled, name):
    method, target, headers, body, status = CALLS[name]
    before = filled.sample("rustfs_s3_requests_total", operation=name, status=str(status))
    reply = filled.ask(method, target.replace("{id}", filled.upload_id), headers, body)
    assert reply.status == status, reply
    assert filled.sample("rustfs_s3_requests_total", operation=name, status=str(status)) == before + 1
    assert filled.sample("rustfs_s3_requests_in_flight") == 0


@pytest.mark.parametrize("name", CALLS)
def test_no_operation_serves_whom_it_does_not_know(filled, name):
    method, target, headers, body, _ = CALLS[name]
    target = target.replace("{id}", filled.upload_id)
    length = {"host": "localhost", "content-length": str(len(body))}
    request = request_of(method, target, {**headers, **length})
    reply = filled.send(request)
    assert reply.status == 403
    assert method == "HEAD" or reply.code == "AccessDenied"
    assert not request.body.was_read
    altered = filled.signed(request)
    altered.headers = Headers([(name, value.replace("Signature=", "Signature=0")) for name, value in altered.headers])
    assert filled.send(altered).status in (400, 403)
    assert filled.ask("GET", "/bucket/key").body == b"data"
    assert filled.ask("HEAD", "/fresh").status == 404


@pytest.mark.parametrize("resource", sorted(router.SUBRESOURCES))
@pytest.mark.parametrize(("target", "table"), [("/bucket", router._BUCKET), ("/bucket/key", router._OBJECT)])
def test_a_sub_resource_without_an_entry_is_not_implemented(filled, resource, target, table):
    for method in METHODS:
        if (method, resource) in table:
            continue
        reply = filled.ask(method, f"{target}?{resource}")
        assert reply.status == 501, (method, resource)
        assert method == "HEAD" or reply.code == "NotImplemented"
    assert filled.ask("GET", "/bucket/key").body == b"data"


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("PATCH", "/bucket", "BUCKET"),
        ("PATCH", "/bucket/key", "OBJECT"),
        ("PUT", "/", "SERVICE"),
        ("DELETE", "/", "SERVICE"),
    ],
)
def test_a_method_that_a_resource_does_not_have(face, method, target, kind):
    reply = face.ask(method, target)
    assert (reply.status, reply.code) == (405, "MethodNotAllowed")
    assert (reply.text("Method"), reply.text("ResourceType")) == (method, kind)


@pytest.mark.parametrize("target", ["/", "/bucket", "/bucket/key"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_form_uploads_and_preflights_are_not_implemented(face, method, target):
    assert face.ask(method, target).code == "NotImplemented"


@pytest.mark.parametrize("pair", list(itertools.combinations(["acl", "tagging", "uploads", "policy"], 2)))
def test_two_sub_resources_contradict_each_other(face, pair):
    assert face.ask("GET", f"/bucket?{'&'.join(pair)}").code == "InvalidArgument"


@pytest.mark.parametrize("query", ["x-id=GetObject", "versionId=null", "unknown=1", "response-expires=never"])
def test_other_parameters_only_qualify(filled, query):
    assert filled.ask("GET", f"/bucket/key?{query}").body == b"data"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_are_no_other_versions(filled, method):
    assert filled.ask(method, "/bucket/key?versionId=3HL4kqtJlcpXroDTDmJ").code == "NoSuchVersion"
    assert filled.ask(method, "/bucket/key?versionId=").code == "InvalidArgument"
    assert filled.ask("GET", "/bucket/key").body == b"data"


def test_a_part_that_names_no_upload_does_not_become_an_object(filled):
    assert filled.ask("PUT", "/bucket/key?partNumber=1", {}, b"part").code == "InvalidArgument"
    assert filled.ask("GET", "/bucket/key").body == b"data"


@pytest.mark.parametrize("kind", ["1", "3", "", "two"])
def test_list_type(face, kind):
    assert face.ask("GET", f"/bucket?list-type={kind}").code == "InvalidArgument"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-acl", "public-read"),
        ("x-amz-acl", "authenticated-read"),
        ("x-amz-write-offset-bytes", "4"),
    ],
)
def test_headers_that_ask_for_what_is_not_there_are_not_passed_over(filled, name, value):
    reply = filled.ask("PUT", "/bucket/key", {name: value}, b"other")
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert reply.text("Header") == name
    assert filled.ask("GET", "/bucket/key").body == b"data"


@pytest.mark.parametrize("name", ["x-amz-grant-full-control", "x-amz-bucket-object-lock-enabled"])
def test_buckets_are_not_made_without_what_was_asked_for(face, name):
    assert face.ask("PUT", "/fresh", {name: "true"}).code == "NotImplemented"
    assert face.ask("HEAD", "/fresh").status == 404


@pytest.mark.parametrize("acl", ["private", "bucket-owner-full-control", "bucket-owner-read"])
def test_access_lists_that_change_nothing_are_taken(face, acl):
    face.put("key", headers={"x-amz-acl": acl})
