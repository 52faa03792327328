"""How fast a wiped drive is rebuilt, small objects and large ones apart: `python -m tests.bench.repair`.

Four nodes of ours with a drive each on this machine, 2+2, nobody else asking anything.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench import footprint
from tests.bench.accounts import cpu_seconds
from tests.bench.clusters import rustfs_cluster
from tests.bench.contenders import Plan, Running, end_in_good_order, launch, stop_all, wait_ready
from tests.bench.measure import wait_for_writes

MIB = 1 << 20
REPAIR_SECONDS_MAX = 300.0
ROUNDS = (("4 KiB", 4096, 3000), ("64 MiB", 64 * MIB, 16))  # what, size in bytes, objects


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.repair", description=__doc__)
    parser.add_argument("--directory", help="where the drives lie")
    options = parser.parse_args()
    end_in_good_order()
    print("| objects | seconds | objects/s | MB/s onto the drive | CPU of its node, us per object | of the others |")
    print("|---|--:|--:|--:|--:|--:|")
    for what, size_bytes, count in ROUNDS:
        base = Path(tempfile.mkdtemp(prefix="rustfs-bench-", dir=options.directory))
        try:
            _round(base, what, size_bytes, count)
        finally:
            shutil.rmtree(base, ignore_errors=True)


def _round(base: Path, what: str, size_bytes: int, count: int) -> None:
    plan = rustfs_cluster(1).plan(base)
    processes = launch(plan, base)
    try:
        wait_ready("RustFS", plan, processes, base)
        server = Running("RustFS", plan.targets, processes, 0.0)
        wait_for_writes(server, server.targets)
        _fill(server, size_bytes, count)
        stop_all([processes.pop()])
        shutil.rmtree(base / "drive4")
        (base / "drive4").mkdir()
        last = Plan(plan.commands[-1:], plan.ports[-1:], plan.ready_path, plan.environment)
        again = base / "again"
        again.mkdir()
        processes += launch(last, again)
        others, own = [process.pid for process in processes[:-1]], [processes[-1].pid]
        _wait_for(again / "log0", "rebuilding")
        began, cpu_own, cpu_others = time.perf_counter(), cpu_seconds(own), cpu_seconds(others)
        if size_bytes >= MIB:  # by its files, since the drive may be called whole only after another look at it
            _wait_until(lambda: sum(path.is_file() for path in (base / "drive4/shards").rglob("*")) >= count)
        else:
            _wait_for(again / "log0", "is whole")
        seconds = time.perf_counter() - began
        cpu = [(cpu_seconds(own) - cpu_own) / count * 1e6, (cpu_seconds(others) - cpu_others) / count * 1e6]
        rate = count * size_bytes / 2 / seconds / 1e6
        print(
            f"| {count} of {what} | {seconds:.1f} | {count / seconds:,.1f} | {rate:,.1f} "
            f"| {cpu[0]:,.0f} | {cpu[1]:,.0f} |",
            flush=True,
        )
    finally:
        stop_all(processes)


def _fill(server: Running, size_bytes: int, count: int) -> None:
    client, body = footprint.client_of(server), os.urandom(size_bytes)
    client.create_bucket(Bucket="many")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: client.put_object(Bucket="many", Key=f"key{n:06}", Body=body), range(count)))


def _wait_for(log: Path, words: str) -> None:
    _wait_until(lambda: words in log.read_text("utf-8", "replace"))


def _wait_until(done: Callable[[], bool]) -> None:
    """Raises RuntimeError."""
    deadline = time.monotonic() + REPAIR_SECONDS_MAX
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not rebuilt in {REPAIR_SECONDS_MAX} s")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
