"""Live requests: every worker of a node tells every follower, within bounds, and nobody waits."""

import asyncio
import contextlib
import os
import socket

import pytest

from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.system import SystemClock
from rustfs.node import traces
from rustfs.node.traces import TooManyFollowers, TraceBus, matches
from tests.s3.signing import FixedClock

NODE = "node1:9000"
SECONDS_MAX = 10.0


def event(number=0, **fields):
    return pb.TraceEvent(**{"operation": "GetObject", "path": f"/bucket/{number}", "status": 200, **fields})


def run(scenario, directory, buses=1, clock=None):
    """A scenario over the buses of as many workers of a node."""

    async def main():
        with contextlib.ExitStack() as stack:
            made = [TraceBus(NODE, str(directory), clock or SystemClock()) for _ in range(buses)]
            for bus in made:
                stack.callback(bus.close)
            async with asyncio.timeout(SECONDS_MAX):
                await scenario(*made)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def following(bus, **wish):
    """A follower that has begun."""
    async with contextlib.aclosing(bus.follow(pb.TraceRequest(**wish))) as events:
        assert (await anext(events)).operation == ""
        yield events


@pytest.mark.parametrize(
    ("wish", "seen"),
    [
        ({}, True),
        ({"errors_only": True}, False),
        ({"operation": "getobject"}, True),
        ({"operation": "PutObject"}, False),
        ({"path_prefix": "/bucket/7"}, True),
        ({"path_prefix": "/bucket/8"}, False),
        ({"slower_than_ms": 12}, True),
        ({"slower_than_ms": 13}, False),
        ({"operation": "GetObject", "slower_than_ms": 13}, False),
    ],
)
def test_what_a_follower_asked_for(wish, seen):
    assert matches(event(7, duration_us=12_500), pb.TraceRequest(**wish)) is seen


@pytest.mark.parametrize(("status", "seen"), [(200, False), (304, False), (400, True), (499, True), (503, True)])
def test_which_answers_are_errors(status, seen):
    assert matches(event(status=status), pb.TraceRequest(errors_only=True)) is seen


def test_requests_of_all_workers_reach_all_followers(tmp_path):
    async def scenario(*workers):
        async with following(workers[0]) as everything, following(workers[1], path_prefix="/bucket/2") as some:
            for number, worker in enumerate(workers):
                assert worker.wanted()
                worker.tell(event(number))
            seen = [await anext(everything) for _ in workers]
            assert {each.path for each in seen} == {"/bucket/0", "/bucket/1", "/bucket/2"}
            assert {(each.node, each.dropped) for each in seen} == {(NODE, 0)}
            assert (await anext(some)).path == "/bucket/2"

    run(scenario, tmp_path, buses=3)


def test_nobody_is_told_when_nobody_follows(tmp_path):
    clock = FixedClock(1_000_000)

    async def scenario(bus):
        assert not bus.wanted()
        async with following(bus):
            assert not bus.wanted(), "it looks a few times a second, not for every request"
            clock.milliseconds += 250
            assert bus.wanted()
        clock.milliseconds += 250
        assert not bus.wanted()
        assert os.listdir(tmp_path / "trace") == []

    run(scenario, tmp_path, clock=clock)


def test_a_burst_beyond_the_senders_queue_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "PENDING_MAX", 10)

    async def scenario(bus):
        async with following(bus) as events:
            assert bus.wanted()
            for number in range(25):
                bus.tell(event(number))
            assert [(await anext(events)).path for _ in range(10)] == [f"/bucket/{number}" for number in range(10)]
            bus.tell(event(99))
            later = await anext(events)
            assert (later.path, later.dropped) == ("/bucket/99", 15)

    run(scenario, tmp_path)


def test_a_slow_reader_loses_requests_and_is_told_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "QUEUED_MAX", 5)

    async def scenario(bus):
        async with following(bus) as events:
            assert bus.wanted()
            for number in range(12):
                bus.tell(event(number))
            seen = [await anext(events)]  # all twelve came in one datagram
            seen += [await anext(events) for _ in range(4)]
            bus.tell(event(99))
            seen.append(await anext(events))
            assert [each.path for each in seen[:5]] == [f"/bucket/{number}" for number in range(5)]
            assert (seen[5].path, seen[5].dropped) == ("/bucket/99", 7)

    run(scenario, tmp_path)


def test_more_than_the_kernels_queue_arrives_in_order(tmp_path):
    async def scenario(bus):
        async with following(bus) as events:
            assert bus.wanted()
            for number in range(1_500):
                bus.tell(event(number, path=f"/bucket/{number}/" + "x" * 1_000))
            for number in range(1_500):
                seen = await anext(events)
                assert seen.path.startswith(f"/bucket/{number}/")
                assert seen.dropped == 0

    run(scenario, tmp_path)


def test_the_socket_of_a_follower_that_died_is_removed(tmp_path):
    async def scenario(bus):
        path = tmp_path / "trace" / "1-0"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(path))
        assert bus.wanted()
        bus.tell(event())
        while path.exists():
            await asyncio.sleep(0.01)

    run(scenario, tmp_path)


def test_followers_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "FOLLOWERS_MAX", 2)

    async def scenario(bus):
        async with following(bus), following(bus):
            with pytest.raises(TooManyFollowers, match="2 follow the requests of node1:9000"):
                await anext(bus.follow(pb.TraceRequest()))
        async with following(bus):
            pass

    run(scenario, tmp_path)


def test_silence_is_broken_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "HEARTBEAT_SECONDS", 0.01)

    async def scenario(bus):
        async with following(bus) as events:
            assert [(await anext(events)).operation for _ in range(3)] == [""] * 3

    run(scenario, tmp_path)
