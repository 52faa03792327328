"""Contenders for one key take turns; nobody waits for ever, and nothing is left behind."""

import asyncio

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
