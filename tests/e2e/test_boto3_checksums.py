"""The five checksum algorithms through boto3: in headers, in trailers, whole and composite, verified and returned."""

import base64
import hashlib
import io
import zlib

import pytest
from awscrt import checksums
from botocore.exceptions import ClientError

from tests.e2e.payloads import noise
from tests.e2e.test_boto3_multipart import PART_BYTES, complete
from tests.e2e.test_boto3_objects import status_and_code

DIGESTS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def text(algorithm: str, data: bytes) -> str:
    """A checksum as S3 writes it."""
    return base64.b64encode(DIGESTS[algorithm](data)).decode()


@pytest.mark.parametrize("size_bytes", [0, 1_000, 2_500_000])
@pytest.mark.parametrize("algorithm", DIGESTS)
def test_header_trailer_and_return(s3, bucket, algorithm, size_bytes):
    data = noise(size_bytes)
    value = text(algorithm, data)
    field = f"Checksum{algorithm}"
    # Over plain HTTP boto3 sends bytes with the checksum in a header, a stream with it in a trailer.
    s3.put_object(Bucket=bucket, Key="header", Body=data, **{field: value})
    s3.put_object(Bucket=bucket, Key="stream", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    for key in ("header", "stream"):
        for operation in (s3.head_object, s3.get_object):
            answer = operation(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            assert (answer[field], answer["ChecksumType"]) == (value, "FULL_OBJECT")
        attributes = s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=["Checksum", "ObjectSize"])
        assert attributes["Checksum"][field] == value
        assert attributes["ObjectSize"] == size_bytes
    assert field not in s3.head_object(Bucket=bucket, Key="header")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["ChecksumAlgorithm"] for entry in listed] == [[algorithm]] * 2


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_wrong_checksum_is_refused(s3, bucket, algorithm):
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **{f"Checksum{algorithm}": text(algorithm, b"y")})
    assert status_and_code(raised) == (400, "BadDigest")
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **{f"Checksum{algorithm}": "short"})
    assert status_and_code(raised) == (400, "InvalidRequest")
    with pytest.raises(ClientError) as raised:
        s3.head_object(Bucket=bucket, Key="k")
    assert status_and_code(raised)[0] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_composite_checksum(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    parts = [noise(PART_BYTES, 1), noise(77_777, 2)]
    where = {"Bucket": bucket, "Key": "k"}
    created = s3.create_multipart_upload(**where, ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE")
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == (algorithm, "COMPOSITE")
    done = []
    for number, part in enumerate(parts, 1):
        sent = s3.upload_part(
            **where, UploadId=created["UploadId"], PartNumber=number, Body=part, ChecksumAlgorithm=algorithm
        )
        assert sent[field] == text(algorithm, part)
        done.append({"PartNumber": number, "ETag": sent["ETag"], field: sent[field]})
    wrong = [done[0], {**done[1], field: text(algorithm, b"other")}]
    with pytest.raises(ClientError) as raised:
        complete(s3, bucket, "k", created["UploadId"], wrong)
    assert status_and_code(raised) == (400, "InvalidPart")
    answer = complete(s3, bucket, "k", created["UploadId"], done)
    digest = DIGESTS[algorithm](b"".join(DIGESTS[algorithm](part) for part in parts))
    value = f"{base64.b64encode(digest).decode()}-2"
    assert (answer[field], answer["ChecksumType"]) == (value, "COMPOSITE")
    head = s3.head_object(**where, ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (value, "COMPOSITE")
    attributes = s3.get_object_attributes(**where, ObjectAttributes=["Checksum", "ObjectParts"])
    assert attributes["Checksum"][field] in (value, value.removesuffix("-2"))
    assert [part[field] for part in attributes["ObjectParts"]["Parts"]] == [part[field] for part in done]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_full_object_checksum_of_a_multipart_object(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    parts = [noise(PART_BYTES, 1), noise(77_777, 2)]
    where = {"Bucket": bucket, "Key": "k"}
    created = s3.create_multipart_upload(**where, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    done = []
    for number, part in enumerate(parts, 1):
        sent = s3.upload_part(
            **where, UploadId=created["UploadId"], PartNumber=number, Body=part, ChecksumAlgorithm=algorithm
        )
        done.append({"PartNumber": number, "ETag": sent["ETag"], field: sent[field]})
    value = text(algorithm, b"".join(parts))
    with pytest.raises(ClientError) as raised:
        complete(
            s3, bucket, "k", created["UploadId"], done, ChecksumType="FULL_OBJECT", **{field: text(algorithm, b"no")}
        )
    assert status_and_code(raised) == (400, "BadDigest")
    answer = complete(s3, bucket, "k", created["UploadId"], done, ChecksumType="FULL_OBJECT", **{field: value})
    assert (answer[field], answer["ChecksumType"]) == (value, "FULL_OBJECT")
    assert s3.head_object(**where, ChecksumMode="ENABLED")[field] == value


def test_sha_of_a_whole_multipart_object_cannot_be_had(s3, bucket):
    with pytest.raises(ClientError) as raised:
        s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")
    assert status_and_code(raised) == (400, "InvalidRequest")


def test_a_copy_keeps_or_computes_a_checksum(s3, bucket):
    data = noise(100_000)
    s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm="SHA256")
    source = {"Bucket": bucket, "Key": "k"}
    kept = s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)["CopyObjectResult"]
    assert kept["ChecksumSHA256"] == text("SHA256", data)
    other = s3.copy_object(Bucket=bucket, Key="other", CopySource=source, ChecksumAlgorithm="CRC32C")
    assert other["CopyObjectResult"]["ChecksumCRC32C"] == text("CRC32C", data)
