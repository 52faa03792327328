"""A drive that was wiped and rebuilt stands in for the others in everything, also in what is no object."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from rustfs.core.errors import NoSuchBucket, QuorumLost
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.erasure.codec import best_codec
from rustfs.objects import recall
from rustfs.objects.recall import copy_marks
from rustfs.objects.wiring import wire
from rustfs.services import background
from rustfs.services.background import Background, Intervals
from tests.objects.doubles import FarDrive
from tests.services.harness import eventually, get, put, run, wipe

BUCKETS = 7
SELDOM = 3600.0


@contextlib.asynccontextmanager
async def healing(room, runtime):
    """The service that rebuilds drives, alone."""
    intervals = Intervals(repair=SELDOM, maintenance=SELDOM, heal=0.02, tombstones=SELDOM, uploads=SELDOM)
    task = asyncio.create_task(Background(room.room, [], SystemClock(), str(runtime), 7.0, intervals).run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(background, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(recall, "MARKS_PER_PAGE", 3)


async def rebuilt(room, number, roots, runtime):
    """Wipe a drive and have it rebuilt."""
    wipe(roots[number])
    await eventually(lambda: room.drives[number].online and room.drives[number].healing)
    async with healing(room, runtime):
        await eventually(lambda: room.drives[number].online and not room.drives[number].healing)


async def marks_of(drive):
    return (await drive.marks(b"", 1000)).marks


def test_buckets_are_rebuilt_as_strictly_as_objects(roots, tmp_path):
    threads = ThreadPoolExecutor(2)

    async def scenario(room):
        store = room.store
        for number in range(BUCKETS):
            await store.create_bucket(f"deleted-{number}", "", "owner")
        await store.create_bucket("bucket", "", "owner")
        await put(room, "key", b"data")
        other = wire(room.room.pools.pools, best_codec(), SystemClock(), SystemEntropy(), threads).store
        for number in range(BUCKETS):
            await other.buckets.get(b"deleted-%d" % number)  # another process has seen them, and remembers them
        room.drives[3].stalled = True  # so the deletions are fenced on the other three
        for number in range(BUCKETS):
            await store.delete_bucket(f"deleted-{number}")
        room.drives[3].stalled = False

        await rebuilt(room, 2, roots, tmp_path)
        assert [bucket for bucket, mark in await marks_of(room.drives[2]) if mark.fenced] == [
            b"deleted-%d" % number for number in range(BUCKETS)
        ]
        for drive in room.drives[:2]:
            await drive.drive.close()
        # Now the drive that was rebuilt and one that missed the deletions are all there is.
        assert await get(room, "key") == b"data"
        await other.head_bucket("bucket")
        assert [each.name for each in (await other.list_buckets("", "", 10)).buckets] == ["bucket"]
        for number in range(BUCKETS):
            with pytest.raises(NoSuchBucket):
                await other.head_object(f"deleted-{number}", "key")

    with threads:
        run(roots, scenario, face=lambda drive: FarDrive(drive, near=True))


def test_a_drive_is_not_whole_before_a_read_quorum_told_it_the_marks(roots):
    async def scenario(room):
        await room.store.create_bucket("bucket", "", "owner")
        drive_set = room.room.pools.sets[0]
        await copy_marks(drive_set, drive_set.drives[0])
        room.drives[1].blank = True  # it forgot them itself
        await copy_marks(drive_set, drive_set.drives[0])
        room.drives[2].blank = True
        with pytest.raises(QuorumLost):
            await copy_marks(drive_set, drive_set.drives[0])

    run(roots, scenario, face=FarDrive)
