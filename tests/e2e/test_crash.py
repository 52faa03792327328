"""kill -9 of the whole server at random moments, under load: what was acknowledged is there, and nothing else shows."""

import random
import time

import pytest

from tests.e2e.history import ABSENT, Author, Key, look
from tests.e2e.inspection import inspect

ROUNDS = 10
AUTHORS = 6
KEYS_EACH = 6
BUCKET = "crash"
SETTLE_SECONDS_MAX = 100.0


def load_then_kill(server, histories, round_number) -> int:
    """One round of load with a sudden end; the number of writes that were acknowledged."""
    clients = [server.boto3_client() for _ in range(AUTHORS)]
    authors = [
        Author(client, BUCKET, number, histories[number], seed=round_number * 100 + number)
        for number, client in enumerate(clients)
    ]
    for author in authors:
        author.start()
    time.sleep(random.Random(round_number).uniform(0.3, 2.5))
    server.kill()
    for author in authors:
        author.stopping.set()
        author.join(60.0)
        assert not author.is_alive()
    for client in clients:
        client.close()
    assert [author.surprise for author in authors if author.surprise] == []
    return sum(author.acknowledged for author in authors)


def verify(client, histories) -> None:
    """Every key holds what it may hold, twice the same, and listings agree with reads."""
    present = set()
    for keys in histories:
        for name, key in keys.items():
            found = look(client, BUCKET, name)
            assert key.allows(found), f"{name} holds what nobody can have written last"
            assert look(client, BUCKET, name) == found, f"{name} changed between two reads"
            key.settled(found)
            if found != ABSENT:
                present.add(name)
    listed = {entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}
    assert listed == present


def leftovers(drives) -> list[str]:
    """Sentences about files that should not be there; a running worker's lock is no shard."""
    found = []
    for drive in drives:
        contents = inspect(drive)
        found += [f"{path} is still staged" for path in contents.staged if not path.endswith("/lock")]
        found += [f"{drive}: no version names {name}" for name in sorted(contents.files - set(contents.named))]
        found += [f"{drive}: {name} is named but missing" for name in sorted(set(contents.named) - contents.files)]
        found += [f"{drive}: {name} waits for reclaim" for name in sorted(contents.reclaim)]
        if contents.named != contents.counted:
            found.append(f"{drive}: references are miscounted")
    return found


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_nothing_acknowledged_is_lost_and_nothing_is_left_behind(own_server):
    histories = [{f"{author}/key{number}": Key() for number in range(KEYS_EACH)} for author in range(AUTHORS)]
    own_server.start()
    with_bucket = own_server.boto3_client()
    with_bucket.create_bucket(Bucket=BUCKET)
    with_bucket.close()
    acknowledged = 0
    for round_number in range(ROUNDS):
        acknowledged += load_then_kill(own_server, histories, round_number)
        own_server.start()
        client = own_server.boto3_client()
        verify(client, histories)
        client.close()
    assert acknowledged > ROUNDS * AUTHORS, "hardly anything was written: the test tests nothing"

    client = own_server.boto3_client()
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET):
        for upload in page.get("Uploads", ()):
            client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    # The drives free superseded files a minute after the last reader may have begun with them.
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while (found := leftovers(own_server.drives)) and time.monotonic() < deadline:
        time.sleep(2.0)
    assert not found, "\n".join(found)
    verify(client, histories)
    client.close()
    assert own_server.stop() == 0
    assert not [path for drive in own_server.drives for path in inspect(drive).staged]
