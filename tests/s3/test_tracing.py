"""What followers of requests are told of one: what it was about, what came of it, and nothing that is secret."""

import asyncio

import pytest

from rustfs.s3.tracing import event_of
from tests.s3.facing import NOW_MILLISECONDS, facing, whole
from tests.s3.signing import PiecedBody, request_of


class Tracer:
    """Somebody follows, or nobody."""

    def __init__(self, *, followed=True):
        self.followed = followed
        self.events = []

    def wanted(self):
        return self.followed

    def tell(self, event):
        self.events.append(event)


@pytest.fixture
def client():
    with facing(domains=("s3.example.com",)) as made:
        made.face._tracer = Tracer()
        yield made


def test_an_answer_is_told_once_it_is_complete(client):
    client.ask("PUT", "/bucket")
    client.ask("PUT", "/bucket/a%20key", body=b"0123456789")
    reply = client.ask("GET", "/bucket/a%20key?response-content-type=secret")
    created, put, got = client.face._tracer.events
    assert (created.operation, created.path) == ("CreateBucket", "/bucket")
    assert (put.operation, put.method, put.path, put.status) == ("PutObject", "PUT", "/bucket/a key", 200)
    assert (put.received_bytes, put.sent_bytes, put.time_ms) == (10, 0, NOW_MILLISECONDS)
    assert (got.operation, got.received_bytes, got.sent_bytes) == ("GetObject", 0, 10)
    assert got.request_id == reply.headers["x-amz-request-id"]
    assert "secret" not in str(got)


def test_a_refusal_is_told_with_its_status(client):
    reply = client.ask("GET", "/nowhere/key")
    client.send(request_of("GET", "/bucket/key", {"host": "localhost"}))
    missing, unsigned = client.face._tracer.events
    assert (missing.status, missing.path, missing.request_id) == (
        404,
        "/nowhere/key",
        reply.headers["x-amz-request-id"],
    )
    assert (unsigned.status, unsigned.operation) == (403, "GetObject")


def test_a_bucket_in_the_host_name_is_part_of_the_path(client):
    client.ask("GET", "/key", {"host": "bucket.s3.example.com"})
    assert client.face._tracer.events[0].path == "/bucket/key"


def test_nothing_is_told_when_nobody_follows(client):
    client.face._tracer.followed = False
    client.ask("GET", "/bucket/key")
    assert client.face._tracer.events == []


def test_a_client_that_goes_away_is_told_as_such(client):
    class Gone(PiecedBody):
        async def read(self, limit_bytes):
            raise asyncio.CancelledError

    client.ask("PUT", "/bucket")
    body = Gone([b"x"])
    request = client.signed(request_of("PUT", "/bucket/key", {"content-length": "1"}, body))

    async def main():
        await whole(request, await client.face.handle(request))

    with pytest.raises(asyncio.CancelledError):
        client._runner.run(main())
    event = client.face._tracer.events[-1]
    assert (event.status, event.path, event.sent_bytes) == (499, "/bucket/key", 0)


def test_what_is_told_is_bounded_and_can_be_sent():
    request = request_of("GET", "/" + "\udcff" * 10_000, {})
    event = event_of(request, None, "Unknown", 400, 1, 1e9, 0, 0, "")
    assert len(event.SerializeToString()) < 20_000
    assert event.duration_us == 0xFFFFFFFF
