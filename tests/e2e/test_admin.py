"""`rustfs admin` against a node of several workers: live requests of all of them, healing on demand, health, locks."""

import contextlib
import http.client
import json
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from tests.e2e.payloads import noise
from tests.e2e.server import ACCESS_KEY, SECRET_KEY, base_environment, free_port, rustfs_command

SECONDS_MAX = 30.0


def command(*arguments):
    return [*rustfs_command(), "admin", *arguments]


def environment(address, **changes):
    keys = {"RUSTFS_ADDRESS": address, "RUSTFS_ACCESS_KEY": ACCESS_KEY, "RUSTFS_SECRET_KEY": SECRET_KEY}
    return {**base_environment(), **keys, **changes}


def fails(*arguments, address, **changes):
    """Exit code and sentence of a command that does not succeed."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False,
        env=environment(address, **changes),
    )  # fmt: skip
    return done.returncode, done.stderr


@contextlib.contextmanager
def streaming(server, *arguments):
    """The lines of a command that goes on until it is ended."""
    with subprocess.Popen(
        command(*arguments, "--json"), stdout=subprocess.PIPE, text=True, env=environment(server.address)
    ) as process:
        try:
            yield map(json.loads, process.stdout)
        finally:
            process.kill()


def test_a_trace_shows_the_requests_of_all_workers(server, s3, bucket):
    body = noise(5_000, 1)
    with streaming(server, "trace", "--path", f"/{bucket}/traced") as lines:
        assert next(lines) == {"following": [server.address]}
        # Which worker serves a connection is the kernel's choice: with sixteen of them each has some, all but surely.
        for number in range(16):
            client = server.boto3_client()
            client.put_object(Bucket=bucket, Key=f"traced/{number}", Body=body)
            client.put_object(Bucket=bucket, Key=f"other/{number}", Body=body)
            client.close()
        seen = [next(lines) for _ in range(16)]
    assert {event["path"] for event in seen} == {f"/{bucket}/traced/{number}" for number in range(16)}
    for event in seen:
        assert (event["operation"], event["status"], event["node"]) == ("PutObject", 200, server.address)
        assert (event["client"], event["dropped"]) == ("127.0.0.1", 0)
        assert event["received_bytes"] >= len(body)
        assert 0 < event["duration_ms"] < 60_000
        assert abs(event["time_ms"] / 1000 - time.time()) < 60


def test_a_trace_of_errors_shows_nothing_else(server, s3, bucket):
    with streaming(server, "trace", "--errors", "--operation", "GetObject") as lines:
        assert "following" in next(lines)
        s3.put_object(Bucket=bucket, Key="here", Body=b"x")
        s3.get_object(Bucket=bucket, Key="here")["Body"].read()
        with pytest.raises(ClientError) as raised:
            s3.get_object(Bucket=bucket, Key="not here")
        event = next(lines)
    assert (event["path"], event["status"]) == (f"/{bucket}/not here", 404)
    assert event["request_id"] == raised.value.response["ResponseMetadata"]["RequestId"]


def test_a_server_stops_at_once_under_the_eyes_of_a_follower(own_server):
    own_server.start()
    with streaming(own_server, "trace") as lines:
        assert "following" in next(lines)
        started = time.monotonic()
        assert own_server.stop() == 0
        assert time.monotonic() - started < 10.0
        assert list(lines) == []


def test_healing_on_demand_mends_a_flipped_byte(own_server):
    own_server.start()
    data = noise(700_000, 2)
    with contextlib.closing(own_server.boto3_client()) as client:
        client.create_bucket(Bucket="rot")
        client.put_object(Bucket="rot", Key="a/large", Body=data)
        client.put_object(Bucket="rot", Key="b/large", Body=data)
        (path, *_) = (own_server.drives[0] / "shards").glob("*/*")
        good = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(1_000)
            file.write(bytes([good[1_000] ^ 1]))
        lines = [json.loads(line) for line in own_server.admin("heal", "--deep", "rot", "--json").splitlines()]
        assert lines[0]["nodes"] == [own_server.address]
        last = lines[-1]
        assert (last["done"], last["keys_checked"], last["keys_healed"], last["keys_failed"]) == (True, 2, 1, 0)
        assert (last["sets_checked"], last["sets_not_checked"], last["errors"]) == ([0], [], {})
        assert path.read_bytes() == good
        assert "1 key checked, 0 healed" in own_server.admin("heal", "--deep", "rot/a/")
    code, _ = fails("heal", "nowhere", address=own_server.address)
    assert code == 1
    assert own_server.stop() == 0


def test_health_fails_when_a_set_cannot_be_written(own_server):
    own_server.start()
    health = json.loads(own_server.admin("health", "--json"))
    assert health["sets"][0]["may_fail"]["writes"]["drives"] == 1
    assert not health["this_node_may_stop"]
    for drive in own_server.drives[:2]:
        drive.rename(drive.with_suffix(".away"))
        drive.write_text("a file, where no drive can be formatted anew")
    deadline = time.monotonic() + SECONDS_MAX
    while (code := fails("health", address=own_server.address)[0]) == 0:
        assert time.monotonic() < deadline, "the drives are not missed"
    assert code == 1
    deadline = time.monotonic() + SECONDS_MAX
    while b"rustfs_cluster_sets_without_write_quorum 1.0" not in own_server.get("/rustfs/metrics")[1]:
        assert time.monotonic() < deadline, "the metric does not follow"
        time.sleep(0.2)


def test_one_node_alone_holds_no_locks(server):
    assert json.loads(server.admin("locks", "--json")) == {"locks": [], "nodes_without_answer": {}}
    assert server.admin("locks") == "No locks\n"
    assert fails("locks", "release", "key:x", address=server.address)[0] == 1


def test_drives_and_heal_status_are_shown(server):
    drives = json.loads(server.admin("drives", "--json"))
    assert [(drive["position"], drive["state"]) for drive in drives] == [(number, "online") for number in range(4)]
    status = json.loads(server.admin("heal", "status", "--json"))
    assert [(each["set"], each["node"]) for each in status["sets"]] == [(0, server.address)]
    assert (status["runs"], status["nodes_without_answer"]) == ([], {})
    assert server.admin("heal", "stop") == "Nothing to stop\n"


@pytest.mark.parametrize("arguments", [("info",), ("trace",), ("heal",), ("locks",), ("health",)])
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_2(server, arguments):
    code, sentence = fails(*arguments, address=server.address, RUSTFS_SECRET_KEY="not the key")
    assert (code, sentence.count("\n")) == (2, 1)
    assert "refused the keys" in sentence
    code, sentence = fails(*arguments, address=f"127.0.0.1:{free_port()}")
    assert (code, sentence.count("\n")) == (2, 1)
    assert "cannot reach a node" in sentence


def test_actions_are_not_for_who_does_not_sign(server):
    for method, name in (("POST", "heal/start"), ("POST", "heal/stop"), ("POST", "locks/release"), ("GET", "trace")):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(method, f"/rustfs/admin/v1/{name}")
        assert connection.getresponse().status == 403, name
        connection.close()
