"""Several pools: keys are found where they are, new ones go by free space, and it is as strict as one pool."""

import asyncio
import contextlib
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from rustfs.core.drivetypes import Level
from rustfs.core.errors import BucketNotEmpty, NoSuchBucket, NoSuchKey, PreconditionFailed, QuorumLost
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive import notes
from rustfs.erasure.codec import best_codec
from rustfs.objects.driveset import DriveSet, Pool
from rustfs.objects.types import CompletePart, CompleteSpec, PutSpec, UploadSpec, WriteCondition
from rustfs.objects.wiring import wire
from rustfs.services import tombstones
from rustfs.services.tombstones import KEPT_MS
from tests.drive.harness import open_drives
from tests.objects.harness import BytesBody, contents
from tests.services.harness import eventually

PARITY = {"STANDARD": 1, "REDUCED_REDUNDANCY": 1}
NEW = WriteCondition(if_none_match=("*",))
KIB = 1 << 10


class SizedDrive:
    """A drive whose free space a test decides."""

    def __init__(self, drive):
        self.drive = drive
        self.free_bytes = 1 << 40

    def __getattr__(self, name):
        return getattr(self.drive, name)

    def has_room(self, size_bytes):
        return size_bytes <= self.free_bytes


class SharedLocks:
    """The locks that the processes of a node share."""

    def __init__(self):
        self._held = set()

    def try_lock(self, key):
        if key in self._held:
            return False
        self._held.add(key)
        return True

    def unlock(self, key):
        self._held.discard(key)


class Cluster:
    """Pools that can be added, and the object layer over those there are."""

    def __init__(self, tmp_path, stack, executor):
        self._tmp_path = tmp_path
        self._stack = stack
        self._executor = executor
        self._locks = SharedLocks()
        self.pools = []
        self.room = None

    async def grow(self, set_count=1, size=3):
        """Add a pool, as a restart with one more argument does."""
        sets = []
        for _ in range(set_count):
            index = sum(len(pool.sets) for pool in self.pools) + len(sets)
            roots = [str(self._tmp_path / f"set{index}-drive{number}") for number in range(size)]
            drives = await self._stack.enter_async_context(open_drives(roots))
            sets.append(DriveSet(index, tuple(map(SizedDrive, drives))))
        self.pools.append(Pool(sets, PARITY))
        self.room = self.wired()

    def wired(self):
        """A process of the cluster."""
        return wire(
            self.pools,
            best_codec(),
            SystemClock(),
            SystemEntropy(),
            self._executor,
            inline_bytes_max=16 * KIB,
            locks=self._locks,
        )

    def fill(self, index, free_bytes=0):
        for drive_set in self.pools[index].sets:
            for drive in drive_set.drives:
                drive.free_bytes = free_bytes

    @property
    def store(self):
        return self.room.store

    async def holding(self, key, bucket=b"bucket"):
        """Indexes of the pools whose drives hold anything of a key."""
        found = set()
        for index, pool in enumerate(self.pools):
            for drive in pool.place(bucket, key.encode()).set.drives:
                if (await drive.read_key(bucket, key.encode(), Level.STAMPS)).versions:
                    found.add(index)
        return found


@asynccontextmanager
async def cluster(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(4))
        made = Cluster(tmp_path, stack, executor)
        await made.grow()
        await made.store.create_bucket("bucket", "", "owner")
        yield made


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(notes, "NOTES_SECONDS", 0.02)

    def run(scenario):
        async def main():
            async with cluster(tmp_path) as made:
                return await scenario(made)

        return asyncio.run(main())

    return run


async def put(store, key, data, condition=None, bucket="bucket"):
    return await store.put_object(bucket, key, BytesBody(data), PutSpec(condition=condition))


async def get(store, key, bucket="bucket"):
    return await contents(await store.open_object(bucket, key))


async def names(store, delimiter="", bucket="bucket"):
    page = await store.list_objects(bucket, "", delimiter, "", 1000)
    return page.prefixes + [each.key for each in page.objects]


def test_old_keys_stay_and_new_ones_go_where_there_is_room(run):
    async def scenario(cluster):
        await put(cluster.store, "old", b"old")
        await cluster.grow(set_count=2)
        cluster.fill(0)
        for number in range(8):
            await put(cluster.store, f"new{number}", b"new")
            assert await cluster.holding(f"new{number}") == {1}
        assert await get(cluster.store, "old") == b"old"
        assert await names(cluster.store) == [f"new{number}" for number in range(8)] + ["old"]
        cluster.fill(0, 1 << 40)
        cluster.fill(1)
        await put(cluster.store, "other", b"other")
        assert await cluster.holding("other") == {0}

    run(scenario)


def test_new_keys_spread_by_free_space(run):
    async def scenario(cluster):
        await cluster.grow()
        cluster.fill(0, 1 << 30)
        cluster.fill(1, 3 << 30)
        for number in range(80):
            await put(cluster.store, f"key{number}", b"x")
        there = [await cluster.holding(f"key{number}") for number in range(80)]
        assert all(len(each) == 1 for each in there)
        assert 40 <= sum(each == {1} for each in there) <= 75  # of 60 expected

    run(scenario)


def test_an_overwrite_and_a_deletion_go_where_the_key_is(run):
    async def scenario(cluster):
        await put(cluster.store, "key", b"one")
        await cluster.grow()
        cluster.fill(0, 1 << 30)
        for data in (b"two", bytes(64 * KIB)):
            await put(cluster.store, "key", data)
            assert await get(cluster.store, "key") == data
            assert await cluster.holding("key") == {0}
        await cluster.store.delete_object("bucket", "key", None)
        with pytest.raises(NoSuchKey):
            await get(cluster.store, "key")
        assert await names(cluster.store) == []
        assert await cluster.holding("key") == {0}

    run(scenario)


@pytest.mark.parametrize("size", [100, 64 * KIB])
def test_a_key_whose_pool_is_full_moves_and_what_it_left_is_dropped(run, size):
    async def scenario(cluster):
        await put(cluster.store, "key", b"one")
        await cluster.grow()
        cluster.fill(0)
        info = await put(cluster.store, "key", bytes(size))
        assert await get(cluster.store, "key") == bytes(size)
        assert (await cluster.store.head_object("bucket", "key")).stamp == info.stamp
        assert await names(cluster.store) == ["key"]

        async def moved():
            return await cluster.holding("key") == {1}

        await eventually(moved)
        await put(cluster.store, "key", b"three", WriteCondition(if_match=(info.etag,)))
        assert await get(cluster.store, "key") == b"three"

    run(scenario)


def test_concurrent_creations_never_land_in_two_pools(run):
    async def scenario(cluster):
        await cluster.grow()
        processes = [cluster.wired() for _ in range(4)]
        for number in range(12):
            key = f"key{number}"
            outcomes = await asyncio.gather(
                *(put(each.store, key, str(index).encode()) for index, each in enumerate(processes))
            )
            newest = max(range(4), key=lambda index, made=outcomes: made[index].stamp)
            assert {await get(each.store, key) for each in processes} == {str(newest).encode()}

            async def alone(key=key):
                return len(await cluster.holding(key)) == 1

            await eventually(alone)

    run(scenario)


def test_of_several_creations_under_a_condition_one_succeeds(run):
    async def scenario(cluster):
        await cluster.grow()
        processes = [cluster.wired() for _ in range(4)]

        async def create(index, key):
            try:
                await put(processes[index].store, key, str(index).encode(), NEW)
            except PreconditionFailed:
                return None
            return str(index).encode()

        for number in range(8):
            outcomes = await asyncio.gather(*(create(index, f"key{number}") for index in range(4)))
            winners = [outcome for outcome in outcomes if outcome is not None]
            assert len(winners) == 1
            assert await get(cluster.store, f"key{number}") == winners[0]
            assert len(await cluster.holding(f"key{number}")) == 1

    run(scenario)


def test_an_upload_begun_before_the_cluster_grew_supersedes_what_was_written_meanwhile(run):
    part = bytes(40 * KIB)

    async def scenario(cluster):
        upload = await cluster.store.create_upload("bucket", "key", UploadSpec())
        made = await cluster.store.upload_part("bucket", "key", upload, 1, BytesBody(part))
        await cluster.grow()
        cluster.fill(0)
        await put(cluster.store, "key", b"meanwhile")
        assert await cluster.holding("key") == {1}
        cluster.fill(0, 1 << 40)
        spec = CompleteSpec((CompletePart(1, made.etag),))
        first = await cluster.store.complete_upload("bucket", "key", upload, spec)
        assert await get(cluster.store, "key") == part
        again = await cluster.store.complete_upload("bucket", "key", upload, spec)
        assert (again.etag, again.stamp) == (first.etag, first.stamp)
        assert (await cluster.store.head_object("bucket", "key")).stamp == first.stamp

        async def moved():
            return await cluster.holding("key") == {0}

        await eventually(moved)
        page = await cluster.store.list_uploads("bucket", "", "", "", "", 10)
        assert not page.uploads

    run(scenario)


async def left_behind(cluster, key):
    """An old version in pool 0 of a key that was moved to pool 1 and deleted there: its drop never arrived."""
    place = cluster.pools[0].place(b"bucket", key.encode())
    if len(cluster.pools) > 1:
        cluster.fill(1)
    await put(cluster.store, key, b"old")
    if len(cluster.pools) > 1:
        cluster.fill(1, 1 << 40)
    for drive in place.set.drives:
        drive.drop = lambda *_: asyncio.get_running_loop().create_future()
    if len(cluster.pools) == 1:
        await cluster.grow()
    cluster.fill(0)
    await put(cluster.store, key, b"new")
    await cluster.store.delete_object("bucket", key, None)
    for drive in place.set.drives:
        del drive.drop
    cluster.fill(0, 1 << 40)
    return place


def test_what_a_deletion_hides_in_another_pool_is_not_listed(run):
    async def scenario(cluster):
        await left_behind(cluster, "a/1")
        assert await cluster.holding("a/1") == {0, 1}
        assert await names(cluster.store) == []
        assert await names(cluster.store, "/") == []
        await left_behind(cluster, "b/1")
        await put(cluster.store, "b/2", b"live")
        assert await names(cluster.store, "/") == ["b/"]
        with pytest.raises(BucketNotEmpty):
            await cluster.store.delete_bucket("bucket")
        await cluster.store.delete_object("bucket", "b/2", None)
        await cluster.store.delete_bucket("bucket")
        with pytest.raises(NoSuchBucket):
            await names(cluster.store)

    run(scenario)


def test_a_deletion_is_not_forgotten_while_another_pool_holds_what_it_hides(run):
    async def scenario(cluster):
        await left_behind(cluster, "key")
        now = SystemClock().now_milliseconds() + KEPT_MS + 1000

        async def purge():
            for drive_set in cluster.room.pools.sets:
                await tombstones.purge(cluster.room.pools, drive_set, now, SystemClock())
            with pytest.raises(NoSuchKey):
                await get(cluster.wired().store, "key")
            return await cluster.holding("key") == set()

        await eventually(purge)

    run(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_the_object_layer_over_growing_pools_agrees_with_a_dictionary(run, seed):
    """Random operations one after the other, through several processes, with pools filling up and being added."""
    chance = random.Random(seed)
    keys = ["a", "b/1", "b/2", "c/1"]

    async def scenario(cluster):
        model = {}
        processes = [cluster.wired()]
        grow_at = {15, 40}
        for step in range(70):
            if step in grow_at:
                await cluster.grow(set_count=chance.choice([1, 2]))
                processes = [cluster.wired() for _ in range(2)]
            if chance.random() < 0.2:
                for index in range(len(cluster.pools)):
                    cluster.fill(index, chance.choice([0, 1 << 30, 1 << 40]))
                cluster.fill(chance.randrange(len(cluster.pools)), 1 << 40)
            store, key = chance.choice(processes).store, chance.choice(keys)
            data = chance.randbytes(chance.choice([10, 20 * KIB]))
            match chance.choice(["put", "create", "delete", "get", "list", "collapse"]):
                case "put":
                    await put(store, key, data)
                    model[key] = data
                case "create":
                    with contextlib.suppress(PreconditionFailed):
                        await put(store, key, data, NEW)
                        assert key not in model
                        model[key] = data
                case "delete":
                    await store.delete_object("bucket", key, None)
                    model.pop(key, None)
                case "get":
                    if key in model:
                        assert await get(store, key) == model[key]
                    else:
                        with pytest.raises(NoSuchKey):
                            await get(store, key)
                case "list":
                    assert await names(store) == sorted(model)
                case "collapse":
                    shown = {each.partition("/")[0] + "/" * ("/" in each) for each in model}
                    assert sorted(await names(store, "/")) == sorted(shown)

    run(scenario)


def test_concurrent_writers_to_growing_pools_are_seen_in_one_order(run):
    """Readers never go back to a version that they have seen superseded, whichever pool holds which."""

    async def scenario(cluster):
        await cluster.grow()
        processes = [cluster.wired() for _ in range(3)]
        numbers = itertools.count()
        done_well = []
        done = asyncio.Event()
        seen = []

        async def write(process, chance):
            for _ in range(12):
                cluster.fill(0, chance.choice([0, 1 << 40]))
                cluster.fill(1, 1 << 40)
                before = next(numbers)
                with contextlib.suppress(QuorumLost):  # overtaken from another pool, its outcome is unknown
                    match chance.choice(["put", "put", "delete"]):
                        case "put":
                            await put(process.store, "key", str(before).encode())
                        case "delete":
                            await process.store.delete_object("bucket", "key", None)
                    done_well.append(before)

        async def read(process):
            newest = b""
            while not done.is_set():
                with contextlib.suppress(NoSuchKey):
                    info = await process.store.head_object("bucket", "key")
                    assert info.stamp >= newest, "a superseded version came back"
                    newest = info.stamp
                    seen.append(newest)
                await asyncio.sleep(0.002)

        readers = [asyncio.create_task(read(process)) for process in processes[:2]]
        await asyncio.gather(*(write(process, random.Random(n)) for n, process in enumerate(processes)))
        done.set()
        await asyncio.gather(*readers)
        assert len(set(seen)) > 3
        assert len(done_well) > 24, "two of three writes"

    run(scenario)
