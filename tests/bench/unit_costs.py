"""What one of each costs on both sides of the mesh: `make bench-units`; docs/scaling.md calculates with it.

Two processes of one worker each, on loopback, with their drive in memory: CPU is what is measured, and the disk is not.
A drive that answers at once stands behind the small calls; a real one behind scans and shards.
"""

import argparse
import asyncio
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection

from rustfs.core.drivetypes import CHOSEN, NO_MARK, Accept, AcceptAnswer, Held, KeyAnswer, Level, Refusal, Scan
from rustfs.core.pb.peer.v1 import drive_pb2, lock_pb2, node_pb2
from rustfs.core.stamps import StampClock
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.mesh.authentication import INCARNATION_BYTES, Signer, Verifier, mesh_key
from rustfs.mesh.channel import Peer
from rustfs.mesh.drives import DriveServer
from rustfs.mesh.identity import Self
from rustfs.mesh.locks.peers import LocalLocks
from rustfs.mesh.locks.remote import LockService, RemoteLocks
from rustfs.mesh.locks.rules import OWNER_ID_BYTES, Claim, Owner, Release
from rustfs.mesh.locks.server import LockServer
from rustfs.mesh.locks.table import LockTable
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.nodes import NodeServer
from rustfs.mesh.remote import RemoteDrive
from rustfs.mesh.rpc import handlers, methods
from rustfs.mesh.server import PeerServer
from tests.bench.accounts import resident_mib
from tests.drive.harness import open_drives
from tests.e2e.server import free_port
from tests.mesh.harness import SECRET, MemoryNonces, NobodyVotes

MIB = 1 << 20
RECORD, INLINE = os.urandom(300), os.urandom(2100)  # a 4 KiB object's on one drive of 2+2
FLAGS = 3 << 8 | 2 << 16
ANSWERING, REAL = 0, 1  # the drives
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROWS = 5000
LINKS = 100
SHARD_MIB = 64


class AnsweringDrive:
    """Answers at once, always the same."""

    drive_id, online, healing, free_bytes = "answering", True, False, 1 << 40

    def read_key(self, _bucket: bytes, _key: bytes, _level: Level) -> "asyncio.Future[KeyAnswer]":
        """See Drive.read_key."""
        return _answered(KeyAnswer((Held(bytes(16), FLAGS, RECORD, INLINE),), NO_MARK, blank=False))

    def accept(self, _offer: Accept) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.accept."""
        return _answered(AcceptAnswer(Refusal.NONE, bytes(16), superseded=False, mark=NO_MARK))


def _answered(value):
    future = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


# -- the serving process -----------------------------------------------------------------------------------------------


def serve(port: int, directory: str, channel: Connection) -> None:
    """Be node b until told to stop."""
    import uvloop

    uvloop.run(_serve(port, directory, channel))


async def _serve(port: int, directory: str, channel: Connection) -> None:
    clock, key = SystemClock(), mesh_key(SECRET)
    own = _self("b", clock)
    async with open_drives([f"{directory}/drive"]) as (real,):
        with ThreadPoolExecutor(4) as executor:
            drives = DriveServer(executor)
            drives.serve({ANSWERING: AnsweringDrive(), REAL: real})
            facts = NodeServer(own, key, NobodyVotes())
            facts.tell({"nothing": _nothing})
            locks = LocalLocks("b", lambda: LockTable(f"{directory}/locks.db", clock))
            services = [
                handlers(drive_pb2.DESCRIPTOR, drives),
                handlers(node_pb2.DESCRIPTOR, facts),
                handlers(lock_pb2.DESCRIPTOR, LockService(LockServer(locks))),
            ]
            server = PeerServer(services, Verifier(key, "b", own.incarnation, clock), MemoryNonces(), None)
            await server.start("127.0.0.1", port)
            channel.send("ready")
            await asyncio.get_running_loop().run_in_executor(None, channel.recv)
            await server.stop(0.1)


async def _nothing() -> dict[str, str]:
    return {}


def _self(name: str, clock: SystemClock) -> Self:
    return Self(name, "the same", ("a\nb",), SystemEntropy().bytes(INCARNATION_BYTES), clock, "")


# -- the calling process -----------------------------------------------------------------------------------------------


class Caller:
    """Node a, and the meter of both processes."""

    def __init__(self, port: int, server_pid: int) -> None:
        self.clock = SystemClock()
        self.server_pid = server_pid
        self._server_clock = (~server_pid << 3) | 2  # clock_getcpuclockid(3)
        self._port = port
        self.mesh = self.new_mesh()
        self.answering, self.real = (self.mesh.drive("b", index, 0, "b") for index in (ANSWERING, REAL))

    def new_mesh(self) -> Mesh:
        """Another process's, as far as b can tell."""
        own = _self("a", self.clock)
        signer = Signer(mesh_key(SECRET), "a", own.incarnation, self.clock)
        peer = Peer("b", f"127.0.0.1:{self._port}")
        mesh = Mesh(own, signer, [peer], None, self.clock, SystemEntropy())
        mesh.start()
        return mesh

    def cpu(self) -> tuple[float, float]:
        """Seconds so far: here, there."""
        return time.process_time(), time.clock_gettime(self._server_clock)

    async def cost(self, name: str, unit: str, per_round: float, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat `work`, which does `per_round` units, for a second; print what a unit costs."""
        await work()
        here, there = self.cpu()
        began = time.perf_counter()
        rounds = 0
        while (elapsed := time.perf_counter() - began) < SECONDS:
            await work()
            rounds += 1
        units = rounds * per_round
        here, there = (after - before for after, before in zip(self.cpu(), (here, there), strict=True))
        line(name, f"{here / units * 1e6:,.1f}", f"{there / units * 1e6:,.1f}", f"{units / elapsed:,.0f}", unit)


SECONDS = 1.0


def line(*cells: str) -> None:
    """A line of the table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def _offer(key: bytes, stamp: bytes = bytes(16)) -> Accept:
    return Accept(b"bucket", key, stamp, FLAGS | CHOSEN, RECORD, INLINE, (), (), b"")


async def small_calls(caller: Caller) -> None:
    """Calls of one batch, by how many there are in it."""
    drive = caller.answering
    offer = _offer(b"a key of usual length/object-0001")
    for size in BATCHES:
        await caller.cost(
            f"write of a 4 KiB object's record, {size} at once", "call", size,
            lambda size=size: asyncio.gather(*(drive.accept(offer) for _ in range(size))),
        )  # fmt: skip
    for size in (1, 16, 256):
        await caller.cost(
            f"read of such a record, {size} at once", "call", size,
            lambda size=size: asyncio.gather(*(drive.read_key(b"bucket", b"key", Level.INLINE) for _ in range(size))),
        )  # fmt: skip


async def single_calls(caller: Caller) -> None:
    """Calls that travel by themselves: facts, locks."""
    calls = caller.mesh.calls["b"]
    info = methods(node_pb2.DESCRIPTOR)["Info"]
    await caller.cost("facts for the operator", "call", 1,
                      lambda: calls.collect(info, node_pb2.InfoRequest(what="nothing"), 5.0))  # fmt: skip
    locks = RemoteLocks("b", calls)

    async def lock() -> None:
        owner = Owner(os.urandom(OWNER_ID_BYTES), "a", "bench")
        await locks.acquire(Claim(b"key", owner, False, 1, 10.0, 0.0), 2.0)
        await locks.release(Release(b"key", owner, False, 1, None), 2.0)

    await asyncio.sleep(0)
    await caller.cost("a lock taken and given back at one table", "lock", 1, lock)


async def scans(caller: Caller) -> None:
    """Rows of a listing."""
    stamps = StampClock(caller.clock, SystemEntropy())
    for start in range(0, ROWS, 250):
        offers = [
            _offer(f"directory/object-{number:08}".encode(), stamps.next()) for number in range(start, start + 250)
        ]
        await asyncio.gather(*(caller.real.accept(offer._replace(inline=b"x")) for offer in offers))
    for level in (Level.RECORD, Level.STAMPS):
        request = Scan(b"bucket", b"", b"", b"", 1000, level)
        page = await caller.real.scan(request)
        name = f"a row listed with its record of {len(RECORD)} bytes" if level else "a row listed without its record"
        await caller.cost(name, "row", len(page.rows), lambda request=request: caller.real.scan(request))
    found = await caller.real.ranges(b"bucket", b"", 1000)
    await caller.cost(
        "a range of 64 keys compared by its digest", "range", len(found.ranges),
        lambda: caller.real.ranges(b"bucket", b"", 1000),
    )  # fmt: skip


async def shards(caller: Caller) -> None:
    """Bulk, both ways; a unit is a MB."""
    chunk = os.urandom(MIB)

    async def write(drive: RemoteDrive, data_id: bytes) -> None:
        staged = await drive.stage(data_id, SHARD_MIB * MIB)

        def fill() -> None:
            for _ in range(SHARD_MIB):
                staged.write([chunk])

        await asyncio.to_thread(fill)
        await staged.finish()

    async def write_and_drop() -> None:
        data_id = os.urandom(16)
        await write(caller.real, data_id)
        await caller.real._staged[data_id].abort()

    await caller.cost("a shard written, per MB", "MB", SHARD_MIB * MIB / 1e6, write_and_drop)
    data_id = os.urandom(16)
    await write(caller.real, data_id)
    stamp = StampClock(caller.clock, SystemEntropy()).next()
    await caller.real.accept(_offer(b"large", stamp)._replace(inline=None, staged=(data_id,), refs=(data_id,)))

    async def read() -> None:
        for start in range(0, SHARD_MIB, 4):
            await asyncio.gather(*(caller.real.read_shard(data_id, (start + each) * MIB, MIB) for each in range(4)))

    await caller.cost("a shard read, per MB", "MB", SHARD_MIB * MIB / 1e6, read)


async def links(caller: Caller) -> None:
    """What a connection costs that nothing travels over: memory, and a ping a second."""
    pids = [os.getpid(), caller.server_pid]
    await asyncio.sleep(1.0)
    before = resident_mib(pids)
    idle = await _idle(caller)
    meshes = [caller.new_mesh() for _ in range(LINKS)]
    while not all(mesh.online() for mesh in meshes):
        await asyncio.sleep(0.01)
    with_links = resident_mib(pids)
    busy = await _idle(caller)
    pings = [f"{(more - less) / LINKS * 1e6:,.0f}" for more, less in zip(busy, idle, strict=True)]
    line("a link kept for a second: ping, answer, watch", *pings, "", "link x s")
    for mesh in meshes:
        await mesh.calls["b"].channel()
    with_both = resident_mib(pids)
    for name, first, second in (("control", before, with_links), ("bulk", with_links, with_both)):
        sizes = [f"{(more - less) / LINKS * 1024:,.0f} KiB" for more, less in zip(second, first, strict=True)]
        line(f"memory of a {name} connection", *sizes, "", "connection")
    await asyncio.gather(*(mesh.close() for mesh in meshes))


async def _idle(caller: Caller) -> list[float]:
    """CPU in a second of doing nothing: here, there."""
    before = caller.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    return [(after - begun) / IDLE_SECONDS for after, begun in zip(caller.cpu(), before, strict=True)]


IDLE_SECONDS = 5.0


async def _measure(port: int, server_pid: int) -> None:
    caller = Caller(port, server_pid)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(caller.mesh.close)
        async with asyncio.timeout(10):
            while not caller.mesh.online():
                await asyncio.sleep(0.01)
        print("| what | us of CPU, calling side | us of CPU, called side | rate of one pair, /s | unit |")
        print("|---|--:|--:|--:|---|")
        for part in (links, small_calls, single_calls, scans, shards):  # links first: memory is fresh then
            await part(caller)


@contextmanager
def _serving(directory: str) -> Iterator[tuple[int, int]]:
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    ours, theirs = context.Pipe()
    port = free_port()
    process = context.Process(target=serve, args=(port, directory, theirs))
    process.start()
    try:
        if not ours.poll(20.0):
            raise RuntimeError("the serving process did not start")
        ours.recv()
        assert process.pid
        yield port, process.pid
        ours.send("stop")
        process.join(10.0)
    finally:
        process.kill()
        process.join(5.0)


def main() -> None:
    """See the module."""
    import uvloop

    logging.getLogger("rustfs").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="python -m tests.bench.unit_costs", description=__doc__)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    parser.add_argument("--directory", default=memory, help="where the drives lie (default: in memory)")
    directory = tempfile.mkdtemp(prefix="rustfs-units-", dir=parser.parse_args().directory)
    try:
        with _serving(directory) as (port, server_pid):
            uvloop.run(_measure(port, server_pid))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
