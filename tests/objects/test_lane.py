"""Jobs in a lane: in order, one at a time, nothing after a failure, and no lane keeps a thread from others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rustfs.objects.lane import BURST, Lane


def run(scenario, threads=2):
    async def main():
        with ThreadPoolExecutor(threads) as executor:
            await asyncio.wait_for(scenario(executor), 30)

    asyncio.run(main())


def test_jobs_run_in_order_and_one_at_a_time():
    async def scenario(executor):
        lane, seen, busy = Lane(executor), [], threading.Lock()

        def job(number):
            assert busy.acquire(blocking=False)
            seen.append(number)
            busy.release()

        for start in range(0, 300, 3):  # some while it runs, some when it has come to rest
            await asyncio.gather(*(lane.add(lambda number=number: job(number)) for number in range(start, start + 3)))
        assert seen == list(range(300))

    run(scenario, threads=4)


def test_after_a_failure_nothing_runs_and_everybody_is_told():
    async def scenario(executor):
        lane, ran = Lane(executor), []

        def bad():
            raise OSError("broken")

        ends = [lane.add(lambda: ran.append(1)), lane.add(bad), lane.add(lambda: ran.append(2))]
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        assert outcomes[0] is None
        assert [str(each) for each in outcomes[1:]] == ["broken", "broken"]
        with pytest.raises(OSError, match="broken"):
            await lane.add(lambda: ran.append(3))
        assert ran == [1]

    run(scenario)


def test_whoever_stops_waiting_breaks_nothing():
    async def scenario(executor):
        lane, go, seen = Lane(executor), threading.Event(), []
        first, second = lane.add(lambda: go.wait(20)), lane.add(lambda: seen.append(2))
        first.cancel()
        second.cancel()
        third = lane.add(lambda: seen.append(3))
        go.set()
        await third
        assert seen == [2, 3]

    run(scenario)


def test_two_lanes_share_one_thread():
    async def scenario(executor):
        order, go = [], threading.Event()
        executor.submit(go.wait, 20)
        one, two = Lane(executor), Lane(executor)
        ends = [one.add(lambda: order.append("one")) for _ in range(4 * BURST)]
        ends += [two.add(lambda: order.append("two")) for _ in range(BURST)]
        go.set()
        await asyncio.gather(*ends)
        assert order[: 2 * BURST] == ["one"] * BURST + ["two"] * BURST

    run(scenario, threads=1)
