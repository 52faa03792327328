"""A real server under test: `rustfs start` in a process group of its own, on directories that the test owns.

The group exists so that kill -9 takes the supervisor and all its workers in one blow, as a power cut would. Every
process is ended by its id. Output goes to one log file per server, over all its restarts, shown when a test fails.
"""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.client import BaseClient
from botocore.config import Config

ACCESS_KEY = "rustfsadmin"
SECRET_KEY = "rustfsadmin"
REGION = "us-east-1"
# Ready within 2 s is promised of an idle machine (test_start measures it); elsewhere the tests share two cores.
READY_SECONDS_MAX = 30.0
READY_IN_A_ROW = 8  # answers, each of which may come from another worker
STOP_SECONDS_MAX = 30.0


class ServerDied(AssertionError):
    """The server ended, or never became ready; carries the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def rustfs_command() -> list[str]:
    """The installed `rustfs`, or the same entry point of a source tree that is not installed."""
    script = Path(sys.executable).with_name("rustfs")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from rustfs.cli.main import main; main()"]


def base_environment() -> dict[str, str]:
    """This process's environment without settings and credentials of ours or of AWS's that could leak into a test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUSTFS_", "AWS_"))}
    source = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (source, kept.get("PYTHONPATH"))))
    return kept


def group_members(group: int) -> list[int]:
    """Ids of the live processes (no zombies) of a process group."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        state, _parent, member_group = stat.rpartition(")")[2].split()[:3]
        if int(member_group) == group and state not in "ZX":
            members.append(int(entry))
    return members


@dataclass
class RunningServer:
    """One node and its drives; start, stop, kill and start again on the same port and directories."""

    directory: Path
    drive_count: int = 4
    worker_count: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)
    drives: list[Path] = field(default_factory=list)
    arguments: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    leading: Sequence[str] = ()  # what is put before the command
    volumes: Sequence[str] = ()  # what the command line names; by default the drives
    authority: Path | None = None  # of the certificates, where the arguments or the environment make it serve HTTPS
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.drives:
            self.drives = [self.directory / f"drive{number}" for number in range(1, self.drive_count + 1)]
        self.log_path = self.directory / "server.log"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.address}"

    def command(self) -> list[str]:
        """The command line, as a person would type it."""
        return [
            *self.leading,
            *rustfs_command(),
            "start",
            *(self.volumes or map(str, self.drives)),
            "--address",
            self.address,
            "--workers",
            str(self.worker_count),
            *self.arguments,
        ]

    def launch(self) -> None:
        """Start the process and return at once."""
        assert self.process is None, "already started"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={
                    **base_environment(),
                    "RUSTFS_ACCESS_KEY": ACCESS_KEY,
                    "RUSTFS_SECRET_KEY": SECRET_KEY,
                    "RUSTFS_REGION": REGION,
                    **self.environment,
                },
                start_new_session=True,
            )

    def start(self) -> "RunningServer":
        """Start and wait until the node says that it is ready."""
        self.launch()
        self.wait_ready()
        return self

    def ready(self) -> bool:
        """Whether the node answers that it serves."""
        return self.get("/rustfs/health/ready")[0] == 200

    def get(
        self, path: str, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """A GET, unsigned but for what `headers` say: status and body, or (0, b"") where nobody answers."""
        connection = (
            http.client.HTTPSConnection(
                self.host,
                self.port,
                timeout=timeout_seconds,
                context=ssl.create_default_context(cafile=str(self.authority)),
            )
            if self.authority
            else http.client.HTTPConnection(self.host, self.port, timeout=timeout_seconds)
        )
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def wait_ready(self, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Poll until ready; raises ServerDied when the process ends first or the time is up."""
        deadline = time.monotonic() + seconds_max
        in_a_row = 0  # each question may reach another worker
        while in_a_row < READY_IN_A_ROW:
            if self.ready():
                in_a_row += 1
                continue
            in_a_row = 0
            assert self.process is not None
            if self.process.poll() is not None:
                status, self.process = self.process.returncode, None
                raise ServerDied(f"ended with status {status} before it was ready\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerDied(f"not ready after {seconds_max} s\n{self.log_tail()}")
            time.sleep(0.02)

    def pids(self) -> list[int]:
        """The supervisor and its workers."""
        return group_members(self.process.pid) if self.process else []

    def stop(self, *, told: bool = False) -> int:
        """SIGTERM (unless it was `told` already), wait, and give the exit status; what outlives it fails the test."""
        if self.process is None:
            return 0
        process = self.process
        if not told:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerDied(f"still running {STOP_SECONDS_MAX} s after SIGTERM\n{self.log_tail()}") from None
        stragglers = group_members(process.pid)
        self.kill()
        assert not stragglers, f"processes {stragglers} outlived their supervisor\n{self.log_tail()}"
        return status

    def kill(self) -> None:
        """SIGKILL for the whole group at once; returns when none of it runs any more."""
        if self.process is None:
            return
        process, self.process = self.process, None
        deadline = time.monotonic() + 10.0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10.0)
        while group_members(process.pid):
            assert time.monotonic() < deadline, "processes survive SIGKILL"
            time.sleep(0.005)

    def restart(self) -> None:
        """Stop in good order and start again."""
        self.stop()
        self.start()

    def log_tail(self, byte_count: int = 8_000) -> str:
        """The end of the server's output."""
        try:
            return self.log_path.read_bytes()[-byte_count:].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def boto3_client(self, **overrides: object) -> BaseClient:
        """A boto3 client for this server that retries nothing, so that a test sees every answer."""
        settings: dict[str, object] = {
            "signature_version": "s3v4",
            "s3": {"addressing_style": "path"},
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 60,
            "max_pool_connections": 32,
            **overrides,
        }
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            verify=str(self.authority) if self.authority else None,
            config=Config(**settings),
        )

    def admin(self, *arguments: str, timeout_seconds: float = 30.0) -> str:
        """Output of `rustfs admin …` against this node; raises with its stderr when it fails."""
        done = subprocess.run(
            [*rustfs_command(), "admin", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            env=self.admin_environment(),
        )
        assert done.returncode == 0, f"rustfs admin {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def admin_environment(self) -> dict[str, str]:
        """What `rustfs admin` needs to ask this node."""
        return {
            **base_environment(),
            "RUSTFS_ADDRESS": self.address,
            **({"RUSTFS_TLS_CA": str(self.authority)} if self.authority else {}),
            "RUSTFS_ACCESS_KEY": ACCESS_KEY,
            "RUSTFS_SECRET_KEY": SECRET_KEY,
        }
