"""Deletions are forgotten only once every drive has them: what was deleted never comes back."""

import asyncio
import contextlib
import os

import pytest

from rustfs.core.drivetypes import CHOSEN, NO_MARK, TOMBSTONE, Accept, Held, KeyAnswer, Level, Refusal
from rustfs.core.errors import NoSuchKey
from rustfs.core.system import SystemClock
from rustfs.services import tombstones
from rustfs.services.reconcile import Reconciler
from rustfs.services.throttle import Throttle
from rustfs.services.tombstones import KEPT_MS, forgettable, purge
from tests.objects.doubles import FarDrive
from tests.services.harness import delete, eventually, get, make_bucket, put, run, stamps_of, wipe

STAMP, OTHER = b"\1" * 16, b"\2" * 16
GONE = Held(STAMP, CHOSEN | TOMBSTONE | 0x20300, b"", None)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([(GONE,), (GONE,)], True),
        ([(GONE,), ()], True),  # a drive that never heard of the key cannot bring it back
        ([(), ()], True),
        ([(GONE,), (GONE._replace(flags=TOMBSTONE),)], False),  # not known to be chosen there
        ([(GONE,), (GONE._replace(flags=CHOSEN),)], False),  # no deletion
        ([(GONE,), (GONE._replace(stamp=OTHER),)], False),
        ([(GONE,), (GONE, Held(b"\0" * 16, CHOSEN, b"", None))], False),  # an older version is still held
        ([(GONE,), (Held(OTHER, CHOSEN, b"", None), GONE)], False),  # written anew
    ],
)
def test_which_deletions_can_be_forgotten(held, expected):
    assert forgettable([KeyAnswer(versions, NO_MARK, blank=False) for versions in held], STAMP) is expected


def later():
    return SystemClock().now_milliseconds() + KEPT_MS + 1000


async def held(room, key=b"key"):
    return sum([len(await stamps_of(drive, key)) for drive in room.drives if drive.online])


async def deleted(room):
    """An object that was written, deleted, and whose deletion every drive knows to be chosen."""
    await make_bucket(room)
    await put(room, "key", b"data")
    await delete(room, "key")
    await put(room, "kept", b"data")
    every = len(room.drives)

    async def known():
        listed = [await drive.tombstones(later().to_bytes(6, "big") + bytes(10), 10) for drive in room.drives]
        return sum(map(len, listed)) == every and await held(room) == every

    await eventually(known)


def drive_set(room):
    return room.room.pools.sets[0]


def test_an_old_deletion_is_forgotten_everywhere(roots):
    async def scenario(room):
        await deleted(room)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 1
        assert await held(room) == 0
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        with pytest.raises(NoSuchKey):
            await get(room, "key")
        assert await get(room, "kept") == b"data"
        await put(room, "key", b"anew")
        assert await get(room, "key") == b"anew"
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        assert await get(room, "key") == b"anew"

    run(roots, scenario)


def test_a_young_deletion_is_kept(roots):
    async def scenario(room):
        await deleted(room)
        assert await purge(room.room.pools, drive_set(room), SystemClock().now_milliseconds(), SystemClock()) == 0
        assert await held(room) == 4

    run(roots, scenario)


def test_many_deletions_are_forgotten_round_by_round(roots, monkeypatch):
    monkeypatch.setattr(tombstones, "TOMBSTONES_AT_ONCE", 3)

    async def scenario(room):
        await make_bucket(room)
        for number in range(10):
            await put(room, f"key-{number}", b"data")
            await delete(room, f"key-{number}")
        forgotten = 0

        async def all_forgotten():
            nonlocal forgotten
            forgotten += await purge(room.room.pools, drive_set(room), later(), SystemClock())
            return forgotten == 10

        await eventually(all_forgotten)
        assert sum([await held(room, b"key-%d" % number) for number in range(10)]) == 0

    run(roots, scenario)


def test_one_round_forgets_all_that_is_due_and_rests_between_while_there_are_clients(roots, monkeypatch):
    monkeypatch.setattr(tombstones, "TOMBSTONES_AT_ONCE", 2)  # the first eight, if each drive were asked once
    shares = []

    class Counting(Throttle):
        @contextlib.asynccontextmanager
        async def turn(self, share_percent=None):
            shares.append(share_percent)
            yield

    async def scenario(room):
        await make_bucket(room)
        for number in range(10):
            await put(room, f"key-{number}", b"data")
            await delete(room, f"key-{number}")
        before = later().to_bytes(6, "big") + bytes(10)

        async def known():
            listed = [await drive.tombstones(before, 100) for drive in room.drives]
            return all(len(each) == 10 for each in listed) and sum(
                [await held(room, b"key-%d" % number) for number in range(10)]
            ) == 10 * len(room.drives)

        await eventually(known)
        throttle = Counting(SystemClock(), lambda: 1)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock(), throttle) == 10
        assert shares == [tombstones.SHARE_PERCENT] * 5

    run(roots, scenario)


def test_nothing_is_forgotten_while_a_drive_is_away_or_was_wiped(roots):
    async def scenario(room):
        await deleted(room)
        os.rename(roots[3], roots[3] + ".away")
        with open(roots[3], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not room.drives[3].online)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        os.unlink(roots[3])
        os.rename(roots[3] + ".away", roots[3])
        await eventually(lambda: room.drives[3].online)
        wipe(roots[0])
        await eventually(lambda: room.drives[0].online and room.drives[0].healing)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        assert await held(room) == 3

    run(roots, scenario)


def test_a_drive_that_missed_the_deletion_does_not_bring_the_object_back(roots):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "key", b"data")
        os.rename(roots[3], roots[3] + ".away")
        with open(roots[3], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not room.drives[3].online)
        await delete(room, "key")
        os.unlink(roots[3])
        os.rename(roots[3] + ".away", roots[3])
        await eventually(lambda: room.drives[3].online)
        assert len(await stamps_of(room.drives[3], b"key")) == 1  # the object
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        with pytest.raises(NoSuchKey):
            await get(room, "key")
        await Reconciler(room.room.healer, SystemClock(), lambda _: None).compare(drive_set(room), [b"bucket"])

        async def forgotten():
            await purge(room.room.pools, drive_set(room), later(), SystemClock())
            return await held(room) == 0

        await eventually(forgotten)
        with pytest.raises(NoSuchKey):
            await get(room, "key")

    run(roots, scenario)


async def deleted_while_one_was_cut_off(room):
    """The object that was deleted, as a healer may hold it in its hands; the last drive has heard of neither."""
    await make_bucket(room)
    room.drives[3].stalled = True
    await put(room, "key", b"data")
    version = (await room.drives[0].read_key(b"bucket", b"key", Level.INLINE)).versions[0]
    await delete(room, "key")
    room.drives[3].stalled = False

    async def known():
        listed = [await drive.tombstones(later().to_bytes(6, "big") + bytes(10), 10) for drive in room.drives[:3]]
        return sum(map(len, listed)) == 3 and await held(room) == 3

    await eventually(known)
    return Accept(b"bucket", b"key", version.stamp, version.flags, version.record, version.inline, (), (), b"")


def test_a_late_heal_does_not_bring_back_what_was_purged(roots):
    async def scenario(room):
        late = await deleted_while_one_was_cut_off(room)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 1
        for drive in room.drives:
            assert (await drive.heal(late, False)).refusal is Refusal.STALE
        assert await held(room) == 0
        with pytest.raises(NoSuchKey):
            await room.store.head_object("bucket", "key")
        await put(room, "key", b"anew")
        assert await get(room, "key") == b"anew"

    run(roots, scenario, face=lambda drive: FarDrive(drive, near=True))


def test_a_slow_drive_does_not_keep_deletions_from_being_forgotten(roots):
    async def scenario(room):
        await deleted(room)
        slow = room.drives[3]
        loop, submit = asyncio.get_running_loop(), slow._availability.session.writer.submit
        slow._availability.session.writer.submit = lambda *work: loop.call_later(0.5, submit, *work)
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 1
        assert await held(room) == 0

    run(roots, scenario)


def test_no_drive_forgets_a_deletion_before_all_refuse_what_is_older(roots, monkeypatch):
    monkeypatch.setattr(tombstones, "ANSWER_TIMEOUT_SECONDS", 1.0)

    async def scenario(room):
        late = await deleted_while_one_was_cut_off(room)
        drop = room.drives[3].drop
        room.drives[3].drop = lambda *_: asyncio.get_running_loop().create_future()  # lost on the way
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0
        assert await held(room) == 3
        assert (await room.drives[3].heal(late, False)).refusal is Refusal.NONE  # nobody told it
        with pytest.raises(NoSuchKey):
            await room.store.head_object("bucket", "key")
        room.drives[3].drop = drop
        assert await purge(room.room.pools, drive_set(room), later(), SystemClock()) == 0  # it holds something else
        await room.room.healer.heal(drive_set(room), b"bucket", b"key", deep=False)

        async def forgotten():
            await purge(room.room.pools, drive_set(room), later(), SystemClock())
            return await held(room) == 0

        await eventually(forgotten)
        assert (await room.drives[3].heal(late, False)).refusal is Refusal.STALE

    run(roots, scenario, face=lambda drive: FarDrive(drive, near=True))
