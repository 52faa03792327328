"""HTTPS from start to stop: real clients, certificates replaced under load, and starts that are refused."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import trustme

from tests.certificates import make_directory, write_pair
from tests.e2e.payloads import noise
from tests.e2e.server import RunningServer, base_environment, rustfs_command

RELOAD_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure_server(tmp_path, authority):
    directory = make_directory(tmp_path / "tls", authority)
    running = RunningServer(
        tmp_path / "node", arguments=("--tls-dir", str(directory)), authority=directory / "CAs" / "nodes.crt"
    )
    try:
        yield running.start()
        assert running.stop() == 0
    finally:
        running.kill()


def shown(server: RunningServer) -> bytes:
    context = ssl.create_default_context(cafile=str(server.authority))
    with (
        socket.create_connection(("127.0.0.1", server.port), 5.0) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def test_boto3_over_https_while_the_certificate_changes(secure_server, authority):
    client = secure_server.boto3_client()
    client.create_bucket(Bucket="secure")
    large = noise(20 << 20)
    client.put_object(Bucket="secure", Key="large", Body=large)
    assert client.get_object(Bucket="secure", Key="large")["Body"].read() == large
    upload = client.create_multipart_upload(Bucket="secure", Key="parts")["UploadId"]
    part = client.upload_part(Bucket="secure", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    done = client.complete_multipart_upload(
        Bucket="secure",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert done["Location"] == f"{secure_server.endpoint}/secure/parts"
    assert secure_server.endpoint.startswith("https://")
    assert f"S3 endpoint   {secure_server.endpoint}" in secure_server.log_tail()

    stop, failures, rounds = threading.Event(), [], []

    def load() -> None:
        own = secure_server.boto3_client()
        while not stop.is_set():
            try:
                own.put_object(Bucket="secure", Key="small", Body=b"hello")
                assert own.get_object(Bucket="secure", Key="large")["Body"].read() == large
                rounds.append(1)
            except Exception as error:  # noqa: BLE001 - told by the test
                failures.append(error)
                return
        own.close()

    loading = threading.Thread(target=load)
    loading.start()
    try:
        write_pair(secure_server.directory.parent / "tls", authority.issue_cert("localhost", "127.0.0.1"))
        renewed = ssl.PEM_cert_to_DER_cert((secure_server.directory.parent / "tls" / "public.crt").read_text())
        deadline = time.monotonic() + RELOAD_SECONDS_MAX
        # Every worker looks by itself, and the kernel chooses the worker: several in a row show the new one.
        in_a_row = 0
        while in_a_row < 12:
            assert time.monotonic() < deadline, "the new certificate is not served"
            in_a_row = in_a_row + 1 if shown(secure_server) == renewed else 0
            time.sleep(0.05)
    finally:
        stop.set()
        loading.join(60.0)
    assert failures == []
    assert rounds
    client.close()


def test_admin_asks_over_https(secure_server):
    assert "Deployment" in secure_server.admin("info")
    assert "Deployment" in secure_server.admin("info", "--address", secure_server.endpoint)
    done = subprocess.run(
        [*rustfs_command(), "admin", "info", "--address", secure_server.endpoint],
        capture_output=True,
        text=True,
        timeout=30.0,
        check=False,
        env=base_environment(),
    )
    assert done.returncode == 2
    assert "cannot be trusted" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_node_does_not_start_with_certificates_that_will_not_do(tmp_path: Path, authority):
    directory = make_directory(tmp_path / "tls", authority)
    (directory / "private.key").write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    drive = tmp_path / "drive"
    done = subprocess.run(
        [*rustfs_command(), "start", str(drive), "--address", "127.0.0.1:9", "--tls-dir", str(directory)],
        capture_output=True,
        text=True,
        timeout=30.0,
        check=False,
        env=base_environment(),
    )
    assert done.returncode == 2
    assert "private.key is not the key of the certificate in" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not drive.exists()
