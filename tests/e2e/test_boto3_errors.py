"""Refusals as AWS words them: status, code, and the XML that clients show to people."""

import http.client
import xml.etree.ElementTree as ET

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.server import ACCESS_KEY, REGION, SECRET_KEY
from tests.e2e.test_boto3_objects import status_and_code


@pytest.mark.parametrize(
    ("access_key", "secret_key", "expected"),
    [
        ("nobody", SECRET_KEY, (403, "InvalidAccessKeyId")),
        (ACCESS_KEY, "wrong", (403, "SignatureDoesNotMatch")),
    ],
)
def test_wrong_credentials(server, bucket, access_key, secret_key, expected):
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    try:
        for operation, arguments in ((client.list_objects_v2, {}), (client.put_object, {"Key": "k", "Body": b"x"})):
            with pytest.raises(ClientError) as raised:
                operation(Bucket=bucket, **arguments)
            assert status_and_code(raised) == expected
    finally:
        client.close()


def test_an_unsigned_request_is_denied(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="secret", Body=b"x")
    status, body = server.get(f"/{bucket}/secret")
    assert status == 403
    assert ET.fromstring(body).findtext("Code") == "AccessDenied"


def test_error_document(server, s3, bucket):
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "no such/key"})
    connection = http.client.HTTPConnection(server.address, timeout=10)
    try:
        connection.request("GET", url.removeprefix(server.endpoint))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 404
    assert response.getheader("content-type") == "application/xml"
    root = ET.fromstring(body)
    assert root.tag == "Error"
    assert root.findtext("Code") == "NoSuchKey"
    assert root.findtext("Message")
    assert root.findtext("Resource") == f"/{bucket}/no%20such/key"  # as it was asked for
    assert root.findtext("RequestId") == response.getheader("x-amz-request-id")


def test_a_body_that_differs_from_its_digest_is_never_visible(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"new", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert status_and_code(raised) == (400, "BadDigest")
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"new", ContentMD5="not base64!")
    assert status_and_code(raised) == (400, "InvalidDigest")
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"new", ChecksumCRC32="AAAAAA==")
    assert status_and_code(raised) == (400, "BadDigest")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_an_upload_cut_short_leaves_the_old_object(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.putrequest("PUT", url.removeprefix(server.endpoint), skip_accept_encoding=True)
    connection.putheader("content-length", "3000000")
    connection.endheaders()
    connection.send(b"n" * 1_500_000)
    connection.close()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
