"""The repair queue: what was found damaged is made whole, and only then taken off; no key stands in another's way."""

import asyncio
import os
import pathlib
import random

import pytest

from rustfs.core.drivetypes import RepairItem
from rustfs.core.errors import DriveOffline, QuorumLost
from rustfs.objects.driveset import DriveSet, Pool, Pools
from rustfs.objects.egress import data_positions
from rustfs.objects.heal import HealResult
from rustfs.services import repair
from rustfs.services.repair import ITEMS_PER_ROUND, Repairer
from tests.services.harness import LARGE_BYTES, eventually, get, make_bucket, put, run, shard_files

DATA = random.Random(3).randbytes(LARGE_BYTES)


async def queued(room):
    return sum([(await drive.info()).repair_queue for drive in room.drives])


async def has_queue(room):
    return await queued(room) > 0


async def drain(room):
    repairer = Repairer(room.room.pools, room.room.healer)
    while await repairer.round():
        pass


def damage(path):
    with open(path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("how", [damage, os.unlink], ids=["flipped bit", "lost file"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_read_queues_what_it_found_bad_and_the_repairer_makes_it_whole(roots, how, count):
    async def scenario(room):
        await make_bucket(room)
        await put(room, "key", DATA)

        async def everywhere() -> bool:  # where the disks are busy, a drive is left out and gets its shard later
            await drain(room)
            return all(map(shard_files, roots))

        await eventually(everywhere)
        files = [shard_files(root)[0] for root in roots]
        before = [pathlib.Path(path).read_bytes() for path in files]
        rotation = room.room.pools.first.place(b"bucket", b"key").rotation
        for position in data_positions(rotation, 2, 4)[:count]:  # a read looks at no more shards than it needs
            how(files[position])
        assert await get(room, "key") == DATA
        await eventually(lambda: has_queue(room))

        async def whole() -> bool:  # each drive's queue is written down lazily, in its own time
            await drain(room)
            intact = [os.path.exists(path) and pathlib.Path(path).read_bytes() for path in files] == before
            return intact and await queued(room) == 0

        await eventually(whole)

    run(roots, scenario)


def test_a_key_stays_queued_until_every_drive_has_it(roots):
    async def scenario(room):
        await make_bucket(room)
        os.rename(roots[3], roots[3] + ".away")
        with open(roots[3], "wb"):
            pass  # nothing can be made a drive here
        await eventually(lambda: not room.drives[3].online)
        await put(room, "key", DATA)
        await eventually(lambda: has_queue(room))
        await drain(room)
        assert await queued(room) > 0
        os.unlink(roots[3])
        os.rename(roots[3] + ".away", roots[3])
        await eventually(lambda: room.drives[3].online)
        assert shard_files(roots[3]) == []
        await drain(room)
        assert await queued(room) == 0
        assert len(shard_files(roots[3])) == 1
        for drive in room.drives[:2]:
            await drive.close()
        assert await get(room, "key") == DATA  # from the last two, which are all it takes

    run(roots, scenario)


class QueueDrive:
    """A drive's repair queue, and nothing else of it."""

    position, online, healing, near = 0, True, False, True

    def __init__(self, keys, drive_id="drive"):
        self.drive_id = drive_id
        self.items = [RepairItem(number, b"bucket", key) for number, key in enumerate(keys, 1)]
        self.fails = ()

    async def repairs(self, after, limit):
        if "repairs" in self.fails:
            raise DriveOffline("gone")
        return [item for item in self.items if item.sequence > after][:limit]

    async def repaired(self, sequences):
        if "repaired" in self.fails:
            raise DriveOffline("gone")
        self.items = [item for item in self.items if item.sequence not in sequences]


class KeyHealer:
    """Heals keys unless they begin with what is wrong with them."""

    def __init__(self):
        self.asked = []
        self.at_once = self.most_at_once = 0

    async def heal(self, drive_set, bucket, key, *, deep):
        assert deep, "what was found damaged is looked at closely"
        self.asked.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if key.startswith(b"lost"):
            raise QuorumLost("too few good shards")
        if key.startswith(b"drive"):
            raise DriveOffline("gone")
        return HealResult(whole=not key.startswith(b"missed"), changed=1)


def repairing(*drives):
    healer = KeyHealer()
    sets = [DriveSet(index, (drive,)) for index, drive in enumerate(drives)]
    return healer, Repairer(Pools([Pool(sets, {"STANDARD": 0})]), healer)


def test_a_long_queue_is_emptied_a_few_keys_at_a_time():
    drive = QueueDrive([b"key-%d" % number for number in range(3 * ITEMS_PER_ROUND + 5)])
    healer, repairer = repairing(drive)

    async def main():
        rounds = 0
        while await repairer.round():
            rounds += 1
        return rounds

    assert asyncio.run(main()) == 3
    assert drive.items == []
    assert len(healer.asked) == len(set(healer.asked)) == 3 * ITEMS_PER_ROUND + 5
    assert healer.most_at_once == repair.REPAIRS_AT_ONCE


@pytest.mark.parametrize("wrong", [b"lost", b"drive", b"missed"])
def test_keys_that_cannot_be_healed_do_not_stand_in_the_way(caplog, wrong):
    stuck = [wrong + b"-%d" % number for number in range(2 * ITEMS_PER_ROUND + 3)]
    drive = QueueDrive([*stuck, b"key"])
    healer, repairer = repairing(drive)

    async def main():
        for _ in range(3):
            await repairer.round()
        assert [item.key for item in drive.items] == stuck
        healer.asked.clear()
        for _ in range(3):  # and are tried again, each in its turn
            await repairer.round()
        assert healer.asked == stuck

    asyncio.run(main())
    assert ("cannot repair" in caplog.text) == (wrong != b"missed")


def test_a_round_over_stuck_keys_ends():
    _, repairer = repairing(QueueDrive([b"lost-%d" % number for number in range(2 * ITEMS_PER_ROUND)]))

    async def main():
        assert not await repairer.round()
        assert not await repairer.round()

    asyncio.run(main())


@pytest.mark.parametrize("call", ["repairs", "repaired"])
def test_a_drive_that_goes_away_does_not_keep_the_others(call):
    gone, well = QueueDrive([b"a"], "gone"), QueueDrive([b"b"], "well")
    gone.fails = (call,)
    _, repairer = repairing(gone, well)
    asyncio.run(repairer.round())
    assert [item.key for item in gone.items] == [b"a"]
    assert well.items == []


def test_an_empty_queue_costs_no_healing():
    healer, repairer = repairing(QueueDrive([]))
    assert not asyncio.run(repairer.round())
    assert healer.asked == []


def test_a_drives_queue_is_read_from_where_one_left_off(roots):
    async def scenario(room):
        drive = room.drives[0]
        for key in (b"a", b"b", b"c", b"b"):
            drive.queue_repair(b"bucket", key)
        await eventually(lambda: has_queue(room))
        first = await drive.repairs(0, 2)
        rest = await drive.repairs(first[-1].sequence, 2)
        assert [item.key for item in first + rest] == [b"a", b"b", b"c"]
        await drive.repaired([first[1].sequence])
        assert [item.key for item in await drive.repairs(0, 9)] == [b"a", b"c"]

    run(roots, scenario)
