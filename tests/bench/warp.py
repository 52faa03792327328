"""warp's rows, where it is installed: the figure of each out of warp's report."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.client import Target
from tests.bench.contenders import find
from tests.bench.figures import Figure
from tests.bench.rows import Row

_AVERAGE = re.compile(
    r"Report: (?P<what>\w+).*?\* Average: (?:(?P<mib>[\d.]+) MiB/s, )?(?P<objects>[\d.]+) obj/s", re.DOTALL
)
DELETE_SECONDS_MIN = 8.0  # else it finds its samples too few


def run(row: Row, targets: Sequence[Target], seconds: float) -> Figure:
    """MB/s for large objects' bytes, else objects per second. Raises RuntimeError."""
    if row.operation == "delete":
        seconds = max(seconds, DELETE_SECONDS_MIN)
    hosts = ",".join(f"{target.host}:{target.port}" for target in targets)
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            find("warp"), row.operation, "--host", hosts, "--access-key", targets[0].access_key,
            "--secret-key", targets[0].secret_key, "--obj.size", row.size, "--concurrent", str(row.concurrency),
            "--duration", f"{seconds:.0f}s", "--bucket", "warp", "--no-color", "--benchdata",
            str(Path(scratch, "data")),
        ]  # fmt: skip
        if row.objects:
            command += ["--objects", str(row.objects)]
        if row.operation == "delete":
            command += ["--batch", "1"]
        if row.operation == "put":
            command += ["--disable-multipart"]
        if row.unsigned:
            command += ["--disable-sha256-payload"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    report = done.stdout.rsplit("Report: ", 1)
    match = _AVERAGE.search("Report: " + report[-1]) if len(report) > 1 else None
    if match is None:
        raise RuntimeError(f"warp {row.title}: {(done.stdout + done.stderr)[-300:]}")
    if match["mib"] and row.in_bytes:
        return Figure(float(match["mib"]) * 1.048576, "MB/s")
    return Figure(float(match["objects"]), "obj/s")
