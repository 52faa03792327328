"""The physical limits of the machine, measured in the same run as what they are compared with."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.bench.figures import Figure, Figures

SECONDS_EACH = 1.0
MIB = 1 << 20


def _rate(work: Callable[[], None]) -> float:
    """How often per second `work` can be done."""
    work()
    began = time.perf_counter()
    count = 0
    while (elapsed := time.perf_counter() - began) < SECONDS_EACH:
        work()
        count += 1
    return count / elapsed


def measure(directory: Path) -> Figures:
    """Name -> figure: md5 and memcpy of one core; durable appends and SQLite commits of this disk."""
    block = os.urandom(MIB)
    target = bytearray(64 * MIB)
    source = bytes(64 * MIB)

    def copy() -> None:
        target[:] = source

    megabytes = MIB / 1e6
    found = {
        "md5, one core": Figure(
            _rate(lambda: hashlib.md5(block, usedforsecurity=False).digest() and None) * megabytes,
            "MB/s",
        ),
        "sha256, one core": Figure(_rate(lambda: hashlib.sha256(block).digest() and None) * megabytes, "MB/s"),
        "memcpy, one core": Figure(_rate(copy) * 64 * megabytes, "MB/s"),
    }
    path = directory / "limit"
    with path.open("wb", buffering=0) as file:

        def append() -> None:
            file.write(block[:4096])
            os.fdatasync(file.fileno())

        found["4 KiB append + fdatasync"] = Figure(_rate(append), "/s")
    path.unlink()
    with closing(sqlite3.connect(directory / "limit.db", isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=FULL")
        store.execute("CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB)")
        found["SQLite commit of 2 KiB, one drive"] = Figure(
            _rate(lambda: store.execute("INSERT INTO t(v) VALUES(?)", (block[:2048],)) and None),
            "/s",
        )
    for left in directory.glob("limit.db*"):
        left.unlink()
    return found
