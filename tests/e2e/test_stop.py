"""SIGTERM: requests in flight are served to their end, nobody new is let in, and then the node stops."""

import http.client
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.e2e.payloads import noise
from tests.e2e.server import RunningServer

DATA = noise(3_000_000)
SECONDS_MAX = 10.0


def presigned(server, method: str, key: str) -> str:
    client = server.boto3_client()
    try:
        url = client.generate_presigned_url(method, Params={"Bucket": "stop", "Key": key})
    finally:
        client.close()
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 3])
def test_an_upload_and_a_download_in_flight_are_finished_before_the_node_stops(tmp_path, workers):
    server = RunningServer(tmp_path / "node", worker_count=workers)
    try:
        server.start()
        client = server.boto3_client()
        client.create_bucket(Bucket="stop")
        client.put_object(Bucket="stop", Key="there", Body=DATA * 8)
        client.close()

        upload = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        upload.putrequest("PUT", presigned(server, "put_object", "late"))
        upload.putheader("Content-Length", str(len(DATA)))
        upload.endheaders()
        upload.send(DATA[:1_000_000])
        download = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        download.request("GET", presigned(server, "get_object", "there"))
        answer = download.getresponse()
        begun = answer.read(100_000)

        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SECONDS_MAX
        while not refuses(server.port):
            assert time.monotonic() < deadline, "new connections are still let in"
            time.sleep(0.02)
        assert server.process.poll() is None, "it did not wait for its requests"
        upload.send(DATA[1_000_000:])
        response = upload.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert begun + answer.read() == DATA * 8
        assert server.process.wait(SECONDS_MAX) == 0
        server.kill()  # forgets the process; none of its group is left
        upload.close()
        download.close()

        server.start()
        client = server.boto3_client()
        assert client.get_object(Bucket="stop", Key="late")["Body"].read() == DATA
        client.close()
        assert server.stop() == 0
    finally:
        server.kill()
