"""Healing because an operator asks: what is named is checked, what is bad is mended, and a run ends when it is told."""

import asyncio
import contextlib
import json
import os
import random
from functools import partial

import pytest

from rustfs.core.pb.peer.v1 import heal_pb2 as pb
from rustfs.core.system import SystemClock
from rustfs.drive import transactions
from rustfs.services import ondemand
from rustfs.services.ondemand import OnDemand
from rustfs.services.runs import RUNS_MAX, RunFiles, RunRefused
from rustfs.services.throttle import Throttle
from tests.objects.doubles import FarDrive
from tests.services.harness import LARGE_BYTES, eventually, get, make_bucket, put, run, shard_files, stamps_of

DATA = random.Random(9).randbytes(LARGE_BYTES)


def on_demand(room, directory):
    clock = SystemClock()
    return OnDemand(room.room, clock, Throttle(clock, lambda: 0), RunFiles(str(directory)))


async def whole_run(runner, **request):
    """The last message of a run."""
    messages = [message async for message in runner.start(pb.HealStartRequest(**{"run": "a-run", **request}))]
    assert [message.done for message in messages] == [False] * (len(messages) - 1) + [True]
    return messages[-1]


def flip(path):
    """Damage a byte in the middle, and the file's length stays what it was."""
    with open(path, "r+b") as file:
        file.seek(1_000)
        byte = file.read(1)
        file.seek(1_000)
        file.write(bytes([byte[0] ^ 1]))


def take_away(root):
    """A drive whose place is taken, so that none is formatted there anew."""
    os.rename(root, root + ".away")
    with open(root, "x"):
        pass


def is_damaged(path, good):
    with open(path, "rb") as file:
        return file.read() != good


def test_only_a_deep_run_finds_a_flipped_byte_and_mends_it(roots, tmp_path):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "large", DATA)
        (path,) = shard_files(roots[1])
        with open(path, "rb") as file:
            good = file.read()
        flip(path)
        shallow = await whole_run(on_demand(room, tmp_path))
        assert (shallow.keys_checked, shallow.keys_healed, shallow.error) == (2, 0, "")  # the bucket's record, too
        assert is_damaged(path, good)
        deep = await whole_run(on_demand(room, tmp_path), deep=True)
        assert (deep.keys_checked, deep.keys_healed, deep.keys_failed, list(deep.sets)) == (2, 1, 0, [0])
        assert deep.bytes_healed >= len(DATA) // 2
        assert not is_damaged(path, good)

    run(roots, scenario)


def test_a_deep_run_reads_shards_where_they_lie_and_fetches_only_what_a_rebuild_needs(roots, tmp_path):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "large", DATA)
        far = room.drives
        for drive in far:
            drive.asked.clear()
        await whole_run(on_demand(room, tmp_path), deep=True)
        assert [(drive.asked["verify_shard"], drive.asked["read_shard"]) for drive in far] == [(1, 0)] * len(far)
        for drive in far:
            drive.asked.clear()
        (path,) = shard_files(roots[1])
        flip(path)
        deep = await whole_run(on_demand(room, tmp_path), deep=True)
        assert deep.keys_healed == 1
        read = [drive.asked["read_shard"] for drive in far]
        assert read[1] == 0
        assert sum(map(bool, read)) == 2, "as many shards as rebuild one"

    run(roots, scenario, face=partial(FarDrive, near=True))


def test_a_prefix_bounds_what_is_looked_at(roots, tmp_path):
    async def scenario(room):
        await make_bucket(room)
        for name in ("a/1", "a/2", "b/1"):
            await put(room, name, DATA)
        for path in shard_files(roots[2]):
            os.unlink(path)
        done = await whole_run(on_demand(room, tmp_path), bucket="bucket", prefix=b"a/")
        assert (done.keys_checked, done.keys_healed) == (2, 2)
        assert len(shard_files(roots[2])) == 2
        done = await whole_run(on_demand(room, tmp_path), bucket="bucket")
        assert (done.keys_checked, done.keys_healed) == (3, 1)
        assert len(shard_files(roots[2])) == 3
        assert await get(room, "b/1") == DATA

    run(roots, scenario)


def test_a_key_that_a_drive_lacks_is_brought_to_it(roots, tmp_path, monkeypatch):
    monkeypatch.setattr(transactions, "PURGED_KEPT_MS", -1)

    async def scenario(room):
        await make_bucket(room)
        await put(room, "small", b"x" * 100)
        drive = room.drives[3]
        (stamp,) = await stamps_of(drive, b"small")
        await drive.drop(b"bucket", b"small", stamp)
        await drive.maintain()  # it does not keep in mind that it did so
        assert await stamps_of(drive, b"small") == []
        done = await whole_run(on_demand(room, tmp_path))
        assert (done.keys_healed, done.keys_failed) == (1, 0)
        assert await stamps_of(drive, b"small") == [stamp]

    run(roots, scenario)


def test_what_waits_for_a_drive_out_of_reach_is_counted_apart(roots, tmp_path):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "small", b"x" * 100)
        take_away(roots[3])
        await eventually(lambda: not room.drives[3].online)
        done = await whole_run(on_demand(room, tmp_path), bucket="bucket")
        assert (done.keys_checked, done.keys_waiting, done.keys_failed, done.error) == (1, 1, 0, "")

    run(roots, scenario)


def test_a_set_that_cannot_be_compared_is_not_called_checked(roots, tmp_path):
    async def scenario(room):
        await make_bucket(room)
        for root in roots[1:]:
            take_away(root)
        await eventually(lambda: not any(drive.online for drive in room.drives[1:]))
        done = await whole_run(on_demand(room, tmp_path), bucket="")
        assert list(done.sets) == []
        assert done.error

    run(roots, scenario)


def test_a_bucket_that_is_not_there_is_said_so(roots, tmp_path):
    async def scenario(room):
        done = await whole_run(on_demand(room, tmp_path), bucket="nowhere")
        assert (done.error, list(done.sets), done.keys_checked) == ("there is no bucket nowhere", [], 0)

    run(roots, scenario)


@pytest.fixture
def slow(monkeypatch):
    """Keys are healed when the event says so."""
    gate = asyncio.Event()
    monkeypatch.setattr(ondemand, "PROGRESS_SECONDS", 0.01)

    async def heal(self, drive_set, bucket, key):
        await gate.wait()
        return await self._room.healer.heal(drive_set, bucket, key, deep=False)

    monkeypatch.setattr(ondemand._Walk, "_heal", heal)
    return gate


def test_another_worker_sees_a_run_and_stops_it(roots, tmp_path, slow):
    async def scenario(room):
        await make_bucket(room)
        mine, others = on_demand(room, tmp_path), on_demand(room, tmp_path)
        request = pb.HealStartRequest(run="a-run", bucket="bucket", prefix=b"p", deep=True)
        async with contextlib.aclosing(mine.start(pb.HealStartRequest(run="b-run"))) as second:
            messages = mine.start(request)
            await anext(messages)
            await anext(messages)
            await anext(second)
            await anext(second)
            shown = {each["run"]: each for each in others.active()}
            assert shown.keys() == {"a-run", "b-run"}
            assert (shown["a-run"]["bucket"], shown["a-run"]["prefix"], shown["a-run"]["deep"]) == ("bucket", "p", True)
            assert not others.stop("c-run")
            assert others.stop("b-run")
            last = [message async for message in second][-1]
            assert (last.done, last.stopped, last.keys_checked) == (True, True, 0)
            assert [each["run"] for each in others.active()] in ([], ["a-run"])
            await messages.aclose()
        assert not others.stop("")

    run(roots, scenario)


def test_a_run_ends_with_its_reader(roots, tmp_path, slow):
    async def scenario(room):
        await make_bucket(room)
        messages = on_demand(room, tmp_path).start(pb.HealStartRequest(run="a-run"))
        await anext(messages)
        await anext(messages)
        assert [task for task in asyncio.all_tasks() if task.get_name() == "healing on demand"]
        await messages.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "healing on demand"]
        assert os.listdir(tmp_path / "heal-runs") == []
        slow.set()
        assert (await whole_run(on_demand(room, tmp_path))).error == ""

    run(roots, scenario)


def test_a_name_is_used_once_at_a_time_and_is_no_path(tmp_path):
    files = RunFiles(str(tmp_path))
    with files.begin("a-run"):
        with pytest.raises(RunRefused, match="under way already"):
            files.begin("a-run")
        for name in ("", "../run", "a/b", "a.b", "x" * 65):
            with pytest.raises(RunRefused, match="1 to 64 letters"):
                files.begin(name)
    with files.begin("a-run"):
        pass
    assert os.listdir(tmp_path / "heal-runs") == []


def test_runs_are_bounded(tmp_path):
    files = RunFiles(str(tmp_path))
    with contextlib.ExitStack() as stack:
        for number in range(RUNS_MAX):
            stack.enter_context(files.begin(f"run-{number}")).show({"run": number})
        with pytest.raises(RunRefused, match="are under way already"):
            files.begin("another")
    assert files.active() == []


def test_what_a_dead_worker_left_is_removed(tmp_path):
    files = RunFiles(str(tmp_path))
    with files.begin("alive") as alive:
        alive.show({"run": "alive"})
        dead = tmp_path / "heal-runs" / "dead"
        dead.write_text(json.dumps({"run": "dead"}))
        assert files.active() == [{"run": "alive"}]
        assert not dead.exists()
        assert alive.wanted()
