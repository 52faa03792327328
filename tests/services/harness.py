"""What the services' tests share: an object layer over real drives, and waiting for what happens in the background."""

import asyncio
import inspect
import os
import shutil

from rustfs.core.drivetypes import Level
from rustfs.objects.records import BUCKETS
from rustfs.objects.types import PutSpec
from tests.objects.harness import BytesBody, contents, open_room

LARGE_BYTES = 3 << 19  # beyond inline: shard files of two blocks


def run(roots, scenario, **options):
    """Run a scenario over one set of drives in these directories."""

    async def main():
        async with open_room(roots, **options) as room:
            return await scenario(room)

    return asyncio.run(main())


async def eventually(condition, seconds=20.0):
    """Wait until `condition`, a function or a coroutine function, holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def spread(room, key, bucket=b"bucket"):
    """Wait until all drives in reach have heard of what was just written: the store waits for no more than a quorum."""

    async def everywhere():
        in_reach = [drive for drive in room.drives if drive.online and not getattr(drive, "stalled", False)]
        newest = {tuple(await stamps_of(drive, key, bucket))[:1] for drive in in_reach}
        return len(newest) == 1 and newest != {()}

    await eventually(everywhere)


async def make_bucket(room, name="bucket"):
    """An empty bucket, on all drives in reach."""
    await room.store.create_bucket(name, "", "owner")
    await spread(room, name.encode(), BUCKETS)


async def put(room, key, data):
    """An object in the bucket "bucket", on all drives in reach."""
    info = await room.store.put_object("bucket", key, BytesBody(data), PutSpec())
    await spread(room, key.encode())
    return info


async def delete(room, key):
    """Delete it again, on all drives in reach."""
    await room.store.delete_object("bucket", key, None)
    await spread(room, key.encode())


async def get(room, key):
    """Its bytes."""
    return await contents(await room.store.open_object("bucket", key))


def wipe(root):
    """Empty a drive's directory."""
    for name in os.listdir(root):
        shutil.rmtree(os.path.join(root, name))


def shard_files(root):
    """The shard files of a drive, by path."""
    return sorted(os.path.join(at, name) for at, _, names in os.walk(os.path.join(root, "shards")) for name in names)


async def stamps_of(drive, key, bucket=b"bucket"):
    """The stamps of the versions that a drive holds of a key."""
    return [held.stamp for held in (await drive.read_key(bucket, key, Level.STAMPS)).versions]
