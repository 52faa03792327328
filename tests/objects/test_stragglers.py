"""How long an upload waits for drives that are late with their shard."""

import asyncio
import time

import pytest

from rustfs.core.errors import DriveOffline
from rustfs.objects.stragglers import SPENT_SECONDS_MAX, STRAGGLER_SECONDS_MIN, most, outcome, straggler_seconds


@pytest.mark.parametrize(
    ("took", "spent", "wait"),
    [
        (0.001, 0.01, STRAGGLER_SECONDS_MIN),
        (0.1, 0.2, 0.3),
        (0.1, 2.0, 2.0),  # a large object: writing its shard anew would cost more than that
        (5.0, 0.0, 1.0),
        (0.1, 600.0, SPENT_SECONDS_MAX),
    ],
)
def test_the_wait_grows_with_what_the_others_took_and_with_the_upload(took, spent, wait):
    assert straggler_seconds(took, spent) == pytest.approx(wait)


def test_those_that_are_late_are_left_out_and_those_that_fail_are_told_apart():
    async def main():
        never = asyncio.get_running_loop().create_future()

        async def good():
            return 1

        async def bad():
            raise DriveOffline("gone")

        async def late():
            await never

        tasks = {number: asyncio.ensure_future(work()) for number, work in enumerate((good, good, bad, late))}
        began = time.monotonic()
        await most(tasks, 2, 60.0, 0.2)
        assert 0.15 < time.monotonic() - began < 30
        found = [outcome(task) for task in tasks.values()]
        assert found[:2] == [None, None]
        assert [str(each) for each in found[2:]] == ["gone", "the drive was too slow to wait for"]
        assert not tasks[3].done(), "whoever left it out decides what becomes of it"
        tasks[3].cancel()

    asyncio.run(main())


def test_without_enough_good_ones_all_are_waited_for():
    async def main():
        async def slow():
            await asyncio.sleep(0.3)

        tasks = {number: asyncio.ensure_future(slow()) for number in range(3)}
        await most(tasks, 3, 60.0)
        assert all(task.done() for task in tasks.values())

    asyncio.run(main())
