"""The cluster's configuration as a register: changes meet, drives are lost, outcomes are unknown."""

import asyncio

import pytest

from rustfs.core.configuration import SettingRefused
from rustfs.core.errors import ConditionalConflict, QuorumLost
from rustfs.objects import configuration
from rustfs.objects.configuration import UNSET, NothingChanged, Stored
from tests.objects.harness import open_room


def run(tmp_path, scenario):
    roots = [str(tmp_path / f"drive{number}") for number in range(4)]

    async def main():
        async with open_room(roots) as room:
            return await scenario(room)

    return asyncio.run(main())


def test_changes_are_read_back_and_seen_on_the_drives(tmp_path):
    async def scenario(room):
        store = room.room.configuration
        assert await store.read() == UNSET == await store.seen()
        first = await store.change("compression", "off")
        second = await store.change("heal-share", "20")
        assert second.configuration.version == 2
        assert second.configuration.values == {"compression": "off", "heal-share": "20"}
        assert first.stamp < second.stamp
        assert await store.read() == second == await store.seen()
        third = await store.change("compression", None)
        assert third.configuration.values == {"heal-share": "20"}

    run(tmp_path, scenario)


def test_those_who_change_it_at_the_same_moment_all_succeed(tmp_path):
    async def scenario(room):
        store = room.room.configuration
        changes = [("heal-share", str(share)) for share in range(1, 9)] + [
            ("compression", "off"),
            ("log-level", "error"),
        ]
        made = await asyncio.gather(*(store.change(*each) for each in changes))
        assert sorted(stored.configuration.version for stored in made) == list(range(1, len(changes) + 1))
        final = (await store.read()).configuration
        assert final.version == len(changes)
        assert len(set(final.changes)) == len(changes)
        assert final.values.keys() == {"heal-share", "compression", "log-level"}

    run(tmp_path, scenario)


def test_nonsense_is_refused_before_a_drive_hears_of_it(tmp_path):
    async def scenario(room):
        with pytest.raises(SettingRefused):
            await room.room.configuration.change("compression", "perhaps")
        assert await room.room.configuration.seen() == UNSET

    run(tmp_path, scenario)


def test_without_a_quorum_nothing_changes_and_what_drives_hold_is_still_seen(tmp_path):
    async def scenario(room):
        store = room.room.configuration
        made = await store.change("heal-share", "20")
        await asyncio.gather(*(drive.close() for drive in room.drives[:2]))
        with pytest.raises(NothingChanged, match="nothing changed: 2 of the 4 drives"):
            await store.change("heal-share", "30")
        assert await store.seen() == made
        for drive in room.drives:
            drive.near = False  # the drives of peers count, too
        assert await store.seen() == made

    run(tmp_path, scenario)


@pytest.mark.parametrize("trouble", [QuorumLost("the outcome of a write is unknown"), ConditionalConflict("others")])
@pytest.mark.parametrize("written", [True, False])
def test_a_change_of_unknown_outcome_is_made_once(tmp_path, monkeypatch, trouble, written):
    """The first swap fails after its judgement, with or without an effect; the second one finds out."""

    async def scenario(room):
        store = room.room.configuration
        real, calls = store._register.swap, []

        async def swap(drive_set, bucket, key, judge, epoch):
            calls.append(1)
            if len(calls) > 1:
                return await real(drive_set, bucket, key, judge, epoch)
            if written:
                await real(drive_set, bucket, key, judge, epoch)
            else:
                await judge(await store._register.read(drive_set, bucket, key))
            raise trouble

        monkeypatch.setattr(store._register, "swap", swap)
        made = await store.change("heal-share", "20")
        assert len(calls) == 2
        assert made.configuration.version == 1
        assert await store.read() == made

    run(tmp_path, scenario)


def test_one_whose_outcome_stays_unknown_says_so_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "CHANGE_SECONDS", 0.5)

    async def scenario(room):
        store = room.room.configuration

        async def swap(_set, _bucket, _key, judge, _epoch):
            await judge(await store._register.read(_set, _bucket, _key))
            raise QuorumLost("the outcome of a write is unknown")

        monkeypatch.setattr(store._register, "swap", swap)
        with pytest.raises(QuorumLost, match="heal-share may have been changed, or may yet be"):
            await store.change("heal-share", "20")
        assert isinstance(await store.read(), Stored)

    run(tmp_path, scenario)
