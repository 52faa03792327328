"""Buckets: their life, their listing, where they are, and the settings that they cannot have."""

import pytest

from tests.s3.facing import facing
from tests.s3.signing import PiecedBody

LOCATION = "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>"


def test_life_of_a_bucket(face):
    reply = face.ask("PUT", "/fresh")
    assert (reply.status, reply.headers["location"], reply.body) == (200, "/fresh", b"")
    head = face.ask("HEAD", "/fresh")
    assert (head.status, head.headers["x-amz-bucket-region"]) == (200, "us-east-1")
    assert face.ask("DELETE", "/fresh").status == 204
    assert face.ask("HEAD", "/fresh").status == 404
    assert face.ask("DELETE", "/fresh").code == "NoSuchBucket"


def test_a_bucket_with_objects_is_not_deleted(face):
    face.put("key")
    reply = face.ask("DELETE", "/bucket")
    assert (reply.status, reply.code) == (409, "BucketNotEmpty")
    face.ask("DELETE", "/bucket/key")
    assert face.ask("DELETE", "/bucket").status == 204


def test_creating_ones_own_bucket_again():
    with facing() as face:
        face.make_bucket()
        face.put("key")
        assert face.ask("PUT", "/bucket").status == 200
        assert face.ask("GET", "/bucket/key").body == b"data"
    with facing(region="eu-west-1") as face:
        face.make_bucket()
        reply = face.ask("PUT", "/bucket")
        assert (reply.status, reply.code) == (409, "BucketAlreadyOwnedByYou")


@pytest.mark.parametrize(
    ("region", "constraint", "code", "location"),
    [
        ("us-east-1", "", None, ""),
        ("us-east-1", "us-east-1", None, ""),
        ("us-east-1", "eu-west-1", "IllegalLocationConstraintException", ""),
        ("eu-west-1", "", None, "eu-west-1"),
        ("eu-west-1", "eu-west-1", None, "eu-west-1"),
        ("eu-west-1", "us-east-1", "InvalidLocationConstraint", ""),
        ("eu-west-1", "ap-south-1", "IllegalLocationConstraintException", ""),
    ],
)
def test_location_constraints(region, constraint, code, location):
    with facing(region=region) as face:
        reply = face.ask("PUT", "/fresh", {}, LOCATION.format(constraint).encode())
        if code is not None:
            assert (reply.status, reply.code) == (400, code)
            assert face.ask("HEAD", "/fresh").status == 404
        else:
            assert reply.status == 200
            found = face.ask("GET", "/fresh?location").xml
            assert (found.tag, found.text or "") == ("LocationConstraint", location)


@pytest.mark.parametrize(
    "setting",
    [
        "<Tags><Tag><Key>team</Key><Value>one</Value></Tag></Tags>",
        "<Location><Name>use1-az4</Name><Type>AvailabilityZone</Type></Location>",
        "<Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy><Type>Directory</Type></Bucket>",
    ],
)
def test_buckets_are_not_made_without_a_setting_that_was_asked_for(face, setting):
    body = f"<CreateBucketConfiguration>{setting}</CreateBucketConfiguration>"
    reply = face.ask("PUT", "/fresh", {}, body.encode())
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert reply.text("Element") in setting
    assert face.ask("HEAD", "/fresh").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"<",
        b"<CreateBucketConfiguration>",
        b"<Other/>",
        b"none",
        b'<!DOCTYPE a [<!ENTITY b "us-east-1">]><CreateBucketConfiguration><LocationConstraint>&b;</LocationConstraint>'
        b"</CreateBucketConfiguration>",
        b'<?xml version="1.0" encoding="martian"?><CreateBucketConfiguration/>',
        b"<CreateBucketConfiguration>\xff</CreateBucketConfiguration>",
    ],
)
def test_documents_that_are_none(face, body):
    reply = face.ask("PUT", "/fresh", {}, body)
    assert (reply.status, reply.code) == (400, "MalformedXML")
    assert face.ask("HEAD", "/fresh").status == 404


def test_documents_beyond_2_mib_are_not_read(face):
    announced = PiecedBody([b"<"], length_bytes=(2 << 20) + 1)
    assert face.ask("PUT", "/fresh", pieces=announced).code == "MaxMessageLengthExceeded"
    assert not announced.was_read
    chunked = PiecedBody([b" " * (1 << 20)] * 3)
    chunked.length_bytes = None
    reply = face.ask("PUT", "/fresh", {"transfer-encoding": "chunked"}, pieces=chunked, lengthless=True)
    assert reply.code == "MaxMessageLengthExceeded"


def test_buckets_are_listed_by_name_with_their_owner():
    with facing() as face:
        assert face.ask("GET", "/").texts("Buckets/Bucket/Name") == []
        for name in ("zebra", "apple", "app.le"):
            face.make_bucket(name)
        reply = face.ask("GET", "/")
        assert reply.xml.tag == "ListAllMyBucketsResult"
        assert reply.texts("Buckets/Bucket/Name") == ["app.le", "apple", "zebra"]
        assert reply.text("Buckets/Bucket/CreationDate") == "2023-11-14T22:13:20.500Z"
        assert reply.text("Owner/ID") == face.keys.root.owner_id
        assert reply.text("ContinuationToken") is None


def test_pages_of_buckets_go_together():
    with facing() as face:
        names = sorted(f"bucket-{number}" for number in range(25))
        for name in [*names, "other"]:
            face.make_bucket(name)
        found, token, pages = [], "", 0
        while True:
            reply = face.ask("GET", f"/?prefix=bucket-&max-buckets=7{token}")
            assert reply.text("Prefix") == "bucket-"
            found += reply.texts("Buckets/Bucket/Name")
            pages += 1
            if reply.text("ContinuationToken") is None:
                break
            token = f"&continuation-token={reply.text('ContinuationToken').replace('=', '%3D')}"
        assert (found, pages) == (names, 4)


@pytest.mark.parametrize(
    "query",
    ["max-buckets=0", "max-buckets=-1", "max-buckets=many", "max-buckets=1_0", "max-buckets=%2B5", "max-buckets=%205",
     "max-buckets=" + "9" * 30, "max-buckets=2147483648", "bucket-region=eu-west-1", "continuation-token=!!!",
     "continuation-token=%C3%A9", "continuation-token=_w=="],
)  # fmt: skip
def test_wrong_pages_of_buckets(face, query):
    assert face.ask("GET", f"/?{query}").code == "InvalidArgument"


def test_more_buckets_than_there_can_be_on_a_page_may_be_asked_for(face):
    assert face.ask("GET", "/?bucket-region=us-east-1").texts("Buckets/Bucket/Name") == ["bucket"]
    assert face.ask("GET", "/?max-buckets=2147483647").texts("Buckets/Bucket/Name") == ["bucket"]


@pytest.mark.parametrize(
    ("resource", "root", "text"),
    [
        ("versioning", "VersioningConfiguration", ""),
        ("logging", "BucketLoggingStatus", ""),
        ("accelerate", "AccelerateConfiguration", ""),
        ("notification", "NotificationConfiguration", ""),
        ("requestPayment", "RequestPaymentConfiguration", "BucketOwner"),
        ("policyStatus", "PolicyStatus", "false"),
        ("analytics", "ListBucketAnalyticsConfigurationResult", "false"),
        ("intelligent-tiering", "ListBucketIntelligentTieringConfigurationsOutput", "false"),
        ("inventory", "ListInventoryConfigurationsResult", "false"),
        ("metrics", "ListMetricsConfigurationsResult", "false"),
        ("ownershipControls", "OwnershipControls", "BucketOwnerEnforced"),
    ],
)
def test_settings_that_read_as_not_set(face, resource, root, text):
    found = face.ask("GET", f"/bucket?{resource}").xml
    assert (found.tag, "".join(found.itertext())) == (root, text)
    assert face.ask("GET", f"/nobodys?{resource}").code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("policy", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("analytics&id=1", "NoSuchConfiguration"),
        ("intelligent-tiering&id=1", "NoSuchConfiguration"),
        ("inventory&id=", "NoSuchConfiguration"),
        ("metrics&id=1", "NoSuchConfiguration"),
    ],
)
def test_settings_that_are_not_there(face, resource, code):
    reply = face.ask("GET", f"/bucket?{resource}")
    assert (reply.status, reply.code, reply.text("BucketName")) == (404, code, "bucket")
    assert face.ask("GET", f"/nobodys?{resource}").code == "NoSuchBucket"


def test_the_owner_alone_may_do_everything(face):
    face.put("key")
    for target in ("/bucket?acl", "/bucket/key?acl"):
        reply = face.ask("GET", target)
        assert reply.text("Owner/ID") == face.keys.root.owner_id
        assert reply.texts("AccessControlList/Grant/Grantee/ID") == [face.keys.root.owner_id]
        assert reply.texts("AccessControlList/Grant/Permission") == ["FULL_CONTROL"]
    assert face.ask("GET", "/bucket/gone?acl").code == "NoSuchKey"
    assert face.ask("GET", "/bucket/gone?tagging").code == "NoSuchKey"
    assert face.ask("GET", "/bucket/key?tagging").texts("TagSet/Tag") == []


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"x-amz-acl": "public-read"}, b""),
        ({"x-amz-acl": "private"}, b"<AccessControlPolicy/>"),
        ({"x-amz-grant-read": "id=1"}, b""),
    ],
)
def test_other_access_lists_are_not_implemented(face, target, headers, body):
    face.put("key")
    assert face.ask("PUT", target, headers, body).code == "NotImplemented"
    assert face.ask("PUT", target, {"x-amz-acl": "private"}).status == 200
