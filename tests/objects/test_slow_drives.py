"""One drive that keeps silent costs nobody more than a moment, and gets what it missed afterwards."""

import asyncio
import random

import pytest

from rustfs.core.drivetypes import Level
from rustfs.core.errors import NoSuchKey, PreconditionFailed, QuorumLost
from rustfs.drive import notes
from rustfs.objects import pace as pace_module
from rustfs.objects.egress import RUNS_AHEAD_OF_FEW
from rustfs.objects.types import CompletePart, CompleteSpec, PutSpec, UploadSpec, WriteCondition
from rustfs.services.repair import Repairer
from tests.objects.doubles import FarDrive
from tests.objects.harness import BytesBody, contents, open_room
from tests.services.harness import eventually

SMALL, LARGE = b"small" * 100, random.Random(3).randbytes(5 << 19)
BOUND_SECONDS = 2.0  # a round over a silent drive would take twelve and more


def run(tmp_path, monkeypatch, scenario, *, near=(0,), count=4, **options):
    monkeypatch.setattr(notes, "NOTES_SECONDS", 0.02)
    roots = [str(tmp_path / f"drive{number}") for number in range(count)]

    async def main():
        far = lambda drive: FarDrive(drive, near=drive.position in near)  # noqa: E731 -- one line says it
        async with open_room(roots, face=far, **options) as room:
            await room.store.create_bucket("bucket", "", "owner")
            return await scenario(room)

    return asyncio.run(main())


async def put(room, key, data, condition=None):
    return await room.store.put_object("bucket", key, BytesBody(data), PutSpec(condition=condition))


async def get(room, key):
    return await contents(await room.store.open_object("bucket", key))


async def in_moments(awaitable):
    async with asyncio.timeout(BOUND_SECONDS):
        return await awaitable


async def repair_all(room):
    repairer = Repairer(room.room.pools, room.room.healer)

    async def nothing_left():
        await repairer.round()
        # Each node empties the queues of its own drives.
        return not any([await drive.drive.repairs(0, 10) for drive in room.drives if drive.near])

    await eventually(nothing_left)


async def everything(room, done):
    """Every kind of operation, each within its bound."""
    store = room.store
    await in_moments(put(room, "small", SMALL))
    await in_moments(put(room, "large", LARGE))
    await in_moments(put(room, "small", SMALL))
    assert await in_moments(get(room, "small")) == SMALL
    assert await in_moments(get(room, "large")) == LARGE
    await in_moments(put(room, "once", SMALL, WriteCondition(if_none_match=("*",))))
    with pytest.raises(PreconditionFailed):
        await in_moments(put(room, "once", LARGE, WriteCondition(if_none_match=("*",))))
    page = await in_moments(store.list_objects("bucket", "", "", "", 10))
    assert [each.key for each in page.objects] == ["large", "once", "small"]
    upload = await in_moments(store.create_upload("bucket", "parts", UploadSpec()))
    part = await in_moments(store.upload_part("bucket", "parts", upload, 1, BytesBody(LARGE)))
    await in_moments(store.complete_upload("bucket", "parts", upload, CompleteSpec((CompletePart(1, part.etag),))))
    assert await in_moments(get(room, "parts")) == LARGE
    for key in ("large", "once", "parts"):
        await in_moments(store.delete_object("bucket", key, None))
    with pytest.raises(NoSuchKey):
        await in_moments(get(room, "large"))
    await in_moments(store.create_bucket("other", "", "owner"))
    await in_moments(store.delete_bucket("other"))
    done.append(True)


@pytest.mark.parametrize("near", [(0,), (0, 1), (3,), (0, 1, 2, 3), ()])
def test_a_silent_drive_holds_up_nothing(tmp_path, monkeypatch, near):
    done = []

    async def scenario(room):
        room.drives[3].stalled = True
        await everything(room, done)

    run(tmp_path, monkeypatch, scenario, near=near, inline_bytes_max=16 << 10)
    assert done


def test_what_a_silent_drive_missed_reaches_it_through_the_repair_queue(tmp_path, monkeypatch):
    async def scenario(room):
        away = room.drives[3]
        await put(room, "deleted", SMALL)
        await put(room, "kept", SMALL)
        away.stalled = True
        gone = room.store.delete_object("bucket", "deleted", None)
        await in_moments(gone)
        new = await in_moments(put(room, "kept", LARGE))
        await eventually(lambda: queued(room))
        away.stalled = False
        await repair_all(room)
        held = (await away.drive.read_key(b"bucket", b"kept", Level.STAMPS)).versions
        assert [version.stamp for version in held] == [new.stamp]
        held = (await away.drive.read_key(b"bucket", b"deleted", Level.STAMPS)).versions
        assert [version.flags & 2 for version in held] == [2]

    async def queued(room):
        return {item.key for drive in room.drives[:3] for item in await drive.drive.repairs(0, 10)} >= {
            b"deleted",
            b"kept",
        }

    run(tmp_path, monkeypatch, scenario, inline_bytes_max=16 << 10)


def test_a_drive_that_falls_silent_in_the_middle_of_an_upload_is_left_behind(tmp_path, monkeypatch):
    class Body(BytesBody):
        async def read(self, limit_bytes):
            far.stalled = far.stalled or len(self._view) < len(LARGE) // 2
            return await super().read(limit_bytes)

    async def scenario(room):
        nonlocal far
        far = room.drives[2]
        await in_moments(room.store.put_object("bucket", "key", Body(LARGE), PutSpec()))
        assert await in_moments(get(room, "key")) == LARGE

    far = None
    run(tmp_path, monkeypatch, scenario)


def test_a_read_asks_few_drives_and_every_remote_one_alike(tmp_path, monkeypatch):
    async def scenario(room):
        keys = [f"key{number}" for number in range(60)]
        for key in keys:
            await put(room, key, SMALL)

        async def noted():
            answers = [await drive.drive.read_key(b"bucket", keys[-1].encode(), Level.STAMPS) for drive in room.drives]
            return all(answer.versions and answer.versions[0].flags & 1 for answer in answers)

        await eventually(noted)
        for drive in room.drives:
            drive.asked.clear()
        for key in keys:
            assert await get(room, key) == SMALL
        counts = [drive.asked["read_key"] for drive in room.drives]
        # A read quorum is two of four: the near one and one other. (A hedge may ask more when the machine is busy.)
        assert counts[0] == len(keys)
        assert sum(counts) <= 2.5 * len(keys)
        assert min(counts[1:]) >= len(keys) / 8

    run(tmp_path, monkeypatch, scenario)


def test_two_near_drives_of_four_need_no_other(tmp_path, monkeypatch):
    async def scenario(room):
        for number in range(10):
            await put(room, f"key{number}", SMALL)
        await asyncio.sleep(0.2)  # the note that it is chosen is written
        for drive in room.drives:
            drive.asked.clear()
        for number in range(10):
            assert await get(room, f"key{number}") == SMALL
        assert [drive.asked["read_key"] for drive in room.drives] == [10, 10, 0, 0]

    run(tmp_path, monkeypatch, scenario, near=(0, 1))


def test_the_silence_of_a_blank_drive_is_no_knowledge_whatever_a_cached_flag_says(tmp_path, monkeypatch):
    """Three of four drives hold the key; two of those are out of reach, and one of the others was just emptied."""

    async def scenario(room):
        await put(room, "key", SMALL)
        assert (await room.store.list_objects("bucket", "", "", "", 10)).objects
        emptied = room.drives[:2]
        for drive in emptied:
            drive.blank = True
        for drive in room.drives[2:]:
            await drive.drive.close()
        assert not any(drive.healing for drive in room.drives)
        with pytest.raises(QuorumLost):
            await get(room, "key")
        with pytest.raises(QuorumLost):
            await room.store.list_objects("bucket", "", "", "", 10)
        with pytest.raises(QuorumLost):
            await put(room, "key", SMALL, WriteCondition(if_none_match=("*",)))
        with pytest.raises(QuorumLost):
            await room.room.healer.heal(room.room.pools.sets[0], b"bucket", b"key", deep=False)

    run(tmp_path, monkeypatch, scenario)


def test_a_large_object_comes_from_near_drives_even_if_they_hold_parity(tmp_path, monkeypatch):
    async def scenario(room):
        for number in range(8):  # each with its own rotation
            await put(room, f"key{number}", LARGE)
            assert await get(room, f"key{number}") == LARGE
        assert room.drives[0].asked["read_shard"] >= 8
        assert [drive.asked["read_shard"] for drive in room.drives[2:]] == [0, 0]

    run(tmp_path, monkeypatch, scenario, near=(0, 1), inline_bytes_max=16 << 10)


def test_a_stream_stumbles_once_over_a_drive_that_falls_silent(tmp_path, monkeypatch):
    data = random.Random(5).randbytes(12 << 20)

    async def scenario(room):
        await put(room, "key", data)
        opened = await room.store.open_object("bucket", "key")
        room.drives[0].stalled = True  # the near one, which every run would ask
        assert await in_moments(contents(opened)) == data
        assert room.drives[0].asked["read_shard"] <= RUNS_AHEAD_OF_FEW  # the runs that were under way at the time

    run(tmp_path, monkeypatch, scenario)


def test_a_drive_that_answers_nothing_is_asked_last_for_a_while(tmp_path, monkeypatch):
    async def scenario(room):
        for number in range(20):
            await put(room, f"key{number}", SMALL)
        room.drives[0].stalled = True
        room.drives[0].asked.clear()
        started = asyncio.get_running_loop().time()
        for number in range(20):
            assert await get(room, f"key{number}") == SMALL
        assert room.drives[0].asked["read_key"] < 20
        assert asyncio.get_running_loop().time() - started < BOUND_SECONDS

    run(tmp_path, monkeypatch, scenario)


def test_uploads_leave_out_a_stalled_drive_until_it_moves_again(tmp_path, monkeypatch):
    async def scenario(room):
        room.drives[3].stalled = True
        staged = []
        real = FarDrive.stage

        async def stage(drive, data_id, size_bytes):
            staged.append(drive.drive.position)
            return await real(drive, data_id, size_bytes)

        monkeypatch.setattr(FarDrive, "stage", stage)
        await in_moments(put(room, "first", LARGE))
        await eventually(lambda: pace.is_stalled(room.drives[3]))
        staged.clear()
        await in_moments(put(room, "second", LARGE))
        assert sorted(staged) == [0, 1, 2]
        room.drives[3].stalled = False
        await eventually(lambda: not pace.is_stalled(room.drives[3]))
        staged.clear()
        await put(room, "third", LARGE)
        assert sorted(staged) == [0, 1, 2, 3]

    pace = None
    made = pace_module.Pace.__init__

    def remember(self, clock):
        nonlocal pace
        made(self, clock)
        pace = self

    monkeypatch.setattr(pace_module.Pace, "__init__", remember)
    monkeypatch.setattr(pace_module, "STALLED_SECONDS", 1.5)
    run(tmp_path, monkeypatch, scenario)
