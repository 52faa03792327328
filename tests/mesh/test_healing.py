"""HealService and the trace between nodes: streams come as they are made, and end at both ends."""

import asyncio
import contextlib
import json

import pytest

from rustfs.core.errors import DriveOffline
from rustfs.core.pb.peer.v1 import heal_pb2, node_pb2
from rustfs.mesh.rpc import methods
from tests.mesh.harness import eventually, open_pair

HEAL = methods(heal_pb2.DESCRIPTOR)
TRACE = methods(node_pb2.DESCRIPTOR)["Trace"]
SECONDS = 5.0


class Runner:
    """A HealRunner that tells of keys for as long as it is let."""

    def __init__(self, count):
        self.count = count
        self.asked = []
        self.ended = False
        self.told = 0

    async def status(self):
        return {"sets": [1]}

    async def start(self, request):
        self.asked.append(request)
        try:
            for number in range(self.count):
                self.told += 1
                yield heal_pb2.HealProgress(run=request.run, keys_checked=number, error="x" * 10_000)
            if not self.count:
                await asyncio.Event().wait()
        finally:
            self.ended = True

    def stop(self, name):
        return name == "a-run"


class Traces:
    """A TraceSource that says what it was asked."""

    async def follow(self, request):
        yield node_pb2.TraceEvent(operation=request.operation)


def run(scenario):
    async def main():
        async with asyncio.timeout(30), open_pair({}) as (caller, served):
            await scenario(caller.mesh.calls["b"], served)

    asyncio.run(main())


def test_a_run_is_followed_to_its_end():
    async def scenario(calls, served):
        runner = Runner(50)
        served.heals.serve(runner)
        request = heal_pb2.HealStartRequest(bucket="bkt", prefix=b"\xff", deep=True, run="a-run")
        seen = [answer.keys_checked async for answer in calls.follow(HEAL["Start"], request, SECONDS)]
        assert seen == list(range(50))
        assert runner.asked == [request]
        (status,) = await calls.collect(HEAL["Status"], heal_pb2.HealStatusRequest(), SECONDS)
        assert json.loads(status.json) == {"sets": [1]}
        for name, found in (("a-run", True), ("b-run", False)):
            (answer,) = await calls.collect(HEAL["Stop"], heal_pb2.HealStopRequest(run=name), SECONDS)
            assert answer.found is found

    run(scenario)


def test_a_run_ends_when_its_follower_goes_and_waits_while_it_does_not_read():
    async def scenario(calls, served):
        runner = Runner(100_000)
        served.heals.serve(runner)
        async with contextlib.aclosing(calls.follow(HEAL["Start"], heal_pb2.HealStartRequest(), SECONDS)) as answers:
            await anext(answers)
            told = -1
            while told != runner.told:  # until flow control holds it up
                told = runner.told
                await asyncio.sleep(0.3)
            assert 0 < told < 10_000
            assert not runner.ended
        await eventually(lambda: runner.ended)

    run(scenario)


def test_a_peer_that_falls_silent_is_given_up():
    async def scenario(calls, served):
        runner = Runner(0)
        served.heals.serve(runner)
        with pytest.raises(DriveOffline, match="b has fallen silent"):
            await anext(calls.follow(HEAL["Start"], heal_pb2.HealStartRequest(), 0.2))
        await eventually(lambda: runner.ended)

    run(scenario)


def test_a_node_that_starts_refuses_in_words():
    async def scenario(calls, _served):
        for method, request in (
            (HEAL["Start"], heal_pb2.HealStartRequest()),
            (TRACE, node_pb2.TraceRequest()),
        ):
            with pytest.raises(DriveOffline, match="the node is starting"):
                await anext(calls.follow(method, request, SECONDS))

    run(scenario)


def test_requests_are_traced_across_nodes():
    async def scenario(calls, served):
        served.facts.tell({}, Traces())
        request = node_pb2.TraceRequest(operation="PutObject")
        assert [event.operation async for event in calls.follow(TRACE, request, SECONDS)] == ["PutObject"]

    run(scenario)


def test_a_peer_known_to_be_away_is_not_waited_for():
    async def scenario(calls, served):
        await served.server.stop(0.0)
        await eventually(lambda: not calls._link.up)
        with pytest.raises(DriveOffline):
            async with asyncio.timeout(1.0):
                await anext(calls.follow(TRACE, node_pb2.TraceRequest(), 60.0))

    run(scenario)
