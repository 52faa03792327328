"""Four nodes of ours against four of others', all on this machine: `make bench-cluster`, or `--quick --only weed`."""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import footprint, limits
from tests.bench.accounts import resident_mib
from tests.bench.clusters import SEAWEEDFS, minio_cluster, rustfs_cluster
from tests.bench.contenders import Contender, Running, end_in_good_order, find, install, start
from tests.bench.figures import Figure, Figures, machine_table, median, ratio_table
from tests.bench.measure import describe, generator, run_rows, wait_for_writes
from tests.bench.rows import rows

SETTLING_SECONDS = 2.0  # for what a contender does after it was paused


def main() -> None:
    """The clusters in turn, then the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--seconds", type=float, default=8, help="measured time of a row")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of each of our nodes")
    parser.add_argument("--rows", default="", help="only rows that begin so, as in 'PUT 4KiB'")
    parser.add_argument("--only", choices=["minio", "weed", "none"], help="compare with this one, or with none")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often a row in bytes is measured, in turn; the median counts"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of this machine; not of loopback for MinIO in a container"
    )
    parser.add_argument("--load", choices=["auto", "warp", "ours"], default="auto", help="the load generator")
    parser.add_argument("--install", action="store_true", help="build warp and MinIO with Go where they are missing")
    parser.add_argument("--directory", help="where the drives lie; the disk that is measured")
    options = parser.parse_args()
    end_in_good_order()
    base = Path(tempfile.mkdtemp(prefix="rustfs-bench-", dir=options.directory))
    try:
        (base / "bin").mkdir()
        for note in install(base / "bin", build=options.install):
            print(f"note: {note}", file=sys.stderr)
        contenders = [rustfs_cluster(options.workers, options.host), *_peers(options.only, options.host)]
        machine = limits.measure(base)
        columns = _measure(contenders, base, options)
        print(f"\n{machine_table(machine)}\n\n{ratio_table(columns)}\n")
        print(f"Four nodes with a drive each, of RustFS with {options.workers} worker(s) each. "
              f"{describe(generator(options.load))}")  # fmt: skip
        for each in contenders:
            print(f"{each.name}: {each.promise}.")
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _peers(only: str | None, host: str) -> list[Contender]:
    """MinIO where it is there, else SeaweedFS; or the one that was asked for."""
    there = {name: peer for name, peer in (("minio", minio_cluster(host)), ("weed", SEAWEEDFS)) if find(name)}
    return [peer for name, peer in there.items() if only in (None, name)][: None if only else 1]


def _measure(contenders: Sequence[Contender], base: Path, options: argparse.Namespace) -> dict[str, Figures]:
    """Row by row, one contender right after the other with the rest paused: a machine is not as fast at all times.

    Rows in bytes keep both cores and the disk busy, and differ most from one moment to the next; so there are rounds.
    What a contender puts off (deletions, repairs) it has to do while it runs itself.
    """
    name = generator(options.load)
    columns: dict[str, Figures] = {}
    with contextlib.ExitStack() as stack:
        servers: list[Running] = []
        for contender in contenders:
            server = start(contender, base / contender.name)
            stack.callback(server.stop)
            columns[contender.name] = {"ready after the commands": Figure(server.ready_seconds, "s")}
            wait_for_writes(server, server.targets)
            server.pause()
            servers.append(server)
        for server in _in_turn(servers):
            percent = footprint.idle_percent(server, 5.0 if options.quick else 20.0)
            columns[server.name]["CPU while idle, all processes"] = Figure(percent, "% of a core")
        for row in rows(options.quick):
            if row.title.startswith(options.rows.upper()[:3] + options.rows[3:]):
                found: dict[str, list[Figures]] = {server.name: [] for server in servers}
                for _ in range(options.rounds if row.in_bytes else 1):
                    for server in _in_turn(servers):
                        found[server.name].append(run_rows(server, [row], options.seconds, name))
                for server in servers:
                    columns[server.name] |= median(found[server.name])
        for server in servers:
            columns[server.name]["memory after that, all processes"] = Figure(sum(resident_mib(server.pids())), "MiB")
    return columns


def _in_turn(servers: Sequence[Running]) -> Iterator[Running]:
    """Each by itself, once it takes writes again; the others paused."""
    for server in servers:
        server.go_on()
        wait_for_writes(server, server.targets)
        time.sleep(SETTLING_SECONDS)
        yield server
        server.pause()


if __name__ == "__main__":
    main()
