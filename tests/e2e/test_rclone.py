"""rclone against a server of two workers: the AWS SDK for Go, Version 2, with rclone's own idea of a file system."""

import json
import urllib.error
import urllib.request

import pytest

from tests.e2e.clients import Client, rclone
from tests.e2e.payloads import md5_hex, noise
from tests.e2e.trees import read_tree, write_tree

ODD_KEYS = ["sp ace.txt", "plus+plus", "per%cent", "per%2Fcent", "ünïcödé/Ω/日本語", "question?&=#hash", "back\\slash"]


@pytest.fixture
def clone(server, tmp_path) -> Client:
    """rclone, at home in this test's directory."""
    home = tmp_path / "home"
    home.mkdir()
    return rclone(server, home)


def listed_keys(clone: Client, bucket: str) -> list[str]:
    """Keys of a bucket in order, as a recursive `lsf` shows them."""
    return sorted(clone.text("lsf", "--recursive", "--files-only", f"store:{bucket}").splitlines())


def test_bucket_is_made_listed_and_removed(clone, bucket):
    name = f"{bucket}-made"
    clone.run("mkdir", f"store:{name}")
    assert name in [line.split()[-1] for line in clone.text("lsd", "store:").splitlines()]
    clone.run("rcat", f"store:{name}/k", stdin=b"1")
    refused = clone.run("rmdir", f"store:{name}", check=False)
    assert refused.returncode != 0
    assert b"BucketNotEmpty" in refused.stderr
    clone.run("purge", f"store:{name}")
    assert name not in clone.text("lsd", "store:")


@pytest.mark.parametrize("size_bytes", [0, 1_000, 12_000_001])
def test_upload_and_download(clone, s3, bucket, tmp_path, size_bytes):
    data = noise(size_bytes)
    (tmp_path / "up").write_bytes(data)
    clone.run("copyto", str(tmp_path / "up"), f"store:{bucket}/dir/k")
    clone.run("copyto", f"store:{bucket}/dir/k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    etag = s3.head_object(Bucket=bucket, Key="dir/k")["ETag"].strip('"')
    assert etag.endswith("-3") if size_bytes > 8 << 20 else etag == md5_hex(data)
    assert clone.text("md5sum", f"store:{bucket}/dir/k").split()[0] == md5_hex(data)


def test_stream_of_unknown_length_and_part_of_it_back(clone, bucket):
    data = noise(12 << 20, seed=1)
    clone.run("rcat", f"store:{bucket}/stream", stdin=data)
    assert clone.run("cat", f"store:{bucket}/stream").stdout == data
    middle = clone.run("cat", "--offset", "6000000", "--count", "1000", f"store:{bucket}/stream").stdout
    assert middle == data[6_000_000:6_001_000]


def test_lsf_and_lsjson_show_prefixes_and_recursion(clone, s3, bucket):
    for key in ("top", "dir/one", "dir/two", "dir/sub/three"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345", ContentType="text/css")
    assert sorted(clone.text("lsf", f"store:{bucket}").splitlines()) == ["dir/", "top"]
    assert sorted(clone.text("lsf", f"store:{bucket}/dir").splitlines()) == ["one", "sub/", "two"]
    assert listed_keys(clone, bucket) == ["dir/one", "dir/sub/three", "dir/two", "top"]
    entries = json.loads(clone.text("lsjson", "--recursive", "--hash", f"store:{bucket}"))
    files = {entry["Path"]: entry for entry in entries if not entry["IsDir"]}
    assert sorted(files) == ["dir/one", "dir/sub/three", "dir/two", "top"]
    assert {(entry["Size"], entry["MimeType"], entry["Hashes"]["md5"]) for entry in files.values()} == {
        (5, "text/css", md5_hex(b"12345"))
    }
    assert {entry["Path"] for entry in entries if entry["IsDir"]} == {"dir", "dir/sub"}


@pytest.mark.parametrize("size_bytes", [1_000, 12 << 20])
def test_copy_then_move(clone, s3, bucket, size_bytes):
    data = noise(size_bytes, seed=2)
    s3.put_object(Bucket=bucket, Key="source", Body=data, ContentType="text/css", Metadata={"colour": "blue"})
    in_parts = ("--s3-copy-cutoff", "8M")
    clone.run("copyto", *in_parts, "--metadata", f"store:{bucket}/source", f"store:{bucket}/copy")
    clone.run("moveto", *in_parts, "--metadata", f"store:{bucket}/copy", f"store:{bucket}/moved")
    assert listed_keys(clone, bucket) == ["moved", "source"]
    moved = s3.get_object(Bucket=bucket, Key="moved")
    assert moved["Body"].read() == data
    assert moved["ETag"].strip('"').endswith("-2") == (size_bytes > 8 << 20)
    assert (moved["ContentType"], moved["Metadata"]["colour"]) == ("text/css", "blue")


def test_metadata_and_modification_time_are_kept(clone, s3, bucket, tmp_path):
    (tmp_path / "page").write_bytes(b"<p>")
    given = ("--metadata", "--metadata-set", "colour=blue", "--metadata-set", "content-type=text/html")
    clone.run("copyto", *given, str(tmp_path / "page"), f"store:{bucket}/page")
    (shown,) = json.loads(clone.text("lsjson", "--metadata", f"store:{bucket}/page"))
    assert (shown["MimeType"], shown["Metadata"]["colour"]) == ("text/html", "blue")
    clone.run("touch", "--no-create", "--timestamp", "2001-02-03T04:05:06", f"store:{bucket}/page")
    (shown,) = json.loads(clone.text("lsjson", f"store:{bucket}/page"))
    assert shown["ModTime"].startswith("2001-02-03T04:05:06")
    assert s3.get_object(Bucket=bucket, Key="page")["Body"].read() == b"<p>"


def test_delete_one_then_a_prefix(clone, s3, bucket):
    for key in ("dir/one", "dir/sub/two", "dirt", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    clone.run("deletefile", f"store:{bucket}/other")
    assert listed_keys(clone, bucket) == ["dir/one", "dir/sub/two", "dirt"]
    clone.run("delete", f"store:{bucket}/dir")
    assert listed_keys(clone, bucket) == ["dirt"]
    missing = clone.run("deletefile", f"store:{bucket}/other", check=False)
    assert missing.returncode != 0
    assert b"not found" in missing.stderr


def test_sync_there_and_back(clone, bucket, tmp_path):
    files = {"one": b"1", "dir/two": b"22", "dir/big": noise(12 << 20, seed=3), "gone": b"4"}
    here, there = str(write_tree(tmp_path / "here", files)), str(tmp_path / "there")
    clone.run("sync", here, f"store:{bucket}/tree")
    clone.run("sync", f"store:{bucket}/tree", there)
    assert read_tree(tmp_path / "there") == files
    (tmp_path / "here/gone").unlink()
    (tmp_path / "here/dir/two").write_bytes(b"changed")
    differs = clone.run("check", here, f"store:{bucket}/tree", check=False)
    assert differs.returncode != 0
    assert b"2 differences found" in differs.stderr
    clone.run("sync", here, f"store:{bucket}/tree")
    assert listed_keys(clone, bucket) == ["tree/dir/big", "tree/dir/two", "tree/one"]
    assert b"0 differences found" in clone.run("check", here, f"store:{bucket}/tree").stderr
    clone.run("sync", f"store:{bucket}/tree", there)
    assert read_tree(tmp_path / "there") == read_tree(tmp_path / "here")
    clone.run("check", "--download", f"store:{bucket}/tree", there)


def test_link_is_served_and_a_changed_one_is_not(clone, s3, bucket):
    s3.put_object(Bucket=bucket, Key="sp ace+ü", Body=b"linked")
    url = clone.text("link", "--expire", "60s", f"store:{bucket}/sp ace+ü").strip()
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == b"linked"
    changed = url.replace("sp%20ace", "sp%20acf")
    assert changed != url
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(changed, timeout=10)
    with raised.value as answer:
        assert answer.code == 403


def test_odd_keys(clone, s3, bucket, tmp_path):
    here = write_tree(tmp_path / "here", {key: key.encode() for key in ODD_KEYS})
    clone.run("copy", str(here), f"store:{bucket}")
    stored = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert stored == sorted(ODD_KEYS, key=lambda key: key.encode())
    clone.run("copy", f"store:{bucket}", str(tmp_path / "there"))
    assert read_tree(tmp_path / "there") == read_tree(here)
    clone.run("delete", f"store:{bucket}")
    assert listed_keys(clone, bucket) == []


def test_key_below_a_key(clone, bucket):
    for key in ("a", "a/b"):
        clone.run("rcat", f"store:{bucket}/{key}", stdin=key.encode())
    for key in ("a", "a/b"):
        assert clone.run("cat", f"store:{bucket}/{key}").stdout == key.encode()
    assert listed_keys(clone, bucket) == ["a", "a/b"]
