"""A node of the mesh without the rest of a node: its drives behind a peer service, and a mesh to reach others with."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rustfs.core.drivetypes import NO_MARK, Accept, AcceptAnswer, Held, KeyAnswer, Level, Refusal
from rustfs.core.pb.peer.v1 import drive_pb2, heal_pb2, node_pb2
from rustfs.core.ports import Clock
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.mesh.authentication import INCARNATION_BYTES, Signer, Verifier, mesh_key
from rustfs.mesh.channel import Peer
from rustfs.mesh.drives import DriveServer
from rustfs.mesh.healing import HealServer
from rustfs.mesh.identity import Self
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.nodes import NodeServer
from rustfs.mesh.rpc import handlers
from rustfs.mesh.server import PeerServer
from tests.e2e.server import free_port

SECRET = "a secret of the cluster"


class MemoryNonces:
    """A NonceBook of one process."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def enter(self, nonce: str) -> bool:
        new = nonce not in self.seen
        self.seen.add(nonce)
        return new


class NobodyVotes:
    """Drives are formatted already."""

    async def prepare(self, _request: node_pb2.PrepareFormatRequest) -> node_pb2.PrepareFormatAnswer:
        return node_pb2.PrepareFormatAnswer()

    async def accept(self, _request: node_pb2.AcceptFormatRequest) -> node_pb2.AcceptFormatAnswer:
        return node_pb2.AcceptFormatAnswer()


@dataclass
class Node:
    """One node: what it says of itself, its server and its mesh."""

    name: str
    port: int
    own: Self
    drives: DriveServer
    facts: NodeServer
    heals: HealServer
    server: PeerServer
    mesh: Mesh

    async def wait_up(self, peers: int) -> None:
        async with asyncio.timeout(10):
            while len(self.mesh.online()) < peers:
                await asyncio.sleep(0.01)


def ports_of(names: Sequence[str]) -> dict[str, int]:
    return {name: free_port() for name in names}


@asynccontextmanager
async def open_node(
    name: str,
    ports: Mapping[str, int],
    drives: Mapping[int, Any],
    *,
    secret: str = SECRET,
    topology: str = "the same",
    clock: Clock | None = None,
    deployment_id: str = "",
    make_server: Callable[[Executor], DriveServer] = DriveServer,
    nonces: MemoryNonces | None = None,
) -> AsyncIterator[Node]:
    """A node called `name` among those of `ports`, serving `drives` by their index."""
    clock = clock or SystemClock()
    entropy = SystemEntropy()
    own = Self(name, topology, ("a\nb",), entropy.bytes(INCARNATION_BYTES), clock, deployment_id)
    key = mesh_key(secret)
    with ThreadPoolExecutor(4) as executor:
        served = make_server(executor)
        served.serve(drives)
        facts, heals = NodeServer(own, key, NobodyVotes()), HealServer()
        services = [
            handlers(drive_pb2.DESCRIPTOR, served),
            handlers(node_pb2.DESCRIPTOR, facts),
            handlers(heal_pb2.DESCRIPTOR, heals),
        ]
        verifier = Verifier(key, name, own.incarnation, clock)
        server = PeerServer(services, verifier, nonces or MemoryNonces(), None, served.drain)
        peers = [Peer(other, f"127.0.0.1:{port}") for other, port in ports.items() if other != name]
        mesh = Mesh(own, Signer(key, name, own.incarnation, clock), peers, None, clock, entropy)
        await server.start("127.0.0.1", ports[name])
        mesh.start()
        try:
            yield Node(name, ports[name], own, served, facts, heals, server, mesh)
        finally:
            await mesh.close()
            with contextlib.suppress(asyncio.CancelledError):
                await server.stop(0.1)


@asynccontextmanager
async def open_pair(
    drives: Mapping[int, Any], make_server: Callable[[Executor], DriveServer] = DriveServer
) -> AsyncIterator[tuple[Node, Node]]:
    """A node without drives that has reached one with these."""
    ports = ports_of(("a", "b"))
    async with open_node("b", ports, drives, make_server=make_server) as served, open_node("a", ports, {}) as caller:
        await caller.wait_up(1)
        yield caller, served


class ScriptedDrive:
    """As much of a drive as a link needs; `read_key` answers at once, or when the test says so."""

    drive_id = "scripted"
    online = True
    healing = False
    free_bytes = 1 << 40

    def __init__(self) -> None:
        self.holding = False
        self.held: list[asyncio.Future[KeyAnswer]] = []
        self.notes: list[bytes] = []

    def read_key(self, _bucket: bytes, key: bytes, _level: Level) -> "asyncio.Future[KeyAnswer]":
        future: asyncio.Future[KeyAnswer] = asyncio.get_running_loop().create_future()
        if self.holding:
            self.held.append(future)
        else:
            future.set_result(answer_to(key))
        return future

    def accept(self, offer: Accept) -> "asyncio.Future[AcceptAnswer]":
        future: asyncio.Future[AcceptAnswer] = asyncio.get_running_loop().create_future()
        future.set_result(AcceptAnswer(Refusal.NONE, offer.stamp, superseded=False, mark=NO_MARK))
        return future

    def queue_repair(self, _bucket: bytes, key: bytes) -> None:
        self.notes.append(key)


def answer_to(key: bytes) -> KeyAnswer:
    """What a ScriptedDrive says of a key."""
    return KeyAnswer((Held(key, 0, b"", None),), NO_MARK, blank=False)


class WatchedServer(DriveServer):
    """Shows the batches that reach it, and stops talking and listening when told to."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self.batches: list[drive_pb2.Batch] = []
        self.answers: list[drive_pb2.BatchAnswer] = []
        self.talking = asyncio.Event()
        self.talking.set()

    async def exchange(self, requests: object, context: Any) -> None:
        await super().exchange(requests, _Watched(self, context))  # type: ignore[arg-type]

    def sizes(self) -> list[int]:
        """Calls in each batch that had any."""
        return [len(batch.calls) for batch in self.batches if batch.calls]


class _Watched:
    def __init__(self, server: WatchedServer, context: Any) -> None:
        self._server = server
        self._context = context

    async def read(self) -> Any:
        batch = await self._context.read()
        await self._server.talking.wait()
        if isinstance(batch, drive_pb2.Batch):
            self._server.batches.append(batch)
        return batch

    async def write(self, answer: drive_pb2.BatchAnswer) -> None:
        await self._server.talking.wait()
        self._server.answers.append(answer)
        await self._context.write(answer)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds; fail when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def data_id() -> bytes:
    return os.urandom(16)
