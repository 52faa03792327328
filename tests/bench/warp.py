"""warp's rows: which are run, and the figure of each out of warp's report."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import ACCESS_KEY, SECRET_KEY, Running, find

_AVERAGE = re.compile(
    r"Report: (?P<what>\w+).*?\* Average: (?:(?P<mib>[\d.]+) MiB/s, )?(?P<objects>[\d.]+) obj/s", re.DOTALL
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    operation: str
    size: str
    concurrency: int
    objects: int = 0

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.operation.upper()} {self.size} x{self.concurrency}"


def rows(quick: bool) -> list[Row]:
    """All rows, or those that say most."""
    table = [
        Row("put", "4KiB", 16), Row("get", "4KiB", 16, 2000), Row("stat", "4KiB", 16, 2000),
        Row("delete", "4KiB", 16, 4000), Row("list", "4KiB", 8, 2000), Row("mixed", "4KiB", 16, 1000),
        Row("put", "64MiB", 1), Row("get", "64MiB", 1, 8),
    ]  # fmt: skip
    if quick:
        return table
    for size, concurrency, objects in (("128KiB", 16, 800), ("1MiB", 8, 200)):
        table += [
            Row(operation, size, concurrency, 0 if operation == "put" else objects)
            for operation in ("put", "get", "stat", "mixed")
        ]
    table += [
        Row("delete", "128KiB", 16, 2000), Row("list", "128KiB", 8, 800), Row("delete", "1MiB", 8, 1600),
        Row("list", "1MiB", 8, 200), Row("stat", "64MiB", 8, 8), Row("delete", "64MiB", 2, 20),
        Row("list", "64MiB", 2, 8), Row("mixed", "64MiB", 2, 8),
    ]  # fmt: skip
    return table


def run(row: Row, server: Running, seconds: int) -> tuple[float, str]:
    """(figure, unit) of one row: MB/s for large objects' bytes, else objects per second."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            find("warp"), row.operation, "--host", f"127.0.0.1:{server.port}", "--access-key", ACCESS_KEY,
            "--secret-key", SECRET_KEY, "--obj.size", row.size, "--concurrent", str(row.concurrency), "--duration",
            f"{seconds}s", "--bucket", "warp", "--no-color", "--benchdata", str(Path(scratch, "data")),
        ]  # fmt: skip
        if row.objects:
            command += ["--objects", str(row.objects)]
        if row.operation == "delete":
            command += ["--batch", "1"]
        if row.operation == "put":
            command += ["--disable-multipart"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    report = done.stdout.rsplit("Report: ", 1)
    match = _AVERAGE.search("Report: " + report[-1]) if len(report) > 1 else None
    if match is None:
        raise RuntimeError(f"warp {row.title}: {(done.stdout + done.stderr)[-300:]}")
    if match["mib"] and row.size in ("1MiB", "64MiB") and row.operation in ("put", "get"):
        return float(match["mib"]) * 1.048576, "MB/s"
    return float(match["objects"]), "obj/s"
