"""Presigned URLs, used by an HTTP client that knows nothing of S3."""

import http.client
import time
import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

from tests.e2e.payloads import noise


def send(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One plain HTTP request."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=body or None, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_presigned_put_get_head_delete(s3, bucket):
    where = {"Bucket": bucket, "Key": "dir/ä b+c"}
    data = noise(300_000)
    assert send("PUT", s3.generate_presigned_url("put_object", Params=where), data)[0] == 200
    assert send("GET", s3.generate_presigned_url("get_object", Params=where)) == (200, data)
    assert send("HEAD", s3.generate_presigned_url("head_object", Params=where)) == (200, b"")
    ranged = s3.generate_presigned_url("get_object", Params=where)
    assert send("GET", ranged, headers={"Range": "bytes=10-19"}) == (206, data[10:20])
    assert send("DELETE", s3.generate_presigned_url("delete_object", Params=where))[0] == 204
    assert send("GET", s3.generate_presigned_url("get_object", Params=where))[0] == 404


def test_presigned_url_is_bound_to_method_key_and_time(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="other", Body=b"y")
    where = {"Bucket": bucket, "Key": "k"}
    url = s3.generate_presigned_url("get_object", Params=where)
    assert send("PUT", url, b"z")[0] == 403
    assert send("GET", url.replace(f"/{bucket}/k?", f"/{bucket}/other?"))[0] == 403
    short = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=1)
    time.sleep(2.1)  # expiry is a matter of the server's wall clock, which the test cannot turn
    status, body = send("GET", short)
    assert (status, ET.fromstring(body).findtext("Code")) == (403, "AccessDenied")


def test_presigned_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "k", "ResponseContentType": "text/x-test"}
    )
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        assert response.read() == b"x"
        assert response.getheader("content-type") == "text/x-test"
    finally:
        connection.close()
