"""Nodes that are stopped or killed by the system, without a word."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager

import pytest

from rustfs.core.drivetypes import Level
from rustfs.core.errors import DriveOffline
from rustfs.mesh import link as link_module
from tests.drive.harness import open_drives
from tests.mesh.harness import data_id, eventually, open_node, ports_of

MARGIN_SECONDS = 2.0  # of a busy machine


@asynccontextmanager
async def peer_process(name, ports, root, *more):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mesh.peer", name, json.dumps(ports), root, *more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_a_stopped_node_costs_a_bounded_delay_once_and_comes_back_by_itself(drives_path):
    async def scenario():
        ports = ports_of(("a", "b"))
        async with (
            peer_process("b", ports, str(drives_path / "b")) as process,
            open_node("a", ports, {}) as caller,
        ):
            await caller.wait_up(1)
            drive = caller.mesh.drive("b", 0, 0, "b/drive")
            await drive.read_key(b"bucket", b"key", Level.STAMPS)
            staged = await drive.stage(data_id(), 7)
            process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            waiting = [drive.read_key(b"bucket", b"%d" % number, Level.STAMPS) for number in range(100)]
            waiting += [drive.read_shard(data_id(), 0, 1), asyncio.ensure_future(staged.finish())]
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            took = time.monotonic() - started
            assert all(isinstance(each, DriveOffline) for each in outcomes)
            assert took < link_module.SILENCE_SECONDS + link_module.PING_SECONDS + MARGIN_SECONDS
            assert not drive.online
            started = time.monotonic()
            with pytest.raises(DriveOffline):
                await drive.read_key(b"bucket", b"key", Level.STAMPS)
            with pytest.raises(DriveOffline):
                await drive.read_shard(data_id(), 0, 1)
            with pytest.raises(DriveOffline):
                await drive.stage(data_id(), 7)
            assert time.monotonic() - started < 0.3
            process.send_signal(signal.SIGCONT)
            await caller.wait_up(1)
            assert await drive.read_key(b"bucket", b"key", Level.STAMPS)
            assert await drive.stat_shards([data_id()]) == [-1]
            await staged.abort()

    asyncio.run(scenario())


def test_what_a_killed_node_had_staged_goes(drives_path):
    async def scenario():
        ports = ports_of(("a", "b"))
        name = data_id()
        root = str(drives_path / "b")
        async with open_drives([root]) as drives, open_node("b", ports, {0: drives[0]}):
            async with peer_process("a", ports, str(drives_path / "a"), name.hex()) as process:
                assert name.hex() in staged_names(root)
                process.kill()
                await process.wait()
                await eventually(lambda: name.hex() not in staged_names(root))
            assert drives[0].online

    asyncio.run(scenario())


def staged_names(root: str) -> list[str]:
    return [name for _, _, names in os.walk(f"{root}/staging") for name in names]
