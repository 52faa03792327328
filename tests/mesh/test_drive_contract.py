"""The Drive port is the same promise near and far: every method, over a directory and over a node that has it."""

import asyncio
import gc
import os
from dataclasses import dataclass

import pytest

from rustfs.core.drivetypes import (
    CHOSEN,
    NO_MARK,
    TOMBSTONE,
    Accept,
    AcceptAnswer,
    DriveState,
    FrameRun,
    Held,
    KeyAnswer,
    Level,
    Mark,
    MarksPage,
    PrepareAnswer,
    Refusal,
    Scan,
)
from rustfs.core.errors import DriveFull, DriveOffline, ShardMissing
from rustfs.core.frames import CHECKSUM_BYTES, frame_checksum
from rustfs.core.stamps import StampClock
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive import availability
from rustfs.drive.local import LocalDrive
from rustfs.drive.shards import shard_path
from rustfs.mesh import drives as drives_module
from rustfs.mesh.remote import RemoteDrive
from tests.drive.harness import open_drives
from tests.mesh.harness import ScriptedDrive, data_id, open_pair

STAMPS = StampClock(SystemClock(), SystemEntropy())
BUCKET = b"bucket"
FLAGS = 3 << 8 | 2 << 16
MIB = 1 << 20


@dataclass
class Bench:
    """The drive under test, and the directory's drive behind it (the same one when it is near)."""

    drive: LocalDrive | RemoteDrive
    local: LocalDrive
    root: str

    async def settle(self) -> None:
        """Until the notes given to the drive are in its metadata store."""
        if isinstance(self.drive, RemoteDrive):
            self.drive.flush_notes()
            await self.drive.repaired([])  # behind the notes in the queue
        self.local._notes.flush()
        await self.local.repaired([])

    async def stage(self, name: bytes, *pieces: bytes, size: int | None = None):
        shard = await self.drive.stage(name, sum(map(len, pieces)) if size is None else size)
        for piece in pieces:
            await asyncio.to_thread(shard.write, [piece[:3], memoryview(piece)[3:]])
        await shard.finish()
        return shard

    def staged_files(self) -> list[str]:
        return [n for _, _, names in os.walk(f"{self.root}/staging") for n in names if n != "lock"]


@pytest.fixture(params=["near", "far"])
def run(request, drives_path):
    """Runs a scenario over a fresh drive of either kind."""
    root = str(drives_path / "drive")

    def runner(scenario):
        async def main():
            async with open_drives([root]) as (local,):
                if request.param == "near":
                    return await scenario(Bench(local, local, root))
                async with open_pair({5: local}) as (caller, _served):
                    drive = caller.mesh.drive("b", 5, 0, f"b{root}")
                    return await scenario(Bench(drive, local, root))

        return asyncio.run(main())

    return runner


def offer(key: bytes, stamp: bytes, **changes) -> Accept:
    accept = Accept(BUCKET, key, stamp, FLAGS, b"record " + stamp, b"shard " + stamp, (), (), b"")
    return accept._replace(**changes)


def test_it_says_what_it_is(run):
    async def scenario(bench):
        drive = bench.drive
        assert drive.drive_id == "drive-0"
        assert drive.position == 0
        assert drive.online
        assert not drive.healing
        assert drive.near == isinstance(drive, LocalDrive)
        assert abs(drive.free_bytes - bench.local.free_bytes) < 1 << 30
        assert drive.has_room(1)
        assert not drive.has_room(1 << 60)

    run(scenario)


def test_reading_a_key_returns_as_much_as_was_asked_for(run):
    async def scenario(bench):
        low, high = STAMPS.next(), STAMPS.next()
        await bench.drive.accept(offer(b"key", low, inline=[b"in", memoryview(b"line")], bucket_epoch=b"epoch"))
        await bench.drive.accept(offer(b"key", high, flags=FLAGS | TOMBSTONE, inline=None, record=b""))
        mark = Mark(b"epoch", fenced=False)
        stamps = (Held(high, FLAGS | TOMBSTONE, b"", None), Held(low, FLAGS, b"", None))
        assert await bench.drive.read_key(BUCKET, b"key", Level.STAMPS) == KeyAnswer(stamps, mark, blank=False)
        records = (stamps[0], stamps[1]._replace(record=b"record " + low))
        assert await bench.drive.read_key(BUCKET, b"key", Level.RECORD) == KeyAnswer(records, mark, blank=False)
        inlines = (records[0], records[1]._replace(inline=b"inline"))
        assert await bench.drive.read_key(BUCKET, b"key", Level.INLINE) == KeyAnswer(inlines, mark, blank=False)
        assert await bench.drive.read_key(BUCKET, b"other", Level.INLINE) == KeyAnswer((), mark, blank=False)
        assert await bench.drive.read_key(b"elsewhere", b"key", Level.INLINE) == KeyAnswer((), NO_MARK, blank=False)

    run(scenario)


def test_an_inline_shard_without_bytes_is_not_the_same_as_none(run):
    async def scenario(bench):
        await bench.drive.accept(offer(b"empty", STAMPS.next(), inline=b""))
        await bench.drive.accept(offer(b"none", STAMPS.next(), inline=None))
        assert (await bench.drive.read_key(BUCKET, b"empty", Level.INLINE)).versions[0].inline == b""
        assert (await bench.drive.read_key(BUCKET, b"none", Level.INLINE)).versions[0].inline is None

    run(scenario)


def test_promises_are_kept_and_named(run):
    async def scenario(bench):
        low, token, high = STAMPS.next(), STAMPS.next(), STAMPS.next()
        await bench.drive.accept(offer(b"key", low))
        held = (Held(low, FLAGS, b"record " + low, b"shard " + low),)
        answer = await bench.drive.prepare(BUCKET, b"key", token, Level.INLINE)
        assert answer == PrepareAnswer(True, low, held, NO_MARK, blank=False, floor=answer.floor)
        refused = await bench.drive.prepare(BUCKET, b"key", low, Level.STAMPS)
        stamps = (held[0]._replace(record=b"", inline=None),)
        assert refused == PrepareAnswer(False, token, stamps, NO_MARK, blank=False, floor=answer.floor)
        between = await bench.drive.accept(offer(b"key", low + b"\1"))
        assert between == AcceptAnswer(Refusal.PROMISED, token, superseded=False, mark=NO_MARK)
        taken = await bench.drive.accept(offer(b"key", high))
        assert taken == AcceptAnswer(Refusal.NONE, high, superseded=True, mark=NO_MARK)

    run(scenario)


def test_what_is_offered_too_late_is_refused_with_what_stands_against_it(run):
    async def scenario(bench):
        early, late = STAMPS.next(), STAMPS.next()
        mark = Mark(b"2", fenced=False)
        accepted = await bench.drive.accept(offer(b"key", late, bucket_epoch=b"2"))
        assert accepted == AcceptAnswer(Refusal.NONE, late, superseded=False, mark=mark)
        stale = await bench.drive.accept(offer(b"key", early, bucket_epoch=b"2"))
        assert stale == AcceptAnswer(Refusal.STALE, late, superseded=False, mark=mark)
        older = await bench.drive.accept(offer(b"other", STAMPS.next(), bucket_epoch=b"1"))
        assert older == AcceptAnswer(Refusal.BUCKET, b"", superseded=False, mark=mark)
        again = await bench.drive.accept(offer(b"key", late, bucket_epoch=b"2"))
        assert again == AcceptAnswer(Refusal.NONE, late, superseded=False, mark=mark)

    run(scenario)


def test_marks_only_rise(run):
    async def scenario(bench):
        fence = Mark(b"2", fenced=True)
        assert await bench.drive.mark_bucket(BUCKET, fence) == fence
        assert await bench.drive.mark_bucket(BUCKET, Mark(b"1", fenced=False)) == fence
        assert await bench.drive.mark_bucket(BUCKET, Mark(b"3", fenced=False)) == Mark(b"3", fenced=False)

    run(scenario)


def test_a_note_marks_the_version_and_lets_older_ones_go(run):
    async def scenario(bench):
        old, new = STAMPS.next(), STAMPS.next()
        for key in (b"one", b"two"):
            await bench.drive.accept(offer(key, old))
            await bench.drive.accept(offer(key, new))
        bench.drive.note_chosen(BUCKET, b"one", new, True)
        bench.drive.note_chosen(BUCKET, b"two", new, False)
        await bench.settle()
        found = {
            key: [(held.stamp, held.flags) for held in (await bench.drive.read_key(BUCKET, key, Level.STAMPS)).versions]
            for key in (b"one", b"two")
        }
        assert found == {b"one": [(new, FLAGS | CHOSEN)], b"two": [(new, FLAGS | CHOSEN), (old, FLAGS)]}

    run(scenario)


def test_many_notes_all_arrive(run):
    async def scenario(bench):
        stamps = {b"%04d" % number: STAMPS.next() for number in range(600)}  # more than travel in one call
        await asyncio.gather(
            *(bench.drive.accept(offer(key, stamp, flags=FLAGS | CHOSEN)) for key, stamp in stamps.items())
        )
        for key, stamp in stamps.items():
            bench.drive.note_chosen(BUCKET, key, stamp, False)
        await bench.settle()
        page = await bench.drive.scan(Scan(BUCKET, b"", b"", b"", 1000, Level.STAMPS))
        assert [row[2] & CHOSEN for row in page.rows] == [CHOSEN] * 600

    run(scenario)


def test_notes_travel_by_themselves(run):
    async def scenario(bench):
        bench.drive.queue_repair(BUCKET, b"key")
        async with asyncio.timeout(10):
            while not await bench.drive.repairs(0, 10):
                await asyncio.sleep(0.05)

    run(scenario)


def test_the_marks_of_buckets_are_listed_by_name(run):
    async def scenario(bench):
        marks = [(b"%d" % number, Mark(STAMPS.next(), fenced=number % 2 == 0)) for number in range(5)]
        for bucket, mark in reversed(marks):
            await bench.drive.mark_bucket(bucket, mark)
        assert await bench.drive.marks(b"", 10) == MarksPage(marks, blank=False)
        assert await bench.drive.marks(b"1", 2) == MarksPage(marks[2:4], blank=False)
        assert await bench.drive.marks(b"4", 2) == MarksPage([], blank=False)
        bench.local._availability.session.healing = True
        assert (await bench.drive.marks(b"", 1)).blank

    run(scenario)


def test_nothing_is_healed_that_was_dropped(run):
    async def scenario(bench):
        old, dropped, new = STAMPS.next(), STAMPS.next(), STAMPS.next()
        await bench.drive.drop(BUCKET, b"key", dropped)
        for stamp in (old, dropped):
            assert (await bench.drive.heal(offer(b"key", stamp), False)).refusal is Refusal.STALE
        assert (await bench.drive.heal(offer(b"other", old), False)).refusal is Refusal.NONE  # a drive that missed it
        assert (await bench.drive.heal(offer(b"key", new), False)).refusal is Refusal.NONE
        await bench.drive.drop(BUCKET, b"key", old)  # late
        assert (await bench.drive.heal(offer(b"key", dropped), False)).refusal is Refusal.STALE

    run(scenario)


def test_a_healed_version_is_chosen_and_may_lie_below_a_newer_one(run):
    async def scenario(bench):
        old, new = STAMPS.next(), STAMPS.next()
        await bench.drive.accept(offer(b"key", new))
        healed = await bench.drive.heal(offer(b"key", old), False)
        assert healed == AcceptAnswer(Refusal.NONE, old, superseded=False, mark=NO_MARK)
        versions = (await bench.drive.read_key(BUCKET, b"key", Level.INLINE)).versions
        assert [(held.stamp, held.flags) for held in versions] == [(new, FLAGS), (old, FLAGS | CHOSEN)]
        await bench.drive.heal(offer(b"key", old, inline=b"kept as it was"), False)
        assert (await bench.drive.read_key(BUCKET, b"key", Level.INLINE)).versions[1].inline == b"shard " + old
        await bench.drive.heal(offer(b"key", old, inline=b"made anew"), True)
        assert (await bench.drive.read_key(BUCKET, b"key", Level.INLINE)).versions[1].inline == b"made anew"
        bench.drive.note_chosen(BUCKET, b"key", new, True)
        await bench.settle()
        stale = await bench.drive.heal(offer(b"key", old), False)
        assert stale == AcceptAnswer(Refusal.STALE, old, superseded=False, mark=NO_MARK)

    run(scenario)


@pytest.mark.parametrize("level", Level)
def test_a_scan_of_thousands_of_rows_comes_whole_and_in_order(run, level):
    async def scenario(bench):
        stamps = {b"key/%05d" % number: STAMPS.next() for number in range(2500)}
        await asyncio.gather(*(bench.drive.accept(offer(key, stamp, inline=None)) for key, stamp in stamps.items()))
        await bench.drive.mark_bucket(BUCKET, Mark(b"7", fenced=True))
        rows = [
            (key, stamp, FLAGS, b"" if level is Level.STAMPS else b"record " + stamp) for key, stamp in stamps.items()
        ]
        for limit in (1000, 1001, 2400, 2499):
            page = await bench.drive.scan(Scan(BUCKET, b"", b"", b"", limit, level))
            assert list(map(tuple, page.rows)) == rows[:limit]
            assert (page.more, page.resume, page.mark) == (True, rows[limit - 1][0], Mark(b"7", fenced=True))
            rest = await bench.drive.scan(Scan(BUCKET, b"", b"", page.resume, 5000, level))
            assert list(map(tuple, rest.rows)) == rows[limit:]
            assert not rest.more
        page = await bench.drive.scan(Scan(BUCKET, b"", b"", b"", 2500, level))
        assert (list(map(tuple, page.rows)), page.more, page.blank) == (rows, False, False)
        nothing = await bench.drive.scan(Scan(b"none", b"", b"", b"", 10, level))
        assert (list(nothing.rows), nothing.more, nothing.mark) == ([], False, NO_MARK)

    run(scenario)


def test_a_scan_with_a_delimiter_shows_each_prefix_once(run):
    async def scenario(bench):
        for key in (b"a", b"b/1", b"b/2", b"b/c/3", b"c", b"d/4"):
            await bench.drive.accept(offer(key, STAMPS.next()))
        page = await bench.drive.scan(Scan(BUCKET, b"", b"/", b"", 100, Level.RECORD))
        assert [row[0] for row in page.rows] == [b"a", b"b/1", b"c", b"d/4"]
        page = await bench.drive.scan(Scan(BUCKET, b"b/", b"/", b"", 100, Level.RECORD))
        assert [row[0] for row in page.rows] == [b"b/1", b"b/2", b"b/c/3"]
        page = await bench.drive.scan(Scan(BUCKET, b"", b"/", b"", 2, Level.RECORD))
        assert ([row[0] for row in page.rows], page.more) == ([b"a", b"b/1"], True)
        page = await bench.drive.scan(Scan(BUCKET, b"", b"/", page.resume, 2, Level.RECORD))
        assert [row[0] for row in page.rows] == [b"c", b"d/4"]

    run(scenario)


def test_a_shard_is_staged_enters_service_and_is_read(run):
    async def scenario(bench):
        name, payload = data_id(), os.urandom(5 * MIB + 17)
        await bench.stage(name, payload[:1000], payload[1000 : 3 * MIB], payload[3 * MIB :], size=1000)
        assert await bench.drive.stat_shards([name]) == [-1]
        with pytest.raises(ShardMissing):
            await bench.drive.read_shard(name, 0, 1)
        answer = await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        assert answer.refusal is Refusal.NONE
        size = len(payload)
        assert await bench.drive.stat_shards([name, data_id()]) == [size, -1]
        for start, length in ((0, size), (0, 1), (size - 1, 1), (size - 1, 100), (MIB, 4 * MIB + 1), (size, 9), (0, 0)):
            assert await bench.drive.read_shard(name, start, length) == payload[start : start + length]
        assert await bench.drive.read_shard(name, size + MIB, 9) == b""
        assert bench.staged_files() == []

    run(scenario)


def test_a_drive_checks_its_frames_where_they_lie(run):
    shard, sizes = 3, (100, 70_000, 1, 5000)

    async def scenario(bench):
        name = data_id()
        slices = [os.urandom(size) for size in sizes]
        frames = [frame_checksum(each, block, shard) + each for block, each in enumerate(slices)]
        await bench.stage(name, *frames)
        await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        lengths = [CHECKSUM_BYTES + size for size in sizes]
        whole = FrameRun(name, shard, 0, 0, lengths)
        later = FrameRun(name, shard, 2, sum(lengths[:2]), lengths[2:])
        assert await bench.drive.verify_shard(whole) == []
        assert await bench.drive.verify_shard(later) == []
        assert await bench.drive.verify_shard(whole._replace(shard=2)) == [0, 1, 2, 3]
        assert await bench.drive.verify_shard(later._replace(first_block=1)) == [1, 2]
        path = shard_path(bench.root, name)
        with open(path, "r+b") as file:
            file.seek(lengths[0] + CHECKSUM_BYTES + 69_999)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        assert await bench.drive.verify_shard(whole) == [1]
        assert await bench.drive.verify_shard(later) == []
        os.truncate(path, sum(lengths[:3]) + 8)
        assert await bench.drive.verify_shard(whole) == [1, 3]
        os.unlink(path)
        with pytest.raises(ShardMissing):
            await bench.drive.verify_shard(whole)

    run(scenario)


def test_an_empty_shard_is_a_shard(run):
    async def scenario(bench):
        name = data_id()
        await bench.stage(name)
        await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        assert await bench.drive.stat_shards([name]) == [0]
        assert await bench.drive.read_shard(name, 0, 10) == b""

    run(scenario)


@pytest.mark.parametrize("way", ["abort", "abandon", "abort before it is finished"])
def test_a_shard_that_is_given_up_leaves_nothing(run, way):
    async def scenario(bench):
        name = data_id()
        if way == "abort before it is finished":
            shard = await bench.drive.stage(name, 10)
            await asyncio.to_thread(shard.write, [b"12345"])
        else:
            shard = await bench.stage(name, b"payload")
        assert bench.staged_files() == [name.hex()]
        if way == "abandon":
            await asyncio.to_thread(shard.abandon)
        else:
            await shard.abort()
        async with asyncio.timeout(5):
            while bench.staged_files():
                await asyncio.sleep(0.01)
        await shard.abort()  # again: harmless
        assert await bench.drive.stat_shards([name]) == [-1]

    run(scenario)


def test_abort_is_harmless_once_the_shard_is_in_service(run):
    async def scenario(bench):
        name = data_id()
        shard = await bench.stage(name, b"payload")
        await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        await shard.abort()
        await asyncio.to_thread(shard.abandon)
        await bench.drive.repaired([])
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"

    run(scenario)


def test_a_shard_of_a_refused_offer_can_be_offered_again_under_a_higher_stamp(run):
    async def scenario(bench):
        name, low, high = data_id(), STAMPS.next(), STAMPS.next()
        await bench.drive.accept(offer(b"key", high))
        await bench.stage(name, b"payload")
        refused = await bench.drive.accept(offer(b"key", low, inline=None, staged=(name,), refs=(name,)))
        assert refused.refusal is Refusal.STALE
        again = await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        assert again.refusal is Refusal.NONE
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"

    run(scenario)


def test_a_version_is_not_accepted_without_the_staged_file_that_it_names(run):
    """Else the drive would count towards a write quorum with a shard that it does not have."""

    async def scenario(bench):
        name, stamp = data_id(), STAMPS.next()
        with pytest.raises((DriveOffline, ShardMissing)):
            await bench.drive.accept(offer(b"key", stamp, inline=None, staged=(name,), refs=(name,)))
        with pytest.raises((DriveOffline, ShardMissing)):
            await bench.drive.heal(offer(b"key", stamp, inline=None, staged=(name,), refs=(name,)), False)
        assert (await bench.drive.read_key(BUCKET, b"key", Level.STAMPS)).versions == ()
        assert bench.local.state is DriveState.ONLINE
        assert (await bench.drive.accept(offer(b"key", stamp))).refusal is Refusal.NONE

    run(scenario)


def test_a_missing_staged_file_fails_its_own_call_only(run):
    async def scenario(bench):
        kept, lost = data_id(), data_id()
        await bench.stage(kept, b"payload")
        calls = [
            bench.drive.accept(offer(b"kept", STAMPS.next(), inline=None, staged=(kept,), refs=(kept,))),
            bench.drive.accept(offer(b"lost", STAMPS.next(), inline=None, staged=(lost,), refs=(lost,))),
            bench.drive.accept(offer(b"small", STAMPS.next())),
        ]
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert (first.refusal, third.refusal) == (Refusal.NONE, Refusal.NONE)
        assert isinstance(second, DriveOffline | ShardMissing)

    run(scenario)


def test_a_shard_in_service_is_replaced(run):
    async def scenario(bench):
        name = data_id()
        await bench.stage(name, b"payload")
        await bench.drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
        with open(shard_path(bench.root, name), "r+b") as file:
            file.write(b"PAYLOAD")
        await bench.stage(name, b"payload")
        await bench.drive.replace_shard(name)
        assert await bench.drive.read_shard(name, 0, 99) == b"payload"
        assert bench.staged_files() == []

    run(scenario)


def test_replacing_by_a_shard_that_is_not_staged_fails_and_the_drive_stays(run):
    async def scenario(bench):
        with pytest.raises(ShardMissing):
            await bench.drive.replace_shard(data_id())
        assert (await bench.drive.accept(offer(b"key", STAMPS.next()))).refusal is Refusal.NONE
        assert bench.local.online

    run(scenario)


def test_held_shards_outlive_their_version_by_another_grace(run, monkeypatch):
    real = SystemClock.now_milliseconds

    async def scenario(bench):
        names = [data_id(), data_id()]
        for name in names:
            await bench.stage(name, b"payload")
            await bench.drive.accept(offer(name, STAMPS.next(), inline=None, staged=(name,), refs=(name,)))
            await bench.drive.drop(BUCKET, name, STAMPS.next())
        monkeypatch.setattr(SystemClock, "now_milliseconds", lambda clock: real(clock) + 50_000)
        await bench.drive.hold_shards([names[0]])
        monkeypatch.setattr(SystemClock, "now_milliseconds", lambda clock: real(clock) + 70_000)
        await bench.local.maintain()
        assert await bench.drive.stat_shards(names) == [7, -1]

    run(scenario)


def test_tombstones_are_listed_and_dropped(run):
    async def scenario(bench):
        stamps = [STAMPS.next() for _ in range(3)]
        tombstone = FLAGS | TOMBSTONE | CHOSEN
        for number, stamp in enumerate(stamps):
            await bench.drive.accept(offer(b"%d" % number, stamp, flags=tombstone, inline=None))
        await bench.drive.accept(offer(b"unnoted", STAMPS.next(), flags=FLAGS | TOMBSTONE, inline=None))
        rows = [(BUCKET, b"%d" % number, stamp) for number, stamp in enumerate(stamps)]
        assert list(map(tuple, await bench.drive.tombstones(STAMPS.next(), 10))) == rows
        assert list(map(tuple, await bench.drive.tombstones(STAMPS.next(), 2))) == rows[:2]
        assert list(map(tuple, await bench.drive.tombstones(stamps[1], 10))) == rows[:1]
        await bench.drive.drop(BUCKET, b"0", stamps[0])
        assert list(map(tuple, await bench.drive.tombstones(STAMPS.next(), 10))) == rows[1:]
        assert (await bench.drive.read_key(BUCKET, b"0", Level.STAMPS)).versions == ()

    run(scenario)


def test_ranges_say_what_is_held_and_follow_from_one_another(run):
    async def scenario(bench):
        stamps = {b"%03d" % number: STAMPS.next() for number in range(300)}
        await asyncio.gather(
            *(bench.drive.accept(offer(key, stamp, flags=FLAGS | CHOSEN)) for key, stamp in stamps.items())
        )
        whole = await bench.drive.ranges(BUCKET, b"", 1000)
        assert whole == await bench.local.ranges(BUCKET, b"", 1000)
        assert (whole.start, whole.more, whole.blank) == (b"", False, False)
        assert len(whole.ranges) > 1
        assert sum(each.rows for each in whole.ranges) == 300
        first = await bench.drive.ranges(BUCKET, b"", 1)
        assert (first.ranges, first.more) == (whole.ranges[:1], True)
        rest = await bench.drive.ranges(BUCKET, first.ranges[0].last, 1000)
        assert (rest.start, rest.ranges, rest.more) == (first.ranges[0].last, whole.ranges[1:], False)
        await bench.drive.accept(offer(b"000", STAMPS.next()))
        assert await bench.drive.ranges(BUCKET, b"", 1000) == whole  # nobody knows yet that it is chosen
        await bench.drive.accept(offer(b"000", STAMPS.next(), flags=FLAGS | CHOSEN))
        after = await bench.drive.ranges(BUCKET, b"", 1000)
        assert after.ranges[0].rows == whole.ranges[0].rows + 1
        assert after.ranges[0].digest != whole.ranges[0].digest
        assert after.ranges[1:] == whole.ranges[1:]
        assert (await bench.drive.ranges(b"elsewhere", b"", 10)).ranges == []

    run(scenario)


def test_versions_not_noted_as_chosen_are_listed_by_age(run):
    async def scenario(bench):
        stamps = [STAMPS.next() for _ in range(5)]
        for number, stamp in enumerate(stamps):
            await bench.drive.accept(offer(b"%d" % number, stamp, flags=FLAGS | (CHOSEN if number == 1 else 0)))
        bench.drive.note_chosen(BUCKET, b"3", stamps[3], False)
        await bench.settle()
        rows = [(BUCKET, b"%d" % number, stamps[number]) for number in (0, 2, 4)]
        assert list(map(tuple, await bench.drive.unsettled(b"", STAMPS.next(), 10))) == rows
        assert list(map(tuple, await bench.drive.unsettled(b"", STAMPS.next(), 1))) == rows[:1]
        assert list(map(tuple, await bench.drive.unsettled(stamps[0], stamps[4], 10))) == rows[1:2]

    run(scenario)


def test_the_repair_queue_keeps_keys_until_they_are_repaired(run):
    async def scenario(bench):
        for key in (b"c", b"a", b"b", b"a"):
            bench.drive.queue_repair(BUCKET, key)
        await bench.settle()
        items = await bench.drive.repairs(0, 10)
        assert [(item.bucket, item.key) for item in items] == [(BUCKET, b"a"), (BUCKET, b"b"), (BUCKET, b"c")]
        assert await bench.drive.repairs(items[0].sequence, 1) == items[1:2]
        await bench.drive.repaired([items[0].sequence, items[2].sequence])
        assert await bench.drive.repairs(0, 10) == items[1:2]
        assert (await bench.drive.info()).repair_queue == 1

    run(scenario)


def test_a_drive_that_is_rebuilt_says_so_in_every_answer_until_it_is_whole(run):
    async def scenario(bench):
        bench.local._availability.session.healing = True
        assert (await bench.drive.read_key(BUCKET, b"key", Level.STAMPS)).blank
        assert (await bench.drive.prepare(BUCKET, b"key", STAMPS.next(), Level.STAMPS)).blank
        for delimiter in (b"", b"/"):
            assert (await bench.drive.scan(Scan(BUCKET, b"", delimiter, b"", 10, Level.STAMPS))).blank
        assert (await bench.drive.ranges(BUCKET, b"", 10)).blank
        assert (await bench.drive.info()).healing
        held = await bench.drive.ceiling()
        assert held.known
        await bench.drive.healed(held.formatting)
        assert not (await bench.drive.read_key(BUCKET, b"key", Level.STAMPS)).blank
        assert not (await bench.drive.info()).healing

    run(scenario)


def test_a_drive_says_how_high_it_went_and_learns_how_high_it_may_have_gone(run):
    async def scenario(bench):
        assert (await bench.drive.ceiling()).stamp == b""
        stamp = STAMPS.next()
        await bench.drive.accept(offer(b"key", stamp))
        held = await bench.drive.ceiling()
        assert held.stamp >= stamp
        assert held == await bench.local.ceiling()
        bench.local._availability.session.writer._memory.vow = None  # it was wiped
        with pytest.raises(DriveOffline, match="wiped"):
            await bench.drive.accept(offer(b"key", STAMPS.next()))
        later = STAMPS.next()
        await bench.drive.learn(held.formatting, later)
        assert (await bench.drive.ceiling()).stamp >= later
        assert (await bench.drive.accept(offer(b"key", stamp[:-1] + b"\0"))).refusal is Refusal.STALE
        assert (await bench.drive.accept(offer(b"other", stamp))).refusal is Refusal.PROMISED

    run(scenario)


def test_info_is_that_of_the_drive_under_the_name_in_the_volumes(run):
    async def scenario(bench):
        await bench.drive.accept(offer(b"key", STAMPS.next()))
        bench.drive.note_chosen(BUCKET, b"key", STAMPS.next(), False)
        await bench.settle()
        info = await bench.drive.info()
        assert info.endpoint == bench.drive.endpoint
        assert info._replace(endpoint="", free_bytes=0) == (await bench.local.info())._replace(
            endpoint="", free_bytes=0
        )
        assert (info.state, info.versions, info.drive_id) == (DriveState.ONLINE, 1, "drive-0")

    run(scenario)


def test_a_drive_without_room_refuses_bytes_and_takes_deletions(run, monkeypatch):
    async def scenario(bench):
        monkeypatch.setattr(availability, "PROBE_SECONDS", 3600.0)
        bench.local._capacity.free_bytes = bench.local._capacity.reserve_bytes
        with pytest.raises(DriveFull):
            await bench.drive.accept(offer(b"key", STAMPS.next()))
        with pytest.raises(DriveFull):
            await bench.drive.stage(data_id(), 1000)
        tombstone = offer(b"key", STAMPS.next(), flags=FLAGS | TOMBSTONE, inline=None, record=b"")
        assert (await bench.drive.accept(tombstone)).refusal is Refusal.NONE

    run(scenario)


def test_a_drive_that_is_offline_answers_every_call_so(run, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 3600.0)

    async def scenario(bench):
        drive = bench.drive
        bench.local._availability._go_offline(bench.local._availability.session, "gone for the test")
        stamp = STAMPS.next()
        calls = [
            drive.read_key(BUCKET, b"key", Level.STAMPS),
            drive.prepare(BUCKET, b"key", stamp, Level.STAMPS),
            drive.accept(offer(b"key", stamp)),
            drive.heal(offer(b"key", stamp), False),
            drive.mark_bucket(BUCKET, Mark(b"1", fenced=False)),
            drive.marks(b"", 10),
            drive.scan(Scan(BUCKET, b"", b"", b"", 10, Level.STAMPS)),
            drive.read_shard(data_id(), 0, 1),
            drive.stat_shards([data_id()]),
            drive.hold_shards([data_id()]),
            drive.verify_shard(FrameRun(data_id(), 0, 0, 0, [20])),
            drive.replace_shard(data_id()),
            drive.drop(BUCKET, b"key", stamp),
            drive.tombstones(stamp, 1),
            drive.ranges(BUCKET, b"", 1),
            drive.unsettled(b"", stamp, 1),
            drive.repairs(0, 1),
            drive.repaired([1]),
            drive.ceiling(),
            drive.learn(b"formatting", stamp),
            drive.healed(b"formatting"),
            drive.stage(data_id(), 10),
        ]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, DriveOffline)
            assert "gone for the test" in str(answer)
        info = await drive.info()
        assert (info.state, info.reason) == (DriveState.OFFLINE, "gone for the test")

    run(scenario)


def test_errors_that_nobody_waits_for_are_not_logged_as_bugs(run, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 3600.0)

    async def scenario(bench):
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        bench.local._availability._go_offline(bench.local._availability.session, "gone for the test")
        for _ in range(3):
            bench.drive.read_key(BUCKET, b"key", Level.STAMPS)
            bench.drive.prepare(BUCKET, b"key", STAMPS.next(), Level.STAMPS)
            bench.drive.accept(offer(b"key", STAMPS.next()))
            bench.drive.drop(BUCKET, b"key", STAMPS.next())
        with pytest.raises(DriveOffline):
            await bench.drive.repaired([])  # behind the others
        gc.collect()
        assert complaints == []

    run(scenario)


def test_calls_under_way_when_the_link_breaks_are_not_logged_as_bugs():
    async def main():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        drive = ScriptedDrive()
        drive.holding = True
        async with open_pair({5: drive}) as (caller, _served):
            remote = caller.mesh.drive("b", 5, 0, "b/drive")
            remote.read_key(BUCKET, b"key", Level.STAMPS)
            while not drive.held:
                await asyncio.sleep(0)
        remote.read_key(BUCKET, b"key", Level.STAMPS)
        gc.collect()
        assert complaints == []

    asyncio.run(main())


def test_a_scan_of_large_records_fits_its_messages(run, monkeypatch):
    monkeypatch.setattr(drives_module, "PIECE_BYTES", 100_000)  # stands for the limit of a message

    async def scenario(bench):
        record = os.urandom(30_000)
        for number in range(20):
            await bench.drive.accept(offer(b"%02d" % number, STAMPS.next(), record=record, inline=None))
        page = await bench.drive.scan(Scan(BUCKET, b"", b"", b"", 100, Level.RECORD))
        assert [(row[0], row[3]) for row in page.rows] == [(b"%02d" % number, record) for number in range(20)]
        if isinstance(bench.drive, RemoteDrive):
            parts = await bench.drive._calls.collect(
                *_scan_call(bench.drive, Scan(BUCKET, b"", b"", b"", 100, Level.RECORD)), 5.0
            )
            assert max(part.ByteSize() for part in parts) < 150_000

    run(scenario)


def _scan_call(drive, scan):
    from rustfs.mesh import calls, messages

    return calls._METHODS["ScanKeys"], messages.scan_message(drive._index, scan)
