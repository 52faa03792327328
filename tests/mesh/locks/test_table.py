"""The table that a node's workers share: real processes on one file."""

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from rustfs.core.errors import LockUnavailable
from rustfs.core.system import SystemClock
from rustfs.mesh.locks import peers, rules
from rustfs.mesh.locks import table as tables
from rustfs.mesh.locks.peers import LocalLocks
from rustfs.mesh.locks.rules import Claim, Owner, Release, Verdict
from rustfs.mesh.locks.table import LockTable

GRANTED = rules.GRANTS

WORKER = """
import sys
from rustfs.core.system import SystemClock
from rustfs.mesh.locks.rules import GRANTS, Claim, Owner, Release
from rustfs.mesh.locks.table import LockTable
table = LockTable(sys.argv[1], SystemClock())
owner = Owner(sys.argv[2].encode().ljust(16), "node1", "worker")
print("open", flush=True)
for line in sys.stdin:
    command, resource = line.split()
    if command == "acquire":
        answer = table.acquire(Claim(resource.encode(), owner, False, 1, 5.0, None))
        print(answer.verdict in GRANTS, flush=True)
    elif command == "count":  # as many times as it can be had, see whether it is ours alone
        for number in range(200):
            mine = Owner(number.to_bytes(8, "big") + sys.argv[2].encode().ljust(8), "node1", "worker")
            claim = Claim(resource.encode(), mine, False, 1, 5.0, None)
            while table.acquire(claim).verdict not in GRANTS:
                pass
            with open(sys.argv[1] + ".count") as file:
                count = int(file.read())
            with open(sys.argv[1] + ".count", "w") as file:
                file.write(str(count + 1))
            table.release(Release(resource.encode(), mine, False, 1, None))
        print("done", flush=True)
"""


class Worker:
    def __init__(self, path, name):
        command = [sys.executable, "-c", WORKER, path, name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def opened(self):
        assert self.process.stdout.readline() == "open\n"
        return self

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.send(line)
        return self.process.stdout.readline().strip()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "locks.db")


@pytest.fixture
def workers(path):
    started = [Worker(path, name) for name in ("one", "two", "three")]  # opening at once is part of the test
    yield [worker.opened() for worker in started]
    for worker in started:
        worker.process.kill()
        worker.process.communicate(timeout=10)


def claim(who, resource=b"key", round_=1, lease=5.0):
    return Claim(resource, Owner(who.encode().ljust(16), "node1", who), False, round_, lease, None)


def giving_back(wanted):
    return Release(wanted.resource, wanted.owner, wanted.shared, wanted.round, None)


def test_workers_see_one_another_s_locks_also_of_one_that_was_killed(path, workers):
    one, two, _ = workers
    assert one.ask("acquire key") == "True"
    assert two.ask("acquire key") == "False"
    assert two.ask("acquire other") == "True"
    one.process.send_signal(signal.SIGKILL)
    one.process.wait(timeout=10)
    assert two.ask("acquire key") == "False", "its lease runs on"
    mine = LockTable(path, SystemClock())
    assert [info.resource for info in mine.list((b"", b""), 10)] == [b"key", b"other"]
    assert mine.force_release(b"key", None) == 1
    assert two.ask("acquire key") == "True"
    mine.close()


def test_workers_that_contend_hold_it_one_at_a_time(path, workers):
    with open(path + ".count", "w") as file:
        file.write("0")
    for worker in workers:
        worker.send("count key")
    for worker in workers:
        assert worker.process.stdout.readline() == "done\n"
    with open(path + ".count") as file:
        assert file.read() == "600"


def test_a_worker_that_joins_later_does_not_make_the_table_young_again(path):
    clock = Clock()
    first = LockTable(path, clock)
    assert first.acquire(claim("a")).verdict is Verdict.PROVISIONAL
    clock.now += rules.LEASE_SECONDS_MAX
    second = LockTable(path, clock)
    assert second.acquire(claim("b")).verdict is Verdict.GRANTED
    first.close()
    second.close()


def test_a_table_of_an_earlier_boot_is_emptied(path):
    clock = Clock()
    first = LockTable(path, clock)
    first.acquire(claim("a"))
    first.close()
    clock.now = 1.0
    second = LockTable(path, clock)
    assert second.list((b"", b""), 10) == []
    assert second.acquire(claim("b")).verdict is Verdict.PROVISIONAL
    second.close()


class Clock:
    def __init__(self):
        self.now = 500.0

    def monotonic_seconds(self):
        return self.now

    def now_milliseconds(self):
        raise AssertionError("locks know no wall clock")


def test_what_expired_is_purged_and_the_table_is_bounded(path, monkeypatch):
    monkeypatch.setattr(tables, "ENTRIES_MAX", 10)
    clock = Clock()
    table = LockTable(path, clock)
    verdicts = [table.acquire(claim("a", b"key%d" % n)).verdict for n in range(12)]
    assert [verdict in GRANTED for verdict in verdicts] == [True] * 10 + [False] * 2
    assert verdicts[-1] is Verdict.FULL
    table.release(giving_back(claim("never seen")))
    assert table.refresh(claim("a", b"key1", 2)).verdict in GRANTED, "what is there can be kept"
    clock.now += 5.0
    assert table.acquire(claim("a", b"key20")).verdict in GRANTED
    assert table._connection.execute("SELECT count(*) FROM entries").fetchone()[0] == 1
    table.close()


def test_a_list_goes_on_where_the_page_before_ended(path):
    clock = Clock()
    table = LockTable(path, clock)
    for number in range(5):
        table.acquire(claim("a", b"key%d" % number))
    clock.now += 2.0
    page = table.list((b"", b""), 3)
    rest = table.list((page[-1].resource, page[-1].owner.owner_id), 3)
    assert [info.resource for info in page + rest] == [b"key%d" % number for number in range(5)]
    assert {(info.age_seconds, info.expires_in_seconds, info.waiting) for info in page} == {(2.0, 3.0, False)}
    table.close()


def test_a_damaged_table_is_an_error_of_its_own(path):
    with open(path, "wb") as file:
        file.write(b"no database at all" * 1000)
    with pytest.raises(LockUnavailable, match="cannot be opened"):
        LockTable(path, SystemClock())


def test_a_stuck_table_costs_its_deadline_and_its_queue_is_bounded(path, monkeypatch):
    monkeypatch.setattr(peers, "CALLS_QUEUED_MAX", 3)
    go_on = threading.Event()

    def slowly():
        go_on.wait(20)
        return LockTable(path, SystemClock())

    async def scenario():
        locks = LocalLocks("node1", slowly)
        began = asyncio.get_running_loop().time()
        asked = [locks.acquire(claim(f"owner {n}", b"key%d" % n), 0.2) for n in range(6)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert asyncio.get_running_loop().time() - began < 5.0
        assert all(isinstance(answer, LockUnavailable) for answer in answers)
        assert sum("overloaded" in str(answer) for answer in answers) >= 2
        go_on.set()
        async with asyncio.timeout(10):
            while not locks._room.acquire(blocking=False):
                await asyncio.sleep(0.01)
            locks._room.release()
        # Of those that nobody awaits any more, only the one that had begun took effect.
        assert len(await locks.list((b"", b""), 10)) <= 1
        assert (await locks.acquire(claim("later", b"later"), 5.0)).verdict in GRANTED
        await locks.close()

    asyncio.run(scenario())
