"""CopyObject through boto3: bytes, directives, conditions on the source, copies onto itself."""

import datetime as dt

import pytest
from botocore.exceptions import ClientError

from tests.e2e.payloads import md5_hex, noise, prose
from tests.e2e.test_boto3_objects import status_and_code


@pytest.mark.parametrize(
    "data", [b"", b"small", prose(200_000), noise(2_500_000)], ids=["empty", "small", "prose", "large"]
)
def test_copy_between_buckets(s3, bucket, data):
    target = f"{bucket}-target"
    s3.create_bucket(Bucket=target)
    s3.put_object(Bucket=bucket, Key="dir/ä +%", Body=data, Metadata={"kept": "yes"}, ContentType="text/plain")
    answer = s3.copy_object(Bucket=target, Key="copy", CopySource={"Bucket": bucket, "Key": "dir/ä +%"})
    assert answer["CopyObjectResult"]["ETag"] == f'"{md5_hex(data)}"'
    s3.delete_object(Bucket=bucket, Key="dir/ä +%")
    got = s3.get_object(Bucket=target, Key="copy")
    assert got["Body"].read() == data
    assert (got["Metadata"], got["ContentType"]) == ({"kept": "yes"}, "text/plain")


def test_replace_directive(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"x", Metadata={"old": "1"}, ContentType="text/plain", CacheControl="no-store"
    )
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource={"Bucket": bucket, "Key": "k"},
        MetadataDirective="REPLACE",
        Metadata={"new": "2"},
        ContentType="image/png",
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["Metadata"], head["ContentType"]) == ({"new": "2"}, "image/png")
    assert "CacheControl" not in head


def test_copy_onto_itself_needs_a_change(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=noise(300_000))
    source = {"Bucket": bucket, "Key": "k"}
    with pytest.raises(ClientError) as raised:
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert status_and_code(raised) == (400, "InvalidRequest")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"})
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (noise(300_000), {"a": "b"})


def test_conditions_on_the_source(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = modified - dt.timedelta(seconds=5), modified + dt.timedelta(seconds=5)
    arguments = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
    for passing in (
        {"CopySourceIfMatch": etag},
        {"CopySourceIfNoneMatch": '"other"'},
        {"CopySourceIfModifiedSince": before},
        {"CopySourceIfUnmodifiedSince": after},
        {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": before},
    ):
        s3.copy_object(**arguments, **passing)
    for failing in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfModifiedSince": modified},
        {"CopySourceIfUnmodifiedSince": before},
        {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": before},
    ):
        with pytest.raises(ClientError) as raised:
            s3.copy_object(**arguments, **failing)
        assert status_and_code(raised) == (412, "PreconditionFailed"), failing


def test_missing_source(s3, bucket):
    for source, code in (
        ({"Bucket": bucket, "Key": "missing"}, "NoSuchKey"),
        ({"Bucket": "no-such-bucket", "Key": "k"}, "NoSuchBucket"),
    ):
        with pytest.raises(ClientError) as raised:
            s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
        assert status_and_code(raised) == (404, code)
