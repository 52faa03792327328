"""Four nodes are one store: what one acknowledged all others show, and of contenders on all of them one wins."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.cluster.cluster import poll
from tests.cluster.tools import download, tool_of, upload
from tests.e2e.payloads import multipart_etag, noise
from tests.e2e.trees import read_tree, write_tree

NODES = 4


def code_of(call):
    """The error code of an S3 call, "" for success."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_what_one_node_acknowledged_all_others_show_at_once(shared, bucket):
    for number in range(40):
        writer, reader, lister = (shared.s3((number + step) % NODES) for step in range(3))
        key, data = f"key{number % 7}", noise(2_000 + number, number)
        writer.put_object(Bucket=bucket, Key=key, Body=data)
        assert reader.get_object(Bucket=bucket, Key=key)["Body"].read() == data
        listed = {entry["Key"]: entry["Size"] for entry in lister.list_objects_v2(Bucket=bucket)["Contents"]}
        assert listed[key] == len(data)
        if number % 5 == 4:
            reader.delete_object(Bucket=bucket, Key=key)
            assert code_of(lambda: lister.head_object(Bucket=bucket, Key=key)) == "404"  # noqa: B023 -- called at once
            assert key not in [each["Key"] for each in writer.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_every_node_pings_every_other(shared):
    def all_answer():
        pings = [(shared.facts(number, "health") or {"pings": {}})["pings"] for number in range(NODES)]
        return all(len(each) == NODES - 1 for each in pings) and pings

    poll("all answer", all_answer, 60)
    for pings in all_answer() or ():
        for ping in pings.values():
            assert 0 < ping["round_trip_ms"] < 1000
            assert abs(ping["clock_ahead_ms"]) <= 1000, "one machine, one clock"


def test_of_creators_on_all_nodes_one_wins(shared, bucket):
    def create(number):
        client = shared.s3(number % NODES)
        return code_of(
            lambda: client.put_object(Bucket=bucket, Key=f"once{number // 8}", Body=b"%d" % number, IfNoneMatch="*")
        )

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(create, range(80)))
    for start in range(0, 80, 8):
        of_key = codes[start : start + 8]
        assert of_key.count("") <= 1, of_key
        assert set(of_key) <= {"", "PreconditionFailed", "ConditionalRequestConflict", "ServiceUnavailable"}
    assert codes.count("") >= 8, "nearly every key found its creator"


def test_a_counter_on_all_nodes_loses_no_count(shared, bucket):
    shared.s3(0).put_object(Bucket=bucket, Key="count", Body=b"0")

    def add(number):
        client = shared.s3(number % NODES)
        for _ in range(200):
            seen = client.get_object(Bucket=bucket, Key="count")
            value = int(seen["Body"].read())
            code = code_of(
                lambda: client.put_object(Bucket=bucket, Key="count", Body=b"%d" % (value + 1), IfMatch=seen["ETag"])  # noqa: B023
            )
            if not code:
                return 1, 0
            if code == "ServiceUnavailable":
                return 0, 1  # unknown: it may have counted
        raise AssertionError("never got a turn")

    with ThreadPoolExecutor(6) as pool:
        counted = list(pool.map(add, range(24)))
    sure, unknown = (sum(each) for each in zip(*counted, strict=True))
    assert sure <= int(shared.s3(3).get_object(Bucket=bucket, Key="count")["Body"].read()) <= sure + unknown


def test_a_bucket_is_created_once_and_gone_for_all(shared):
    with ThreadPoolExecutor(NODES) as pool:
        codes = list(
            pool.map(lambda node: code_of(lambda: shared.s3(node).create_bucket(Bucket="raced")), range(NODES))
        )
    assert set(codes) == {""}, "in us-east-1 its owner may create a bucket again"
    for node in range(NODES):
        shared.s3(node).put_object(Bucket="raced", Key=f"k{node}", Body=b"x")
    assert code_of(lambda: shared.s3(1).delete_bucket(Bucket="raced")) == "BucketNotEmpty"
    for node in range(NODES):
        shared.s3(node).delete_object(Bucket="raced", Key=f"k{(node + 1) % NODES}")
    shared.s3(2).delete_bucket(Bucket="raced")
    for node in range(NODES):
        assert code_of(lambda: shared.s3(node).put_object(Bucket="raced", Key="late", Body=b"x")) == "NoSuchBucket"  # noqa: B023
        assert code_of(lambda: shared.s3(node).head_bucket(Bucket="raced")) == "404"  # noqa: B023 -- called at once


def test_an_upload_is_begun_filled_and_completed_on_different_nodes(shared, bucket):
    parts = [noise(5 << 20, 1), noise(5 << 20, 2), noise(700_001, 3)]
    upload = shared.s3(0).create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    sent = []
    for number, part in enumerate(parts, 1):
        reply = shared.s3(number).upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=part)
        sent.append({"PartNumber": number, "ETag": reply["ETag"]})
    assert len(shared.s3(0).list_parts(Bucket=bucket, Key="large", UploadId=upload)["Parts"]) == 3
    done = shared.s3(2).complete_multipart_upload(
        Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": sent}
    )
    assert done["ETag"].strip('"') == multipart_etag(parts)
    for node in range(NODES):
        assert shared.s3(node).get_object(Bucket=bucket, Key="large")["Body"].read() == b"".join(parts)


@pytest.mark.parametrize(("client", "node"), [("aws", 0), ("s3cmd", 1), ("rclone", 2), ("s5cmd", 3), ("mc", 1)])
def test_the_real_clients_work_through_any_node(shared, bucket, tmp_path, client, node):
    there = tool_of(client, shared.nodes[node], tmp_path / "there")
    back = tool_of(client, shared.nodes[(node + 2) % NODES], tmp_path / "back")
    files = {"a.txt": b"hello", "deep/er/b.bin": noise(300_000, 5), "c c.txt": b"space"}
    upload(there, write_tree(tmp_path / "source", files), bucket, "t")
    other = shared.s3((node + 1) % NODES)
    assert other.get_object(Bucket=bucket, Key="t/deep/er/b.bin")["Body"].read() == files["deep/er/b.bin"]
    download(back, bucket, "t", tmp_path / "target")
    assert read_tree(tmp_path / "target") == files


def test_any_node_tells_of_all(shared):
    info = shared.facts(2, "info")
    assert [node["state"] for node in info["nodes"]] == ["online"] * NODES
    assert {drive["node"] for drive in info["drives"]} == {node.address for node in shared.nodes}
    assert shared.health(1) == 200
    assert shared.health(1, "?maintenance=true") == 200
    assert "127." in shared.nodes[0].admin("info")
    layout = subprocess.run(
        [sys.executable, "-c", "from rustfs.cli.main import main; main()", "admin", "layout", *shared.nodes[0].volumes],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert "4" in layout.stdout
