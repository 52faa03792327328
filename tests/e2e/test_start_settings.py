"""What a node does with its settings once it runs: keys, log lines, number of workers, host names of buckets."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.payloads import noise
from tests.e2e.server import ACCESS_KEY, REGION, SECRET_KEY, RunningServer

FILE_ACCESS_KEY = "an-access-key-from-a-file"
FILE_SECRET_KEY = "a-secret-key-from-a-file"
DOMAIN = "s3.localhost"


def client(server: RunningServer, access_key: str, secret_key: str, addressing: str = "path", host: str = "127.0.0.1"):
    """A boto3 client with keys and an addressing style of its own."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{server.port}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=REGION,
        config=Config(signature_version="s3v4", s3={"addressing_style": addressing}, retries={"total_max_attempts": 1}),
    )


def exercise(s3: BaseClient, bucket: str, key: str = "object") -> None:
    """Write, read back, list and delete."""
    data = noise(300_000)
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=data)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == data
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def environment_of(pid: int) -> bytes:
    """What a process was started with."""
    return Path("/proc", str(pid), "environ").read_bytes()


def command_line_of(pid: int) -> bytes:
    """How a process was started."""
    return Path("/proc", str(pid), "cmdline").read_bytes()


@pytest.fixture
def secret_server(tmp_path) -> Iterator[RunningServer]:
    """A running node whose keys come from files alone."""
    access, secret = tmp_path / "access-key", tmp_path / "secret-key"
    access.write_text(FILE_ACCESS_KEY + "\n")
    secret.write_text(FILE_SECRET_KEY + "\n")
    running = RunningServer(
        tmp_path / "secret",
        environment={
            "RUSTFS_ACCESS_KEY": "",
            "RUSTFS_SECRET_KEY": "",
            "RUSTFS_ACCESS_KEY_FILE": str(access),
            "RUSTFS_SECRET_KEY_FILE": str(secret),
        },
    )
    try:
        yield running.start()
    finally:
        running.kill()


def test_keys_from_files_are_the_node_s_keys_and_the_secret_shows_nowhere(secret_server):
    s3 = client(secret_server, FILE_ACCESS_KEY, FILE_SECRET_KEY)
    exercise(s3, "with-file-keys")
    for access_key, secret_key, code in (
        (ACCESS_KEY, SECRET_KEY, "InvalidAccessKeyId"),
        (FILE_ACCESS_KEY, "not-the-secret-key", "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as caught:
            client(secret_server, access_key, secret_key).list_buckets()
        assert caught.value.response["Error"]["Code"] == code
    pids = secret_server.pids()
    assert len(pids) == 1 + secret_server.worker_count
    secret = FILE_SECRET_KEY.encode()
    for pid in pids:
        assert secret not in command_line_of(pid)
        assert secret not in environment_of(pid)
    assert secret_server.stop() == 0
    assert secret not in secret_server.log_path.read_bytes()


def test_a_secret_from_the_environment_shows_neither_in_the_log_nor_in_the_workers(tmp_path):
    secret = "a-secret-key-of-the-environment"
    running = RunningServer(tmp_path / "own", environment={"RUSTFS_SECRET_KEY": secret})
    try:
        running.start()
        exercise(client(running, ACCESS_KEY, secret), "with-a-variable")
        assert running.process is not None
        workers = set(running.pids()) - {running.process.pid}
        assert len(workers) == running.worker_count
        for pid in workers:
            assert secret.encode() not in command_line_of(pid)
            assert secret.encode() not in environment_of(pid)
        assert running.stop() == 0
        assert secret.encode() not in running.log_path.read_bytes()
    finally:
        running.kill()


def test_an_option_s_secret_is_on_no_worker_s_command_line_and_not_in_the_log(own_server):
    secret = "a-secret-key-of-an-option"
    own_server.arguments = ("--secret-key", secret)
    own_server.start()
    exercise(client(own_server, ACCESS_KEY, secret), "with-an-option")
    workers = [pid for pid in own_server.pids() if pid != own_server.process.pid]
    assert len(workers) == own_server.worker_count
    assert all(secret.encode() not in command_line_of(pid) for pid in workers)
    assert own_server.stop() == 0
    assert secret.encode() not in own_server.log_path.read_bytes()


def logged(server: RunningServer) -> list[str]:
    """The log's lines so far, without those of the banner on standard output."""
    return [line for line in server.log_path.read_text().splitlines() if line.startswith("{")]


def test_json_log_lines_are_one_object_each(own_server):
    own_server.arguments = ("--log-format", "json")
    own_server.start()
    exercise(own_server.boto3_client(), "logged")
    expected = own_server.drive_count * own_server.worker_count
    deadline = time.monotonic() + 20
    while sum(" is online" in line for line in logged(own_server)) < expected:
        assert time.monotonic() < deadline, "not all workers logged their drives"
        time.sleep(0.05)
    assert own_server.stop() == 0
    entries = [json.loads(line) for line in logged(own_server)]
    for entry in entries:
        assert {"time", "level", "logger", "message", "process"} <= entry.keys()
    assert sum(entry["message"].endswith(" stopped") for entry in entries) == own_server.worker_count
    everything = own_server.log_path.read_text()
    assert " INFO " not in everything
    assert "Fatal Python error" not in everything


def test_a_worker_that_dies_is_replaced_also_where_it_is_the_only_one(own_server):
    own_server.worker_count = 1
    own_server.start()
    (worker,) = set(own_server.pids()) - {own_server.process.pid}
    exercise(own_server.boto3_client(), "before")
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while worker in own_server.pids():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    own_server.wait_ready()
    exercise(own_server.boto3_client(), "after")
    assert own_server.stop() == 0


@pytest.fixture
def domain_server(own_server) -> RunningServer:
    """A running node that serves buckets as host names, too."""
    own_server.worker_count = 1
    own_server.arguments = ("--domain", DOMAIN)
    return own_server.start()


def raw_get(server: RunningServer, host: str, target: str) -> tuple[int, bytes]:
    """A GET with a Host header of one's choice, so that no name needs to be resolved."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", target, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_buckets_are_served_as_host_names_below_the_domain(domain_server):
    path_style = domain_server.boto3_client()
    data = noise(70_000)
    path_style.create_bucket(Bucket="by-name")
    # A key of its own below a bucket's host name, though the first path element is reserved in path style.
    for key in ("folder/object", "rustfs/health/live", "by-name/again"):
        path_style.put_object(Bucket="by-name", Key=key, Body=data)
    virtual = client(domain_server, ACCESS_KEY, SECRET_KEY, "virtual", DOMAIN)
    for key in ("folder/object", "rustfs/health/live", "by-name/again"):
        url = urlsplit(virtual.generate_presigned_url("get_object", Params={"Bucket": "by-name", "Key": key}))
        assert url.netloc == f"by-name.{DOMAIN}:{domain_server.port}"
        assert raw_get(domain_server, url.netloc, f"{url.path}?{url.query}") == (200, data)
        other_host = url.netloc.replace("by-name", "not-signed")
        status, body = raw_get(domain_server, other_host, f"{url.path}?{url.query}")
        assert status == 403
        assert b"SignatureDoesNotMatch" in body


def test_the_domain_itself_is_the_service_in_path_style(domain_server):
    path_style = domain_server.boto3_client()
    path_style.create_bucket(Bucket="one-bucket")
    service = client(domain_server, ACCESS_KEY, SECRET_KEY, "path", DOMAIN)
    url = urlsplit(service.generate_presigned_url("list_buckets"))
    status, body = raw_get(domain_server, url.netloc, f"{url.path}?{url.query}")
    assert status == 200
    assert b"<Name>one-bucket</Name>" in body
    assert raw_get(domain_server, url.netloc, "/rustfs/health/live")[0] == 200


def test_without_a_domain_the_host_name_means_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="object", Body=b"data")
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "object"}))
    virtual = client(server, ACCESS_KEY, SECRET_KEY, "virtual", DOMAIN)
    named = urlsplit(virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "object"}))
    assert raw_get(server, url.netloc, f"{url.path}?{url.query}") == (200, b"data")
    status, body = raw_get(server, named.netloc, f"{named.path}?{named.query}")
    assert status == 404
    assert b"<Code>NoSuchBucket</Code>" in body, "the path's first element, `object`, is the bucket's name"
    assert os.path.basename(named.path) == "object"
