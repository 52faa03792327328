"""A deletion takes one round, leaves nothing behind where there was nothing, and never takes effect twice."""

import asyncio

import pytest

from rustfs.core.drivetypes import TOMBSTONE, Level
from rustfs.core.errors import NoSuchKey, QuorumLost
from rustfs.drive import notes
from rustfs.objects.types import PutSpec, WriteCondition
from tests.objects.doubles import FarDrive
from tests.objects.harness import BytesBody, contents, open_room
from tests.services.harness import delete, eventually, make_bucket, put


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(notes, "NOTES_SECONDS", 0.02)
    roots = [str(tmp_path / f"drive{number}") for number in range(4)]

    def run(scenario):
        async def main():
            async with open_room(roots, face=FarDrive) as room:
                await make_bucket(room)
                return await scenario(room)

        return asyncio.run(main())

    return run


async def held(drive, key):
    """What a drive holds of a key, whether or not it answers others: (stamp, whether a tombstone, whether chosen)."""
    versions = (await drive.drive.read_key(b"bucket", key, Level.STAMPS)).versions
    return [(each.stamp, bool(each.flags & TOMBSTONE), bool(each.flags & 1)) for each in versions]


async def noted(room, key):
    """Wait until all drives know the key's newest version to be chosen."""

    async def known():
        found = [await held(drive, key) for drive in room.drives]
        return all(len(each) == 1 and each[0][2] for each in found)

    await eventually(known)


async def is_absent(room, key):
    with pytest.raises(NoSuchKey):
        await room.store.head_object("bucket", key)
    return True


def forget_what_was_asked(room):
    for drive in room.drives:
        drive.asked.clear()


def test_what_is_there_is_deleted_in_one_round(run):
    async def scenario(room):
        await put(room, "key", b"data")
        forget_what_was_asked(room)
        await room.store.delete_object("bucket", "key", None)
        assert [dict(drive.asked) for drive in room.drives] == [{"accept": 1}] * 4
        assert await is_absent(room, "key")

    run(scenario)


def test_what_is_not_there_leaves_no_tombstone(run):
    async def scenario(room):
        await room.store.delete_object("bucket", "never", None)
        assert [await held(drive, b"never") for drive in room.drives] == [[]] * 4

    run(scenario)


def test_what_was_deleted_before_is_not_deleted_once_more(run):
    async def scenario(room):
        await put(room, "key", b"data")
        await delete(room, "key")
        await noted(room, b"key")
        before = [await held(drive, b"key") for drive in room.drives]
        forget_what_was_asked(room)
        await room.store.delete_object("bucket", "key", None)
        assert [dict(drive.asked) for drive in room.drives] == [{"accept": 1}] * 4
        assert [await held(drive, b"key") for drive in room.drives] == before

    run(scenario)


def test_a_tombstone_that_may_not_be_chosen_is_no_absence(run):
    async def scenario(room):
        await put(room, "key", b"data")
        for drive in room.drives:
            drive.note_chosen = lambda *_: None  # lost: no drive knows what is chosen
        await delete(room, "key")
        before = [(await held(drive, b"key"))[0][0] for drive in room.drives]
        await delete(room, "key")
        after = [(await held(drive, b"key"))[0][0] for drive in room.drives]
        assert min(after) > max(before)

    run(scenario)


def test_what_half_of_the_drives_hold_is_deleted_on_all_under_one_stamp(run):
    async def scenario(room):
        await put(room, "key", b"data")
        await noted(room, b"key")
        ((stamp, _, _),) = await held(room.drives[0], b"key")
        for drive in room.drives[:2]:
            await drive.drop(b"bucket", b"key", stamp)
        forget_what_was_asked(room)
        await room.store.delete_object("bucket", "key", None)
        assert [drive.asked["accept"] for drive in room.drives] == [2] * 4
        await noted(room, b"key")
        found = [await held(drive, b"key") for drive in room.drives]
        assert found == [found[0]] * 4
        assert found[0][0][1:] == (True, True)
        assert found[0][0][0] > stamp

    run(scenario)


def test_a_deletion_that_one_drive_may_have_taken_is_written_on_all(run):
    """It missed an earlier deletion, took this one, and its answer is lost.

    Were the others' word that there is nothing to delete enough, the copy there could be completed later, and delete
    what was written meanwhile by somebody whose clock is behind.
    """

    async def scenario(room):
        await put(room, "key", b"data")
        deaf = room.drives[3]
        deaf.stalled = True
        await delete(room, "key")

        async def known():
            return all([(await held(drive, b"key"))[0][1:] == (True, True) for drive in room.drives[:3]])

        await eventually(known)
        deaf.stalled = False
        lost = []

        def accept(offer):
            lost.append(deaf.drive.accept(offer))
            return asyncio.get_running_loop().create_future()

        deaf.accept = accept
        await room.store.delete_object("bucket", "key", None)
        await asyncio.gather(*lost)
        stamps = {(await held(drive, b"key"))[0][0] for drive in room.drives}
        assert len(lost) == 2
        assert len(stamps) == 1, "it is the newest on all of them, so whoever writes next is above it"
        assert await is_absent(room, "key")
        del deaf.accept
        await room.store.put_object("bucket", "key", BytesBody(b"anew"), PutSpec())
        assert await contents(await room.store.open_object("bucket", "key")) == b"anew"

    run(scenario)


def test_a_wiped_drive_does_not_say_that_there_is_nothing(run):
    """What it lacks says nothing: it takes the deletion, or refuses for what it may have promised."""

    async def scenario(room):
        blank = room.drives[0].drive
        blank._availability.session.healing = True
        await room.store.delete_object("bucket", "never", None)
        await eventually(lambda: everywhere(room))
        assert await is_absent(room, "never")

    async def everywhere(room):
        return all([[each[1] for each in await held(drive, b"never")] == [True] for drive in room.drives])

    run(scenario)


@pytest.mark.parametrize("condition", [None, WriteCondition(if_match=("*",))])
def test_without_a_quorum_in_reach_nothing_is_deleted_by_half(run, condition):
    async def scenario(room):
        await put(room, "key", b"data")
        await noted(room, b"key")
        for drive in room.drives[:2]:
            await drive.close()
        before = [await held(drive, b"key") for drive in room.drives[2:]]
        with pytest.raises(QuorumLost):
            await room.store.delete_object("bucket", "key", condition)
        assert [await held(drive, b"key") for drive in room.drives[2:]] == before
        assert await contents(await room.store.open_object("bucket", "key")) == b"data"

    run(scenario)
