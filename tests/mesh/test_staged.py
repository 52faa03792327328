"""Shards on their way to another node: bounded, leased, and on a connection that is replaced when it is gone."""

import asyncio
import glob
import os
import threading
import time
from contextlib import asynccontextmanager

import pytest

from rustfs.core.drivetypes import Accept, Refusal
from rustfs.core.errors import DriveFull, DriveOffline, ShardMissing
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.drive.shards import ShardFile
from rustfs.drive.transactions import Transaction
from rustfs.mesh import staged as staged_module
from rustfs.mesh.bulk import CHUNK
from rustfs.mesh.drives import DriveServer
from rustfs.mesh.metrics import PeerMeters
from rustfs.mesh.staged import CHUNK_BYTES, CHUNKS_IN_FLIGHT, RemoteStagedShard
from tests.drive.harness import open_drives
from tests.mesh.harness import data_id, eventually, open_node, open_pair, ports_of
from tests.mesh.test_drive_contract import STAMPS, offer

MARGIN_SECONDS = 1.5  # of a busy machine


class Bench:
    """A drive of another node, and what lies behind it."""

    def __init__(self, caller, served, local, root):
        self.caller = caller
        self.served = served
        self.local = local
        self.root = root
        self.drive = caller.mesh.drive("b", 0, 0, "b/drive")

    @property
    def calls(self):
        return self.caller.mesh.calls["b"]

    def staged_files(self) -> list[str]:
        return [n for _, _, names in os.walk(f"{self.root}/staging") for n in names if n != "lock"]

    async def stage(self, name: bytes, payload: bytes = b"payload") -> RemoteStagedShard:
        shard = await self.drive.stage(name, len(payload))
        await asyncio.to_thread(shard.write, [payload])
        await shard.finish()
        return shard

    def name_it(self, name: bytes, drive=None) -> "asyncio.Future":
        return (drive or self.drive).accept(of(name))


def of(name: bytes) -> Accept:
    return offer(b"key " + name, STAMPS.next(), inline=None, staged=(name,), refs=(name,))


@asynccontextmanager
async def open_bench(path, make_server=DriveServer):
    root = str(path / "drive")
    async with open_drives([root]) as (local,), open_pair({0: local}, make_server) as (caller, served):
        yield Bench(caller, served, local, root)


@pytest.fixture
def run(drives_path):
    def runner(scenario, make_server=DriveServer):
        async def main():
            async with open_bench(drives_path, make_server) as bench:
                await scenario(bench)

        asyncio.run(main())

    return runner


# -- the lease ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_off_takes_staged_files_along(run):
    async def scenario(bench):
        finished, begun = data_id(), data_id()
        await bench.stage(finished)
        await bench.drive.stage(begun, 100)
        assert set(bench.staged_files()) == {finished.hex(), begun.hex()}
        await bench.calls.close()
        await eventually(lambda: bench.staged_files() == [])
        with pytest.raises(ShardMissing):
            await bench.name_it(finished)
        assert await bench.drive.stat_shards([finished]) == [-1]

    run(scenario)


def test_a_file_that_a_version_names_outlives_its_stream(run):
    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        assert (await bench.name_it(name)).refusal is Refusal.NONE
        await eventually(lambda: bench.drive._staged == {})
        await bench.calls.close()
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"
        assert bench.staged_files() == []

    run(scenario)


def test_a_file_that_is_neither_named_nor_given_up_stays_leased(run):
    async def scenario(bench):
        name = data_id()
        shard = await bench.stage(name)
        await asyncio.sleep(0.3)
        assert bench.staged_files() == [name.hex()]
        assert (await bench.name_it(name)).refusal is Refusal.NONE
        await shard.abort()

    run(scenario)


def test_another_worker_of_the_node_takes_the_file_into_service(run):
    async def scenario(bench):
        async with open_drives([bench.root]) as (other,):  # another worker's session on the same directory
            name = data_id()
            shard = await bench.stage(name)
            assert (await bench.name_it(name, other)).refusal is Refusal.NONE
            assert (await bench.name_it(name, bench.local)).refusal is Refusal.NONE  # again, elsewhere
            await shard.abort()
            await eventually(lambda: bench.staged_files() == [])
            for drive in (other, bench.local, bench.drive):
                assert await drive.read_shard(name, 0, 99) == b"payload"
            lost = data_id()
            shard = await bench.stage(lost)
            await shard.abort()
            await eventually(lambda: bench.staged_files() == [])
            with pytest.raises(ShardMissing):
                await bench.name_it(lost, other)
            again = data_id()
            await bench.stage(again)
            assert (await bench.name_it(again, other)).refusal is Refusal.NONE
            await bench.stage(again, b"rebuilt")
            await other.replace_shard(again)
            assert await bench.drive.read_shard(again, 0, 99) == b"rebuilt"

    run(scenario)


def test_leases_that_end_while_versions_name_their_files_leave_either_both_or_none(run):
    """The file of every version that was accepted is there, whatever the order was; and the drive stays."""

    async def scenario(bench):
        async with open_drives([bench.root]) as (other,):
            names = [data_id() for _ in range(40)]
            shards = await asyncio.gather(*map(bench.stage, names))
            calls = []
            for name, shard in zip(names, shards, strict=True):
                calls.append(bench.name_it(name, other))
                await shard.abort()
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            await eventually(lambda: bench.staged_files() == [])
            for name, outcome in zip(names, outcomes, strict=True):
                size = (await other.stat_shards([name]))[0]
                if isinstance(outcome, ShardMissing):
                    assert size == -1
                else:
                    assert (outcome.refusal, size) == (Refusal.NONE, 7)
            assert other.online
            assert bench.local.online

    run(scenario)


def test_a_lease_that_ends_within_the_commit_is_no_failure_of_the_drive(run, monkeypatch):
    real = Transaction.accept

    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        (path,) = glob.glob(f"{bench.root}/staging/*/{name.hex()}")

        def accept(transaction, offered, *, blank):
            os.unlink(path)
            return real(transaction, offered, blank=blank)

        monkeypatch.setattr(Transaction, "accept", accept)
        assert (await bench.name_it(name)).refusal is Refusal.NONE
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"
        assert bench.local.online

    run(scenario)


def test_a_lost_answer_keeps_the_file_for_another_offer(run, monkeypatch):
    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        future = bench.name_it(name)
        future.cancel()
        await asyncio.sleep(0.2)
        assert (await bench.name_it(name)).refusal is Refusal.NONE
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"

    run(scenario)


# -- errors ------------------------------------------------------------------------------------------------------------


async def write_until_it_fails(shard: RemoteStagedShard) -> None:
    for _ in range(500):
        await asyncio.to_thread(shard.write, [bytes(CHUNK_BYTES)])
        await asyncio.sleep(0.01)


def test_a_drive_that_fills_up_on_the_way_says_so(run, monkeypatch):
    def full(self, _buffers):
        raise DriveFull("no space left")

    async def scenario(bench):
        monkeypatch.setattr(ShardFile, "write", full)
        name = data_id()
        shard = await bench.drive.stage(name, 10)
        with pytest.raises(DriveFull):
            await write_until_it_fails(shard)
        with pytest.raises(DriveFull):
            await shard.finish()
        await shard.abort()
        await eventually(lambda: bench.staged_files() == [])

    run(scenario)


def test_a_drive_that_fails_while_the_file_is_made_durable_says_so(run, monkeypatch):
    def failing(self):
        raise DriveFull("no space left")

    async def scenario(bench):
        monkeypatch.setattr(ShardFile, "finish", failing)
        shard = await bench.drive.stage(data_id(), 7)
        await asyncio.to_thread(shard.write, [b"payload"])
        with pytest.raises(DriveFull):
            await shard.finish()

    run(scenario)


def test_a_name_that_is_staged_already_is_refused(run):
    async def scenario(bench):
        name = data_id()
        shard = await bench.drive.stage(name, 7)
        with pytest.raises(DriveOffline):
            await bench.drive.stage(name, 7)
        assert bench.local.online
        await shard.abort()

    run(scenario)


def test_a_stream_that_breaks_off_fails_writes_and_finish_by_their_own_error(run):
    async def scenario(bench):
        writing, finishing = await bench.drive.stage(data_id(), 7), await bench.drive.stage(data_id(), 7)
        await bench.calls.close()
        with pytest.raises(DriveOffline):
            await finishing.finish()
        with pytest.raises(DriveOffline):
            await write_until_it_fails(writing)
        for shard in (writing, finishing):
            await shard.abort()

    run(scenario)


def test_writing_while_a_client_goes_away_takes_no_drive_offline(run):
    async def scenario(bench):
        for _ in range(15):
            shard = await bench.drive.stage(data_id(), 10)
            for _ in range(3):
                await asyncio.to_thread(shard.write, [bytes(300_000)])
            await shard.abort()
        await eventually(lambda: bench.staged_files() == [])
        assert bench.local.online

    run(scenario)


class SlowFinish(ShardFile):
    """Its finish waits for the test."""

    may_finish = threading.Event()

    def finish(self) -> None:
        self.may_finish.wait(10)
        super().finish()


def test_a_finish_that_is_given_up_is_cancelled_and_nothing_else(run, monkeypatch):
    monkeypatch.setattr("rustfs.drive.shardio.ShardFile", SlowFinish)
    SlowFinish.may_finish.clear()

    async def scenario(bench):
        shard = await bench.drive.stage(data_id(), 7)
        await asyncio.to_thread(shard.write, [b"payload"])
        finishing = asyncio.ensure_future(shard.finish())
        await asyncio.sleep(0.1)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        await shard.abort()
        await asyncio.sleep(0.1)
        SlowFinish.may_finish.set()
        await eventually(lambda: bench.staged_files() == [])
        assert bench.local.online

    run(scenario)


# -- flow control ------------------------------------------------------------------------------------------------------


class Stuck:
    """A stream that takes nothing."""

    def __init__(self) -> None:
        self.taking = asyncio.Event()
        self.asked = 0
        self.taken: list[bytes] = []
        self.under_way = self.most = 0

    async def write(self, message: bytes | pb.ShardChunk) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.taking.wait()
        chunk = CHUNK.wire.decode(CHUNK.wire.encode(message))
        self.taken.append(bytes(chunk) if isinstance(chunk, memoryview) else chunk.data)
        self.under_way -= 1

    async def read(self):
        await asyncio.Event().wait()

    def cancel(self) -> None:
        self.taking.set()


def test_no_more_than_a_few_chunks_wait_for_a_slow_peer(monkeypatch):
    monkeypatch.setattr(staged_module, "STALL_SECONDS", 0.3)

    async def scenario():
        stream = Stuck()
        shard = RemoteStagedShard("b/d", stream, asyncio.get_running_loop(), PeerMeters("b"), lambda: None)
        accepted = []

        def fill():
            for number in range(100):
                shard.write([bytes([number]) * CHUNK_BYTES])
                accepted.append(number)

        started = time.monotonic()
        with pytest.raises(DriveOffline, match="takes no data"):
            await asyncio.to_thread(fill)
        assert 0.3 <= time.monotonic() - started < 0.3 + MARGIN_SECONDS
        assert accepted == list(range(CHUNKS_IN_FLIGHT))
        with pytest.raises(DriveOffline, match="takes no data"):
            await asyncio.to_thread(shard.write, [b"later"])
        assert stream.most == 1  # one at a time, or their order could change
        shard._listening.cancel()

    asyncio.run(scenario())


def test_chunks_keep_their_order_and_their_size(monkeypatch):
    async def scenario():
        stream = Stuck()
        stream.taking.set()
        shard = RemoteStagedShard("b/d", stream, asyncio.get_running_loop(), PeerMeters("b"), lambda: None)
        data = os.urandom(2 * CHUNK_BYTES + 5)
        for start in range(0, len(data), 700_000):
            await asyncio.to_thread(shard.write, [data[start : start + 700_000]])
        await asyncio.to_thread(shard.write, [data[:CHUNK_BYTES], data[CHUNK_BYTES:]])
        await eventually(lambda: len(stream.taken) == 4)
        assert set(map(len, stream.taken)) == {CHUNK_BYTES}
        finishing = asyncio.ensure_future(shard.finish())
        await eventually(lambda: len(stream.taken) == 6)  # the rest, and that there is no more
        assert b"".join(stream.taken) == data + data
        finishing.cancel()
        shard._listening.cancel()

    asyncio.run(scenario())


class Deaf(DriveServer):
    """Begins shards and never takes their bytes."""

    async def _fill(self, staged, context):
        await asyncio.Event().wait()


def test_a_peer_that_takes_nothing_is_left_out_in_time(run, monkeypatch):
    monkeypatch.setattr(staged_module, "STALL_SECONDS", 0.5)

    async def scenario(bench):
        shard = await bench.drive.stage(data_id(), 7)
        written = 0

        def fill():
            nonlocal written
            while written < 1 << 30:
                shard.write([bytes(CHUNK_BYTES)])
                written += CHUNK_BYTES

        started = time.monotonic()
        with pytest.raises(DriveOffline, match="takes no data"):
            await asyncio.to_thread(fill)
        assert time.monotonic() - started < 0.5 + 2 * MARGIN_SECONDS
        assert written < 64 << 20  # chunks in flight and what the transport's windows hold
        await asyncio.to_thread(shard.abandon)
        await eventually(lambda: bench.staged_files() == [])

    run(scenario, Deaf)


# -- the connection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["read", "scan", "stage"])
def test_a_connection_to_a_process_that_is_gone_is_replaced(run, call):
    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        await bench.name_it(name)
        before = bench.calls._channel
        before._incarnation = b"the process before"  # the peer answers UNAUTHENTICATED
        if call == "read":
            assert await bench.drive.read_shard(name, 0, 99) == b"payload"
        elif call == "scan":
            assert len((await bench.calls.scan(0, SCAN)).rows) == 1
        else:
            await bench.stage(data_id())
        assert bench.calls._channel is not before

    run(scenario)


def scan_of_all():
    from rustfs.core.drivetypes import Level, Scan
    from tests.mesh.test_drive_contract import BUCKET

    return Scan(BUCKET, b"", b"", b"", 10, Level.STAMPS)


SCAN = scan_of_all()


def test_a_node_that_was_restarted_is_read_from_as_if_nothing_had_been(drives_path):
    async def scenario():
        root = str(drives_path / "drive")
        ports = ports_of(("a", "b"))
        async with open_drives([root]) as (local,), open_node("a", ports, {}) as caller:
            async with open_node("b", ports, {0: local}) as first:
                await caller.wait_up(1)
                bench = Bench(caller, first, local, root)
                name = data_id()
                await bench.stage(name)
                await bench.name_it(name)
                assert await bench.drive.read_shard(name, 0, 99) == b"payload"
            await eventually(lambda: not bench.drive.online)
            with pytest.raises(DriveOffline):
                await bench.drive.read_shard(name, 0, 99)
            async with open_node("b", ports, {0: local}):
                await caller.wait_up(1)
                assert await bench.drive.read_shard(name, 0, 99) == b"payload"
                await bench.stage(data_id())

    asyncio.run(scenario())


class Slow(DriveServer):
    """Answers the first reading of a shard never."""

    reads = 0

    async def read_shard(self, request, context):
        self.reads += 1
        if self.reads == 1:
            await asyncio.Event().wait()
        async for piece in super().read_shard(request, context):
            yield piece


def test_calls_on_a_connection_that_another_call_gives_up_are_not_lost(run):
    """They used to end as cancelled, which readers and uploads take for their own cancellation."""

    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        await bench.name_it(name)
        begun = await bench.drive.stage(data_id(), 7)
        first = bench.drive.read_shard(name, 0, 99)
        await eventually(lambda: bench.served.drives.reads == 1)
        bench.calls._channel._incarnation = b"the process before"
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"
        assert await asyncio.wait_for(first, 5) == b"payload"
        with pytest.raises(DriveOffline):
            await begun.finish()

    run(scenario, Slow)


def test_a_read_that_its_caller_cancels_is_cancelled(run):
    async def scenario(bench):
        first = bench.drive.read_shard(data_id(), 0, 99)
        await eventually(lambda: bench.served.drives.reads == 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(ShardMissing):
            await bench.drive.read_shard(data_id(), 0, 99)

    run(scenario, Slow)


def test_reads_under_way_end_as_offline_when_the_mesh_closes(run):
    async def scenario(bench):
        first = bench.drive.read_shard(data_id(), 0, 99)
        await eventually(lambda: bench.served.drives.reads == 1)
        await bench.caller.mesh.close()
        with pytest.raises(DriveOffline):
            await asyncio.wait_for(first, 5)

    run(scenario, Slow)


def test_a_read_has_a_deadline(run, monkeypatch):
    monkeypatch.setattr("rustfs.mesh.calls.READ_SECONDS", 0.3)

    async def scenario(bench):
        started = time.monotonic()
        with pytest.raises(DriveOffline, match="does not answer"):
            await bench.drive.read_shard(data_id(), 0, 99)
        assert time.monotonic() - started < 0.3 + MARGIN_SECONDS

    run(scenario, Slow)
