"""Run the benchmarks and print the table: `make bench`, or `python -m tests.bench --quick --only minio`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench import footprint, limits
from tests.bench.contenders import PEERS, RUSTFS, Contender, Running, end_in_good_order, find, install, start
from tests.bench.figures import Figure, Figures, machine_table, ratio_table
from tests.bench.measure import describe, generator, run_rows, wait_for_writes
from tests.bench.rows import rows


def main() -> None:
    """One contender after the other, then the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, no 1 GiB transfers")
    parser.add_argument("--seconds", type=float, default=8, help="measured time of a row")
    parser.add_argument("--only", choices=[*PEERS, "none"], help="compare with this one, or with none")
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
        machine = limits.measure(base)
        contenders = [RUSTFS, *(peer for name, peer in PEERS.items() if find(name) and options.only in (None, name))]
        columns = {each.name: drive(each, base, options) for each in contenders}
        print(f"\n{machine_table(machine)}\n\n{ratio_table(columns)}\n\n{describe(generator(options.load))}")
        for each in contenders:
            print(f"{each.name}: {each.promise}.")
        for row in ("PUT 64MiB x1", "PUT 64MiB x1 unsigned"):
            if large := columns[RUSTFS.name].get(row):
                print(f"\n{row}, to md5 of one core: {large.value / machine['md5, one core'].value:.2f}")
    finally:
        shutil.rmtree(base, ignore_errors=True)


def drive(contender: Contender, base: Path, options: argparse.Namespace) -> Figures:
    """All figures of one contender."""
    directory = base / contender.name
    print(f"{contender.name} …", file=sys.stderr)
    server = start(contender, directory)
    figures: Figures = {"ready after the command": Figure(server.ready_seconds, "s")}
    try:
        wait_for_writes(server, server.targets)
        figures["CPU while idle"] = Figure(footprint.idle_percent(server), "% of a core")
        figures |= run_rows(server, rows(options.quick), options.seconds, generator(options.load))
        measure_footprint(server, figures, options)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return figures


def measure_footprint(server: Running, figures: Figures, options: argparse.Namespace) -> None:
    """What load generators do not measure."""
    rate, first, last = footprint.listing(server)
    figures["LIST of 100,000 keys"] = Figure(rate, "keys/s")
    figures["a page at the start"] = Figure(first, "ms")
    figures["a page at the end"] = Figure(last, "ms")
    if not options.quick:
        up, down = footprint.memory(server)
        figures["memory, 16 x 1 GiB up"] = Figure(up, "MiB, largest process")
        figures["memory, 16 x 1 GiB down"] = Figure(down, "MiB, largest process")


if __name__ == "__main__":
    main()
