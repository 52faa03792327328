"""A drive keeps what it acknowledged, refuses what it must, and comes and goes with its directory."""

import asyncio
import os
import random
import shutil
import threading

import pytest

from rustfs.core.drivetypes import CHOSEN, TOMBSTONE, Accept, DriveState, Level, Mark, Refusal, Scan
from rustfs.core.errors import DriveFull, DriveOffline, ShardMissing
from rustfs.core.stamps import StampClock
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive import availability, shardio, shards, tables, transactions
from rustfs.drive import session as sessions
from rustfs.drive.shards import StagingArea, recover_staging, shard_path
from rustfs.drive.transactions import RECLAIM_GRACE_MS
from tests.drive.harness import identities, make_whole, open_drives

STAMPS = StampClock(SystemClock(), SystemEntropy())
BUCKET = b"bucket"
FLAGS = 3 << 8 | 2 << 16


def offer(key: bytes, stamp: bytes, **changes) -> Accept:
    accept = Accept(BUCKET, key, stamp, FLAGS, b"record " + stamp, b"shard " + stamp, (), (), b"")
    return accept._replace(**changes)


def run(roots, scenario):
    async def main():
        async with open_drives(roots) as drives:
            return await scenario(drives)

    return asyncio.run(main())


@pytest.fixture
def roots(tmp_path):
    return [str(tmp_path / f"drive{number}") for number in range(2)]


async def eventually(condition, seconds=15.0):
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def test_accepted_versions_survive_a_restart(roots):
    stamps = [STAMPS.next() for _ in range(3)]

    async def write(drives):
        for stamp in stamps:
            answer = await drives[0].accept(offer(b"key", stamp))
            assert answer.refusal is Refusal.NONE
        assert answer.superseded

    async def read(drives):
        answer = await drives[0].read_key(BUCKET, b"key", Level.INLINE)
        assert [held.stamp for held in answer.versions] == stamps[::-1]
        assert answer.versions[0].record == b"record " + stamps[-1]
        assert answer.versions[0].inline == b"shard " + stamps[-1]

    run(roots, write)
    run(roots, read)


def test_older_versions_go_once_the_newer_is_chosen(roots):
    async def scenario(drives):
        old, new = STAMPS.next(), STAMPS.next()
        await drives[0].accept(offer(b"key", old))
        await drives[0].accept(offer(b"key", new))
        drives[0].note_chosen(BUCKET, b"key", new, True)
        drives[0]._notes.flush()
        await drives[0].repaired([])  # behind the notes in the queue
        answer = await drives[0].read_key(BUCKET, b"key", Level.STAMPS)
        assert [(held.stamp, held.flags & CHOSEN) for held in answer.versions] == [(new, CHOSEN)]
        assert (await drives[0].info()).versions == 1

    run(roots, scenario)


def test_promises_outlive_a_restart(roots):
    low, token = STAMPS.next(), STAMPS.next()

    async def promise(drives):
        assert (await drives[0].prepare(BUCKET, b"key", token, Level.STAMPS)).promised
        assert not (await drives[0].prepare(BUCKET, b"key", low, Level.STAMPS)).promised

    async def refuse(drives):
        answer = await drives[0].accept(offer(b"key", low))
        assert (answer.refusal, answer.highest) == (Refusal.PROMISED, token)
        assert (await drives[0].accept(offer(b"key", token))).refusal is Refusal.NONE
        stale = await drives[0].accept(offer(b"key", low))
        assert (stale.refusal, stale.highest) == (Refusal.STALE, token)
        assert (await drives[0].accept(offer(b"key", token))).refusal is Refusal.NONE  # again: the answer was lost

    run(roots, promise)
    run(roots, refuse)


def test_marks_fence_older_epochs(roots):
    async def scenario(drives):
        drive = drives[0]
        assert (await drive.accept(offer(b"a", STAMPS.next(), bucket_epoch=b"1"))).refusal is Refusal.NONE
        assert await drive.mark_bucket(BUCKET, Mark(b"2", fenced=True)) == Mark(b"2", fenced=True)
        for epoch in (b"1", b"2"):
            answer = await drive.accept(offer(b"b", STAMPS.next(), bucket_epoch=epoch))
            assert (answer.refusal, answer.mark) == (Refusal.BUCKET, Mark(b"2", fenced=True))
        assert (await drive.accept(offer(b"b", STAMPS.next(), bucket_epoch=b"3"))).refusal is Refusal.NONE
        assert (await drive.read_key(BUCKET, b"b", Level.STAMPS)).mark == Mark(b"3", fenced=False)
        assert await drive.mark_bucket(BUCKET, Mark(b"2", fenced=True)) == Mark(b"3", fenced=False)

    run(roots, scenario)


def test_dropped_tombstones_leave_a_floor(roots):
    async def scenario(drives):
        early, stamp = STAMPS.next(), STAMPS.next()
        await drives[0].accept(offer(b"key", stamp, flags=FLAGS | TOMBSTONE | CHOSEN, inline=None))
        before = STAMPS.next()
        assert await drives[0].tombstones(before, 10) == [(BUCKET, b"key", stamp)]
        await drives[0].drop(BUCKET, b"key", stamp)
        assert (await drives[0].read_key(BUCKET, b"key", Level.STAMPS)).versions == ()
        answer = await drives[0].accept(offer(b"key", early))
        assert (answer.refusal, answer.highest) == (Refusal.STALE, stamp)

    run(roots, scenario)


def test_what_was_dropped_is_kept_in_mind_for_a_while_only(roots, monkeypatch):
    async def scenario(drives):
        drive, stamp = drives[0], STAMPS.next()
        await drive.drop(BUCKET, b"key", stamp)
        await drive.maintain()
        assert (await drive.heal(offer(b"key", stamp), False)).refusal is Refusal.STALE
        monkeypatch.setattr(transactions, "PURGED_KEPT_MS", -1)
        await drive.drop(BUCKET, b"key", stamp)
        await drive.maintain()
        assert (await drive.heal(offer(b"key", stamp), False)).refusal is Refusal.NONE

    run(roots, scenario)


async def stage(drive, data_id: bytes, payload: bytes):
    shard = await drive.stage(data_id, len(payload))
    await asyncio.get_running_loop().run_in_executor(None, shard.write, [payload[:3], payload[3:]])
    await shard.finish()
    return shard


def test_a_staged_shard_enters_service_with_its_version_and_leaves_with_it(roots, monkeypatch):
    async def scenario(drives):
        drive, data_id = drives[0], os.urandom(16)
        await stage(drive, data_id, b"payload")
        with pytest.raises(ShardMissing):
            await drive.read_shard(data_id, 0, 10)
        stamp = STAMPS.next()
        await drive.accept(offer(b"key", stamp, inline=None, staged=(data_id,), refs=(data_id,)))
        assert await drive.read_shard(data_id, 2, 3) == b"ylo"
        assert await drive.stat_shards([data_id, os.urandom(16)]) == [7, -1]
        later = STAMPS.next()
        await drive.accept(offer(b"key", later))
        drive.note_chosen(BUCKET, b"key", later, True)
        drive._notes.flush()
        await drive.repaired([])  # answered behind the note
        await drive.maintain()
        assert await drive.read_shard(data_id, 0, 10) == b"payload"  # a reader may still be at it
        now = SystemClock().now_milliseconds()
        monkeypatch.setattr(SystemClock, "now_milliseconds", lambda _self: now + RECLAIM_GRACE_MS + 1000)
        await drive.maintain()
        with pytest.raises(ShardMissing):
            await drive.read_shard(data_id, 0, 10)

    run(roots, scenario)


def test_aborted_and_forgotten_shards_leave_nothing(roots):
    async def scenario(drives):
        shard = await stage(drives[0], os.urandom(16), b"payload")
        await shard.abort()
        await drives[0].stage(os.urandom(16), 5)  # forgotten: goes when the drive is closed

    run(roots, scenario)
    assert [files for _, _, files in os.walk(f"{roots[0]}/staging") if files] == []
    assert [files for _, _, files in os.walk(f"{roots[0]}/shards") if files] == []


def test_recovery_removes_what_a_crash_left(roots):
    data_id, kept_id = os.urandom(16), os.urandom(16)

    async def before(drives):
        await stage(drives[0], kept_id, b"kept")
        await drives[0].accept(offer(b"key", STAMPS.next(), inline=None, staged=(kept_id,), refs=(kept_id,)))

    run(roots, before)
    # As a worker leaves it that died between the link and the commit, and one that died just after the commit.
    leftovers = f"{roots[0]}/staging/0123456789abcdef"
    os.mkdir(leftovers)
    for name in ("lock", data_id.hex()):
        with open(f"{leftovers}/{name}", "wb") as file:
            file.write(b"x")
    os.link(f"{leftovers}/{data_id.hex()}", shard_path(roots[0], data_id))
    os.link(shard_path(roots[0], kept_id), f"{leftovers}/{kept_id.hex()}")

    async def after(drives):
        with pytest.raises(ShardMissing):
            await drives[0].read_shard(data_id, 0, 1)
        assert await drives[0].read_shard(kept_id, 0, 10) == b"kept"

    run(roots, after)
    assert not os.path.exists(leftovers)


def test_a_full_drive_refuses_cleanly(roots):
    async def scenario(drives):
        drive = drives[0]
        drive._capacity.free_bytes = drive._capacity.reserve_bytes + 100
        assert not drive.has_room(101)
        with pytest.raises(DriveFull):
            await drive.stage(os.urandom(16), 1000)
        with pytest.raises(DriveFull):
            await drive.accept(offer(b"key", STAMPS.next(), inline=b"x" * 1000))
        gone = offer(b"key", STAMPS.next(), flags=FLAGS | TOMBSTONE, inline=None, record=b"r" * 200)
        assert (await drive.accept(gone)).refusal is Refusal.NONE  # deleting makes room
        assert drive.state is DriveState.ONLINE

    run(roots, scenario)


def test_a_wiped_drive_comes_back_healing_and_refuses_what_it_may_have_promised(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)

    async def scenario(drives):
        drive = drives[0]
        old = STAMPS.next()
        await drive.accept(offer(b"key", old))
        for name in os.listdir(roots[0]):
            shutil.rmtree(f"{roots[0]}/{name}")
        await eventually(lambda: drive.online and drive.healing)
        assert (await drive.read_key(BUCKET, b"key", Level.STAMPS)).versions == ()
        await drive.learn((await drive.ceiling()).formatting, b"")
        assert (await drive.accept(offer(b"key", old))).refusal is Refusal.PROMISED  # as of its own clock
        assert (await drive.accept(offer(b"key", STAMPS.next()))).refusal is Refusal.NONE
        await make_whole(drive)
        assert not drive.healing

    run(roots, scenario)


def ahead(seconds):
    """A stamp by a clock that is ahead."""
    stamp = STAMPS.next()
    return (int.from_bytes(stamp[:6], "big") + seconds * 1000).to_bytes(6, "big") + stamp[6:]


def wiped(drive, root):
    """Wipe it, and wait for it to come back."""
    before = drive.generation
    for name in os.listdir(root):
        shutil.rmtree(f"{root}/{name}")
    return eventually(lambda: drive.online and drive.healing and drive.generation > before)


def test_a_wiped_drive_takes_part_in_nothing_before_it_knows_what_it_may_have_promised(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)
    promised = ahead(3600)
    low, high = ahead(3599), ahead(3602)

    async def forget(drives):
        drive = drives[0]
        assert (await drive.prepare(BUCKET, b"key", promised, Level.STAMPS)).promised
        known = await drive.ceiling()
        assert known.known
        assert promised <= known.stamp < high
        await wiped(drive, roots[0])
        unknown = await drive.ceiling()
        assert not unknown.known
        assert unknown.formatting != known.formatting
        for stamp in (STAMPS.next(), high):
            with pytest.raises(DriveOffline):
                await drive.accept(offer(b"key", stamp))
            with pytest.raises(DriveOffline):
                await drive.prepare(BUCKET, b"key", stamp, Level.STAMPS)
        assert (await drive.heal(offer(b"held", STAMPS.next()), False)).refusal is Refusal.NONE
        await drive.learn(known.formatting, promised)  # meant for the drive that it was
        await drive.healed(unknown.formatting)
        assert drive.healing
        assert not (await drive.ceiling()).known
        await drive.learn(unknown.formatting, promised)

    async def remember(drives):
        drive = drives[0]
        assert (await drive.ceiling()).known
        for key in (b"key", b"held"):
            assert (await drive.accept(offer(key, low))).refusal is Refusal.PROMISED
            assert not (await drive.prepare(BUCKET, key, low, Level.STAMPS)).promised
            assert (await drive.prepare(BUCKET, key, high, Level.STAMPS)).promised
            assert (await drive.accept(offer(key, high))).refusal is Refusal.NONE

    run(roots, forget)
    run(roots, remember)  # after a restart


def test_the_end_of_one_rebuild_is_not_taken_for_the_end_of_the_next(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)

    async def scenario(drives):
        drive = drives[0]
        await wiped(drive, roots[0])
        first = (await drive.ceiling()).formatting
        await wiped(drive, roots[0])
        await drive.learn((await drive.ceiling()).formatting, b"")
        await drive.healed(first)
        assert drive.healing
        await drive.accept(offer(b"key", STAMPS.next()))
        assert (await drive.read_key(BUCKET, b"key", Level.STAMPS)).blank
        await drive.healed((await drive.ceiling()).formatting)
        assert not drive.healing

    run(roots, scenario)


def test_every_process_of_a_node_learns_that_a_drive_is_healed(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)

    async def heal(drives):
        async with open_drives(roots) as same_drives_elsewhere:
            shutil.rmtree(roots[1])
            os.mkdir(roots[1])
            mine, other = drives[1], same_drives_elsewhere[1]
            await eventually(lambda: mine.online and mine.healing and other.online and other.healing)
            await make_whole(mine)
            await eventually(lambda: not other.healing)
            assert not mine.healing

    run(roots, heal)


def test_a_removed_drive_comes_back_with_its_contents(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)

    async def scenario(drives):
        drive, stamp = drives[0], STAMPS.next()
        await drive.accept(offer(b"key", stamp))
        os.rename(roots[0], roots[0] + ".away")
        with open(roots[0], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not drive.online)
        with pytest.raises(DriveOffline):
            await drive.read_key(BUCKET, b"key", Level.STAMPS)
        assert (await drive.info()).state is DriveState.OFFLINE
        os.unlink(roots[0])
        os.rename(roots[0] + ".away", roots[0])
        await eventually(lambda: drive.online)
        assert not drive.healing
        assert [held.stamp for held in (await drive.read_key(BUCKET, b"key", Level.STAMPS)).versions] == [stamp]

    run(roots, scenario)


def test_a_foreign_drive_is_refused_with_what_was_found(roots):
    run(roots, lambda _drives: asyncio.sleep(0))
    os.rename(roots[0], roots[0] + ".x")
    os.rename(roots[1], roots[0])
    os.rename(roots[0] + ".x", roots[1])

    async def scenario(drives):
        info = await drives[0].info()
        assert info.state is DriveState.REFUSED
        assert "drive-1" in info.reason
        assert "drive-0" in info.reason

    run(roots, scenario)


def test_a_damaged_metadata_store_is_set_aside_and_rebuilt(roots):
    async def fill(drives):
        for number in range(200):
            await drives[0].accept(offer(b"key%d" % number, STAMPS.next()))

    run(roots, fill)
    database = f"{roots[0]}/.rustfs/meta.db"
    connection = tables.connect(database, writable=True)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    with open(database, "r+b") as file:
        file.write(b"this is no database any more" * 10)

    async def scenario(drives):
        assert drives[0].online
        assert drives[0].healing
        assert (await drives[0].info()).versions == 0

    run(roots, scenario)
    assert any(name.startswith("corrupt-") for name in os.listdir(f"{roots[0]}/.rustfs"))


def test_a_damaged_metadata_store_that_nobody_could_rebuild_is_refused_and_kept(roots):
    async def fill(drives):
        await drives[0].accept(offer(b"key", STAMPS.next()))

    run(roots, fill)
    database = f"{roots[0]}/.rustfs/meta.db"
    with open(database, "r+b") as file:
        file.write(b"this is no database any more" * 10)

    async def scenario():
        async with open_drives(roots, rebuildable=False) as drives:
            info = await drives[0].info()
            assert info.state is DriveState.REFUSED
            assert "too few other drives" in info.reason

    asyncio.run(scenario())
    assert os.path.exists(database)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_anywhere_in_the_metadata_store_is_noticed(roots, seed):
    """Never another answer than the one that was stored: the right one, or a drive that goes to be rebuilt."""
    stamps = [STAMPS.next() for _ in range(300)]

    async def fill(drives):
        for number, stamp in enumerate(stamps):
            await drives[0].accept(offer(b"key%d" % number, stamp, inline=b"i" * 900, record=b"r" * 90))

    run(roots[:1], fill)
    database = f"{roots[0]}/.rustfs/meta.db"
    connection = tables.connect(database, writable=True)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    dice = random.Random(seed)
    with open(database, "r+b") as file:
        offset = dice.randrange(os.path.getsize(database))
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1 << dice.randrange(8),)))

    async def scenario(drives):
        for number, stamp in enumerate(stamps):
            try:
                answer = await drives[0].read_key(BUCKET, b"key%d" % number, Level.INLINE)
            except DriveOffline:
                return
            if drives[0].healing:
                return
            (held,) = answer.versions
            assert (held.stamp, held.record, held.inline) == (stamp, b"r" * 90, b"i" * 900)

    run(roots[:1], scenario)


def test_io_errors_take_the_drive_offline_and_it_returns(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)

    async def scenario(drives):
        drive, data_id = drives[0], os.urandom(16)
        await stage(drive, data_id, b"payload")
        await drive.accept(offer(b"key", STAMPS.next(), inline=None, staged=(data_id,), refs=(data_id,)))

        def failing(*_arguments):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(shardio, "read_range", failing)
            with pytest.raises(DriveOffline):
                await drive.read_shard(data_id, 0, 1)
            await eventually(lambda: not drive.online)
        await eventually(lambda: drive.online)
        assert await drive.read_shard(data_id, 0, 7) == b"payload"

    run(roots, scenario)


def test_a_read_only_drive_goes_offline(roots, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)
    real = os.statvfs

    async def scenario(drives):
        def read_only(path):
            status = list(real(path))
            status[8] |= os.ST_RDONLY
            return os.statvfs_result(status)

        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", read_only)
            await eventually(lambda: not drives[0].online)
            assert "read-only" in (await drives[0].info()).reason
        await eventually(lambda: drives[0].online)

    run(roots, scenario)


def test_identities_name_their_places():
    for position, identity in enumerate(identities(3)):
        assert identity.place_of(identity.drive_id) == (0, position)


def test_workers_that_start_together_leave_each_other_their_staging(roots):
    run(roots[:1], lambda _drives: asyncio.sleep(0))
    stop = threading.Event()
    failures = []

    def recover() -> None:
        while not stop.is_set():
            try:
                recover_staging(roots[0], lambda _data_ids: frozenset())
            except OSError as error:
                failures.append(error)

    recoverers = [threading.Thread(target=recover) for _ in range(3)]
    for recoverer in recoverers:
        recoverer.start()
    for _ in range(300):
        area = StagingArea(roots[0])
        assert os.path.exists(area.path_of(b"x" * 16).rpartition("/")[0] + "/lock")
        area.close()
    stop.set()
    for recoverer in recoverers:
        recoverer.join()
    assert not failures


def test_a_long_shard_of_unknown_length_is_begun_to_be_written_out_while_more_of_it_comes(roots, monkeypatch):
    begun = []
    real = shards.start_writing

    def start_writing(descriptor, offset, size):
        begun.append((offset, size))
        real(descriptor, offset, size)

    monkeypatch.setattr(shards, "start_writing", start_writing)
    piece = os.urandom(shards.START_WRITING_BYTES // 4 + 1)

    async def scenario(drives):
        data_id = os.urandom(16)
        shard = await drives[0].stage(data_id, 10)
        for _ in range(10):
            await asyncio.get_running_loop().run_in_executor(None, shard.write, [piece])
        await shard.finish()
        await drives[0].accept(offer(b"key", STAMPS.next(), inline=None, staged=(data_id,), refs=(data_id,)))
        assert await drives[0].read_shard(data_id, 0, 11 * len(piece)) == piece * 10

    run(roots[:1], scenario)
    assert begun == [(0, 4 * len(piece)), (4 * len(piece), 4 * len(piece))]


def test_healed_versions_are_counted(roots):
    async def scenario(drives):
        for number in range(5):
            await drives[1].heal(offer(b"key%d" % number, STAMPS.next()), False)
        assert (await drives[1].info()).versions == 5


def test_a_metadata_store_replaced_under_open_connections_is_noticed_by_the_first_read(roots):
    """By any read, not only by the probe: answers of the old store would hide that the drive forgot everything."""

    async def scenario(drives):
        drive = drives[0]
        await drive.accept(offer(b"key", STAMPS.next()))
        answer = await drive.read_key(BUCKET, b"key", Level.STAMPS)
        assert answer.versions
        assert not answer.blank
        sessions.set_aside(roots[0], drive._availability._identity, 1)
        with pytest.raises(DriveOffline):
            await drive.read_key(BUCKET, b"key", Level.STAMPS)
        await eventually(lambda: drive.online)
        scan = Scan(BUCKET, b"", b"", b"", 10, Level.STAMPS)
        collapsed = scan._replace(delimiter=b"/")
        assert (await drive.read_key(BUCKET, b"key", Level.STAMPS)).blank
        assert (await drive.scan(scan)).blank
        assert (await drive.scan(collapsed)).blank
        await drive.learn((await drive.ceiling()).formatting, b"")
        assert (await drive.prepare(BUCKET, b"key", STAMPS.next(), Level.STAMPS)).blank
        await make_whole(drive)
        assert not (await drive.read_key(BUCKET, b"key", Level.STAMPS)).blank
        assert not (await drive.scan(collapsed)).blank
        assert not (await drive.prepare(BUCKET, b"key", STAMPS.next(), Level.STAMPS)).blank

    run(roots, scenario)
