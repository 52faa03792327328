"""Run the benchmarks and print the table: `make bench`, or `python -m tests.bench --quick --only minio`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench import footprint, limits, warp
from tests.bench.contenders import PEERS, RUSTFS, Contender, Running, find, install, start

Figures = dict[str, tuple[float, str]]


def main() -> None:
    """One contender after the other, then the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, no 1 GiB transfers")
    parser.add_argument("--seconds", type=int, default=8, help="duration of a warp row")
    parser.add_argument("--only", choices=[*PEERS, "none"], help="compare with this one, or with none")
    parser.add_argument("--directory", help="where the drives lie; the disk that is measured")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="rustfs-bench-", dir=options.directory))
    try:
        (base / "bin").mkdir()
        for note in install(base / "bin"):
            print(f"note: {note}", file=sys.stderr)
        before = limits.measure(base)
        columns: dict[str, Figures] = {}
        contenders = [RUSTFS, *(peer for name, peer in PEERS.items() if find(name) and options.only in (None, name))]
        for contender in contenders:
            columns[contender.name] = drive(contender, base, options)
        print_table(before, columns)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def drive(contender: Contender, base: Path, options: argparse.Namespace) -> Figures:
    """All figures of one contender."""
    directory = base / contender.name
    print(f"{contender.name} …", file=sys.stderr)
    server = start(contender, directory)
    figures: Figures = {"ready after the command": (server.ready_seconds, "s")}
    try:
        figures["CPU while idle"] = (footprint.idle_percent(server), "% of a core")
        for row in warp.rows(options.quick) if find("warp") else ():
            try:
                figures[row.title] = warp.run(row, server, options.seconds)
            except (RuntimeError, OSError) as error:
                print(f"{contender.name}: {error}", file=sys.stderr)
            print(f"  {row.title} {figures.get(row.title, '-')}", file=sys.stderr)
        measure_footprint(server, figures, options)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return figures


def measure_footprint(server: Running, figures: Figures, options: argparse.Namespace) -> None:
    """What warp does not measure."""
    rate, first, last = footprint.listing(server)
    figures["LIST of 100,000 keys"] = (rate, "keys/s")
    figures["a page at the start"] = (first, "ms")
    figures["a page at the end"] = (last, "ms")
    if not options.quick:
        up, down = footprint.memory(server)
        figures["memory, 16 x 1 GiB up"] = (up, "MiB, largest process")
        figures["memory, 16 x 1 GiB down"] = (down, "MiB, largest process")


def print_table(physical: Figures, columns: dict[str, Figures]) -> None:
    """Markdown: the limits, then a line per figure with the ratios of ours to each peer's."""
    print("\n| this machine | |\n|---|--:|")
    for name, (figure, unit) in physical.items():
        print(f"| {name} | {figure:,.0f} {unit} |")
    ours, *peers = columns
    print("\n| | " + " | ".join([ours, *(f"{peer} | ratio" for peer in peers)]) + " |")
    print("|---|" + "--:|" * (1 + 2 * len(peers)))
    for name, (figure, unit) in columns[ours].items():
        cells = [f"{figure:,.2f} {unit}" if figure < 10 else f"{figure:,.0f} {unit}"]
        for peer in peers:
            theirs = columns[peer].get(name)
            cells += (
                [f"{theirs[0]:,.2f}" if theirs[0] < 10 else f"{theirs[0]:,.0f}", f"{figure / theirs[0]:.2f}"]
                if theirs and theirs[0]
                else ["-", "-"]
            )
        print(f"| {name} | " + " | ".join(cells) + " |")
    large = columns[ours].get("PUT 64MiB x1")
    if large:
        print(f"\n64 MiB PUT, one stream, to md5 of one core: {large[0] / physical['md5, one core'][0]:.2f}")


if __name__ == "__main__":
    main()
