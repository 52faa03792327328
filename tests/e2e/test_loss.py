"""Any two of four drives removed, emptied or damaged: all reads right. Three: a clear 503. Put back: healed unasked."""

import contextlib
import itertools
import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.e2e.inspection import inspect
from tests.e2e.payloads import noise, prose

BUCKET = "loss"
PAIRS = list(itertools.combinations(range(4), 2))
HEALED_SECONDS_MAX = 90.0
CONTENTS = {
    "empty": b"",
    "tiny": b"x",
    "small": noise(4_096, 1),
    "inline": noise(120_000, 2),
    "file": noise(200_001, 3),
    "several/blocks": noise(3_500_000, 4),
    "shrinks": prose(2_200_000, 5),
}
PARTS = [noise(5 << 20, 6), prose(5 << 20, 7), noise(77_777, 8)]


@contextlib.contextmanager
def client_of(server):
    """A client that opens no second connection after the server is gone."""
    client = server.boto3_client()
    try:
        yield client
    finally:
        client.close()


def fill(server) -> dict[str, bytes]:
    """Objects of every way of being stored."""
    with client_of(server) as client:
        client.create_bucket(Bucket=BUCKET)
        for key, data in CONTENTS.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=data, ContentType="text/x-test", Metadata={"of": key})
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
        done = [
            {
                "PartNumber": number,
                "ETag": client.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=number, Body=part)[
                    "ETag"
                ],
            }
            for number, part in enumerate(PARTS, 1)
        ]
        client.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload={"Parts": done})
        client.put_object(Bucket=BUCKET, Key="deleted", Body=b"must not come back")
        client.delete_object(Bucket=BUCKET, Key="deleted")
    return CONTENTS | {"parts": b"".join(PARTS)}


def assert_all_readable(server, expected) -> None:
    """Every way of reading gives what was written."""
    with client_of(server) as client:
        listed = {entry["Key"]: entry["Size"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert listed == {key: len(data) for key, data in expected.items()}
        for key, data in expected.items():
            found = client.get_object(Bucket=BUCKET, Key=key)
            assert found["Body"].read() == data, key
            if data == CONTENTS.get(key):
                assert (found["ContentType"], found["Metadata"]) == ("text/x-test", {"of": key})
        start = len(PARTS[0]) - 10
        ranged = client.get_object(Bucket=BUCKET, Key="parts", Range=f"bytes={start}-{start + 99}")
        assert ranged["Body"].read() == expected["parts"][start : start + 100]
        with pytest.raises(ClientError) as raised:
            client.get_object(Bucket=BUCKET, Key="deleted")
        assert raised.value.response["Error"]["Code"] == "NoSuchKey"


def is_whole(server) -> bool:
    """Whether every drive serves, nothing heals and no repair is queued."""
    drives = json.loads(server.admin("info", "--json"))["drives"]
    heal = json.loads(server.admin("heal", "status", "--json"))["sets"]
    return (
        all(drive["state"] == "online" and not drive["healing"] for drive in drives)
        and all(drive["repair_queue"] == 0 for drive in drives)
        and all(each["state"] == "idle" and each["finished_ms"] for each in heal)
    )


def wait_until_whole(server) -> None:
    """Until it is whole in the eyes of all workers, for longer than notes of what to repair may be on their way."""
    deadline = time.monotonic() + HEALED_SECONDS_MAX
    agreeing = 0
    while agreeing < 6:
        assert time.monotonic() < deadline, f"not healed: {server.admin('info')} {server.admin('heal', 'status')}"
        agreeing = agreeing + 1 if is_whole(server) else 0
        time.sleep(0.3)


def wait_for_states(server, count_online) -> None:
    """Until all workers have noticed which drives there are; each question may reach another of them."""
    deadline = time.monotonic() + 30.0
    agreeing = 0
    while agreeing < 8:
        assert time.monotonic() < deadline, "the node does not notice"
        drives = json.loads(server.admin("info", "--json"))["drives"]
        agreeing = agreeing + 1 if sum(drive["state"] == "online" for drive in drives) == count_online else 0


def start_degraded(server) -> None:
    """Start with too few drives to be ready."""
    server.launch()
    deadline = time.monotonic() + 20.0
    while server.get("/rustfs/health/live")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def take_away(drive: Path) -> None:
    """As if it had been unplugged."""
    drive.rename(drive.with_suffix(".away"))
    drive.write_bytes(b"")  # nothing can be made here in its place


def put_back(drive: Path) -> None:
    """See take_away."""
    drive.unlink()
    drive.with_suffix(".away").rename(drive)


def empty(drive: Path) -> None:
    """As if it had been replaced by a new one: moved out first, for a server that still writes by these paths."""
    away = drive.with_suffix(".emptied")
    away.mkdir()
    for entry in list(drive.iterdir()):
        entry.rename(away / entry.name)
    shutil.rmtree(away)


@pytest.fixture
def filled(own_server):
    """A server with objects, which are on all drives and known there to be chosen; and what they hold."""
    own_server.start()
    contents = fill(own_server)
    wait_until_whole(own_server)
    return contents


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_two_drives_may_be_missing(own_server, filled):
    for pair in PAIRS:
        own_server.stop()
        for number in pair:
            take_away(own_server.drives[number])
        start_degraded(own_server)
        assert_all_readable(own_server, filled)
        for number in pair:
            put_back(own_server.drives[number])
    wait_until_whole(own_server)
    assert_all_readable(own_server, filled)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (1, 2)])
def test_emptied_drives_are_rebuilt_while_serving_and_can_then_serve_alone(own_server, filled, pair):
    for number in pair:
        empty(own_server.drives[number])
    assert_all_readable(own_server, filled)
    wait_for_states(own_server, 4)
    with client_of(own_server) as client:
        client.put_object(Bucket=BUCKET, Key="late", Body=b"written around the loss")
    filled = {**filled, "late": b"written around the loss"}
    wait_until_whole(own_server)
    own_server.kill()
    for number in set(range(4)) - set(pair):
        take_away(own_server.drives[number])
    start_degraded(own_server)
    wait_for_states(own_server, 2)
    assert_all_readable(own_server, filled)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits_anywhere_on_two_drives_never_show(own_server, filled, seed):
    dice = random.Random(seed)
    pair = dice.sample(range(4), 2)
    own_server.stop()
    for number in pair:
        drive = own_server.drives[number]
        for path in [*sorted((drive / "shards").glob("*/*")), drive / ".rustfs/meta.db"]:
            with path.open("r+b") as file:
                for _ in range(3):
                    offset = dice.randrange(os.path.getsize(path))
                    file.seek(offset)
                    byte = file.read(1)[0]
                    file.seek(offset)
                    file.write(bytes((byte ^ 1 << dice.randrange(8),)))
    own_server.start()
    assert_all_readable(own_server, filled)
    wait_until_whole(own_server)
    assert_all_readable(own_server, filled)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_lost_drives_give_503_and_nothing_wrong_until_one_is_back(own_server, filled):
    for number in (0, 1, 2):
        take_away(own_server.drives[number])
    wait_for_states(own_server, 1)
    assert own_server.get("/rustfs/health/ready")[0] == 503
    with client_of(own_server) as client:
        attempts = [
            lambda key=key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in [*filled, "deleted"]
        ]
        attempts += [
            lambda: client.put_object(Bucket=BUCKET, Key="new", Body=b"x"),
            lambda: client.delete_object(Bucket=BUCKET, Key="tiny"),
            lambda: client.list_objects_v2(Bucket=BUCKET),
        ]
        for attempt in attempts:
            with pytest.raises(ClientError) as raised:
                attempt()
            assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            assert raised.value.response["Error"]["Code"] in ("ServiceUnavailable", "SlowDown")
    put_back(own_server.drives[2])
    wait_for_states(own_server, 2)
    assert_all_readable(own_server, filled)
    for number in (0, 1):
        put_back(own_server.drives[number])
    wait_until_whole(own_server)
    with client_of(own_server) as client:
        client.delete_object(Bucket=BUCKET, Key="tiny")
    assert_all_readable(own_server, {key: data for key, data in filled.items() if key != "tiny"})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_writes_made_while_a_drive_was_away_reach_it_when_it_returns(own_server, filled):
    take_away(own_server.drives[3])
    wait_for_states(own_server, 3)
    with client_of(own_server) as client:
        client.put_object(Bucket=BUCKET, Key="small", Body=noise(400_000, 9))
        client.delete_object(Bucket=BUCKET, Key="file")
        client.put_object(Bucket=BUCKET, Key="new", Body=noise(4_000, 10))
    filled = {**filled, "small": noise(400_000, 9), "new": noise(4_000, 10)}
    del filled["file"]
    assert_all_readable(own_server, filled)
    put_back(own_server.drives[3])
    wait_until_whole(own_server)
    own_server.kill()
    for number in (0, 1):
        take_away(own_server.drives[number])
    start_degraded(own_server)
    wait_for_states(own_server, 2)
    assert_all_readable(own_server, filled)
    own_server.stop()
    assert not [path for drive in own_server.drives[2:] for path in inspect(drive).staged]
