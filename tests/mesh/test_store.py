"""The object layer over one drive of its own and three of other nodes: it cannot tell them apart."""

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from rustfs.core.errors import NoSuchBucket, NoSuchKey, PreconditionFailed, QuorumLost
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.erasure.codec import best_codec
from rustfs.erasure.parity import parity_table
from rustfs.objects.driveset import DriveSet, Pool
from rustfs.objects.types import (
    CompletePart,
    CompleteSpec,
    DeleteTarget,
    PutSpec,
    UploadSpec,
    WriteCondition,
)
from rustfs.objects.wiring import wire
from tests.drive.harness import open_drives
from tests.mesh.harness import eventually, open_node, ports_of
from tests.objects.harness import BytesBody, contents

MIB = 1 << 20
NAMES = ("n0", "n1", "n2", "n3")
SIZES = (0, 1, 4096, 100_000, MIB + 1, 3 * MIB + 17)


class Cluster:
    """Four nodes with a drive each; `store` is node n0's."""

    def __init__(self, drives, path):
        self.ports = ports_of(NAMES)
        self.locals = drives
        self.path = path
        self.stacks: dict[str, AsyncExitStack] = {}
        self.nodes = {}
        self.store = None

    async def start(self, name: str) -> None:
        index = NAMES.index(name)
        stack = self.stacks[name] = AsyncExitStack()
        self.nodes[name] = await stack.enter_async_context(open_node(name, self.ports, {index: self.locals[index]}))

    async def stop(self, name: str) -> None:
        await self.stacks.pop(name).aclose()

    def staged_files(self) -> list[str]:
        found = [n for root in self.path.iterdir() for _, _, names in os.walk(root / "staging") for n in names]
        return [name for name in found if name != "lock"]


@asynccontextmanager
async def open_cluster(path):
    async with open_drives([str(path / name) for name in NAMES]) as drives:
        cluster = Cluster(drives, path)
        try:
            for name in NAMES:
                await cluster.start(name)
            first = cluster.nodes["n0"]
            await first.wait_up(3)
            members = [drives[0], *(first.mesh.drive(NAMES[i], i, i, f"{NAMES[i]}/drive") for i in (1, 2, 3))]
            await eventually(lambda: all(drive.online for drive in members))
            with ThreadPoolExecutor(4) as executor:
                cluster.store = wire(
                    [Pool([DriveSet(0, tuple(members))], parity_table(None, None, 4))],
                    best_codec(),
                    SystemClock(),
                    SystemEntropy(),
                    executor,
                    compress=True,
                    inline_bytes_max=16 << 10,
                ).store
                await cluster.store.create_bucket("bucket", "", "owner")
                yield cluster
        finally:
            for name in list(cluster.stacks):
                with contextlib.suppress(asyncio.CancelledError):
                    await cluster.stop(name)


@pytest.fixture
def run(drives_path):
    def runner(scenario):
        async def main():
            async with open_cluster(drives_path) as cluster:
                await scenario(cluster, cluster.store)

        asyncio.run(main())

    return runner


async def put(store, key, data, **spec):
    return await store.put_object("bucket", key, BytesBody(data), PutSpec(**spec))


async def get(store, key) -> bytes:
    return await contents(await store.open_object("bucket", key))


def test_objects_of_every_size_come_back_whole_and_in_ranges(run):
    async def scenario(cluster, store):
        for size in SIZES:
            data = os.urandom(size)
            info = await put(store, f"noise/{size}", data)
            opened = await store.open_object("bucket", info.key)
            assert await contents(opened) == data
            assert await contents(opened, size // 3, size // 2) == data[size // 3 : size // 2]
        await eventually(lambda: cluster.staged_files() == [])

    run(scenario)


def test_deletions_and_conditions_are_judged_over_all_drives(run):
    async def scenario(_cluster, store):
        await put(store, "key", b"first")
        absent = WriteCondition(if_none_match=("*",))
        with pytest.raises(PreconditionFailed):
            await store.put_object("bucket", "key", BytesBody(b"second"), PutSpec(condition=absent))
        assert await get(store, "key") == b"first"
        await store.delete_objects("bucket", [DeleteTarget("key")])
        with pytest.raises(NoSuchKey):
            await store.head_object("bucket", "key")
        await store.put_object("bucket", "key", BytesBody(b"third"), PutSpec(condition=absent))
        assert await get(store, "key") == b"third"
        outcomes = await asyncio.gather(
            *(store.put_object("bucket", "raced", BytesBody(b"%d" % n), PutSpec(condition=absent)) for n in range(6)),
            return_exceptions=True,
        )
        assert sum(1 for each in outcomes if not isinstance(each, BaseException)) == 1
        with pytest.raises(NoSuchBucket):
            await store.head_object("nowhere", "key")

    run(scenario)


def test_listings_agree_with_what_was_written(run):
    async def scenario(_cluster, store):
        names = [f"{letter}/{number:03d}" for letter in "abc" for number in range(60)]
        await asyncio.gather(*(put(store, name, b"x") for name in names))
        await store.delete_objects("bucket", [DeleteTarget(name) for name in names[60:120]])
        page = await store.list_objects("bucket", "", "", "", 1000)
        assert [info.key for info in page.objects] == names[:60] + names[120:]
        page = await store.list_objects("bucket", "", "/", "", 1000)
        assert list(page.prefixes) == ["a/", "c/"]
        page = await store.list_objects("bucket", "c/", "", "c/029", 10)
        assert [info.key for info in page.objects] == names[150:160]

    run(scenario)


def test_an_object_of_parts(run):
    async def scenario(cluster, store):
        parts = [os.urandom(5 * MIB), os.urandom(100_000)]
        upload_id = await store.create_upload("bucket", "key", UploadSpec())
        infos = [
            await store.upload_part("bucket", "key", upload_id, number, BytesBody(data))
            for number, data in enumerate(parts, 1)
        ]
        named = tuple(CompletePart(number, info.etag) for number, info in enumerate(infos, 1))
        await store.complete_upload("bucket", "key", upload_id, CompleteSpec(named))
        assert await get(store, "key") == b"".join(parts)
        await eventually(lambda: cluster.staged_files() == [])

    run(scenario)


def test_one_node_stops_midway_and_nothing_is_lost_or_stale(run):
    """Writes and reads go on while it is away, and what it held serves again once it is back."""

    async def scenario(cluster, store):
        possible: dict[str, list[bytes]] = {}  # by key: what was acknowledged last, and what may have come after it
        acknowledged = 0
        stop = asyncio.Event()

        async def write(worker: int) -> None:
            nonlocal acknowledged
            number = 0
            while not stop.is_set():
                key, data = f"{worker}/{number % 5}", os.urandom(SIZES[number % len(SIZES)])
                number += 1
                try:
                    await put(store, key, data)
                except QuorumLost:
                    possible.setdefault(key, []).append(data)
                    continue
                possible[key] = [data]
                acknowledged += 1
                assert await get(store, key) == data

        async def passing(count: int) -> None:
            goal = acknowledged + count
            await eventually(lambda: acknowledged >= goal or any(writer.done() for writer in writers))

        def others_up() -> list[str]:
            return cluster.nodes["n0"].mesh.online()

        writers = [asyncio.ensure_future(write(worker)) for worker in range(4)]
        try:
            await passing(20)
            await cluster.stop("n2")
            await eventually(lambda: others_up() == ["n1", "n3"])
            await passing(20)
            await cluster.start("n2")
            await cluster.nodes["n0"].wait_up(3)
            await passing(20)
        finally:
            stop.set()
            await asyncio.gather(*writers)
        for key, values in possible.items():
            assert await get(store, key) in values
        await cluster.stop("n1")
        await eventually(lambda: others_up() == ["n2", "n3"])
        for key, values in possible.items():
            assert await get(store, key) in values

    run(scenario)


def test_below_the_quorum_writes_are_refused_and_nothing_stays_staged(run):
    async def scenario(cluster, store):
        await put(store, "key", b"kept")
        for name in ("n1", "n2"):
            await cluster.stop(name)
        await eventually(lambda: len(cluster.nodes["n0"].mesh.online()) == 1)
        for size in (10, 2 * MIB):
            with pytest.raises(QuorumLost):
                await put(store, "other", bytes(size))
        for name in ("n1", "n2"):
            await cluster.start(name)
        await cluster.nodes["n0"].wait_up(3)
        await eventually(lambda: cluster.staged_files() == [])
        assert await get(store, "key") == b"kept"
        await put(store, "other", bytes(2 * MIB))
        assert await get(store, "other") == bytes(2 * MIB)

    run(scenario)
