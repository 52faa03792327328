"""Who has no key learns nothing from the peer port, and cannot fill the log."""

import asyncio
import logging
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from rustfs.core.pb.peer.v1 import drive_pb2, heal_pb2, node_pb2
from rustfs.core.system import SystemClock
from rustfs.mesh import server as server_module
from rustfs.mesh.authentication import METADATA_KEYS, Signer, mesh_key
from rustfs.mesh.channel import Peer, PeerChannel, PeerRefused
from rustfs.mesh.identity import Self
from rustfs.mesh.nodes import NodeServer
from rustfs.mesh.rpc import Method, handlers, methods, stub
from tests.mesh.harness import SECRET, MemoryNonces, NobodyVotes, ScriptedDrive, open_node, ports_of

METHODS = [
    method
    for file in (drive_pb2.DESCRIPTOR, node_pb2.DESCRIPTOR, heal_pb2.DESCRIPTOR)
    for method in methods(file).values()
]
HANDSHAKE = methods(node_pb2.DESCRIPTOR)["Handshake"]
UNKNOWN = [
    Method("/rustfs.peer.v1.DriveService/Nothing", drive_pb2.Batch, drive_pb2.Batch, False, False),
    Method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", drive_pb2.Batch, drive_pb2.Batch, True, True),
]


def signer(secret: str = SECRET, node: str = "a") -> Signer:
    return Signer(mesh_key(secret), node, b"c" * 16, SystemClock())


@asynccontextmanager
async def calling(port: int):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


async def outcome(channel: grpc.aio.Channel, method: Method, metadata) -> tuple[list[object], grpc.StatusCode, str]:
    """All answers of a call, and how it ended."""
    request = () if method.client_streams else (method.request(),)
    call = stub(channel, method)(*request, metadata=metadata, timeout=5)
    answers: list[object] = []
    try:
        if method.client_streams:
            await call.write(method.request())
        if method.server_streams:
            answers = [answer async for answer in call]
        else:
            answers.append(await call)
    except grpc.aio.AioRpcError as error:
        return answers, error.code(), error.details() or ""
    return answers, await call.code(), await call.details()


def test_every_kind_of_method_is_among_those_tried():
    assert {(each.client_streams, each.server_streams) for each in METHODS} >= {
        (False, False),
        (False, True),
        (True, True),
    }


def test_a_stranger_learns_nothing_from_any_method():
    async def scenario():
        ports = ports_of(("a", "a-name-that-is-secret"))
        async with (
            open_node("a-name-that-is-secret", ports, {0: ScriptedDrive()}) as node,
            calling(node.port) as channel,
        ):
            for method in (*METHODS, *UNKNOWN):
                signed = dict(signer().sign(method.path, node.name, node.own.incarnation))
                strangers = [
                    (),
                    tuple((key, "x") for key in METADATA_KEYS),
                    signer("guessed").sign(method.path, node.name, node.own.incarnation),
                    signer().sign("/other/Method", node.name, node.own.incarnation),
                    tuple((signed | {"rustfs-time": "0"}).items()),
                    tuple((signed | {"rustfs-signature": ""}).items()),
                    (*((key, "x") for key in METADATA_KEYS), *signed.items()),  # of a key given twice the first counts
                ]
                for metadata in strangers:
                    answers, code, details = await outcome(channel, method, metadata)
                    assert (answers, code) == ([], grpc.StatusCode.UNAUTHENTICATED)
                    assert details == "the signature is wrong: is the node started with the same secret key?"

    asyncio.run(scenario())


def test_a_peer_is_let_through():
    async def scenario():
        ports = ports_of(("a", "b"))
        async with open_node("b", ports, {}) as node, calling(node.port) as channel:
            info = methods(node_pb2.DESCRIPTOR)["Info"]
            metadata = signer().sign(info.path, "b", node.own.incarnation)
            assert (await outcome(channel, info, metadata))[1] is grpc.StatusCode.NOT_FOUND  # no facts in the harness
            answers, code, details = await outcome(channel, info, metadata)
            assert (answers, code, details) == ([], grpc.StatusCode.UNAUTHENTICATED, "the call was seen before")
            other = signer(node="c").sign(info.path, "b", b"another process")
            assert (await outcome(channel, info, other))[1] is grpc.StatusCode.UNAUTHENTICATED

    asyncio.run(scenario())


def test_a_handshake_is_good_once_among_all_workers_of_a_node():
    async def scenario():
        nonces = MemoryNonces()
        ports, other = ports_of(("a", "b")), ports_of(("a", "b"))
        async with (
            open_node("b", ports, {}, nonces=nonces) as first,
            open_node("b", other, {}, nonces=nonces) as second,
            calling(first.port) as to_first,
            calling(second.port) as to_second,
        ):
            metadata = signer().sign(HANDSHAKE.path, "b", b"")
            assert (await outcome(to_first, HANDSHAKE, metadata))[1] is grpc.StatusCode.OK
            for channel in (to_second, to_first):
                answers, code, details = await outcome(channel, HANDSHAKE, metadata)
                assert (answers, code, details) == ([], grpc.StatusCode.UNAUTHENTICATED, "the call was seen before")

    asyncio.run(scenario())


@asynccontextmanager
async def impostor(identity: Self, key: bytes, servicer=NodeServer):
    """A server that lets everybody in and answers handshakes as it likes."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(node_pb2.DESCRIPTOR, servicer(identity, key, NobodyVotes())),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def shake_hands(port: int) -> node_pb2.HandshakeAnswer:
    own = Self("a", "the same", ("a\nb",), b"c" * 16, SystemClock())
    channel = PeerChannel(Peer("b", f"127.0.0.1:{port}"), own, signer(), None)
    try:
        return await channel.open()
    finally:
        await channel.close()


B = Self("b", "the same", ("a\nb",), b"s" * 16, SystemClock())


def test_a_server_without_the_secret_is_refused_by_its_caller():
    async def scenario():
        async with impostor(B, mesh_key("guessed")) as port:
            with pytest.raises(PeerRefused, match="does not know this cluster's secret key"):
                await shake_hands(port)
        async with impostor(B, mesh_key(SECRET)) as port:
            assert (await shake_hands(port)).identity.node == "b"

    asyncio.run(scenario())


def test_another_node_in_its_place_is_refused_by_its_caller():
    async def scenario():
        other = Self("c", "the same", ("a\nb",), b"s" * 16, SystemClock())
        async with impostor(other, mesh_key(SECRET)) as port:
            with pytest.raises(PeerRefused, match="answers c, not b"):
                await shake_hands(port)

    asyncio.run(scenario())


class Newer(Self):
    """Says of itself what is not known here yet, in fields between and behind the known ones."""

    def identity(self) -> node_pb2.Identity:
        return node_pb2.Identity.FromString(b"\xf2\x01\x03new" + super().identity().SerializeToString() + b"\x78\x07")


def test_a_newer_nodes_proof_covers_what_is_unknown_here():
    async def scenario():
        async with impostor(Newer("b", "the same", ("a\nb",), b"s" * 16, SystemClock()), mesh_key(SECRET)) as port:
            answer = await shake_hands(port)
            assert b"new" in answer.identity.SerializeToString()

    asyncio.run(scenario())


def test_strangers_cost_one_line_a_second_with_their_number(caplog, monkeypatch):
    monkeypatch.setattr(server_module, "REFUSAL_LINE_SECONDS", 3600.0)

    async def scenario():
        ports = ports_of(("a", "b"))
        async with open_node("b", ports, {}) as node, calling(node.port) as channel:
            for _ in range(5):
                await asyncio.gather(*(outcome(channel, HANDSHAKE, ()) for _ in range(40)))
            monkeypatch.setattr(server_module, "REFUSAL_LINE_SECONDS", 0.0)
            await outcome(channel, HANDSHAKE, ())

    with caplog.at_level(logging.WARNING, "rustfs.mesh"):
        asyncio.run(scenario())
    lines = [record.getMessage() for record in caplog.records if "refused a call" in record.getMessage()]
    assert [line.partition("(")[2] for line in lines] == [
        "0 more since the last such line)",
        "199 more since the last such line)",
    ]


def test_lines_about_refusals_keep_their_distance():
    refusals = server_module._Refusals()
    told = [refusals.tell(tenth / 10) for tenth in range(35)]
    assert [(at, count) for at, count in enumerate(told) if count is not None] == [(0, 0), (10, 9), (20, 9), (30, 9)]
