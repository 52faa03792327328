"""Background work makes room for clients: how long it rests, and while whom."""

import asyncio

import pytest

from rustfs.services import throttle
from rustfs.services.throttle import BUSY_SECONDS, REST_SECONDS_MAX, Throttle, rest_seconds


class HandClock:
    """Time passes when it is told to."""

    def __init__(self):
        self.seconds = 1000.0

    def monotonic_seconds(self):
        return self.seconds


@pytest.fixture
def rests(monkeypatch):
    rested = []

    async def sleep(seconds):
        rested.append(seconds)

    monkeypatch.setattr(throttle.asyncio, "sleep", sleep)
    return rested


@pytest.mark.parametrize(
    ("worked", "share", "expected"), [(1.0, 50, 1.0), (1.0, 100, 0.0), (0.1, 10, 0.9), (60.0, 10, REST_SECONDS_MAX)]
)
def test_work_takes_its_share_of_the_time(worked, share, expected):
    assert rest_seconds(worked, share) == pytest.approx(expected)


def test_it_rests_while_there_are_requests_and_a_moment_longer(rests):
    clock, requests = HandClock(), 0
    making_room = Throttle(clock, lambda: requests)

    async def work(seconds, share=None):
        async with making_room.turn(share):
            clock.seconds += seconds

    asyncio.run(work(1.0))
    assert rests == []
    requests = 1
    asyncio.run(work(1.0))
    asyncio.run(work(0.1, 10))
    assert rests == pytest.approx([1.0, 0.9])
    requests = 0  # between two requests
    asyncio.run(work(BUSY_SECONDS / 2, 50))
    assert rests[2:] == pytest.approx([BUSY_SECONDS / 2])
    clock.seconds += BUSY_SECONDS
    asyncio.run(work(1.0))
    assert len(rests) == 3
