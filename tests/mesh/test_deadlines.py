"""A call whose time is over is not executed any more, and a node that has nothing to do stops at once."""

import asyncio
import contextlib
import fcntl
import os

import pytest

from rustfs.core.drivetypes import Level
from rustfs.core.errors import DeadlinePassed
from rustfs.drive import availability
from rustfs.mesh import drives as drives_module
from rustfs.mesh import link, remote
from tests.drive.harness import open_drives
from tests.mesh.harness import ScriptedDrive, open_node, open_pair, ports_of
from tests.mesh.test_drive_contract import BUCKET, STAMPS, offer

GRACE_SECONDS = 30.0


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Calls have a fifth of a second, and only the server minds."""
    monkeypatch.setattr(remote, "READ_SECONDS", 0.2)
    monkeypatch.setattr(remote, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(link, "TICK_SECONDS", 3600.0)
    monkeypatch.setattr(drives_module, "TICK_SECONDS", 0.02)


@contextlib.contextmanager
def stalled(root):
    """Keep a drive from committing anything."""
    lock = os.open(os.path.join(root, ".rustfs", "write.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_write_that_waits_for_its_turn_until_its_time_is_over_has_no_effect(tmp_path, monkeypatch):
    monkeypatch.setattr(availability, "PROBE_SECONDS", 3600.0)
    root = str(tmp_path / "drive")

    async def main():
        async with open_drives([root]) as (drive,), open_pair({5: drive}) as (caller, _served):
            far = caller.mesh.drive("b", 5, 0, f"b{root}")
            with stalled(root):
                first = drive.accept(offer(b"first", STAMPS.next()))  # its commit has begun
                await until(lambda: drive._availability.session.writer.busy_since)
                with pytest.raises(DeadlinePassed):
                    await far.accept(offer(b"late", STAMPS.next()))
            await first
            await drive.repaired([])
            assert (await drive.read_key(BUCKET, b"first", Level.STAMPS)).versions
            assert (await drive.read_key(BUCKET, b"late", Level.STAMPS)).versions == ()
            monkeypatch.setattr(remote, "WRITE_SECONDS", 10.0)
            await far.accept(offer(b"in time", STAMPS.next()))
            assert (await drive.read_key(BUCKET, b"in time", Level.STAMPS)).versions

    asyncio.run(main())


def test_a_call_that_takes_too_long_is_given_up_there_and_here():
    async def main():
        drive = ScriptedDrive()
        drive.holding = True
        async with open_pair({5: drive}) as (caller, _served):
            far = caller.mesh.drive("b", 5, 0, "b/drive")
            with pytest.raises(DeadlinePassed):
                await far.read_key(BUCKET, b"key", Level.STAMPS)
            assert drive.held[0].cancelled()
            drive.holding = False
            assert (await far.read_key(BUCKET, b"key", Level.STAMPS)).versions[0].stamp == b"key"

    asyncio.run(main())


def test_a_node_with_nothing_to_do_stops_at_once():
    async def main():
        ports = ports_of(("a", "b"))
        async with open_node("b", ports, {5: ScriptedDrive()}) as served, open_node("a", ports, {}) as caller:
            await caller.wait_up(1)
            await caller.mesh.drive("b", 5, 0, "b/drive").read_key(BUCKET, b"key", Level.STAMPS)
            async with asyncio.timeout(GRACE_SECONDS / 3):
                await served.server.stop(GRACE_SECONDS)

    asyncio.run(main())


def test_a_node_that_stops_answers_what_it_was_asked_before(monkeypatch):
    monkeypatch.setattr(remote, "READ_SECONDS", 10.0)

    async def main():
        ports = ports_of(("a", "b"))
        drive = ScriptedDrive()
        drive.holding = True
        async with open_node("b", ports, {5: drive}) as served, open_node("a", ports, {}) as caller:
            await caller.wait_up(1)
            asked = caller.mesh.drive("b", 5, 0, "b/drive").read_key(BUCKET, b"key", Level.STAMPS)
            await until(lambda: drive.held)
            stopping = asyncio.create_task(served.server.stop(GRACE_SECONDS))
            await asyncio.sleep(0)
            drive.holding = False
            drive.held[0].set_result(await drive.read_key(BUCKET, b"answer", Level.STAMPS))
            assert (await asked).versions[0].stamp == b"answer"
            async with asyncio.timeout(GRACE_SECONDS / 3):
                await stopping

    asyncio.run(main())
