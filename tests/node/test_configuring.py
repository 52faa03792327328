"""The cluster's configuration in the workers of one node: who learns of it how, also while no quorum can be asked."""

import asyncio
import contextlib
import itertools
import os
import threading

import pytest

from rustfs.admin.face import BadParameter
from rustfs.core.configuration import Configuration
from rustfs.core.errors import QuorumLost
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.node import configuring
from rustfs.node.configfiles import ConfigurationFiles, message_of
from rustfs.node.configuring import Configuring
from rustfs.objects.configuration import UNSET, Stored

DEFAULTS = {"compression": "auto", "heal-share": "50", "log-level": "info"}


def version(number, **values):
    """A version; the higher its number, the higher its stamp."""
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return Stored(number.to_bytes(20), Configuration(number, named, (number.to_bytes(16),)))


class Store:
    """rustfs.objects.configuration.ConfigurationStore over what the test says."""

    def __init__(self, chosen=None, seen=UNSET):
        self.chosen = chosen  # None: no quorum
        self.on_drives = seen
        self.faults = []  # of the next reads

    async def read(self):
        if self.faults:
            raise self.faults.pop()
        if self.chosen is None:
            raise QuorumLost("too few drives")
        return self.chosen

    async def seen(self):
        return self.on_drives

    async def change(self, name, value):
        made = self.chosen.configuration.with_change(name, value, os.urandom(16))
        self.chosen = Stored(made.version.to_bytes(20), made)
        return self.chosen


class Worker:
    """A worker of a node, as far as settings go."""

    def __init__(self, directory, store):
        self.values = None
        self.put = []  # every share of healing that was put in force
        self.files = ConfigurationFiles(str(directory))
        self.configuring = Configuring(
            "node", store, DEFAULTS, self.take, {}, self.files, SystemClock(), SystemEntropy()
        )  # fmt: skip

    def take(self, values):
        self.values = values
        self.put.append(values["heal-share"])

    def die(self):
        """As the kernel ends a process: its files are closed, and nothing else is done."""
        os.close(self.files._own)

    @contextlib.asynccontextmanager
    async def running(self):
        await self.configuring.begin()
        task = asyncio.create_task(self.configuring.run())
        try:
            yield self
            assert not task.done(), "it learns no more"
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def until(check):
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(configuring, "READ_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(configuring, "LOOK_SECONDS", 0.02)


def test_a_change_is_in_force_in_all_workers_when_it_is_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(configuring, "READ_SECONDS", (100, 100))  # only the files between workers

    async def main():
        store = Store(version(1))
        first, second = Worker(tmp_path, store), Worker(tmp_path, store)
        async with first.running() as one, second.running() as two:
            answer = await one.configuring.set({"name": "heal-share", "value": "7"})
            assert answer == {"version": 2, "name": "heal-share", "value": "7", "nodes_unconfirmed": {}}
            assert one.values["heal-share"] == two.values["heal-share"] == "7"
            assert await two.configuring.of_node() == {"version": 2, "workers": 2, "workers_behind": 0}
            answer = await two.configuring.unset({"name": "heal-share"})
            assert answer["value"] == "50" == one.values["heal-share"]

    asyncio.run(main())


def test_a_worker_that_does_not_follow_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(configuring, "CONFIRM_SECONDS", 0.2)

    async def main():
        store = Store(version(1))
        stuck = Worker(tmp_path, store)
        await stuck.configuring.begin()
        async with Worker(tmp_path, store).running() as one:
            answer = await one.configuring.set({"name": "compression", "value": "off"})
            assert answer["nodes_unconfirmed"] == {"node": "1 of its 2 workers are late"}

    asyncio.run(main())


def test_versions_that_come_at_the_same_moment_leave_the_newest_one_confirmed(tmp_path):
    """Each is confirmed in a thread of its own: neither may undo another, or fail because of it."""

    async def main():
        numbers = itertools.count(1)
        async with Worker(tmp_path, Store()).running() as one:
            for _ in range(100):
                told = [version(next(numbers)) for _ in range(3)]
                answers = await asyncio.gather(*(one.configuring.changed(message_of(each)) for each in told))
                assert [each.unconfirmed for each in answers] == [0, 0, 0]
                newest = told[-1].configuration.version
                assert await one.configuring.of_node() == {"version": newest, "workers": 1, "workers_behind": 0}

    asyncio.run(main())


def test_a_version_whose_confirmation_is_late_does_not_undo_a_newer_one(tmp_path, monkeypatch):
    """Confirmations are written by threads, which the system may hold up as long as it likes."""

    async def main():
        begun, go_on = threading.Event(), threading.Event()
        async with Worker(tmp_path, Store()).running() as one:
            confirm = one.files.confirm

            def late(stamp):
                if stamp == version(1).stamp:
                    begun.set()
                    assert go_on.wait(30)
                confirm(stamp)

            monkeypatch.setattr(one.files, "confirm", late)
            first = asyncio.create_task(one.configuring.changed(message_of(version(1))))
            await until(begun.is_set)
            second = asyncio.create_task(one.configuring.changed(message_of(version(2))))
            await asyncio.wait((second,), timeout=0.5)  # a newer one must not get past
            go_on.set()
            assert [each.unconfirmed for each in await asyncio.gather(first, second)] == [0, 0]
            assert await one.configuring.of_node() == {"version": 2, "workers": 1, "workers_behind": 0}

    asyncio.run(main())


def test_learning_goes_on_after_an_unforeseen_failure(tmp_path):
    async def main():
        store = Store(version(1))
        store.faults = [OSError("no room"), RuntimeError("a mistake")]
        async with Worker(tmp_path, store).running() as one:
            await until(lambda: one.configuring.version == 1)
            assert not store.faults

    asyncio.run(main())


def test_dead_workers_do_not_count(tmp_path):
    async def main():
        dead = Worker(tmp_path, Store(version(1)))
        await dead.configuring.begin()
        dead.die()
        async with Worker(tmp_path, Store(version(1))).running() as one:
            answer = await one.configuring.changed(message_of(version(2)))
            assert (answer.workers, answer.unconfirmed) == (1, 0)

    asyncio.run(main())


def test_a_worker_that_replaces_a_dead_one_goes_by_what_its_node_knows_without_any_quorum(tmp_path):
    async def main():
        store = Store(version(3, heal_share="9"))
        async with Worker(tmp_path, store).running() as one:
            await until(lambda: one.configuring.version == 3)
            store.chosen = None
            successor = Worker(tmp_path, store)
            await successor.configuring.begin()
            assert successor.configuring.version == 3
            assert successor.values["heal-share"] == "9"
            assert await one.configuring.of_node() == {"version": 3, "workers": 2, "workers_behind": 0}

    asyncio.run(main())


def test_a_node_that_starts_without_a_quorum_goes_by_its_drives_until_one_answers(tmp_path):
    async def main():
        store = Store(None, seen=version(5, heal_share="9"))
        async with Worker(tmp_path, store).running() as one:
            assert one.values["heal-share"] == "9"
            store.chosen = version(4, heal_share="8")  # the one on the drives turns out not to be chosen
            await until(lambda: one.configuring.version == 4)
            assert one.values["heal-share"] == "8"
            store.chosen = version(6)
            await until(lambda: one.configuring.version == 6)
            assert one.values == DEFAULTS

    asyncio.run(main())


def test_without_a_quorum_what_comes_in_sight_later_counts_too(tmp_path):
    """A drive was late, or a peer that knows more comes into reach, and still there is no quorum."""

    async def main():
        store = Store(None, seen=UNSET)
        async with Worker(tmp_path, store).running() as one:
            assert one.values is None
            assert one.configuring.version == 0
            for number in (2, 3):
                store.on_drives = version(number, heal_share=str(number))
                await until(lambda number=number: one.configuring.version == number)
                assert one.values["heal-share"] == str(number)

    asyncio.run(main())


def test_a_newer_version_in_sight_outlives_an_older_one_of_the_node_until_a_quorum_answers(tmp_path):
    async def main():
        async with Worker(tmp_path, Store()).running() as told:
            await told.configuring.changed(message_of(version(3, heal_share="3")))
        told.die()
        store = Store(None, seen=version(4, heal_share="4"))
        async with Worker(tmp_path, store).running() as one:
            await until(lambda: one.configuring.version == 4)
            answer = await one.configuring.changed(message_of(version(2, heal_share="2")))  # a late messenger
            assert answer.unconfirmed == 0
            assert one.values["heal-share"] == "4"
            assert one.put == ["3", "4"], "once each, never to and fro"
            store.chosen = version(3, heal_share="3")
            await until(lambda: one.configuring.version == 3)
            assert one.values["heal-share"] == "3"

    asyncio.run(main())


def test_what_is_older_than_what_is_in_force_has_no_effect(tmp_path):
    async def main():
        async with Worker(tmp_path, Store(version(5, heal_share="9"))).running() as one:
            await until(lambda: one.configuring.version == 5)
            answer = await one.configuring.changed(message_of(version(4, heal_share="1")))
            assert (answer.workers, answer.unconfirmed) == (1, 0)
            assert one.values["heal-share"] == "9"
            fresh = Worker(tmp_path, Store(None))
            await fresh.configuring.begin()
            assert fresh.values["heal-share"] == "9"

    asyncio.run(main())


def test_nonsense_is_refused_in_words(tmp_path):
    async def main():
        one = Worker(tmp_path, Store(version(1))).configuring
        for ask, query in (
            (one.set, {"name": "compression"}), (one.set, {}), (one.unset, {"name": "compression", "value": "off"}),
            (one.set, {"name": "compression", "value": "on"}), (one.unset, {"name": "nothing"}),
        ):  # fmt: skip
            with pytest.raises(BadParameter):
                await ask(query)
        with pytest.raises(ValueError, match="no configuration"):
            await one.changed(pb.ConfigurationChangedRequest(stamp=b"1", record=b"\xff"))

    asyncio.run(main())
