"""s5cmd against a server of two workers: many requests at once through the AWS SDK for Go, Version 1."""

import json
import urllib.error
import urllib.request

import pytest

from tests.e2e.clients import Client, s5cmd
from tests.e2e.payloads import md5_hex, multipart_etag, noise
from tests.e2e.trees import read_tree, write_tree

PART_BYTES = 5 << 20
PARTS = ("--part-size", "5", "--concurrency", "3")
ODD_KEYS = ["sp ace.txt", "plus+plus", "per%cent", "per%2Fcent", "ünïcödé/Ω/日本語", "equals=&hash#"]


@pytest.fixture
def five(server, tmp_path) -> Client:
    """s5cmd, at home in this test's directory."""
    home = tmp_path / "home"
    home.mkdir()
    return s5cmd(server, home)


def in_parts(data: bytes) -> list[bytes]:
    """The parts that the client cuts."""
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def listed_keys(five: Client, bucket: str) -> list[str]:
    """Keys of a bucket, as `ls` with a wildcard shows them; asking an empty bucket is an error to s5cmd."""
    done = five.run("--json", "ls", f"s3://{bucket}/*", check=False)
    if done.returncode != 0:
        assert b"no object found" in done.stderr
        return []
    return [json.loads(line)["key"].removeprefix(f"s3://{bucket}/") for line in done.stdout.splitlines()]


def test_bucket_is_made_listed_and_removed(five, bucket):
    name = f"{bucket}-made"
    five.run("mb", f"s3://{name}")
    assert f"s3://{name}" in [line.split()[-1] for line in five.text("ls").splitlines()]
    five.run("pipe", f"s3://{name}/k", stdin=b"1")
    refused = five.run("rb", f"s3://{name}", check=False)
    assert refused.returncode != 0
    assert b"BucketNotEmpty" in refused.stderr
    five.run("rm", f"s3://{name}/*")
    five.run("rb", f"s3://{name}")
    assert name not in five.text("ls")


@pytest.mark.parametrize("size_bytes", [0, 1_000, 12_000_001])
def test_upload_and_download(five, s3, bucket, tmp_path, size_bytes):
    data = noise(size_bytes)
    (tmp_path / "up").write_bytes(data)
    five.run("cp", *PARTS, str(tmp_path / "up"), f"s3://{bucket}/dir/k")
    five.run("cp", *PARTS, f"s3://{bucket}/dir/k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    parts = in_parts(data)
    etag = s3.head_object(Bucket=bucket, Key="dir/k")["ETag"].strip('"')
    assert etag == (multipart_etag(parts) if len(parts) > 1 else md5_hex(data))


def test_streams_through_pipes(five, bucket):
    data = noise(12 << 20, seed=1)
    five.run("pipe", *PARTS, f"s3://{bucket}/stream", stdin=data)
    assert five.run("cat", *PARTS, f"s3://{bucket}/stream").stdout == data


def test_ls_and_du_show_prefixes(five, s3, bucket):
    for key in ("top", "dir/one", "dir/two", "dir/sub/three"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    flat = [line.split()[-2:] for line in five.text("ls", f"s3://{bucket}").splitlines()]
    assert sorted(flat) == [["5", "top"], ["DIR", "dir/"]]
    below = [line.split()[-1] for line in five.text("ls", f"s3://{bucket}/dir/").splitlines()]
    assert sorted(below) == ["one", "sub/", "two"]
    assert listed_keys(five, bucket) == ["dir/one", "dir/sub/three", "dir/two", "top"]
    assert five.text("du", f"s3://{bucket}/dir/*").split()[:5] == ["15", "bytes", "in", "3", "objects:"]
    assert five.text("--use-list-objects-v1", "ls", f"s3://{bucket}/d*") == five.text("ls", f"s3://{bucket}/d*")


@pytest.mark.parametrize("size_bytes", [1_000, 12 << 20])
def test_copy_then_move(five, s3, bucket, size_bytes):
    data = noise(size_bytes, seed=2)
    s3.put_object(Bucket=bucket, Key="source", Body=data, ContentType="text/css", Metadata={"colour": "blue"})
    keep = ("--metadata-directive", "COPY")
    five.run("cp", *keep, f"s3://{bucket}/source", f"s3://{bucket}/copy")
    five.run("mv", *keep, f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    assert listed_keys(five, bucket) == ["moved", "source"]
    moved = s3.get_object(Bucket=bucket, Key="moved")
    assert moved["Body"].read() == data
    assert (moved["ContentType"], moved["Metadata"]) == ("text/css", {"colour": "blue"})


def test_copy_replaces_metadata_as_the_client_asks(five, s3, bucket):
    """Unless told otherwise, s5cmd sends the REPLACE directive."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"1", ContentType="text/css", Metadata={"colour": "blue"})
    five.run("cp", "--metadata", "size=tall", f"s3://{bucket}/source", f"s3://{bucket}/copy")
    copy = s3.head_object(Bucket=bucket, Key="copy")
    assert (copy["ContentType"], copy["Metadata"]) == ("binary/octet-stream", {"size": "tall"})


def test_metadata_is_shown(five, s3, bucket, tmp_path):
    (tmp_path / "page").write_bytes(b"<p>")
    given = ("--content-type", "text/html", "--cache-control", "max-age=60", "--metadata", "colour=blue")
    five.run("cp", *given, str(tmp_path / "page"), f"s3://{bucket}/page")
    shown = json.loads(five.text("--json", "head", f"s3://{bucket}/page"))
    assert shown["content_type"] == "text/html"
    assert {name.lower(): value for name, value in shown["metadata"].items()} == {"colour": "blue"}
    assert s3.head_object(Bucket=bucket, Key="page")["CacheControl"] == "max-age=60"


def test_delete_one_then_a_prefix(five, s3, bucket):
    for key in ("dir/one", "dir/sub/two", "dirt", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    five.run("rm", f"s3://{bucket}/other")
    assert listed_keys(five, bucket) == ["dir/one", "dir/sub/two", "dirt"]
    five.run("rm", f"s3://{bucket}/dir/*")
    assert listed_keys(five, bucket) == ["dirt"]
    missing = five.run("cat", f"s3://{bucket}/other", check=False)
    assert missing.returncode != 0
    assert b"not found" in missing.stderr


def test_many_small_objects_at_once(five, bucket, tmp_path):
    files = {f"{number % 7}/{number:04}": f"{number}".encode() for number in range(300)}
    here = write_tree(tmp_path / "here", files)
    five.run("cp", f"{here}/", f"s3://{bucket}/many/")
    assert listed_keys(five, bucket) == sorted(f"many/{name}" for name in files)
    five.run("cp", f"s3://{bucket}/many/*", f"{tmp_path}/there/")
    assert read_tree(tmp_path / "there") == files


def test_sync_there_and_back(five, bucket, tmp_path):
    files = {"one": b"1", "dir/two": b"22", "dir/big": noise(12 << 20, seed=3), "gone": b"4"}
    here, there = write_tree(tmp_path / "here", files), tmp_path / "there"
    five.run("sync", *PARTS, f"{here}/", f"s3://{bucket}/tree/")
    five.run("sync", *PARTS, f"s3://{bucket}/tree/*", f"{there}/")
    assert read_tree(there) == files
    (here / "gone").unlink()
    (here / "dir/two").write_bytes(b"changed")
    did = five.text("sync", "--delete", f"{here}/", f"s3://{bucket}/tree/").splitlines()
    assert sorted(line.split()[0] for line in did) == ["cp", "rm"]
    assert five.text("sync", "--delete", f"{here}/", f"s3://{bucket}/tree/") == ""
    five.run("sync", "--delete", f"s3://{bucket}/tree/*", f"{there}/")
    assert read_tree(there) == read_tree(here)


def test_presigned_url_is_served_and_a_changed_one_is_not(five, s3, bucket):
    s3.put_object(Bucket=bucket, Key="sp ace+ü", Body=b"presigned")
    url = five.text("presign", "--expire", "60s", f"s3://{bucket}/sp ace+ü").strip()
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == b"presigned"
    changed = url.replace("sp%20ace", "sp%20acf")
    assert changed != url
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(changed, timeout=10)
    with raised.value as answer:
        assert answer.code == 403


def test_odd_keys(five, bucket, tmp_path):
    here = write_tree(tmp_path / "here", {key: key.encode() for key in ODD_KEYS})
    five.run("cp", f"{here}/", f"s3://{bucket}/")
    assert listed_keys(five, bucket) == sorted(ODD_KEYS, key=lambda key: key.encode())
    five.run("cp", f"s3://{bucket}/*", f"{tmp_path}/there/")
    assert read_tree(tmp_path / "there") == read_tree(here)
    five.run("rm", f"s3://{bucket}/*")
    assert listed_keys(five, bucket) == []


def test_key_below_a_key(five, bucket):
    for key in ("a", "a/b"):
        five.run("pipe", f"s3://{bucket}/{key}", stdin=key.encode())
    for key in ("a", "a/b"):
        assert five.run("cat", f"s3://{bucket}/{key}").stdout == key.encode()
    assert listed_keys(five, bucket) == ["a", "a/b"]
