"""s3cmd against a server of two workers: signing, XML parser and habits that no SDK shares."""

import urllib.error
import urllib.request

import pytest

from tests.e2e.clients import Client, s3cmd
from tests.e2e.payloads import md5_hex, noise
from tests.e2e.trees import read_tree, write_tree

ODD_KEYS = ["sp ace.txt", "plus+plus", "per%cent", "per%2Fcent", "ünïcödé/Ω/日本語", "question?&=#hash"]


@pytest.fixture
def cmd(server, tmp_path) -> Client:
    """s3cmd, at home in this test's directory."""
    home = tmp_path / "home"
    home.mkdir()
    return s3cmd(server, home)


def listed_keys(cmd: Client, bucket: str) -> list[str]:
    """Keys of a bucket, as a recursive `ls` shows them."""
    prefix = f"s3://{bucket}/"
    return [line.partition(prefix)[2] for line in cmd.text("ls", "--recursive", prefix).splitlines()]


def test_bucket_is_made_listed_and_removed(cmd, bucket):
    name = f"{bucket}-made"
    cmd.run("mb", f"s3://{name}")
    assert f"s3://{name}" in [line.split()[-1] for line in cmd.text("ls").splitlines()]
    cmd.run("put", "-", f"s3://{name}/k", stdin=b"1")
    refused = cmd.run("rb", f"s3://{name}", check=False)
    assert refused.returncode != 0
    assert b"BucketNotEmpty" in refused.stderr
    cmd.run("rb", "--recursive", "--force", f"s3://{name}")
    assert name not in cmd.text("ls")


@pytest.mark.parametrize("size_bytes", [0, 1_000, 12_000_001])
def test_upload_and_download(cmd, s3, bucket, tmp_path, size_bytes):
    data = noise(size_bytes)
    (tmp_path / "up").write_bytes(data)
    cmd.run("put", str(tmp_path / "up"), f"s3://{bucket}/dir/k")
    cmd.run("get", f"s3://{bucket}/dir/k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    etag = s3.head_object(Bucket=bucket, Key="dir/k")["ETag"].strip('"')
    assert etag.endswith("-3") if size_bytes > 5 << 20 else etag == md5_hex(data)


def test_interrupted_download_continues(cmd, s3, bucket, tmp_path):
    data = noise(300_000, seed=1)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    (tmp_path / "down").write_bytes(data[:100_001])
    cmd.run("get", "--continue", f"s3://{bucket}/k", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data


def test_ls_and_du_show_prefixes(cmd, s3, bucket):
    for key in ("top", "dir/one", "dir/two", "dir/sub/three"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    flat = [line.split() for line in cmd.text("ls", f"s3://{bucket}").splitlines()]
    assert [words[-2:] for words in flat] == [["DIR", f"s3://{bucket}/dir/"], ["5", f"s3://{bucket}/top"]]
    below = [line.split()[-1] for line in cmd.text("ls", f"s3://{bucket}/dir/").splitlines()]
    assert below == [f"s3://{bucket}/dir/{name}" for name in ("sub/", "one", "two")]
    assert listed_keys(cmd, bucket) == ["dir/one", "dir/sub/three", "dir/two", "top"]
    assert cmd.text("du", f"s3://{bucket}/dir/").split()[:2] == ["15", "3"]


@pytest.mark.parametrize("size_bytes", [1_000, 12 << 20])
def test_copy_then_move(cmd, s3, bucket, size_bytes):
    data = noise(size_bytes, seed=2)
    s3.put_object(Bucket=bucket, Key="source", Body=data, ContentType="text/css", Metadata={"colour": "blue"})
    cmd.run("cp", f"s3://{bucket}/source", f"s3://{bucket}/copy")
    cmd.run("mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    assert listed_keys(cmd, bucket) == ["moved", "source"]
    moved = s3.get_object(Bucket=bucket, Key="moved")
    assert moved["Body"].read() == data
    assert (moved["ContentType"], moved["Metadata"]["colour"]) == ("text/css", "blue")


def test_metadata_is_shown_and_changed_in_place(cmd, bucket, tmp_path):
    (tmp_path / "page").write_bytes(b"<p>")
    target = f"s3://{bucket}/page"
    cmd.run(
        "put", "--mime-type", "text/html", "--add-header", "x-amz-meta-colour: blue", str(tmp_path / "page"), target
    )
    shown = cmd.text("info", target)
    assert "MIME type: text/html" in shown
    assert "x-amz-meta-colour: blue" in shown
    assert f"MD5 sum:   {md5_hex(b'<p>')}" in shown
    cmd.run("modify", "--add-header", "x-amz-meta-colour: red", target)
    assert "x-amz-meta-colour: red" in cmd.text("info", target)


def test_delete_one_then_a_prefix(cmd, s3, bucket):
    for key in ("dir/one", "dir/sub/two", "dirt", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    cmd.run("del", f"s3://{bucket}/other")
    assert listed_keys(cmd, bucket) == ["dir/one", "dir/sub/two", "dirt"]
    cmd.run("del", "--recursive", f"s3://{bucket}/dir/")
    assert listed_keys(cmd, bucket) == ["dirt"]
    missing = cmd.run("get", f"s3://{bucket}/other", "-", check=False)
    assert missing.returncode != 0
    assert b"does not exist" in missing.stderr


def test_sync_there_and_back(cmd, bucket, tmp_path):
    files = {"one": b"1", "dir/two": b"22", "dir/big": noise(12 << 20, seed=3), "gone": b"4"}
    here, there = write_tree(tmp_path / "here", files), tmp_path / "there"
    there.mkdir()
    cmd.run("sync", f"{here}/", f"s3://{bucket}/tree/")
    cmd.run("sync", f"s3://{bucket}/tree/", f"{there}/")
    assert read_tree(there) == files
    (here / "gone").unlink()
    (here / "dir/two").write_bytes(b"changed")
    cmd.run("sync", "--delete-removed", f"{here}/", f"s3://{bucket}/tree/")
    assert listed_keys(cmd, bucket) == ["tree/dir/big", "tree/dir/two", "tree/one"]
    assert "upload:" not in cmd.text("sync", "--delete-removed", f"{here}/", f"s3://{bucket}/tree/")
    cmd.run("sync", "--delete-removed", f"s3://{bucket}/tree/", f"{there}/")
    assert read_tree(there) == read_tree(here)


def test_signurl_is_refused_by_name(cmd, s3, bucket):
    """`s3cmd signurl` knows nothing but Signature Version 2, which S3 has retired: the answer says what to use."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    url = cmd.text("signurl", f"s3://{bucket}/k", "+60").strip()
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(url, timeout=10)
    with raised.value as answer:
        assert answer.code == 400
        assert b"AWS4-HMAC-SHA256" in answer.read()


def test_odd_keys(cmd, bucket, tmp_path):
    here = write_tree(tmp_path / "here", {key: key.encode() for key in ODD_KEYS})
    (tmp_path / "there").mkdir()
    cmd.run("put", "--recursive", f"{here}/", f"s3://{bucket}/")
    assert listed_keys(cmd, bucket) == sorted(ODD_KEYS, key=lambda key: key.encode())
    cmd.run("get", "--recursive", f"s3://{bucket}/", f"{tmp_path}/there/")
    assert read_tree(tmp_path / "there") == read_tree(here)
    cmd.run("del", "--recursive", "--force", f"s3://{bucket}/")
    assert listed_keys(cmd, bucket) == []


def test_key_below_a_key(cmd, bucket):
    for key in ("a", "a/b"):
        cmd.run("put", "-", f"s3://{bucket}/{key}", stdin=key.encode())
    for key in ("a", "a/b"):
        assert cmd.run("get", f"s3://{bucket}/{key}", "-").stdout == key.encode()
    assert listed_keys(cmd, bucket) == ["a", "a/b"]
