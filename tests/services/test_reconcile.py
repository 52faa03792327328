"""Comparing drives: what one of them missed is found by stamps, brought to it, and the set is whole afterwards."""

import asyncio
import os
import random
from functools import partial

import pytest

from rustfs.core.drivetypes import CHOSEN, NO_MARK, OPEN_END, KeyRange, RangePage, ScanPage
from rustfs.core.errors import DriveOffline, NoSuchKey, QuorumLost
from rustfs.core.system import SystemClock
from rustfs.drive import digests, notes, tables
from rustfs.drive.digests import ends_range
from rustfs.objects.driveset import DriveSet
from rustfs.objects.heal import HealResult
from rustfs.services import reconcile
from rustfs.services.reconcile import Reconciler, differing_keys
from tests.drive.harness import make_whole
from tests.objects.doubles import FarDrive
from tests.services.harness import (
    LARGE_BYTES,
    delete,
    eventually,
    get,
    make_bucket,
    put,
    run,
    shard_files,
    stamps_of,
    wipe,
)

DATA = random.Random(4).randbytes(LARGE_BYTES)
ONE, TWO = b"\1" * 16, b"\2" * 16


def page(*rows, more=False):
    found = [(key, stamp, flags, b"") for key, stamp, flags in rows]
    return ScanPage(found, more, found[-1][0] if found else b"", NO_MARK, blank=False)


@pytest.mark.parametrize(
    ("held", "differs"),
    [
        ([[(ONE, CHOSEN)], [(ONE, CHOSEN)]], False),
        ([[(ONE, 0)], [(ONE, 0)]], True),  # nobody knows that it is chosen
        ([[(ONE, CHOSEN)], [(ONE, 0)]], True),
        ([[(ONE, CHOSEN)], [(TWO, CHOSEN)]], True),
        ([[(ONE, CHOSEN)], []], True),
        ([[(TWO, CHOSEN), (ONE, CHOSEN)], [(TWO, CHOSEN)]], True),  # an old version that is still held
        ([[(TWO, CHOSEN), (ONE, CHOSEN)], [(TWO, CHOSEN), (ONE, CHOSEN)]], True),
    ],
)
def test_which_keys_differ(held, differs):
    pages = {
        position: page(*((b"key", stamp, flags) for stamp, flags in versions)) for position, versions in enumerate(held)
    }
    assert list(differing_keys(pages, None)) == [(b"key", differs)]


def test_keys_beyond_the_horizon_wait_for_the_next_page():
    pages = {
        0: page((b"a", ONE, CHOSEN), (b"b", ONE, CHOSEN), more=True),
        1: page((b"a", ONE, CHOSEN), (b"c", ONE, CHOSEN)),
    }
    assert list(differing_keys(pages, b"b")) == [(b"a", False), (b"b", True)]


async def compare(room, healer=None):
    notes = []
    reconciler = Reconciler(healer or room.room.healer, SystemClock(), lambda result: notes.append(result.keys))
    result = await reconciler.compare(room.room.pools.sets[0], await room.store.buckets.all_names())
    assert notes[-1] == result.keys
    assert notes == sorted(notes)
    return result


async def alike(room):
    """Whether a comparison finds nothing to do: what is learnt lazily has arrived.

    Until then a key may fail: the last drive's copy may still be on its way, and hold the place of the healed one.
    """
    unsettled = [await drive.unsettled(b"", b"\xff", 1) for drive in room.drives if drive.online]
    return (await compare(room)).differing == 0 and not any(unsettled)


def test_a_whole_set_comes_to_rest(roots):
    async def scenario(room):
        await make_bucket(room)
        for number in range(5):
            await put(room, f"key-{number}", b"small")
        await put(room, "key-0", DATA)
        await eventually(lambda: alike(room))
        result = await compare(room)
        assert (result.keys, result.healed, result.failed) == (6, 0, 0)  # five objects and the bucket's record

    run(roots, scenario)


def test_a_drive_gets_what_it_missed(roots, monkeypatch):
    monkeypatch.setattr(reconcile, "ROWS_PER_PAGE", 7)

    async def scenario(room):
        await make_bucket(room)
        for name in ("kept", "overwritten", "deleted"):
            await put(room, name, b"before")
        away = room.drives[3]
        os.rename(roots[3], roots[3] + ".away")
        with open(roots[3], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not away.online)
        expected = {"kept": b"before", "overwritten": b"after", "large": DATA}
        await put(room, "overwritten", b"after")
        await put(room, "large", DATA)
        await delete(room, "deleted")
        await make_bucket(room, "new")
        for number in range(40):
            expected[f"many/{number}"] = b"%d" % number
            await put(room, f"many/{number}", b"%d" % number)
        os.unlink(roots[3])
        os.rename(roots[3] + ".away", roots[3])
        await eventually(lambda: away.online)
        assert not away.healing
        result = await compare(room)
        assert (result.failed, result.healed >= 43) == (0, True)
        await eventually(lambda: alike(room))
        for key in [*expected, "deleted"]:
            name = key.encode()
            stamps = [await stamps_of(drive, name) for drive in room.drives]
            assert stamps == [stamps[0]] * 4, key
        assert len(shard_files(roots[3])) == 1
        for drive in room.drives[:2]:
            await drive.close()
        for key, data in expected.items():  # from two drives, the healed one among them
            assert await get(room, key) == data
        assert (await room.store.head_bucket("new")).name == "new"
        with pytest.raises(NoSuchKey):
            await get(room, "deleted")

    run(roots, scenario)


def test_a_wiped_drive_gets_everything(roots):
    async def scenario(room):
        await make_bucket(room)
        expected = {f"key-{number}": b"%d" % number for number in range(10)} | {"large": DATA}
        for key, data in expected.items():
            await put(room, key, data)
        wipe(roots[0])
        await eventually(lambda: room.drives[0].online and room.drives[0].healing)
        result = await compare(room)
        assert (result.keys, result.healed, result.failed) == (12, 12, 0)
        await make_whole(room.drives[0])
        for drive in room.drives[2:]:
            await drive.close()
        for key, data in expected.items():
            assert await get(room, key) == data

    run(roots, scenario)


async def filled(room, count=400):
    """Small objects, which all drives hold and know to be chosen; their keys in order."""
    await make_bucket(room)
    names = [f"key/{number:04}" for number in range(count)]
    for start in range(0, count, 50):
        await asyncio.gather(*(put(room, name, name.encode()) for name in names[start : start + 50]))
    await eventually(lambda: alike(room))
    assert [(await drive.info()).repair_queue for drive in room.drives] == [0] * 4
    return [name.encode() for name in names]


async def lose(drive, key):
    """Have a drive lack a version, as if it had never been told of it."""
    stamp = (await stamps_of(drive, key))[0]
    await drive._write(lambda transaction: transaction._forget(b"bucket", key, stamp, inclusive=True))


def test_a_rebuild_that_was_broken_off_goes_on_with_what_is_missing(roots, monkeypatch):
    """Its process dies midway: the next one is told by the digests what is there, and looks at the rest alone."""
    monkeypatch.setattr(digests, "RANGE_KEYS", 16)

    class Dying:
        """A healer whose process is about to end: it begins no more than half of the work."""

        def __init__(self, healer, count):
            self.healer, self.left = healer, count

        async def heal(self, *args, **named):
            self.left -= 1
            if self.left < 0:
                await asyncio.get_running_loop().create_future()
            return await self.healer.heal(*args, **named)

    async def first(room):
        keys = await filled(room)
        wipe(roots[0])
        await eventually(lambda: room.drives[0].online and room.drives[0].healing)
        dying = Dying(room.room.healer, len(keys) // 2)
        rebuilding = asyncio.create_task(compare(room, dying))
        await eventually(lambda: dying.left < 0 and not room.room.healer._in_hand)
        rebuilding.cancel()
        await asyncio.gather(rebuilding, return_exceptions=True)
        return keys

    async def second(room):
        assert room.drives[0].healing, "it is not whole before all of it was compared"
        there = (await room.drives[0].info()).versions
        result = await compare(room)
        assert result.failed == 0
        assert len(keys) / 4 < there < len(keys) * 3 / 4
        assert result.keys == len(keys) + 1
        assert result.healed <= len(keys) + 1 - there + 4 * 16, "what was rebuilt is not rebuilt again"
        assert result.looked_at <= len(keys) + 1 - there + 4 * 16
        await eventually(lambda: alike(room))
        await make_whole(room.drives[0])
        for drive in room.drives[2:]:
            await drive.close()
        for key in keys[:: len(keys) // 20]:
            assert await get(room, key.decode()) == key

    keys = run(roots, first)
    run(roots, second)


def neighbours(keys, lost):
    """The keys of the ranges that those lost lie in."""
    found, ranges = set(), [[]]
    for key in keys:
        ranges[-1].append(key)
        if ends_range(key):
            ranges.append([])
    for each in ranges:
        found.update(each if set(each) & set(lost) else ())
    return found


def test_only_the_ranges_that_differ_are_looked_at(roots, monkeypatch):
    monkeypatch.setattr(digests, "RANGE_KEYS", 16)

    async def scenario(room):
        keys = await filled(room)
        inner = [key for key in keys if not ends_range(key)]
        lost = {inner[100]: room.drives[3], inner[101]: room.drives[0], inner[300]: room.drives[3]}
        for key, drive in lost.items():
            await lose(drive, key)
        near = neighbours(keys, lost)
        assert 3 <= len(near) < len(keys) / 2
        asked = sum(drive.asked["scan"] for drive in room.drives)
        result = await compare(room)
        assert (result.looked_at, result.differing, result.healed) == (len(near), 3, 3)
        assert result.keys == len(keys) + 1
        assert 2 <= result.ranges_differing < result.ranges / 4
        assert sum(drive.asked["scan"] for drive in room.drives) - asked <= 4 * len(lost)
        for key in lost:
            stamps = [await stamps_of(drive, key) for drive in room.drives]
            assert stamps == [stamps[0]] * 4
        asked = sum(drive.asked["scan"] for drive in room.drives)
        await eventually(lambda: alike(room))
        again = await compare(room)
        assert (again.looked_at, again.ranges_differing) == (0, 0)

    run(roots, scenario, face=partial(FarDrive, near=True))


def test_a_drive_that_lacks_the_key_at_which_others_cut_is_compared_all_the_same(roots, monkeypatch):
    monkeypatch.setattr(digests, "RANGE_KEYS", 16)

    async def scenario(room):
        keys = await filled(room)
        cut = [key for key in keys if ends_range(key)][3]
        await lose(room.drives[1], cut)
        following = keys[keys.index(cut) + 1]
        result = await compare(room)
        assert (result.differing, result.healed) == (1, 1)
        assert result.looked_at == len(neighbours(keys, {cut, following}))

    run(roots, scenario)


@pytest.mark.parametrize("ranges_per_page", [1, 3])
def test_pages_of_ranges_miss_nothing(roots, monkeypatch, ranges_per_page):
    monkeypatch.setattr(digests, "RANGE_KEYS", 8)
    monkeypatch.setattr(reconcile, "RANGES_PER_PAGE", ranges_per_page)
    chance = random.Random(ranges_per_page)

    async def scenario(room):
        keys = await filled(room, 120)
        lost = chance.sample(keys, 12)
        for key in lost:
            await lose(chance.choice(room.drives), key)
        result = await compare(room)
        assert (result.keys, result.differing, result.healed) == (len(keys) + 1, 12, 12)

    run(roots, scenario)


def test_a_version_whose_notes_were_lost_is_noted_and_brought_to_who_missed_it(roots):
    """Its writer died in that moment: no digest covers it, and no queue knows it."""

    async def scenario(room):
        await make_bucket(room)
        await put(room, "key", b"data")
        await eventually(lambda: alike(room))
        await lose(room.drives[3], b"key")
        for root in roots[:3]:
            connection = tables.connect(os.path.join(root, ".rustfs", "meta.db"), writable=True)
            connection.execute("UPDATE versions SET flags=flags-1 WHERE bucket=?", (b"bucket",))
            connection.execute("DELETE FROM ranges WHERE bucket=?", (b"bucket",))
            connection.close()
        result = await compare(room)
        assert (result.healed, result.failed) == (1, 0)
        await eventually(lambda: alike(room))
        assert len(await stamps_of(room.drives[3], b"key")) == 1

    run(roots, scenario)


@pytest.mark.parametrize("waits_for", ["list", "digests"])
def test_a_version_whose_notes_arrive_while_it_is_compared_is_not_passed_over(roots, monkeypatch, waits_for):
    monkeypatch.setattr(notes, "NOTES_SECONDS", 3600.0)

    async def scenario(room):
        await make_bucket(room)
        for drive in room.drives:
            drive._notes.flush()
        await put(room, "key", b"data")
        await lose(room.drives[3], b"key")
        gate = "unsettled" if waits_for == "list" else "ranges"
        asked = getattr(room.drives[0], gate)

        def noted_first(*arguments):
            for drive in room.drives[:3]:
                drive._notes.flush()
            return asked(*arguments)

        monkeypatch.setattr(room.drives[0], gate, noted_first)
        assert (await compare(room)).healed == 1
        assert len(await stamps_of(room.drives[3], b"key")) == 1

    run(roots, scenario)


def test_too_few_drives_are_not_compared(roots):
    async def scenario(room):
        await make_bucket(room)
        names = await room.store.buckets.all_names()
        for drive in room.drives[1:]:
            await drive.close()
        with pytest.raises(QuorumLost, match="set 0"):
            await Reconciler(room.room.healer, SystemClock(), lambda _: None).compare(room.room.pools.sets[0], names)

    run(roots, scenario)


class RowsDrive:
    """A drive that holds the rows given, or fails."""

    online, healing = True, False

    def __init__(self, position, rows=None):
        self.position = position
        self.rows = rows

    def scan(self, request):
        future = asyncio.get_running_loop().create_future()
        if self.rows is None:
            future.set_exception(DriveOffline("gone"))
            return future
        rows = [row for row in self.rows if request.bucket == b"bucket" and row[0] > request.after]
        future.set_result(page(*rows[: request.limit], more=len(rows) > request.limit))
        return future

    def ranges(self, bucket, after, limit):
        """One range, of what this drive alone holds."""
        future = asyncio.get_running_loop().create_future()
        if self.rows is None:
            future.set_exception(DriveOffline("gone"))
            return future
        rows = self.rows if bucket == b"bucket" else []
        ranges = [KeyRange(OPEN_END, bytes([self.position]) * 16, len(rows))] if rows else []
        future.set_result(RangePage(b"", ranges, more=False, blank=False))
        return future

    def unsettled(self, after, before, limit):
        future = asyncio.get_running_loop().create_future()
        future.set_result([])
        return future


class Outcomes:
    """Heals with the outcome that a key's name says."""

    async def heal(self, drive_set, bucket, key, *, deep):
        assert not deep, "stamps tell what is missing; nothing is read in vain"
        match key.rstrip(b"0123456789"):
            case b"whole":
                return HealResult(whole=True, changed=1)
            case b"missed":
                return HealResult(whole=False, changed=1, missed=frozenset({1}))
            case b"known":
                return HealResult(whole=True, changed=0)
        raise QuorumLost("too few good shards")


@pytest.mark.parametrize("rows_per_page", [1, 3, 1000])
def test_a_pass_counts_what_came_of_every_key(monkeypatch, rows_per_page):
    """A drive that fails is passed over; keys that cannot be healed are counted, and the pass goes on."""
    monkeypatch.setattr(reconcile, "ROWS_PER_PAGE", rows_per_page)
    keys = sorted(b"%s%d" % (name, number) for name in (b"whole", b"missed", b"known", b"lost") for number in range(5))
    rows = [(key, ONE, CHOSEN) for key in keys]
    drives = (
        RowsDrive(0, rows),
        RowsDrive(1, rows[1:]),
        RowsDrive(2, [(key, TWO, CHOSEN) for key in keys]),
        RowsDrive(3),
    )
    counted = []

    async def main():
        reconciler = Reconciler(Outcomes(), SystemClock(), lambda result: counted.append(result.keys))
        return await reconciler.compare(DriveSet(0, drives), [b"bucket"])

    result = asyncio.run(main())
    assert (result.keys, result.differing, result.healed, result.failed) == (20, 20, 10, 10)
    assert counted[-1] == 20


class BlankDrive(RowsDrive):
    """A drive that is being rebuilt, though nobody who asks it knows yet."""

    def scan(self, request):
        return self._marked(super().scan(request))

    def ranges(self, bucket, after, limit):
        return self._marked(super().ranges(bucket, after, limit))

    def _marked(self, future):
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(future.result()._replace(blank=True))
        return answer


def test_a_drive_being_rebuilt_does_not_count_towards_the_quorum_of_a_comparison():
    """What both reachable drives lack may be chosen all the same: by the forgotten copy and two that are away."""
    drives = (BlankDrive(0, []), RowsDrive(1, []), RowsDrive(2), RowsDrive(3))

    async def main():
        with pytest.raises(QuorumLost):
            await Reconciler(Outcomes(), SystemClock(), lambda _: None).compare(DriveSet(0, drives), [b"bucket"])

    asyncio.run(main())


def test_a_pass_names_the_drives_that_it_did_not_compare_throughout():
    drives = (BlankDrive(0, []), RowsDrive(1, []), RowsDrive(2, []), RowsDrive(3))

    async def main():
        return await Reconciler(Outcomes(), SystemClock(), lambda _: None).compare(DriveSet(0, drives), [b"bucket"])

    assert asyncio.run(main()).silent == {3}
