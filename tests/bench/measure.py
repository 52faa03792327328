"""All rows of one contender, with whichever load generator there is."""

import asyncio
import sys
import time
from collections.abc import Sequence

from tests.bench import load, warp
from tests.bench.client import Connection, Target
from tests.bench.contenders import Running, find
from tests.bench.figures import Figure, Figures, number
from tests.bench.rows import Row

PROBE_SECONDS_MAX = 120.0  # after a pause a server may have to find its peers again, and wait for leases to end
TRY_SECONDS_MAX = 5.0
_PROBED = "probe"  # a bucket


def generator(choice: str) -> str:
    """`warp` where it is installed, else `ours`; or what was chosen. Raises SystemExit where that is not there."""
    if choice == "warp" and not find("warp"):
        raise SystemExit("warp is not installed")
    return choice if choice != "auto" else "warp" if find("warp") else "ours"


def describe(name: str) -> str:
    """A sentence for the report."""
    if name == "warp":
        return "Load: warp; DELETE of more than 4 KiB by tests/bench/load.py, since warp wants more objects than fit."
    return "Load: tests/bench/load.py (warp is not used), the same for all; latencies are those of whole requests."


def run_rows(server: Running, table: Sequence[Row], seconds: float, name: str) -> Figures:
    """The figure of each row; of rows that fail a line on stderr, and no figure."""
    figures: Figures = {}
    for row in table:
        try:
            by_warp = name == "warp" and not _too_many_for_warp(row)
            figures[row.title] = warp.run(row, server.targets, seconds) if by_warp else ours(row, server, seconds)
        except (RuntimeError, OSError) as error:
            print(f"{server.name}: {error}", file=sys.stderr)
        print(f"  {server.name}: {row.title} {figures.get(row.title, '-')}", file=sys.stderr)
    return figures


def _too_many_for_warp(row: Row) -> bool:
    """Whether warp would put more for a row than it deletes in its time: it wants objects for the whole of it."""
    return row.operation == "delete" and row.size != "4KiB"


def ours(row: Row, server: Running, seconds: float) -> Figure:
    """A row by our own generator. Raises RuntimeError."""
    result = load.run(row, server.targets, seconds, server.pids())
    note = f"p50 {number(result.p50_ms)}, p99 {number(result.p99_ms)} ms; CPU {result.server_cpu_us:,.0f} us"
    if result.errors:
        note += f"; {result.errors} ERRORS, the first: {result.first_error}"
    if row.in_bytes:
        return Figure(result.megabytes_per_second, "MB/s", note)
    return Figure(result.objects_per_second, "obj/s", note)


def wait_for_writes(server: Running, targets: Sequence[Target]) -> None:
    """Until every endpoint takes an object: servers of a cluster say that they are ready before it is whole.

    One object each, so that there is no work to be put off until a row is measured. Raises RuntimeError.
    """
    deadline = time.monotonic() + PROBE_SECONDS_MAX
    for target in targets:
        while not asyncio.run(_takes_an_object(target)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{server.name} takes no writes at port {target.port}")
            time.sleep(0.05)


async def _takes_an_object(target: Target) -> bool:
    connection = Connection(target)
    try:
        async with asyncio.timeout(TRY_SECONDS_MAX):
            await connection.request("PUT", f"/{_PROBED}")
            answer = await connection.request("PUT", f"/{_PROBED}/{time.time_ns()}", body=memoryview(b"probe"))
            return answer.status == 200
    except (OSError, ValueError):  # also when the time is up
        return False
    finally:
        connection.close()
