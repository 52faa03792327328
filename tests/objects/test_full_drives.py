"""507 is said where room is what is missing; where drives are missing it is 503, and trying again may help."""

import asyncio
import random

import pytest

from rustfs.core.drivetypes import NO_MARK, AcceptAnswer, Refusal
from rustfs.core.errors import DriveFull, DriveOffline, PreconditionFailed, QuorumLost, StorageFull
from rustfs.core.system import SystemClock
from rustfs.objects.decide import version_flags
from rustfs.objects.fanout import Fanout
from rustfs.objects.rounds import Tally
from rustfs.objects.types import PutSpec, WriteCondition
from tests.objects.doubles import FarDrive
from tests.objects.harness import BytesBody, open_room

SMALL, LARGE = b"data", random.Random(3).randbytes(3 << 20)
ACCEPTED = AcceptAnswer(Refusal.NONE, b"", superseded=False, mark=NO_MARK)
REFUSED = AcceptAnswer(Refusal.PROMISED, b"", superseded=False, mark=NO_MARK)
FULL, AWAY = DriveFull("full"), DriveOffline("away")


@pytest.mark.parametrize(
    ("outcomes", "room_is_missing", "certain"),
    [
        ([FULL, FULL, FULL, FULL], True, True),
        ([FULL, FULL, FULL, AWAY], True, False),  # the one that is away may have taken it
        ([FULL, FULL, FULL], True, True),  # the fourth was not asked
        ([FULL, FULL], False, True),
        ([FULL, FULL, AWAY, AWAY], False, False),
        ([FULL, AWAY, AWAY, AWAY], False, False),
        ([ACCEPTED, ACCEPTED, FULL, AWAY], True, False),
        ([ACCEPTED, FULL, AWAY, AWAY], False, False),
        ([REFUSED, FULL, FULL, FULL], False, False),
        ([AWAY, AWAY, AWAY, AWAY], False, False),
    ],
)
def test_when_room_is_what_is_missing(outcomes, room_is_missing, certain):
    async def tally():
        calls = []
        for position, outcome in enumerate(outcomes):
            future = asyncio.get_running_loop().create_future()
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
            calls.append((position, future))
        found = Tally(version_flags(4, 2), Fanout(calls, SystemClock()))
        await found.fan.wait(lambda: False, 1.0)
        return found

    found = asyncio.run(tally())
    assert found.for_want_of_room() is room_is_missing
    assert found.nothing_written() is certain


class SmallDrive(FarDrive):
    """A drive that may be full, or away, without the others noticing before they ask."""

    full = away = False
    noticed = True

    @property
    def online(self):
        return self.drive.online and not (self.away and self.noticed)

    def has_room(self, size_bytes):
        return not (self.full and self.noticed) and self.drive.has_room(size_bytes)

    def accept(self, offer):
        return self._failed() or self.drive.accept(offer)

    async def stage(self, data_id, size_bytes):
        failed = self._failed()
        if failed is not None:
            await failed
        return await self.drive.stage(data_id, size_bytes)

    def _failed(self):
        if not self.full and not self.away:
            return None
        future = asyncio.get_running_loop().create_future()
        future.set_exception(DriveOffline("away") if self.away else DriveFull("full"))
        return future


def run(tmp_path, scenario):
    async def main():
        roots = [str(tmp_path / f"drive{number}") for number in range(4)]
        async with open_room(roots, face=lambda drive: SmallDrive(drive, near=True)) as room:
            await room.store.create_bucket("bucket", "", "owner")
            await scenario(room)

    asyncio.run(main())


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize(
    ("data", "condition"),
    [(SMALL, None), (LARGE, None), (SMALL, WriteCondition(if_none_match=("*",)))],
    ids=["small", "large", "conditional"],
)
@pytest.mark.parametrize(
    ("full", "away", "error"),
    [
        ((0, 1), (), StorageFull),
        ((0, 1, 2), (3,), StorageFull),
        ((0, 1), (2, 3), QuorumLost),
        ((0,), (1, 2), QuorumLost),
    ],
)
def test_what_a_put_says(tmp_path, noticed, data, condition, full, away, error):
    async def scenario(room):
        for number, drive in enumerate(room.drives):
            drive.full, drive.away, drive.noticed = number in full, number in away, noticed
        async with asyncio.timeout(15):
            with pytest.raises(error):
                await room.store.put_object("bucket", "key", BytesBody(data), PutSpec(condition=condition))
        for drive in room.drives:
            drive.full = drive.away = False
        try:
            await room.store.put_object("bucket", "key", BytesBody(data), PutSpec(condition=condition))
        except PreconditionFailed:
            assert error is QuorumLost  # its outcome was unknown

    run(tmp_path, scenario)
