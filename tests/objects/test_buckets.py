"""A bucket whose deletion was begun and given up: whoever asks for it makes it live again, and nobody is refused."""

import asyncio

import pytest

from rustfs.core.drivetypes import Mark
from rustfs.core.errors import BucketNotEmpty, NoSuchBucket
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.objects import buckets
from rustfs.objects.types import PutSpec
from tests.objects.harness import BytesBody, contents, open_room

WAITERS = 8


def run(tmp_path, scenario):
    roots = [str(tmp_path / f"drive{number}") for number in range(4)]

    async def main():
        async with open_room(roots) as room:
            await room.store.create_bucket("bucket", "", "owner")
            return await scenario(room.store)

    return asyncio.run(main())


async def begin_deletion(store):
    """As a process does it that dies before it is done."""
    held = await store.buckets.look_up(b"bucket")
    fence = await store.buckets._exchange(b"bucket", held.epoch, pb.BucketRecord.DELETING)
    await store.buckets._fence(b"bucket", Mark(fence, fenced=True))
    store.buckets._cache.clear()


def test_everybody_who_waited_for_a_dead_deletion_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "DELETING_SECONDS_MAX", 0.1)

    async def scenario(store):
        await store.put_object("bucket", "key", BytesBody(b"data"), PutSpec())
        await begin_deletion(store)
        found = await asyncio.gather(*(store.head_object("bucket", "key") for _ in range(WAITERS)))
        assert {info.size_bytes for info in found} == {4}
        await store.put_object("bucket", "key", BytesBody(b"anew"), PutSpec())
        assert await contents(await store.open_object("bucket", "key")) == b"anew"

    run(tmp_path, scenario)


def test_a_slow_deletion_that_others_gave_up_still_ends_clearly(tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "DELETING_SECONDS_MAX", 0.05)

    async def scenario(store):
        await store.put_object("bucket", "key", BytesBody(b"data"), PutSpec())
        looking = store.buckets.is_empty

        async def slowly(bucket):
            assert (await store.head_object("bucket", "key")).size_bytes == 4  # makes it live again
            return await looking(bucket)

        monkeypatch.setattr(store.buckets, "is_empty", slowly)
        with pytest.raises(BucketNotEmpty):
            await store.delete_bucket("bucket")
        monkeypatch.undo()
        await store.delete_object("bucket", "key", None)
        await store.delete_bucket("bucket")
        with pytest.raises(NoSuchBucket):
            await store.head_bucket("bucket")

    run(tmp_path, scenario)
