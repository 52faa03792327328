"""A real cluster under test: several `rustfs start` on loopback addresses of their own, on directories the test owns.

Every node is a RunningServer in a process group of its own, so it can be stopped, killed, paused and started again
without the others. All listen on the same port of different 127.x.y.z, as nodes on different machines would; the
middle of the address is this test process's own, so that test runs side by side do not meet.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials

from tests.certificates import make_directory, write_authority
from tests.e2e.server import ACCESS_KEY, REGION, SECRET_KEY, RunningServer

# Two cores carry all nodes of a test, and other tests beside them.
READY_SECONDS_MAX = 60.0
WHOLE_SECONDS_MAX = 150.0
POLL_SECONDS = 0.1
PEER_PORT_DISTANCE = 1000

_networks = itertools.count()


def own_network() -> str:
    """The first three numbers of loopback addresses that no other live test uses."""
    number = os.getpid() * 7 + next(_networks)
    return f"127.{1 + number // 256 % 250}.{number % 256}"


def common_port(hosts: Sequence[str]) -> int:
    """A port that is free on all hosts, and so is the one where peers listen."""
    for _ in range(50):
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError, OverflowError):
            first = probes.enter_context(socket.socket())
            first.bind((hosts[0], 0))
            port: int = first.getsockname()[1]
            for host, wanted in [(host, port) for host in hosts[1:]] + [
                (host, port + PEER_PORT_DISTANCE) for host in hosts
            ]:
                probes.enter_context(socket.socket()).bind((host, wanted))
            return port
    raise AssertionError("no port is free on all addresses")


def poll(what: str, check: Callable[[], object], seconds_max: float, explain: Callable[[], str] = lambda: "") -> None:
    """Until `check` is true; fails with `what` and an explanation when the time is up."""
    deadline = time.monotonic() + seconds_max
    while not check():
        assert time.monotonic() < deadline, f"not after {seconds_max} s: {what}\n{explain()}"
        time.sleep(POLL_SECONDS)


@dataclass
class RunningCluster:
    """Some nodes, numbered from 0, with drives of their own."""

    directory: Path
    node_count: int = 4
    drives_per_node: int = 1
    worker_count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    authority: trustme.CA | None = None  # signs a certificate for each node: all connections are TLS then
    nodes: list[RunningServer] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        network = own_network()
        hosts = [f"{network}.{number}" for number in range(1, self.node_count + 1)]
        port = common_port(hosts)
        self.nodes = [
            RunningServer(
                self.directory / f"node{number}",
                drive_count=self.drives_per_node,
                worker_count=self.worker_count,
                environment=self.environment,
                host=host,
                port=port,
            )
            for number, host in enumerate(hosts, 1)
        ]
        if self.authority is not None:
            write_authority(self.directory, self.authority, self.trusted.name)
            for node in self.nodes:
                directory = make_directory(self.tls_directory(node), self.authority, node.host)
                node.arguments = ("--tls-dir", str(directory))
                node.authority = self.trusted
        # Drive by drive with the node varying fastest, as ellipses in the host would expand.
        volumes = [
            f"{node.endpoint}{node.drives[number]}" for number in range(self.drives_per_node) for node in self.nodes
        ]
        for node in self.nodes:
            node.volumes = volumes
        self._clients: dict[int, BaseClient] = {}

    @property
    def trusted(self) -> Path:
        """The authorities that clients of the nodes trust."""
        return self.directory / "authorities.crt"

    @staticmethod
    def tls_directory(node: RunningServer) -> Path:
        """Where a node's certificates are."""
        return node.directory / "tls"

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> "RunningCluster":
        """Start all nodes at once and wait until each serves and reaches all others."""
        for node in self.nodes:
            node.launch()
        return self.wait_together()

    def wait_together(self) -> "RunningCluster":
        """Until every node serves and reaches all others."""
        for node in self.nodes:
            node.wait_ready(READY_SECONDS_MAX)
        self.wait_peers(range(self.node_count))
        return self

    def wait_peers(self, numbers: Iterable[int]) -> None:
        """Until these nodes reach one another."""
        together = list(numbers)
        addresses = {self.nodes[number].address for number in together}

        def all_reach_all() -> bool:
            for number in together:
                facts = self.facts(number, "health")
                if facts is None or addresses & facts["nodes_offline"].keys():
                    return False
            return True

        poll("the nodes reach one another", all_reach_all, READY_SECONDS_MAX, self.explain)

    def kill(self, *numbers: int) -> None:
        """kill -9 of nodes with all their processes, one blow for each."""
        for number in numbers:
            self.nodes[number].kill()

    def pause(self, number: int) -> None:
        """SIGSTOP: the node is there, holds its connections, and answers nothing."""
        process = self.nodes[number].process
        assert process is not None
        self.paused.add(number)
        os.killpg(process.pid, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        process = self.nodes[number].process
        assert process is not None
        self.paused.discard(number)
        os.killpg(process.pid, signal.SIGCONT)

    def stop(self) -> list[int]:
        """Stop all nodes in good order, at once; their exit statuses."""
        self.close_clients()
        for node in self.nodes:
            if node.process is not None:
                node.process.send_signal(signal.SIGTERM)
        return [node.stop(told=True) for node in self.nodes]

    def end(self) -> None:
        """Kill whatever still runs."""
        self.close_clients()
        self.paused.clear()
        for node in self.nodes:
            node.kill()

    def wipe(self, number: int) -> None:
        """Empty the drives of a node that does not run, as if they had been replaced."""
        assert self.nodes[number].process is None
        for drive in self.nodes[number].drives:
            shutil.rmtree(drive)

    # -- looking -------------------------------------------------------------------------------------------------------

    def facts(self, number: int, name: str, timeout_seconds: float = 10.0) -> Any:  # JSON of the admin API
        """What `rustfs admin NAME --json` would print; None where the node does not answer."""
        node = self.nodes[number]
        path = f"/rustfs/admin/v1/{name}"
        request = AWSRequest("GET", node.endpoint + path)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION).add_auth(request)
        status, body = node.get(path, timeout_seconds, dict(request.headers))
        return json.loads(body) if status == 200 else None

    def health(self, number: int, query: str = "") -> int:
        """The status of /rustfs/health/cluster."""
        return self.nodes[number].get(f"/rustfs/health/cluster{query}")[0]

    def running(self) -> list[int]:
        """The nodes that run and are not paused."""
        return [
            number for number, node in enumerate(self.nodes) if node.process is not None and number not in self.paused
        ]

    def is_whole(self, since_ms: int, *, under_load: bool = False) -> bool:
        """Whether all drives serve, nothing waits for repair, and each set was found whole after `since_ms`.

        Under load something waits for repair at nearly every moment, for the next moment: that does not count then.
        """
        first = self.running()[0]
        info, heal = self.facts(first, "info"), self.facts(first, "heal")
        if info is None or heal is None:
            return False
        passes = heal["sets"]
        compared = {each["set"] for each in passes if each["state"] == "idle" and each["finished_ms"] > since_ms}
        return (
            all(node["state"] == "online" for node in info["nodes"])
            and all(drive["state"] == "online" and not drive["healing"] for drive in info["drives"])
            and (under_load or all(drive["repair_queue"] == 0 for drive in info["drives"]))
            and all(each["state"] == "idle" for each in passes)
            and compared == {each["set"] for each in info["sets"]}
        )

    def wait_compared(self, since_ms: int) -> None:
        """While clients go on: until `rustfs admin heal status` shows all sets whole."""
        poll("all sets are whole", lambda: self.is_whole(since_ms, under_load=True), READY_SECONDS_MAX, self.explain)

    def wait_whole(self, since_ms: int = 0, seconds_max: float = WHOLE_SECONDS_MAX) -> None:
        """Until it is whole, for longer than notes of what to repair may be on their way between the nodes.

        Args:
            since_ms: when the last fault ended; what was compared before that does not count.
            seconds_max: how long to wait.
        """
        agreeing = itertools.count(1)

        def settled() -> bool:
            nonlocal agreeing
            if not self.is_whole(since_ms):
                agreeing = itertools.count(1)
                return False
            return next(agreeing) >= 8

        poll("the cluster is whole", settled, seconds_max, self.explain)

    def wait_chosen(self, numbers: Iterable[int] | None = None) -> None:
        """Until the drives of these nodes (of all, by default) know that what they hold was chosen: a moment later.

        Before that a version that half of the drives hold cannot be told from one that never got its quorum, so with
        only that half in reach the answer is a 503.
        """

        def all_known() -> bool:
            for number in range(self.node_count) if numbers is None else numbers:
                for drive in self.nodes[number].drives:
                    with contextlib.closing(
                        sqlite3.connect(f"file:{drive}/.rustfs/meta.db?mode=ro", uri=True)
                    ) as store:
                        if store.execute("SELECT count(*) FROM versions WHERE flags & 1 = 0").fetchone()[0]:
                            return False
            return True

        numbers = None if numbers is None else list(numbers)
        poll("all versions are known to be chosen", all_known, 20.0)

    def explain(self) -> str:
        """What the nodes say of themselves, for a failure."""
        running = self.running()
        heal = {number: self.facts(number, "heal") for number in running[:1]}
        return (
            json.dumps({number: self.facts(number, "info") for number in running[:1]})
            + f"\n{heal}"
            + "".join(
                f"\n{node.address}: {self.facts(number, 'health')}"
                for number, node in enumerate(self.nodes)
                if number in running
            )
        )

    def log_tail(self, byte_count: int = 4_000) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {node.address}\n{node.log_tail(byte_count)}" for node in self.nodes)

    # -- clients -------------------------------------------------------------------------------------------------------

    def s3(self, number: int) -> BaseClient:
        """A boto3 client of one node that retries nothing; the same one each time."""
        if number not in self._clients:
            self._clients[number] = self.nodes[number].boto3_client()
        return self._clients[number]

    def close_clients(self) -> None:
        """Close the connections of all clients from `s3`."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def now_ms() -> int:
    """For `wait_whole`: nodes of one machine share its clock."""
    return time.time_ns() // 1_000_000
