"""A client over several tables, some of which lose messages, are down, or restart. Virtual time."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from rustfs.core.errors import LockTimeout
from rustfs.mesh.locks import rules
from rustfs.mesh.locks.client import LockClient
from rustfs.mesh.locks.cluster import SetLocks
from tests.mesh.locks.virtual import SeededEntropy, client_of, nodes, run

LEASE = rules.LEASE_SECONDS_MAX


def entries(peers):
    return [[(info.owner.purpose, info.waiting) for info in node.table.list((b"", b""), 100)] for node in peers]


def take(client, seconds=5.0, **options):
    return client.held(b"key", timeout_seconds=seconds, **{"purpose": "test", **options})


def test_a_free_lock_costs_one_round_and_leaves_nothing():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client:
            began = loop.time()
            async with take(client) as held:
                assert loop.time() - began < 0.01
                assert held.alive
                await asyncio.sleep(0.1)
                assert entries(peers) == [[("test", False)]] * 3
            await asyncio.sleep(0.1)
        assert [node.calls for node in peers] == [["acquire", "release"]] * 3
        assert entries(peers) == [[]] * 3

    run(scenario)


def test_a_minority_that_is_down_is_not_missed_and_a_majority_is():
    async def scenario(loop):
        peers = nodes(loop, 4)
        async with client_of(loop, peers) as client:
            peers[0].up = False
            async with take(client) as held:
                assert held.alive
            peers[1].up = False
            began = loop.time()
            with pytest.raises(LockTimeout, match=r"no lock on key in 5 s: 2 of 4 lock tables did not answer"):
                async with take(client):
                    pass
            assert 5.0 <= loop.time() - began < 5.1
            await asyncio.sleep(0.1)
            assert entries(peers[2:]) == [[], []], "what was got in vain is given back"

    run(scenario)


def test_tables_that_never_answer_cannot_hold_a_contender_beyond_its_deadline():
    async def scenario(loop):
        peers = nodes(loop, 3, faults=list)
        async with client_of(loop, peers) as client:
            began = loop.time()
            with pytest.raises(LockTimeout, match="3 of 3 lock tables did not answer"):
                async with take(client, 2.5):
                    pass
            assert 2.5 <= loop.time() - began < 2.6
        assert loop.time() - began < 10.0, "releases end, too"

    run(scenario)


def test_the_timeout_names_who_holds_the_lock():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other:
            async with take(other, purpose="heal of key"):
                with pytest.raises(LockTimeout, match=r"held by node2 \(heal of key\)"):
                    async with take(client, 1.0):
                        pass
            async with take(client, 1.0):
                pass

    run(scenario)


def test_contenders_are_served_one_at_a_time_and_soon():
    async def scenario(loop):
        peers = nodes(loop, 4)
        inside, served = 0, 0
        began = loop.time()

        async def contend(client):
            nonlocal inside, served
            async with take(client, 30.0):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0.01)
                inside -= 1
                served += 1

        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(loop, peers, f"node{n % 4}", n)) for n in range(12)]
            await asyncio.gather(*map(contend, clients))
        assert served == 12
        assert loop.time() - began < 12.0

    run(scenario)


def test_an_exclusive_waiter_is_served_between_shared_holders_that_overlap_for_ever():
    async def scenario(loop):
        peers = nodes(loop, 3)
        stop = asyncio.Event()

        async def reader(client, offset):
            await asyncio.sleep(offset)
            while not stop.is_set():
                async with take(client, 60.0, shared=True):
                    await asyncio.sleep(0.5)

        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as writer:
            readers = [asyncio.create_task(reader(client, offset)) for offset in (0.0, 0.1, 0.2, 0.3, 0.4)]
            await asyncio.sleep(2.0)
            began = loop.time()
            async with take(writer, 30.0):
                assert loop.time() - began < 3.0
            stop.set()
            await asyncio.gather(*readers)

    run(scenario)


def test_a_lock_is_kept_for_as_long_as_it_is_wanted():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other:
            async with take(client) as held:
                for _ in range(10):
                    await asyncio.sleep(LEASE)
                    assert held.alive
                with pytest.raises(LockTimeout):
                    async with take(other, 1.0):
                        pass
            async with take(other, 1.0):
                pass

    run(scenario)


def test_a_rolling_restart_of_the_tables_does_not_lose_a_lock():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other:
            async with take(client) as held:
                for node in peers:
                    node.up = False
                    await asyncio.sleep(3 * LEASE)
                    node.up = True
                    node.restart()
                    with pytest.raises(LockTimeout):
                        async with take(other, 1.0):
                            pass
                    await asyncio.sleep(3 * LEASE)
                    assert held.alive
            assert not held.lost.is_set()

    run(scenario)


def test_a_restarted_table_does_not_give_away_what_it_forgot():
    async def scenario(loop):
        peers = nodes(loop, 3)
        peers[2].up = False
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other, take(client):
            peers[2].up = True
            peers[0].restart()
            with pytest.raises(LockTimeout):
                async with take(other, 1.0):
                    pass

    run(scenario)


def test_a_cluster_that_has_just_started_locks_at_once_with_all_tables_and_soon_without():
    async def scenario(loop):
        peers = nodes(loop, 3, young=True)
        async with client_of(loop, peers) as client:
            began = loop.time()
            async with take(client):
                assert loop.time() - began < 0.1
            peers[0].up = False
            with pytest.raises(LockTimeout, match="others contend for it"):
                async with take(client, 1.0):
                    pass
            async with take(client, LEASE + 1.0):
                assert loop.time() - began < LEASE + 1.0

    run(scenario)


def test_a_holder_that_loses_its_majority_is_told_before_the_tables_give_the_lock_away():
    async def scenario(loop):
        peers = nodes(loop, 3)
        told = []
        async with client_of(loop, peers) as client:
            async with take(client, on_lost=lambda: told.append(loop.time())) as held:
                await asyncio.sleep(0.5)
                expires = loop.time() + min(
                    info.expires_in_seconds for node in peers for info in node.table.list((b"", b""), 9)
                )
                for node in peers[:2]:
                    node.up = False
                await asyncio.wait_for(held.lost.wait(), 2 * LEASE)
                assert not held.alive
                assert loop.time() < expires
                await asyncio.sleep(LEASE)
            assert len(told) == 1

    run(scenario)


def test_a_forced_release_reaches_the_holder_and_frees_the_lock_for_good():
    async def scenario(loop):
        peers = nodes(loop, 3, young=True)
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other:
            async with take(client) as held:
                assert [node.table.force_release(b"key", None) for node in peers] == [1, 1, 1]
                async with take(other, 1.0) as theirs:
                    await asyncio.wait_for(held.lost.wait(), LEASE)
                    await asyncio.sleep(3 * LEASE)
                    assert theirs.alive
            async with take(client, 1.0):
                pass

    run(scenario)


def test_a_holder_that_stood_still_knows_without_having_run():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client, take(client) as held:
            loop.stand_still(LEASE + 1.0)
            assert not held.alive

    run(scenario)


def test_cancelled_contenders_and_holders_leave_nothing_behind():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client:

            async def hold():
                async with take(client):
                    await asyncio.sleep(60)

            tasks = [asyncio.create_task(hold()) for _ in range(5)]
            await asyncio.sleep(1.0)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
            )
            await asyncio.sleep(1.0)
            assert entries(peers) == [[]] * 3
            async with take(client, 0.5):
                pass

    run(scenario)


def test_lost_answers_cost_a_lease_at_most():
    async def scenario(loop):
        lossy = [True]

        def faults():
            return [0.001] if not lossy[0] or entropy.uniform(0, 1) < 0.5 else []

        entropy = SeededEntropy(7)
        peers = nodes(loop, 3, faults)
        async with client_of(loop, peers) as client:
            for _ in range(20):
                try:
                    async with take(client, 1.0):
                        await asyncio.sleep(0.2)
                except LockTimeout:
                    pass
            lossy[0] = False
            began = loop.time()
            async with take(client, LEASE + 1.0):
                assert loop.time() - began <= LEASE + 1.0

    run(scenario)


def test_a_set_s_lease_is_waited_for_but_not_insisted_upon():
    async def scenario(loop):
        peers = nodes(loop, 3)
        async with client_of(loop, peers) as client, client_of(loop, peers, "node2", 2) as other:
            mine, theirs = SetLocks([client]), SetLocks([other])
            async with mine.held(0, b"bucket/key", 1.0):
                began = loop.time()
                async with theirs.held(0, b"bucket/key", 1.0):
                    assert loop.time() - began >= 1.0
                async with theirs.held(0, b"bucket/other", 1.0):
                    assert loop.time() - began < 1.5
            with pytest.raises(LockTimeout, match="from within"):
                async with mine.held(0, b"bucket/key", 1.0):
                    raise LockTimeout("from within")
            await asyncio.sleep(0.1)
            assert entries(peers) == [[]] * 3

    run(scenario)


@pytest.mark.parametrize(("peers", "lease"), [(0, LEASE), (3, 0.0), (3, LEASE + 1)])
def test_a_client_needs_tables_and_a_sane_lease(peers, lease):
    async def scenario(loop):
        with pytest.raises(ValueError, match="locks need"):
            LockClient(nodes(loop, peers), "node1", loop, SeededEntropy(), lease)

    run(scenario)
