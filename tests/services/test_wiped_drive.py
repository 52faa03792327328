"""A drive that was wiped and rebuilt stands in for the others in everything, also in what is no object."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from rustfs.core.drivetypes import Accept, Level, Refusal
from rustfs.core.errors import NoSuchBucket, QuorumLost
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.erasure.codec import best_codec
from rustfs.objects import recall
from rustfs.objects.recall import ROUNDS_OVER_SECONDS, copy_marks, learn_ceiling
from rustfs.objects.wiring import wire
from rustfs.services import background
from rustfs.services.background import Background, Intervals
from tests.objects.doubles import FarDrive
from tests.services.harness import eventually, get, make_bucket, put, run, wipe

BUCKETS = 7
SELDOM = 3600.0


@contextlib.asynccontextmanager
async def healing(room, runtime):
    """The service that rebuilds drives, alone."""
    intervals = Intervals(repair=SELDOM, maintenance=SELDOM, recall=0.02, heal=0.02, tombstones=SELDOM, uploads=SELDOM)
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


def ahead(seconds):
    return (SystemClock().now_milliseconds() + seconds * 1000).to_bytes(6, "big") + b"\1" * 10


def test_a_wiped_drive_keeps_the_promises_that_its_peers_know_of(roots, tmp_path):
    """By its own clock alone it would accept what it had promised to refuse to somebody whose clock is ahead."""
    promised, below = ahead(600), ahead(599)

    async def scenario(room):
        for drive in room.drives[1:3]:
            assert (await drive.prepare(b"bucket", b"key", promised, Level.STAMPS)).promised
        await rebuilt(room, 2, roots, tmp_path)
        late = Accept(b"bucket", b"key", below, 3 << 8 | 1 << 16, b"record", None, (), (), b"")
        assert (await room.drives[2].accept(late)).refusal is Refusal.PROMISED

    run(roots, scenario)


def test_whom_a_wiped_drive_has_to_hear_before_it_promises_again(roots):
    async def scenario(room):
        drive_set, clock, learner = room.room.pools.sets[0], SystemClock(), room.drives[0]
        wipe(roots[0])
        await eventually(lambda: learner.online and learner.healing)
        formatting = (await learner.ceiling()).formatting
        room.drives[3].stalled = True  # what it promised together with the learner, nobody else may know
        with pytest.raises(QuorumLost):
            await learn_ceiling(drive_set, learner, formatting, 0.0, clock)
        assert not (await learner.ceiling()).known
        await learn_ceiling(drive_set, learner, formatting, ROUNDS_OVER_SECONDS + 1, clock)
        assert (await learner.ceiling()).known

    run(roots, scenario, face=FarDrive)


def test_two_drives_wiped_at_once_learn_from_the_other_two(roots):
    async def scenario(room):
        drive_set, clock = room.room.pools.sets[0], SystemClock()
        for number in (0, 1):
            wipe(roots[number])
        await eventually(lambda: all(drive.online and drive.healing for drive in room.drives[:2]))
        for learner in room.drives[:2]:
            await learn_ceiling(drive_set, learner, (await learner.ceiling()).formatting, 0.0, clock)
            assert (await learner.ceiling()).known

    run(roots, scenario)


def test_drives_that_forgot_everything_teach_nobody(roots):
    async def scenario(room):
        drive_set, clock = room.room.pools.sets[0], SystemClock()
        for number in (0, 1, 2):
            wipe(roots[number])
        await eventually(lambda: all(drive.online and drive.healing for drive in room.drives[:3]))
        formatting = (await room.drives[0].ceiling()).formatting
        with pytest.raises(QuorumLost):
            await learn_ceiling(drive_set, room.drives[0], formatting, ROUNDS_OVER_SECONDS + 1, clock)

    run(roots, scenario)


def test_a_drive_is_not_whole_before_a_read_quorum_told_it_the_marks(roots):
    async def scenario(room):
        await make_bucket(room)
        drive_set = room.room.pools.sets[0]
        await copy_marks(drive_set, drive_set.drives[0])
        room.drives[1].blank = True  # it forgot them itself
        await copy_marks(drive_set, drive_set.drives[0])
        room.drives[2].blank = True
        with pytest.raises(QuorumLost):
            await copy_marks(drive_set, drive_set.drives[0])

    run(roots, scenario, face=FarDrive)
