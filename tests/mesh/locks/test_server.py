"""Locks over messages: what goes in comes out, and what breaks the limits is refused."""

import asyncio
from dataclasses import replace

import pytest

from rustfs.core.errors import LockRequestInvalid
from rustfs.core.pb.peer.v1 import lock_pb2 as pb
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.mesh.locks import rules, wire
from rustfs.mesh.locks.client import LockClient
from rustfs.mesh.locks.peers import LocalLocks
from rustfs.mesh.locks.rules import Answer, Claim, LockInfo, Owner, Release, Verdict
from rustfs.mesh.locks.server import LockServer
from rustfs.mesh.locks.table import LockTable

OWNER = Owner(bytes(range(16)), "node1", "heal of key")
CLAIM = Claim(b"bucket/key", OWNER, True, 7, 2.5, 1.25)


def over_the_wire(message):
    return type(message).FromString(message.SerializeToString())


class Wire:
    """A LockPeer whose every call travels as bytes."""

    name = "node2"

    def __init__(self, server):
        self._server = server

    async def acquire(self, claim, timeout_seconds):
        request = over_the_wire(wire.acquire_request(claim))
        return wire.answer_of_reply(over_the_wire(await self._server.acquire(request)))

    async def refresh(self, claim, timeout_seconds):
        request = over_the_wire(wire.refresh_request(claim))
        return wire.answer_of_reply(over_the_wire(await self._server.refresh(request)))

    async def release(self, wish, timeout_seconds):
        await self._server.release(over_the_wire(wire.release_request(wish)))


@pytest.mark.parametrize("waited", [None, 0.0, 1.25])
def test_requests_survive_the_wire(waited):
    claim = replace(CLAIM, waited_seconds=waited)
    assert wire.claim_of(over_the_wire(wire.acquire_request(claim))) == claim
    assert wire.claim_of(over_the_wire(wire.refresh_request(claim))) == replace(claim, waited_seconds=None)
    wish = Release(b"bucket/key", OWNER, True, 7, waited)
    assert wire.release_of(over_the_wire(wire.release_request(wish))) == wish


@pytest.mark.parametrize("verdict", Verdict)
def test_answers_survive_the_wire(verdict):
    answer = Answer(verdict, (LockInfo(b"bucket/key", OWNER, True, False, 3.5, 6.5),))
    assert wire.answer_of_reply(over_the_wire(wire.acquire_reply(answer))) == answer
    assert wire.answer_of_reply(over_the_wire(wire.refresh_reply(answer))) == answer


def test_a_verdict_of_a_newer_version_grants_nothing():
    assert wire.answer_of_reply(over_the_wire(pb.AcquireReply(verdict=99))).verdict not in rules.GRANTS


@pytest.mark.parametrize(
    "claim",
    [
        replace(CLAIM, resource=b""),
        replace(CLAIM, resource=b"x" * (rules.RESOURCE_BYTES_MAX + 1)),
        replace(CLAIM, owner=replace(OWNER, owner_id=b"short")),
        replace(CLAIM, owner=replace(OWNER, purpose="x" * (rules.TEXT_CHARACTERS_MAX + 1))),
        replace(CLAIM, lease_seconds=0.0),
        replace(CLAIM, round=1 << 63),
    ],
)
def test_requests_beyond_the_limits_are_refused(claim):
    with pytest.raises(LockRequestInvalid):
        wire.claim_of(wire.acquire_request(claim))


def test_a_client_locks_over_messages_and_the_operator_sees_and_releases_it(tmp_path):
    clock = SystemClock()

    async def scenario():
        locks = LocalLocks("node2", lambda: LockTable(str(tmp_path / "locks.db"), clock))
        server = LockServer(locks)
        client = LockClient([Wire(server)], "node1", clock, SystemEntropy(), lease_seconds=1.0)
        async with client.held(b"bucket/key", timeout_seconds=5.0, purpose="heal of key") as held:
            (entry,) = (await server.list(pb.ListRequest())).entries
            assert (entry.resource, entry.owner.node, entry.owner.purpose) == (b"bucket/key", "node1", "heal of key")
            assert 0 < entry.expires_in_milliseconds <= 1000
            reply = await server.force_release(pb.ForceReleaseRequest(resource=b"bucket/key"))
            assert reply.released == 1
            await asyncio.wait_for(held.lost.wait(), 5.0)
        await client.close(5.0)
        assert not (await server.list(pb.ListRequest())).entries
        with pytest.raises(LockRequestInvalid):
            await server.force_release(pb.ForceReleaseRequest(resource=b"bucket/key", owner_id=b"short"))
        await locks.close()

    asyncio.run(scenario())
