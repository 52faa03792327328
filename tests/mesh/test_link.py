"""A link gathers calls, ends every one of them, notices a silent peer in time, and comes back by itself."""

import asyncio
import logging
import time
from collections.abc import Sequence

import pytest

from rustfs.core.drivetypes import Accept, KeyAnswer, Level
from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.core.pb.peer.v1 import node_pb2
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.mesh import drives as drives_module
from rustfs.mesh import link as link_module
from rustfs.mesh import messages
from rustfs.mesh.authentication import Signer, mesh_key
from rustfs.mesh.channel import Peer
from rustfs.mesh.identity import Self
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.nodes import NodeServer
from tests.mesh.harness import (
    SECRET,
    Node,
    ScriptedDrive,
    WatchedServer,
    answer_to,
    eventually,
    open_node,
    open_pair,
    ports_of,
)
from tests.mesh.test_server import B, impostor

MARGIN_SECONDS = 1.5  # of a busy machine


@pytest.fixture
def hasty(monkeypatch):
    """Shorter silences, so that tests of them are short."""
    monkeypatch.setattr(link_module, "SILENCE_SECONDS", 0.8)
    monkeypatch.setattr(link_module, "PING_SECONDS", 0.2)
    monkeypatch.setattr(link_module, "TICK_SECONDS", 0.05)


def run(scenario, drive: ScriptedDrive | None = None):
    """Runs a scenario over a link to a watched server with one scripted drive."""

    async def main():
        async with open_pair({0: drive or ScriptedDrive()}, WatchedServer) as (caller, served):
            await scenario(caller, served)

    asyncio.run(main())


def reads(node: Node, keys: Sequence[bytes], timeout_seconds: float = 10.0) -> "list[asyncio.Future[KeyAnswer]]":
    link = node.mesh.links["b"]
    return [
        link.call("read_key", pb.Call(read_key=pb.ReadKey(bucket=b"b", key=key)), messages.key_answer, timeout_seconds)
        for key in keys
    ]


def keys(count: int) -> list[bytes]:
    return [b"key%05d" % number for number in range(count)]


def test_calls_of_one_turn_of_the_loop_travel_together():
    async def scenario(caller, served):
        answers = await asyncio.gather(*reads(caller, keys(300)))
        assert answers == [answer_to(key) for key in keys(300)]
        assert served.drives.sizes() == [300]
        await asyncio.gather(*reads(caller, keys(3)))
        assert served.drives.sizes() == [300, 3]

    run(scenario)


def test_answers_that_come_together_travel_together():
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, served):
        futures = reads(caller, keys(200))
        await eventually(lambda: len(drive.held) == 200)
        for number, future in enumerate(drive.held):
            future.set_result(answer_to(b"%d" % number))
        assert await asyncio.gather(*futures) == [answer_to(b"%d" % number) for number in range(200)]
        assert [len(each.answers) for each in served.drives.answers if each.answers] == [200]

    run(scenario, drive)


def test_batches_are_bounded_in_calls():
    async def scenario(caller, served):
        await asyncio.gather(*reads(caller, keys(1300)))
        assert sum(served.drives.sizes()) == 1300
        assert max(served.drives.sizes()) <= link_module.BATCH_CALLS_MAX
        assert len(served.drives.sizes()) == 3

    run(scenario)


def test_batches_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(link_module, "BATCH_BYTES_MAX", 1 << 20)

    async def scenario(caller, served):
        drive = caller.mesh.drive("b", 0, 0, "b/drive")
        inline = bytes(300_000)
        offers = [Accept(b"b", b"%d" % n, b"s%d" % n, 0, b"", inline, (), (), b"") for n in range(20)]
        answers = await asyncio.gather(*map(drive.accept, offers))
        assert [answer.highest for answer in answers] == [b"s%d" % number for number in range(20)]
        assert max(batch.ByteSize() for batch in served.drives.batches) < (1 << 20) + 310_000

    run(scenario)


def test_batches_of_answers_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(drives_module, "PIECE_BYTES", 1 << 20)
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, served):
        futures = reads(caller, keys(20))
        await eventually(lambda: len(drive.held) == 20)
        large = answer_to(bytes(300_000))
        for future in drive.held:
            future.set_result(large)
        assert await asyncio.gather(*futures) == [large] * 20
        assert max(answer.ByteSize() for answer in served.drives.answers) < (1 << 20) + 310_000

    run(scenario, drive)


def test_a_call_ends_at_its_deadline_and_others_do_not(monkeypatch):
    monkeypatch.setattr(drives_module, "TICK_SECONDS", 3600.0)  # only the caller minds
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, _served):
        started = time.monotonic()
        (hasty,) = reads(caller, [b"hasty"], 0.3)
        (patient,) = reads(caller, [b"patient"], 30.0)
        with pytest.raises(DriveOffline, match="did not answer in time"):
            await hasty
        assert 0.3 <= time.monotonic() - started < 0.3 + link_module.TICK_SECONDS + MARGIN_SECONDS
        assert not patient.done()
        late, on_time = drive.held
        late.set_result(answer_to(b"late"))  # nobody waits for it any more
        on_time.set_result(answer_to(b"patient"))
        assert await patient == answer_to(b"patient")
        assert caller.mesh.links["b"]._waiting == {}

    run(scenario, drive)


def test_a_caller_that_gives_up_disturbs_no_other():
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, _served):
        first, second, third = reads(caller, keys(3))
        second.cancel()  # before it was sent
        await eventually(lambda: len(drive.held) >= 2)
        first.cancel()  # after it was sent
        for future in drive.held:
            future.set_result(answer_to(b"answer"))
        assert await third == answer_to(b"answer")
        drive.holding = False
        assert await asyncio.gather(*reads(caller, [b"next"])) == [answer_to(b"next")]
        assert caller.mesh.links["b"].up

    run(scenario, drive)


def test_a_silent_peer_is_noticed_and_everybody_is_told(hasty):
    async def scenario(caller, served):
        link = caller.mesh.links["b"]
        served.drives.talking.clear()
        before = link.generation
        started = time.monotonic()
        outcomes = await asyncio.gather(*reads(caller, keys(50), 60.0), return_exceptions=True)
        took = time.monotonic() - started
        assert 0.5 < took < link_module.SILENCE_SECONDS + MARGIN_SECONDS
        assert all(isinstance(each, DriveOffline) for each in outcomes)
        assert {str(each) for each in outcomes} == {"b has been silent for 0.8 s"}
        assert not link.up
        assert not caller.mesh.drive("b", 0, 0, "b/drive").online
        started = time.monotonic()
        outcomes = await asyncio.gather(*reads(caller, keys(50), 60.0), return_exceptions=True)
        assert all(isinstance(each, DriveOffline) for each in outcomes)
        assert time.monotonic() - started < 0.2  # they cost nothing any more
        served.drives.talking.set()
        await eventually(lambda: link.up)
        assert await asyncio.gather(*reads(caller, [b"back"])) == [answer_to(b"back")]
        assert link.reason == ""
        assert link.generation == before + 1

    run(scenario)


def test_an_idle_link_stays_up(hasty):
    async def scenario(caller, served):
        link = caller.mesh.links["b"]
        before, generation = len(served.drives.batches), link.generation
        await eventually(lambda: len(served.drives.batches) >= before + 8)  # pings
        assert link.up
        assert link.generation == generation
        assert served.drives.sizes() == []

    run(scenario)


def test_a_pause_of_ones_own_does_not_count_as_the_peers_silence(hasty, caplog):
    async def scenario(caller, served):
        link = caller.mesh.links["b"]
        for _ in range(2):
            futures = reads(caller, keys(3), 30.0)
            await asyncio.sleep(0)
            time.sleep(2 * link_module.SILENCE_SECONDS)
            assert await asyncio.gather(*futures) == [answer_to(key) for key in keys(3)]
            assert link.up
        await asyncio.sleep(link_module.SILENCE_SECONDS)
        assert link.up

    with caplog.at_level(logging.WARNING, "rustfs.mesh"):

        async def main():
            async with open_pair({0: ScriptedDrive()}, WatchedServer) as (caller, served):
                await scenario(caller, served)
                assert [r.getMessage() for r in caplog.records if "out of reach" in r.getMessage()] == []

        asyncio.run(main())


def test_a_restarted_peer_is_reached_again_soon_and_calls_under_way_end():
    async def scenario():
        ports = ports_of(("a", "b"))
        drive = ScriptedDrive()
        drive.holding = True
        async with open_node("a", ports, {}) as caller:
            async with open_node("b", ports, {0: drive}) as first:
                await caller.wait_up(1)
                futures = reads(caller, keys(500), 60.0)
                await eventually(lambda: len(drive.held) == 500)
                await first.server.stop(0)
                outcomes = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 5)
                assert all(isinstance(each, DriveOffline) for each in outcomes)
            drive.holding = False
            async with open_node("b", ports, {0: drive}):
                started = time.monotonic()
                await caller.wait_up(1)
                assert time.monotonic() - started < link_module.RETRY_SECONDS[1] + MARGIN_SECONDS
                assert await asyncio.gather(*reads(caller, [b"again"])) == [answer_to(b"again")]

    asyncio.run(scenario())


def test_every_call_ends_when_the_mesh_is_closed():
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, _served):
        futures = reads(caller, keys(20), 60.0)
        await eventually(lambda: len(drive.held) == 20)
        futures += reads(caller, keys(5), 60.0)
        await caller.mesh.close()
        assert all(isinstance(future.exception(), DriveOffline) for future in futures)
        (later,) = reads(caller, [b"later"])
        with pytest.raises(DriveOffline):
            await later

    run(scenario, drive)


def test_notes_that_wait_when_the_mesh_closes_arrive():
    drive = ScriptedDrive()

    async def scenario(caller, _served):
        remote = caller.mesh.drive("b", 0, 0, "b/drive")
        for key in keys(400):
            remote.queue_repair(b"b", key)
        await caller.mesh.close()
        await eventually(lambda: drive.notes == keys(400))

    run(scenario, drive)


def test_closing_a_link_whose_peer_is_silent_does_not_wait_for_it(hasty):
    async def scenario(caller, served):
        served.drives.talking.clear()
        futures = reads(caller, keys(3), 60.0)
        caller.mesh.links["b"]._silent = True  # as when its watch is just about to break the conversation off
        started = time.monotonic()
        await asyncio.wait_for(caller.mesh.close(), 10)
        assert time.monotonic() - started < link_module.CLOSE_SECONDS + MARGIN_SECONDS
        assert all(future.done() for future in futures)
        served.drives.talking.set()

    run(scenario)


def test_what_waits_is_bounded_in_calls_and_in_bytes(monkeypatch):
    monkeypatch.setattr(link_module, "WAITING_CALLS_MAX", 10)
    monkeypatch.setattr(link_module, "WAITING_BYTES_MAX", 100_000)
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, _served):
        small = reads(caller, keys(25))
        for future in small[10:]:
            with pytest.raises(DriveOffline, match="too many calls are waiting for b"):
                await future
        await eventually(lambda: len(drive.held) == 10)
        for future in drive.held:
            future.set_result(answer_to(b"x"))
        assert await asyncio.gather(*small[:10]) == [answer_to(b"x")] * 10
        drive.holding = False
        large = reads(caller, [bytes(60_000)] * 5)
        outcomes = await asyncio.gather(*large, return_exceptions=True)
        assert [isinstance(each, DriveOffline) for each in outcomes] == [False, False, True, True, True]
        for _ in range(50):
            caller.mesh.links["b"].tell("note", pb.Call(queue_repair=pb.QueueRepair()))
        assert len(caller.mesh.links["b"]._queue) == 10
        assert await asyncio.gather(*reads(caller, [b"and on"])) == [answer_to(b"and on")]

    run(scenario, drive)


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusals_in(caplog, words: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.ERROR and words in record.getMessage()
    ]


class DriftingClock(SystemClock):
    """A clock that goes ten times too fast, and an hour ahead."""

    def now_milliseconds(self) -> int:
        return time.time_ns() // 1_000_000 + 3_600_000 + int(time.monotonic() * 10_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topology": "other"}, "was started with other volumes than"),
        ({"deployment_id": "other"}, "belong to deployment"),
        ({"secret": "guessed"}, "refuses our calls: the signature is wrong"),
        ({"clock": DriftingClock()}, "the clock of"),
    ],
)
def test_a_refused_peer_is_named_once(caplog, monkeypatch, options, words):
    monkeypatch.setattr(link_module, "RETRY_SECONDS", (0.01, 0.02))
    tries = []
    real = link_module.Link._went_down

    def count(self, reason):
        tries.append(self.peer.node)
        real(self, reason)

    monkeypatch.setattr(link_module.Link, "_went_down", count)

    async def scenario():
        ports = ports_of(("a", "b"))
        async with (
            open_node("a", ports, {}, deployment_id="ours") as a,
            open_node("b", ports, {}, **{"deployment_id": "ours"} | options) as b,
        ):
            await eventually(lambda: tries.count("b") > 10 and tries.count("a") > 10)
            for node, other in ((a, "b"), (b, "a")):
                assert words in node.mesh.links[other].reason or "is closed" in node.mesh.links[other].reason
                (future,) = [
                    node.mesh.links[other].call("healed", pb.Call(healed=pb.Healed()), messages.done_answer, 5.0)
                ]
                with pytest.raises(DriveOffline):
                    await future

    asyncio.run(scenario())
    assert 1 <= len(refusals_in(caplog, words)) <= 2  # one by each side


def test_a_peer_that_refuses_the_conversation_is_named_once_and_tried_ever_more_seldom(caplog, monkeypatch):
    monkeypatch.setattr(link_module, "RETRY_SECONDS", (0.02, 0.3))
    tries = []

    class Counted(NodeServer):
        async def handshake(self, request, context):
            tries.append(time.monotonic())
            return await super().handshake(request, context)

    async def scenario():
        clock = SystemClock()
        async with impostor(B, mesh_key(SECRET), Counted) as port:  # it has no DriveService
            own = Self("a", "the same", ("a\nb",), b"c" * 16, clock)
            signer = Signer(mesh_key(SECRET), "a", own.incarnation, clock)
            mesh = Mesh(own, signer, [Peer("b", f"127.0.0.1:{port}")], None, clock, SystemEntropy())
            mesh.start()
            await eventually(lambda: len(tries) >= 8)
            assert mesh.online() == []
            await mesh.close()

    asyncio.run(scenario())
    assert len(refusals_in(caplog, "b refuses our calls")) == 1
    assert tries[-1] - tries[-4] > 0.4  # 3 pauses of 0.15 to 0.3 s


# -- other versions ----------------------------------------------------------------------------------------------------

UNKNOWN_CALL = b"\xca\x3e\x02\x08\x01"  # field 1001, as a newer version may have it


def test_a_call_of_a_newer_version_is_answered_as_unsupported():
    async def scenario(caller, served):
        link = caller.mesh.links["b"]
        future = link.call("new", pb.Call.FromString(UNKNOWN_CALL), messages.done_answer, 5.0)
        with pytest.raises(DriveOffline, match="does not know the call"):
            await future
        kinds = [each.error.kind for answer in served.drives.answers for each in answer.answers]
        assert kinds == [pb.Error.UNSUPPORTED]
        assert link.up
        link.tell("new", pb.Call.FromString(UNKNOWN_CALL))  # a note that is not known is passed over
        future = link.call("read_key", pb.Call(read_key=pb.ReadKey(level=99)), messages.key_answer, 5.0)
        with pytest.raises(DriveOffline):
            await future
        assert await asyncio.gather(*reads(caller, [b"known"])) == [answer_to(b"known")]

    run(scenario)


def test_fields_of_a_newer_version_survive_in_calls_that_are_known():
    async def scenario(caller, served):
        call = pb.Call.FromString(
            pb.Call(read_key=pb.ReadKey(bucket=b"b", key=b"key")).SerializeToString() + UNKNOWN_CALL
        )
        answer = await caller.mesh.links["b"].call("read_key", call, messages.key_answer, 5.0)
        assert answer == answer_to(b"key")
        (seen,) = [each for batch in served.drives.batches for each in batch.calls]
        assert UNKNOWN_CALL in seen.SerializeToString()
        identity = node_pb2.Identity.FromString(UNKNOWN_CALL)
        assert UNKNOWN_CALL in identity.SerializeToString(deterministic=True)

    run(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        pb.Answer(done=pb.Done()),
        pb.Answer(),
        pb.Answer.FromString(UNKNOWN_CALL),
        pb.Answer(accept=pb.AcceptAnswer(refusal=99)),
    ],
)
def test_an_answer_that_makes_no_sense_fails_its_call_and_nothing_else(monkeypatch, answer):
    drive = ScriptedDrive()

    def reply(call_id, _value):
        strange = pb.Answer()
        strange.CopyFrom(answer)
        strange.id = call_id
        return strange

    monkeypatch.setitem(messages.SERVED, "accept", messages.SERVED["accept"]._replace(reply=reply))

    async def scenario(caller, _served):
        remote = caller.mesh.drive("b", 0, 0, "b/drive")
        offer = Accept(b"b", b"k", b"s", 0, b"", None, (), (), b"")
        outcomes = await asyncio.gather(
            remote.accept(offer), remote.read_key(b"b", b"k", Level.STAMPS), return_exceptions=True
        )
        assert isinstance(outcomes[0], DriveOffline)
        assert outcomes[1] == answer_to(b"k")
        assert caller.mesh.links["b"].up

    run(scenario, drive)


def test_an_answer_that_cannot_be_said_ends_its_call():
    drive = ScriptedDrive()
    drive.holding = True

    async def scenario(caller, _served):
        (future,) = reads(caller, [b"key"], 30.0)
        await eventually(lambda: len(drive.held) == 1)
        drive.held[0].set_result(answer_to(b"")._replace(versions=(answer_to(b"").versions[0]._replace(flags=-1),)))
        with pytest.raises(DriveError):
            await asyncio.wait_for(future, 5)

    run(scenario, drive)


def test_a_drive_that_is_not_opened_yet_is_offline_and_its_node_is_not():
    async def scenario(caller, served):
        absent = caller.mesh.drive("b", 7, 0, "b/absent")
        assert not absent.online
        assert absent.drive_id == "b/absent"
        assert absent.free_bytes == 0
        with pytest.raises(DriveOffline, match="has not opened the drive yet"):
            await absent.read_key(b"b", b"k", Level.STAMPS)
        served.drives.serve({0: ScriptedDrive(), 7: ScriptedDrive()})
        await eventually(lambda: absent.online)
        assert absent.drive_id == "scripted"

    run(scenario)
