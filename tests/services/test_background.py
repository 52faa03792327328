"""The services of a node: one process at a time runs them, a drive comes back whole, and no loop takes another down."""

import asyncio
import contextlib
import os
import random
from dataclasses import replace

import pytest

from rustfs.core.drivetypes import TOMBSTONE, DriveInfo, DriveState, Level, Scan
from rustfs.core.errors import DriveOffline, NoSuchKey, NoSuchUpload, QuorumLost
from rustfs.core.system import SystemClock
from rustfs.objects import conversation, patience, register
from rustfs.objects.heal import Healer, HealResult
from rustfs.objects.records import UPLOADS
from rustfs.objects.types import CompletePart, CompleteSpec, UploadSpec
from rustfs.services import background
from rustfs.services.background import Background, Intervals
from rustfs.services.progress import published
from tests.objects.doubles import FarDrive
from tests.objects.harness import BytesBody
from tests.services.harness import LARGE_BYTES, delete, eventually, get, make_bucket, put, run, shard_files, wipe

DATA = random.Random(9).randbytes(LARGE_BYTES)
OFTEN = Intervals(repair=0.02, recall=0.02, maintenance=0.02, heal=0.02, tombstones=0.02, uploads=0.02)


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(background, "LOCK_POLL_SECONDS", 0.02)
    monkeypatch.setattr(background, "RETRY_SECONDS", 0.1)


@pytest.fixture
def runtime(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return str(path)


@contextlib.asynccontextmanager
async def serving(room, runtime, *, drives=None, expiry_days=7.0, intervals=OFTEN):
    services = Background(
        room.room, room.drives if drives is None else drives, SystemClock(), runtime, expiry_days, intervals
    )
    task = asyncio.create_task(services.run())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def progress_of(runtime):
    found = published(os.path.join(runtime, "heal.json"))
    return found[0] if found else {"state": "none", "finished_ms": 0}


def test_a_wiped_drive_is_rebuilt_and_marked_healthy(roots, runtime, caplog):
    caplog.set_level("INFO")

    async def scenario(room):
        await make_bucket(room)
        expected = {f"key-{number}": b"%d" % number for number in range(30)} | {"large": DATA}
        for key, data in expected.items():
            await put(room, key, data)
        async with serving(room, runtime):
            await eventually(lambda: progress_of(runtime)["finished_ms"] > 0)  # the comparison after the start
            before = progress_of(runtime)["started_ms"]
            wipe(roots[2])
            await eventually(lambda: progress_of(runtime)["started_ms"] > before and not room.drives[2].healing)
            await eventually(lambda: progress_of(runtime)["state"] == "idle")
        found = progress_of(runtime)
        assert (found["keys_checked"], found["keys_healed"], found["keys_failed"]) == (32, 32, 0)
        assert found["finished_ms"] >= found["started_ms"] > before
        assert found["drives"] == []
        assert not (await room.drives[2].info()).healing
        assert len(shard_files(roots[2])) == 1
        for drive in room.drives[:2]:
            await drive.close()
        for key, data in expected.items():
            assert await get(room, key) == data

    run(roots, scenario)
    assert f"rebuilding {roots[2]}: about" in caplog.text
    assert "set 0 is whole: 32 keys compared, 32 healed" in caplog.text


def test_a_drive_that_cannot_be_made_whole_keeps_its_mark(roots, runtime):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "key", DATA)
        await put(room, "other", b"small")
        for root in roots[1:3]:
            os.unlink(shard_files(root)[0])
        wipe(roots[0])
        await eventually(lambda: room.drives[0].online and room.drives[0].healing)
        async with serving(room, runtime):
            await eventually(lambda: progress_of(runtime)["state"] == "waiting")
            found = progress_of(runtime)
            assert (found["keys_failed"], found["drives"]) == (1, [roots[0]])
            await eventually(lambda: progress_of(runtime)["started_ms"] > found["started_ms"])  # it is tried again
        assert room.drives[0].healing
        assert await get(room, "other") == b"small"

    run(roots, scenario)


def test_a_set_in_which_a_key_could_not_be_healed_is_compared_again(roots, runtime, monkeypatch):
    heal, quiet = Healer.heal, []

    async def heal_once_it_is_quiet(healer, drive_set, bucket, key, *, deep):
        if key == b"key" and not quiet:
            raise DriveOffline("it was written to meanwhile")
        return await heal(healer, drive_set, bucket, key, deep=deep)

    monkeypatch.setattr(Healer, "heal", heal_once_it_is_quiet)

    async def scenario(room):
        await make_bucket(room)
        os.rename(roots[3], roots[3] + ".away")
        with open(roots[3], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not room.drives[3].online)
        await put(room, "key", DATA)
        os.unlink(roots[3])
        os.rename(roots[3] + ".away", roots[3])
        await eventually(lambda: room.drives[3].online)
        async with serving(room, runtime, intervals=replace(OFTEN, repair=1000.0)):
            await eventually(lambda: progress_of(runtime)["state"] == "waiting")
            quiet.append(True)
            await eventually(lambda: progress_of(runtime)["state"] == "idle")
        assert len(shard_files(roots[3])) == 1

    run(roots, scenario)


def test_a_drive_that_was_away_gets_what_it_missed(roots, runtime):
    async def scenario(room):
        await make_bucket(room)
        async with serving(room, runtime):
            await eventually(lambda: progress_of(runtime)["finished_ms"] > 0)
            os.rename(roots[3], roots[3] + ".away")
            with open(roots[3], "wb"):
                pass  # nothing can be made a drive here
            await eventually(lambda: not room.drives[3].online)
            await put(room, "key", DATA)
            os.unlink(roots[3])
            os.rename(roots[3] + ".away", roots[3])
            await eventually(lambda: len(shard_files(roots[3])) == 1)
            await eventually(lambda: queues_are_empty(room))
        for drive in room.drives[:2]:
            await drive.close()
        assert await get(room, "key") == DATA

    run(roots, scenario)


def test_what_no_queue_knows_reaches_a_drive_that_was_away(roots, runtime):
    """Those that noticed what it missed are gone, or forgot: only what it lacks tells."""

    async def scenario(room):
        await make_bucket(room)
        for number in range(200):
            await put(room, f"kept/{number}", b"%d" % number)
        await room.drives[3].close()
        for number in range(10):
            await put(room, f"kept/{number}", b"overwritten")
            await put(room, f"missed/{number}", b"%d" % number)
        await delete(room, "kept/199")
        for drive in room.drives[:3]:
            await eventually(lambda each=drive: all_queued(each, 21))
            await drive.repaired([item.sequence for item in await drive.repairs(0, 1000)])
        assert await queues_are_empty(room)
        await room.drives[3].open()
        async with serving(room, runtime):
            await eventually(lambda: progress_of(runtime)["finished_ms"] > 0)
        assert progress_of(runtime)["keys_healed"] == 21
        for drive in room.drives[:2]:
            await drive.close()
        for number in range(10):
            assert await get(room, f"kept/{number}") == b"overwritten"
            assert await get(room, f"missed/{number}") == b"%d" % number
        with pytest.raises(NoSuchKey):
            await get(room, "kept/199")

    run(roots, scenario)


def test_a_pass_that_met_a_key_in_other_hands_is_repeated(roots, runtime, monkeypatch):
    async def scenario(room):
        await make_bucket(room)
        await room.drives[3].close()
        await put(room, "key", b"data")
        await room.drives[3].open()
        heal, refused = room.room.healer.heal, []

        async def busy_once(drive_set, bucket, key, *, deep):
            if not refused:
                if not deep:  # the pass's; the repair queue, which is often quicker, has to wait for it
                    refused.append(key)
                return HealResult(whole=False, changed=0, missed=frozenset(range(4)))
            return await heal(drive_set, bucket, key, deep=deep)

        monkeypatch.setattr(room.room.healer, "heal", busy_once)
        async with serving(room, runtime):
            await eventually(lambda: refused and progress_of(runtime)["state"] == "idle")

    run(roots, scenario)


async def all_queued(drive, count):
    return (await drive.info()).repair_queue == count


async def queues_are_empty(room):
    return sum([(await drive.info()).repair_queue for drive in room.drives]) == 0


def test_stale_uploads_expire_and_completed_ones_are_no_loss(roots, runtime):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        stale = await store.create_upload("bucket", "stale", UploadSpec())
        await store.upload_part("bucket", "stale", stale, 1, BytesBody(DATA))
        done = await store.create_upload("bucket", "done", UploadSpec())
        part = await store.upload_part("bucket", "done", done, 1, BytesBody(DATA))
        await store.complete_upload("bucket", "done", done, CompleteSpec((CompletePart(1, part.etag),)))

        async def gone():
            return (await store.list_uploads("bucket", "", "", "", "", 10)).uploads == []

        async with serving(room, runtime, expiry_days=7.0):
            await eventually(lambda: progress_of(runtime)["finished_ms"] > 0)
            assert not await gone()  # a week is not over
        async with serving(room, runtime, expiry_days=0.0):
            await eventually(gone)
        with pytest.raises(NoSuchUpload):
            await store.list_parts("bucket", "stale", stale, 0, 10)
        assert await get(room, "done") == DATA

    run(roots, scenario)


async def half_of_an_upload(room, monkeypatch):
    """What a CreateMultipartUpload leaves that reached two of four drives."""
    with monkeypatch.context() as patch:
        patch.setattr(conversation, "ROUND_TIMEOUT_SECONDS", 0.2)
        patch.setattr(register, "ROUND_TIMEOUT_SECONDS", 0.2)
        patch.setattr(patience, "PATIENCE_SECONDS", 0.5)
        room.drives[2].stalled = room.drives[3].stalled = True
        with pytest.raises(QuorumLost):
            await room.store.create_upload("bucket", "lost", UploadSpec())
        room.drives[2].stalled = room.drives[3].stalled = False


async def rows_of_uploads(room):
    """Per drive, whether each upload's newest version there is a deletion."""
    found = []
    for drive in room.drives:
        rows = (await drive.scan(Scan(UPLOADS, b"", b"", b"", 100, Level.STAMPS))).rows
        newest = {}
        for key, _, flags, _ in rows:
            newest.setdefault(key, bool(flags & TOMBSTONE))
        found.append(sorted(newest.values()))
    return found


def test_what_a_failed_create_upload_left_is_ended_by_the_sweep(roots, runtime, monkeypatch):
    monkeypatch.setattr(background, "ORPHANS_KEPT_MS", 0)

    async def scenario(room):
        await make_bucket(room)
        await half_of_an_upload(room, monkeypatch)
        assert await rows_of_uploads(room) == [[False], [False], [], []]

        async def ended():
            return all(all(deletions) for deletions in await rows_of_uploads(room))

        async with serving(room, runtime):
            await eventually(ended)
        # One drive away: what may be chosen on it would be completed, and listed.
        room.drives[3].stalled = True
        assert (await room.store.list_uploads("bucket", "", "", "", "", 10)).uploads == []

    run(roots, scenario, face=lambda drive: FarDrive(drive, near=True))


def test_the_sweep_ends_no_upload_that_was_answered(roots, runtime, monkeypatch):
    monkeypatch.setattr(background, "ORPHANS_KEPT_MS", 0)

    async def scenario(room):
        await make_bucket(room)
        for drive in room.drives:
            drive.note_chosen = lambda *_: None  # lost: no drive knows what is chosen
        upload = await room.store.create_upload("bucket", "key", UploadSpec())
        part = await room.store.upload_part("bucket", "key", upload, 1, BytesBody(DATA))
        drive_set = room.room.pools.sets[0]
        assert await room.store.multipart.settle_remains(drive_set, SystemClock().now_milliseconds() + 1000) == 0
        await room.store.complete_upload("bucket", "key", upload, CompleteSpec((CompletePart(1, part.etag),)))
        assert await get(room, "key") == DATA

    run(roots, scenario, face=lambda drive: FarDrive(drive, near=True))


class CountingDrive:
    """A drive that counts how often it is looked after, and may fail at it."""

    def __init__(self, failure=None):
        self.failure = failure
        self.rounds = 0

    async def maintain(self):
        self.rounds += 1
        if self.failure is not None:
            raise self.failure

    async def info(self):
        return DriveInfo("id", "/counting", DriveState.ONLINE, "", 1, 1, 0, 0, 0, False)


def test_one_runner_at_a_time_and_the_next_takes_over(roots, runtime):
    async def scenario(room):
        first, second = CountingDrive(), CountingDrive()
        async with contextlib.AsyncExitStack() as later:
            async with serving(room, runtime, drives=[first]):
                await eventually(lambda: first.rounds > 0)
                await later.enter_async_context(serving(room, runtime, drives=[second]))
                rounds = first.rounds
                await eventually(lambda: first.rounds > rounds + 10)
                assert second.rounds == 0
            rounds = first.rounds
            await eventually(lambda: second.rounds > 10)
            assert first.rounds == rounds

    run(roots, scenario)


@pytest.mark.parametrize(
    ("failure", "logged"),
    [(DriveOffline("no disk"), "maintenance: no disk; trying again"), (RuntimeError("a bug"), "a bug")],
)
def test_a_loop_that_fails_goes_on_and_takes_no_other_down(roots, runtime, caplog, failure, logged):
    async def scenario(room):
        drive = CountingDrive(failure)
        async with serving(room, runtime, drives=[drive]):
            await eventually(lambda: drive.rounds > 3)
            await eventually(lambda: progress_of(runtime)["state"] == "idle")
            rounds = drive.rounds
            await eventually(lambda: drive.rounds > rounds)

    run(roots, scenario)
    assert logged in caplog.text


def test_the_lock_is_let_go_with_the_runner(roots, runtime):
    async def scenario(room):
        for _ in range(3):
            drive = CountingDrive()
            async with serving(room, runtime, drives=[drive]):
                await eventually(lambda each=drive: each.rounds > 0)

    run(roots, scenario)


def test_a_node_that_waited_to_heal_a_set_leaves_it_to_the_set_s_keeper(roots, runtime, monkeypatch):
    async def scenario(room):
        services = Background(room.room, room.drives, SystemClock(), runtime, 7.0, OFTEN)
        progress = services._progress[0]
        progress.state = "waiting"  # it was the keeper when it started, and too few drives answered
        monkeypatch.setattr(room.drives[0], "near", False)  # the keeper is another node
        await services._reconcile()
        assert progress.state == "idle"
        assert progress_of(runtime)["state"] == "idle"

    run(roots, scenario)
