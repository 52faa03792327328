"""Four nodes of a cluster on hosts of their own, a fifth host for clients, and what can be done to them."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.server import base_environment, group_members, rustfs_command
from tests.netns.network import Network, network

NODES = 4
CLIENTS = 4  # the number of the host where clients live
PORT = 9000
ACCESS_KEY, SECRET_KEY = "clusterkey", "a-secret-of-the-cluster"
BUCKET = "history"
READY_SECONDS_MAX = 60.0
WHOLE_SECONDS_MAX = 150.0


@dataclass
class Hosts:
    """The nodes, numbered from 0; host CLIENTS is nobody's."""

    directory: Path
    net: Network
    clocks: bool = False  # run the nodes with clocks that can be stepped
    processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start a node and return at once."""
        home = self.directory / f"node{number}"
        home.mkdir(parents=True, exist_ok=True)
        volumes = [f"http://{self.net.address(each)}:{PORT}{self.drive(each)}" for each in range(NODES)]
        command = [
            *self.net.inside(number), *rustfs_command(), "start", *volumes, "--address",
            f"{self.net.address(number)}:{PORT}", "--workers", "1",
        ]  # fmt: skip
        with (home / "log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**base_environment(), "RUSTFS_ACCESS_KEY": ACCESS_KEY, "RUSTFS_SECRET_KEY": SECRET_KEY,
                     **self._clock_environment(number)},
            )  # fmt: skip

    def drive(self, number: int) -> Path:
        """The only drive of a node."""
        return self.directory / f"node{number}" / "drive"

    def _clock_environment(self, number: int) -> Mapping[str, str]:
        if not self.clocks:
            return {}
        self.step_clock(number, 0)
        stepped = str(Path(__file__).with_name("stepped"))
        path = os.pathsep.join((stepped, base_environment()["PYTHONPATH"]))
        return {"PYTHONPATH": path, "STEPPED_CLOCK": str(self._clock_file(number))}

    def _clock_file(self, number: int) -> Path:
        return self.directory / f"node{number}" / "clock"

    def step_clock(self, number: int, seconds: int) -> None:
        """Set a node's wall clock this far from the true one."""
        temporary = self._clock_file(number).with_suffix(".new")
        temporary.write_text(str(seconds))
        temporary.replace(self._clock_file(number))

    def kill(self, number: int) -> None:
        """kill -9 of all processes of a node."""
        process = self.processes.pop(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        deadline = time.monotonic() + 10
        while group_members(process.pid):
            assert time.monotonic() < deadline, "processes survive SIGKILL"
            time.sleep(0.01)

    def wipe(self, number: int) -> None:
        """Empty the drive of a node that does not run."""
        assert number not in self.processes
        shutil.rmtree(self.drive(number))

    def pause(self, number: int) -> None:
        """SIGSTOP."""
        os.killpg(self.processes[number].pid, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        os.killpg(self.processes[number].pid, signal.SIGCONT)

    def end(self) -> None:
        """Kill what still runs."""
        for number in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                self.resume(number)
            self.kill(number)

    # -- looking -------------------------------------------------------------------------------------------------------

    def get(self, number: int, path: str, seconds: float = 5.0) -> tuple[int, str]:
        """Status and body of an unsigned GET, from the clients' host; (0, "") for no answer."""
        url = f"http://{self.net.address(number)}:{PORT}{path}"
        script = (
            "import sys, urllib.request, urllib.error\n"
            "try: answer = urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2]))\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "except OSError: print(0); sys.exit()\n"
            "print(answer.status); sys.stdout.write(answer.read().decode())"
        )
        done = subprocess.run(
            [*self.net.inside(CLIENTS), sys.executable, "-c", script, url, str(seconds)],
            capture_output=True, text=True, timeout=seconds + 20, check=True,
        )  # fmt: skip
        status, _, body = done.stdout.partition("\n")
        return int(status), body

    def admin(self, number: int, *arguments: str) -> str:
        """Output of `rustfs admin …` from the clients' host."""
        done = subprocess.run(
            [*self.net.inside(CLIENTS), *rustfs_command(), "admin", *arguments],
            capture_output=True, text=True, timeout=60, check=False,
            env={**base_environment(), "RUSTFS_ADDRESS": f"{self.net.address(number)}:{PORT}",
                 "RUSTFS_ACCESS_KEY": ACCESS_KEY, "RUSTFS_SECRET_KEY": SECRET_KEY},
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def wait_ready(self) -> None:
        """Until every node that runs serves and the cluster can be written to."""
        self._poll(
            "all nodes serve",
            lambda: all(self.get(each, "/rustfs/health/ready")[0] == 200 for each in self.processes),
            READY_SECONDS_MAX,
        )

    def wait_health(self, expected: Mapping[int, int]) -> None:
        """Until each of these nodes gives this status for the health of the cluster."""
        self._poll(
            f"the nodes see {expected}",
            lambda: all(self.get(number, "/rustfs/health/cluster")[0] == status for number, status in expected.items()),
            READY_SECONDS_MAX,
        )

    def wait_whole(self) -> None:
        """Until all nodes and drives are online, none is being rebuilt and no repair is waiting, for some seconds."""
        seen = [0]

        def whole() -> bool:
            said = self.admin(0, "info", "--json")
            facts = json.loads(said) if said else {"nodes": [], "drives": []}
            good = len(facts["drives"]) == NODES and all(
                drive["state"] == "online" and not drive["healing"] and not drive["repair_queue"]
                for drive in facts["drives"]
            )
            seen[0] = seen[0] + 1 if good else 0
            return seen[0] >= 3

        self._poll("the cluster is whole", whole, WHOLE_SECONDS_MAX)

    def _poll(self, what: str, check: "object", seconds_max: float) -> None:
        deadline = time.monotonic() + seconds_max
        while not check():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"not after {seconds_max} s: {what}\n{self.logs()}"
            time.sleep(0.3)

    def logs(self, byte_count: int = 3000) -> str:
        """The ends of the nodes' logs."""
        texts = []
        for number in range(NODES):
            log = self.directory / f"node{number}" / "log"
            text = log.read_bytes()[-byte_count:].decode("utf-8", "replace") if log.exists() else ""
            texts.append(f"--- node {number}\n{re.sub(r'(?m)^ .*$', '', text)}")
        return "\n".join(texts)

    # -- clients -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def clients(self, history: Path, seed: int, seconds_max: float = 120.0) -> Iterator[None]:
        """Clients at work on all nodes for as long as the block runs; they write `history`."""
        command = [
            *self.net.inside(CLIENTS), sys.executable, "-m", "tests.netns.workload", "--bucket", BUCKET, "--history",
            str(history), "--seed", str(seed), "--seconds", str(seconds_max),
        ]  # fmt: skip
        for number in range(NODES):
            command += ["--node", f"{self.net.address(number)}:{PORT}"]
        workload = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=base_environment(),
            cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        assert workload.stdin is not None
        try:
            workload.stdin.write(f"{ACCESS_KEY} {SECRET_KEY}\n")
            workload.stdin.flush()
            yield
            workload.stdin.write("stop\n")
            workload.stdin.flush()
            out, _ = workload.communicate(timeout=60)
            assert out == "ended\n", "the clients came to a bad end"
        finally:
            workload.kill()
            workload.wait(10)
            for pipe in (workload.stdin, workload.stdout):
                if pipe is not None:
                    pipe.close()

    def make_bucket(self) -> None:
        """Create the clients' bucket."""
        script = (
            "import sys; from tests.netns.workload import Client\n"
            "status = Client(sys.argv[1], int(sys.argv[2]), tuple(sys.argv[3:5])).ask('PUT', '/' + sys.argv[5])[0]\n"
            "sys.exit(status != 200)"
        )
        subprocess.run(
            [*self.net.inside(CLIENTS), sys.executable, "-c", script, self.net.address(0), str(PORT), ACCESS_KEY,
             SECRET_KEY, BUCKET],
            check=True, timeout=60, env=base_environment(), cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip


@contextlib.contextmanager
def hosts(directory: Path, *, seed: int = 1, clocks: bool = False) -> Iterator[Hosts]:
    """A cluster of four nodes that serves, with an empty bucket; everything goes with the block."""
    with network(NODES + 1, seed) as net:
        made = Hosts(directory, net, clocks)
        try:
            for number in range(NODES):
                made.start(number)
            made.wait_ready()
            made.make_bucket()
            yield made
        finally:
            made.end()
