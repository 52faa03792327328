"""The AWS CLI against a server of two workers: `aws s3` as people type it, `aws s3api` where its answers show more."""

import json
import urllib.error
import urllib.request

import pytest

from tests.e2e.clients import Client, aws_cli
from tests.e2e.payloads import md5_hex, multipart_etag, noise
from tests.e2e.trees import read_tree, write_tree

PART_BYTES = 5 << 20
ODD_KEYS = ["sp ace.txt", "plus+plus", "per%cent", "per%2Fcent", "ünïcödé/Ω/日本語", "question?&=#hash"]


@pytest.fixture
def aws(server, tmp_path) -> Client:
    """The AWS CLI, at home in this test's directory."""
    home = tmp_path / "home"
    home.mkdir()
    return aws_cli(server, home)


def listed_keys(aws: Client, bucket: str) -> list[str]:
    """Keys of a bucket, as s3api lists them."""
    answer = aws.text("s3api", "list-objects-v2", "--bucket", bucket, "--output", "json")
    return [entry["Key"] for entry in json.loads(answer or "{}").get("Contents", [])]


def in_parts(data: bytes) -> list[bytes]:
    """The parts that the client cuts."""
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def test_bucket_is_made_listed_and_removed(aws, bucket):
    name = f"{bucket}-made"
    aws.run("s3", "mb", f"s3://{name}")
    assert name in [line.split()[-1] for line in aws.text("s3", "ls").splitlines()]
    aws.run("s3", "cp", "-", f"s3://{name}/k", stdin=b"1")
    refused = aws.run("s3", "rb", f"s3://{name}", check=False)
    assert refused.returncode != 0
    assert b"BucketNotEmpty" in refused.stderr
    aws.run("s3", "rb", "--force", f"s3://{name}")
    assert name not in aws.text("s3", "ls")


@pytest.mark.parametrize("size_bytes", [0, 1_000, 12_000_001])
def test_upload_and_download(aws, bucket, tmp_path, size_bytes):
    data = noise(size_bytes)
    (tmp_path / "up").write_bytes(data)
    aws.run("s3", "cp", "--no-progress", str(tmp_path / "up"), f"s3://{bucket}/dir/k")
    aws.run("s3", "cp", "--no-progress", f"s3://{bucket}/dir/k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    head = json.loads(aws.text("s3api", "head-object", "--bucket", bucket, "--key", "dir/k"))
    parts = in_parts(data)
    assert head["ContentLength"] == size_bytes
    assert head["ETag"].strip('"') == (multipart_etag(parts) if len(parts) > 1 else md5_hex(data))


def test_streams_through_pipes(aws, bucket):
    data = noise(12 << 20, seed=1)
    aws.run("s3", "cp", "-", f"s3://{bucket}/stream", stdin=data)
    assert aws.run("s3", "cp", f"s3://{bucket}/stream", "-").stdout == data


def test_ls_shows_prefixes_and_recursion(aws, s3, bucket):
    for key in ("top", "dir/one", "dir/two", "dir/sub/three"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    flat = [line.split() for line in aws.text("s3", "ls", f"s3://{bucket}").splitlines()]
    assert [words[-2:] for words in flat] == [["PRE", "dir/"], ["5", "top"]]
    below = [line.split()[-2:] for line in aws.text("s3", "ls", f"s3://{bucket}/dir/").splitlines()]
    assert below == [["PRE", "sub/"], ["5", "one"], ["5", "two"]]
    everything = aws.text("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}")
    assert [line.split()[-1] for line in everything.splitlines()[:4]] == ["dir/one", "dir/sub/three", "dir/two", "top"]
    assert "Total Objects: 4" in everything
    assert "Total Size: 20" in everything


def test_copy_then_move(aws, s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"data", ContentType="text/css", Metadata={"colour": "blue"})
    aws.run("s3", "cp", "--no-progress", f"s3://{bucket}/source", f"s3://{bucket}/copy")
    aws.run("s3", "mv", "--no-progress", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    assert listed_keys(aws, bucket) == ["moved", "source"]
    moved = s3.get_object(Bucket=bucket, Key="moved")
    assert moved["Body"].read() == b"data"
    assert (moved["ContentType"], moved["Metadata"]) == ("text/css", {"colour": "blue"})


def test_copy_in_parts(aws, s3, bucket):
    """The client copies a large object by UploadPartCopy; metadata is then the client's to repeat."""
    data = noise(12 << 20, seed=2)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    new = ("--metadata-directive", "REPLACE", "--content-type", "text/css", "--metadata", "colour=blue")
    aws.run("s3", "cp", "--no-progress", f"s3://{bucket}/source", f"s3://{bucket}/copy", *new)
    copy = s3.get_object(Bucket=bucket, Key="copy")
    assert copy["Body"].read() == data
    assert copy["ETag"] == f'"{multipart_etag(in_parts(data))}"'
    assert (copy["ContentType"], copy["Metadata"]) == ("text/css", {"colour": "blue"})


def test_metadata_is_shown(aws, bucket, tmp_path):
    (tmp_path / "page").write_bytes(b"<p>")
    options = ("--content-type", "text/html", "--cache-control", "max-age=60", "--metadata", "colour=blue,size=tall")
    aws.run("s3", "cp", "--no-progress", str(tmp_path / "page"), f"s3://{bucket}/page", *options)
    head = json.loads(aws.text("s3api", "head-object", "--bucket", bucket, "--key", "page"))
    assert (head["ContentType"], head["CacheControl"]) == ("text/html", "max-age=60")
    assert head["Metadata"] == {"colour": "blue", "size": "tall"}


def test_delete_one_then_a_prefix(aws, s3, bucket):
    for key in ("dir/one", "dir/sub/two", "dirt", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    aws.run("s3", "rm", f"s3://{bucket}/other")
    assert listed_keys(aws, bucket) == ["dir/one", "dir/sub/two", "dirt"]
    aws.run("s3", "rm", "--recursive", f"s3://{bucket}/dir/")
    assert listed_keys(aws, bucket) == ["dirt"]
    missing = aws.run("s3", "cp", f"s3://{bucket}/other", "-", check=False)
    assert missing.returncode != 0
    assert b"404" in missing.stderr


def test_sync_there_and_back(aws, bucket, tmp_path):
    files = {"one": b"1", "dir/two": b"22", "dir/big": noise(12 << 20, seed=3), "gone": b"4"}
    here, there = write_tree(tmp_path / "here", files), tmp_path / "there"
    aws.run("s3", "sync", "--no-progress", str(here), f"s3://{bucket}/tree")
    aws.run("s3", "sync", "--no-progress", f"s3://{bucket}/tree", str(there))
    assert read_tree(there) == files
    (here / "gone").unlink()
    (here / "dir/two").write_bytes(b"changed")
    did = aws.text("s3", "sync", "--delete", "--no-progress", str(here), f"s3://{bucket}/tree").splitlines()
    assert sorted(line.split()[0] for line in did) == ["delete:", "upload:"]
    assert aws.text("s3", "sync", "--delete", "--no-progress", str(here), f"s3://{bucket}/tree") == ""
    aws.run("s3", "sync", "--delete", "--no-progress", f"s3://{bucket}/tree", str(there))
    assert read_tree(there) == read_tree(here)


def test_presigned_url_is_served_and_a_changed_one_is_not(aws, s3, bucket):
    s3.put_object(Bucket=bucket, Key="sp ace+ü", Body=b"presigned")
    url = aws.text("s3", "presign", f"s3://{bucket}/sp ace+ü", "--expires-in", "60").strip()
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == b"presigned"
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(url.replace("sp%20ace", "sp%20acf"), timeout=10)
    raised.value.close()
    assert raised.value.code == 403


def test_odd_keys(aws, bucket, tmp_path):
    here = write_tree(tmp_path / "here", {key: key.encode() for key in ODD_KEYS})
    aws.run("s3", "cp", "--recursive", "--no-progress", str(here), f"s3://{bucket}")
    assert listed_keys(aws, bucket) == sorted(ODD_KEYS, key=lambda key: key.encode())
    aws.run("s3", "cp", "--recursive", "--no-progress", f"s3://{bucket}", str(tmp_path / "there"))
    assert read_tree(tmp_path / "there") == read_tree(here)
    aws.run("s3", "rm", "--recursive", f"s3://{bucket}")
    assert listed_keys(aws, bucket) == []


def test_key_below_a_key(aws, bucket):
    for key in ("a", "a/b"):
        aws.run("s3", "cp", "-", f"s3://{bucket}/{key}", stdin=key.encode())
    assert [line.split()[-2:] for line in aws.text("s3", "ls", f"s3://{bucket}").splitlines()] == [
        ["PRE", "a/"],
        ["1", "a"],
    ]
    for key in ("a", "a/b"):
        assert aws.run("s3", "cp", f"s3://{bucket}/{key}", "-").stdout == key.encode()
