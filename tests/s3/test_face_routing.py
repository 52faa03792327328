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
    "GetPublicAccessBlock": ("GET", "/bucket?publicAccessBlock", {}, b"", 404),
    "GetBucketOwnershipControls": ("GET", "/bucket?ownershipControls", {}, b"", 200),
    "ListBucketAnalyticsConfigurations": ("GET", "/bucket?analytics", {}, b"", 200),
    "GetBucketAnalyticsConfiguration": ("GET", "/bucket?analytics&id=1", {}, b"", 404),
    "ListBucketIntelligentTieringConfigurations": ("GET", "/bucket?intelligent-tiering", {}, b"", 200),
    "GetBucketIntelligentTieringConfiguration": ("GET", "/bucket?intelligent-tiering&id=1", {}, b"", 404),
    "ListBucketInventoryConfigurations": ("GET", "/bucket?inventory", {}, b"", 200),
    "GetBucketInventoryConfiguration": ("GET", "/bucket?inventory&id=1", {}, b"", 404),
    "ListBucketMetricsConfigurations": ("GET", "/bucket?metrics", {}, b"", 200),
    "GetBucketMetricsConfiguration": ("GET", "/bucket?metrics&id=1", {}, b"", 404),
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
    names = {found.name for table in (*tables, router._BY_ID) for found in table.values()}
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


@pytest.mark.parametrize("query", ["annotation", "select&select-type=2", "annotation&annotationName=note"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_what_belongs_to_an_object_is_not_taken_for_the_object(filled, method, query):
    assert filled.ask(method, f"/bucket/key?{query}", {}, b"note").code == "NotImplemented"
    assert filled.ask("GET", "/bucket/key").body == b"data"


@pytest.mark.parametrize("kind", ["Annotation", "Inventory", "Journal"])
def test_metadata_tables_do_not_make_buckets(face, kind):
    assert face.ask("PUT", f"/fresh?metadata{kind}Table").code == "NotImplemented"
    assert face.ask("HEAD", "/fresh").status == 404


@pytest.mark.parametrize("resource", ["analytics", "intelligent-tiering", "inventory", "metrics"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_settings_with_an_id_cannot_be_changed(face, method, resource):
    assert face.ask(method, f"/bucket?{resource}&id=1").code == "NotImplemented"


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-grant-full-control", "id=1"),
        ("x-amz-bucket-object-lock-enabled", "true"),
        ("x-amz-bucket-namespace", "account-regional"),
        ("x-amz-object-ownership", "ObjectWriter"),
    ],
)
def test_buckets_are_not_made_without_what_was_asked_for(face, name, value):
    assert face.ask("PUT", "/fresh", {name: value}).code == "NotImplemented"
    assert face.ask("HEAD", "/fresh").status == 404


def test_buckets_are_made_with_what_is_the_case_anyway(face):
    headers = {"x-amz-object-ownership": "BucketOwnerEnforced", "x-amz-bucket-object-lock-enabled": "false"}
    assert face.ask("PUT", "/fresh", headers).status == 200
    assert face.ask("GET", "/fresh?ownershipControls").text("Rule/ObjectOwnership") == "BucketOwnerEnforced"


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl", "/bucket/key", "/fresh"])
def test_access_lists_that_nobody_knows(filled, target):
    reply = filled.ask("PUT", target, {"x-amz-acl": "public-ready"})
    assert (reply.code, reply.text("ArgumentName")) == ("InvalidArgument", "x-amz-acl")


@pytest.mark.parametrize("name", ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"])
def test_whoever_means_another_owners_bucket_is_refused(filled, name):
    source = {"x-amz-copy-source": "bucket/key"}
    for method, target in [("GET", "/bucket"), ("PUT", "/bucket/copy"), ("DELETE", "/bucket/key")]:
        headers = source if method == "PUT" else {}
        reply = filled.ask(method, target, {**headers, name: "111122223333"})
        assert (reply.status, reply.code) == (403, "AccessDenied")
        assert reply.text("Header") == name
    assert filled.ask("GET", "/bucket").texts("Contents/Key") == ["key"]
    assert filled.ask("GET", "/bucket/key", {name: filled.keys.root.owner_id}).body == b"data"


@pytest.mark.parametrize("acl", ["private", "bucket-owner-full-control", "bucket-owner-read"])
def test_access_lists_that_change_nothing_are_taken(face, acl):
    face.put("key", headers={"x-amz-acl": acl})
