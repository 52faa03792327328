"""Contenders for one key take turns; nobody waits for ever, and nothing is left behind."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from rustfs.core.system import SystemEntropy
from rustfs.objects import turns
from rustfs.objects.turns import Turns


class Neighbour:
    """The lock table of a node on which another process holds some keys."""

    def __init__(self):
        self.held = set()

    def try_lock(self, key):
        if key in self.held:
            return False
        self.held.add(key)
        return True

    def unlock(self, key):
        self.held.remove(key)


def table(node=None):
    return Turns(SystemEntropy(), node)


def test_contenders_for_a_key_go_one_after_the_other_in_the_order_they_came():
    async def scenario():
        mine, order, inside = table(), [], 0

        async def contender(number):
            nonlocal inside
            async with mine.of(b"key"):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                order.append(number)
                inside -= 1

        await asyncio.gather(*(contender(number) for number in range(20)))
        assert order == list(range(20))
        assert not mine._queues

    asyncio.run(scenario())


def test_other_keys_are_not_in_the_way():
    async def scenario():
        mine = table()
        async with mine.of(b"one"), mine.of(b"two"):
            assert len(mine._queues) == 2

    asyncio.run(scenario())


def test_who_waited_long_enough_goes_ahead(monkeypatch):
    monkeypatch.setattr(turns, "TURN_TIMEOUT_SECONDS", 0.01)

    async def scenario():
        mine = table()
        async with mine.of(b"key"):
            async with mine.of(b"key"):
                pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005), mine.of(b"key"):
                    pass
        async with mine.of(b"key"):
            assert len(mine._queues) == 1
        assert not mine._queues

    asyncio.run(scenario())


def test_another_process_s_turn_is_waited_for():
    async def scenario():
        node, order = Neighbour(), []
        node.held.add(b"key")
        mine = table(node)

        async def contender():
            async with mine.of(b"key"):
                order.append("contender")

        task = asyncio.create_task(contender())
        async with mine.of(b"other"):
            await asyncio.sleep(0.02)
        order.append("neighbour")
        node.unlock(b"key")
        await task
        assert order == ["neighbour", "contender"]
        assert not node.held

    asyncio.run(scenario())


def test_a_neighbour_s_lock_is_not_given_back_by_who_went_ahead_without_it(monkeypatch):
    monkeypatch.setattr(turns, "TURN_TIMEOUT_SECONDS", 0.01)

    async def scenario():
        node = Neighbour()
        node.held.add(b"key")
        async with table(node).of(b"key"):
            pass
        assert node.held == {b"key"}

    asyncio.run(scenario())


class Leases:
    """The cluster's locks: who asked, and whether the lease is out."""

    def __init__(self):
        self.asked = []
        self.out = 0

    @asynccontextmanager
    async def held(self, set_index, key, timeout_seconds):
        self.asked.append((set_index, key))
        self.out += 1
        try:
            yield
        finally:
            self.out -= 1


def test_a_swap_that_nobody_disturbs_pays_for_no_lease():
    async def scenario():
        leases = Leases()
        mine = Turns(SystemEntropy(), None, leases)
        for _ in range(3):
            async with mine.of(b"key", 5) as turn:
                await turn.next_try(clashed=False)
        assert leases.asked == []

    asyncio.run(scenario())


def test_a_swap_that_clashed_takes_the_lease_once_and_gives_it_back_with_its_turn():
    async def scenario():
        leases = Leases()
        mine = Turns(SystemEntropy(), None, leases)

        async def swap():
            async with mine.of(b"key", 5) as turn:
                await turn.next_try(clashed=False)
                await turn.next_try(clashed=True)
                await turn.next_try(clashed=True)
                assert leases.out == 1
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await swap()
        assert leases.asked == [(5, b"key")]
        assert leases.out == 0

    asyncio.run(scenario())


def test_who_queues_behind_a_clash_begins_with_the_lease_for_a_while():
    async def scenario():
        leases = Leases()
        mine = Turns(SystemEntropy(), None, leases)
        with_lease = 0

        async def contender(*, clashes):
            nonlocal with_lease
            async with mine.of(b"key", 5) as turn:
                await turn.next_try(clashed=clashes)
                with_lease += leases.out
                await asyncio.sleep(0)

        await asyncio.gather(contender(clashes=True), *(contender(clashes=False) for _ in range(20)))
        assert with_lease == 1 + turns.LEASED_TURNS
        async with mine.of(b"key", 5):
            assert leases.out == 0, "once nobody queues it is forgotten"

    asyncio.run(scenario())
