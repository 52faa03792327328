"""Multipart uploads through boto3: assembly, copies as parts, rules, listings, repeats."""

import io

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.e2e.payloads import md5_hex, multipart_etag, noise, prose
from tests.e2e.test_boto3_objects import status_and_code

PART_BYTES = 5 << 20


def upload(s3, bucket: str, key: str, parts: dict[int, bytes], **create) -> tuple[str, list[dict[str, object]]]:
    """Begin an upload and send its parts; the id and the list that completes it."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    where = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    done = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=part)["ETag"]}
        for number, part in parts.items()
    ]
    return upload_id, sorted(done, key=lambda part: part["PartNumber"])


def complete(s3, bucket: str, key: str, upload_id: str, parts, **more):
    """CompleteMultipartUpload."""
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def test_parts_in_any_order_with_gaps(s3, bucket):
    parts = {9: noise(1_000_000, 9), 1: noise(PART_BYTES, 1), 4: prose(PART_BYTES + 123, 4)}
    upload_id, done = upload(s3, bucket, "k", parts, ContentType="text/x", Metadata={"m": "1"})
    answer = complete(s3, bucket, "k", upload_id, done)
    ordered = [parts[number] for number in sorted(parts)]
    whole = b"".join(ordered)
    assert answer["ETag"] == f'"{multipart_etag(ordered)}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == whole
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (answer["ETag"], "text/x", {"m": "1"})
    edge = PART_BYTES - 10
    assert (
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={edge}-{edge + 30}")["Body"].read()
        == whole[edge : edge + 31]
    )


def test_reading_part_by_part(s3, bucket):
    parts = [noise(PART_BYTES, 1), prose(PART_BYTES + 1, 2), b"end"]
    upload_id, done = upload(s3, bucket, "k", dict(enumerate(parts, 1)))
    complete(s3, bucket, "k", upload_id, done)
    for number, part in enumerate(parts, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["PartsCount"] == 3
        assert got["Body"].read() == part
        assert s3.head_object(Bucket=bucket, Key="k", PartNumber=number)["ContentLength"] == len(part)
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket=bucket, Key="k", PartNumber=4)
    assert status_and_code(raised) == (416, "InvalidPartNumber")


def test_transfer_manager_round_trip(s3, bucket, tmp_path):
    data = noise(18_000_001)
    config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(data), bucket, "big", Config=config)
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-4"')
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=config)
    for key in ("big", "copy"):
        s3.download_file(bucket, key, str(tmp_path / key), Config=config)
        assert (tmp_path / key).read_bytes() == data


def test_upload_part_copy_with_ranges(s3, bucket):
    source = noise(PART_BYTES + 1_000_000)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload_id, "CopySource": {"Bucket": bucket, "Key": "source"}}
    first = s3.upload_part_copy(**where, PartNumber=1, CopySourceRange=f"bytes=7-{PART_BYTES + 6}")["CopyPartResult"]
    second = s3.upload_part_copy(**where, PartNumber=2)["CopyPartResult"]
    expected = [source[7 : PART_BYTES + 7], source]
    assert [first["ETag"], second["ETag"]] == [f'"{md5_hex(part)}"' for part in expected]
    for bad in ("bytes=0-99999999", "bytes=5-", "0-5"):
        with pytest.raises(ClientError) as raised:
            s3.upload_part_copy(**where, PartNumber=3, CopySourceRange=bad)
        assert status_and_code(raised)[0] in (400, 416), bad
    done = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["ETag"]}]
    complete(s3, bucket, "k", upload_id, done)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(expected)


def test_nothing_is_visible_before_completion_nor_after_abort(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    upload_id, done = upload(s3, bucket, "k", {1: b"new"})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    assert (
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)["ResponseMetadata"]["HTTPStatusCode"]
        == 204
    )
    for operation, arguments in (
        (s3.upload_part, {"PartNumber": 1, "Body": b"x"}),
        (s3.list_parts, {}),
        (s3.complete_multipart_upload, {"MultipartUpload": {"Parts": done}}),
        (s3.abort_multipart_upload, {}),
    ):
        with pytest.raises(ClientError) as raised:
            operation(Bucket=bucket, Key="k", UploadId=upload_id, **arguments)
        assert status_and_code(raised) == (404, "NoSuchUpload"), operation
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_rules_of_completion(s3, bucket):
    upload_id, done = upload(s3, bucket, "k", {1: b"too small", 2: noise(PART_BYTES, 2), 3: b"last"})
    wrong = [{"PartNumber": 2, "ETag": '"00000000000000000000000000000000"'}]
    absent = [{"PartNumber": 7, "ETag": done[0]["ETag"]}]
    for parts, code in (
        (done, "EntityTooSmall"),
        ([done[2], done[1]], "InvalidPartOrder"),
        (wrong, "InvalidPart"),
        (absent, "InvalidPart"),
    ):
        with pytest.raises(ClientError) as raised:
            complete(s3, bucket, "k", upload_id, parts)
        assert status_and_code(raised) == (400, code)
    with pytest.raises(ClientError) as raised:
        complete(s3, bucket, "k", upload_id, [])
    assert status_and_code(raised) == (400, "MalformedXML")
    complete(s3, bucket, "k", upload_id, done[1:])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == noise(PART_BYTES, 2) + b"last"


def test_completing_twice_answers_the_same(s3, bucket):
    upload_id, done = upload(s3, bucket, "k", {1: noise(PART_BYTES), 2: b"end"})
    first = complete(s3, bucket, "k", upload_id, done)
    assert complete(s3, bucket, "k", upload_id, done)["ETag"] == first["ETag"]


def test_a_part_sent_again_replaces_the_first(s3, bucket):
    upload_id, _ = upload(s3, bucket, "k", {1: noise(PART_BYTES, 1)})
    again = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"second")
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]
    assert [(part["PartNumber"], part["ETag"], part["Size"]) for part in listed] == [(1, again["ETag"], 6)]
    complete(s3, bucket, "k", upload_id, [{"PartNumber": 1, "ETag": again["ETag"]}])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_part_numbers_out_of_range(s3, bucket):
    upload_id, _ = upload(s3, bucket, "k", {})
    for number in (0, 10_001):
        with pytest.raises(ClientError) as raised:
            s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=b"x")
        assert status_and_code(raised) == (400, "InvalidArgument")


def test_list_parts_pages(s3, bucket):
    upload_id, done = upload(s3, bucket, "k", {number: f"{number}".encode() for number in (1, 2, 3, 10, 10_000)})
    seen, marker = [], 0
    while True:
        page = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=2, PartNumberMarker=marker)
        seen += [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert seen == done


def test_list_multipart_uploads_pages(s3, bucket):
    wanted = []
    for key in ("a/1", "a/2", "a/2", "b", "c/x"):
        wanted.append((key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]))
    seen, markers = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        seen += [(entry["Key"], entry["UploadId"]) for entry in page.get("Uploads", ())]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(seen) == sorted(wanted)
    assert [key for key, _ in seen] == [key for key, _ in wanted]
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["a/", "c/"]
    assert [entry["Key"] for entry in page["Uploads"]] == ["b"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")
    assert [entry["Key"] for entry in page["Uploads"]] == ["a/1", "a/2", "a/2"]


def test_object_attributes_of_a_multipart_object(s3, bucket):
    upload_id, done = upload(s3, bucket, "k", {1: noise(PART_BYTES), 2: b"end"})
    answer = complete(s3, bucket, "k", upload_id, done)
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts", "StorageClass"]
    )
    assert attributes["ETag"] == answer["ETag"].strip('"')
    assert attributes["ObjectSize"] == PART_BYTES + 3
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert attributes["StorageClass"] == "STANDARD"
