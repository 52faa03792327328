"""Buckets through boto3: life cycle, names, paging, and the errors around them."""

import pytest
from botocore.exceptions import ClientError

from tests.e2e.test_boto3_objects import status_and_code


def test_life_of_a_bucket(s3):
    name = "life-of-a-bucket"
    s3.create_bucket(Bucket=name)
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    assert name in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    with pytest.raises(ClientError) as raised:
        s3.delete_bucket(Bucket=name)
    assert status_and_code(raised) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=name, Key="k")
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for operation in (s3.head_bucket, s3.delete_bucket, s3.list_objects_v2):
        with pytest.raises(ClientError) as raised:
            operation(Bucket=name)
        assert status_and_code(raised)[0] == 404
    s3.create_bucket(Bucket=name)
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0


def test_creating_a_bucket_again_is_answered_as_in_its_region(s3, bucket):
    """us-east-1 lets an owner create a bucket again; its objects stay. BucketAlreadyOwnedByYou is the other answer."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.5.4"])
def test_invalid_names_are_refused(s3, name):
    with pytest.raises(ClientError) as raised:
        s3.create_bucket(Bucket=name)
    assert status_and_code(raised) == (400, "InvalidBucketName")


def test_operations_on_a_missing_bucket(s3):
    for operation, arguments in (
        (s3.get_object, {"Key": "k"}),
        (s3.put_object, {"Key": "k", "Body": b"x"}),
        (s3.delete_object, {"Key": "k"}),
        (s3.list_objects, {}),
        (s3.list_objects_v2, {}),
        (s3.create_multipart_upload, {"Key": "k"}),
        (s3.list_multipart_uploads, {}),
        (s3.delete_objects, {"Delete": {"Objects": [{"Key": "k"}]}}),
    ):
        with pytest.raises(ClientError) as raised:
            operation(Bucket="never-created", **arguments)
        assert status_and_code(raised) == (404, "NoSuchBucket"), operation


def test_list_buckets_pages(s3):
    names = [f"paged-{number:02}" for number in range(7)]
    for name in names:
        s3.create_bucket(Bucket=name)
    seen, token = [], {}
    while True:
        page = s3.list_buckets(Prefix="paged-", MaxBuckets=3, **token)
        assert len(page["Buckets"]) <= 3
        seen += [entry["Name"] for entry in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == names


def test_unknown_operations_are_not_implemented(s3, bucket):
    for operation, arguments in (
        (s3.put_bucket_request_payment, {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
        (s3.put_bucket_accelerate_configuration, {"AccelerateConfiguration": {"Status": "Enabled"}}),
        (s3.get_object_torrent, {"Key": "k"}),
    ):
        with pytest.raises(ClientError) as raised:
            operation(Bucket=bucket, **arguments)
        assert status_and_code(raised) == (501, "NotImplemented"), operation
