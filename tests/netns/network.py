"""Hosts in network namespaces of their own, joined by tests/netns/switch.py; made and removed by a test, as root."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUBNET = "10.231.7"  # inside the namespaces only: nothing outside ever sees it
_numbers = itertools.count()


def missing() -> str:
    """Why namespaces cannot be made here; "" where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"rfs-probe-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@dataclass
class Network:
    """`hosts` namespaces, each with one interface: host i has the address SUBNET.(i+1)."""

    hosts: int
    seed: int = 1
    _prefix: str = field(default_factory=lambda: f"rfs{os.getpid()}x{next(_numbers)}")
    _switch: "subprocess.Popen[str] | None" = None

    def name(self, host: int) -> str:
        """The namespace of a host."""
        return f"{self._prefix}h{host}"

    @staticmethod
    def address(host: int) -> str:
        """The IP address of a host."""
        return f"{SUBNET}.{host + 1}"

    def inside(self, host: int) -> list[str]:
        """What to put before a command that is to run on the host."""
        return ["ip", "netns", "exec", self.name(host)]

    def open(self) -> None:
        """Make everything."""
        switch = f"{self._prefix}sw"
        _ip("netns", "add", switch)
        for host in range(self.hosts):
            near, far = self.name(host), f"port{host}"
            _ip("netns", "add", near)
            _ip("-n", near, "link", "add", "eth0", "type", "veth", "peer", "name", far, "netns", switch)
            _ip("-n", near, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            for namespace, interface in ((near, "eth0"), (near, "lo"), (switch, far)):
                _ip("-n", namespace, "link", "set", interface, "up")
            whole = "from tests.netns.switch import whole_frames; whole_frames('eth0')"
            subprocess.run([*self.inside(host), sys.executable, "-c", whole], check=True, timeout=20, cwd=_root())
        self._switch = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                switch,
                sys.executable,
                "-m",
                "tests.netns.switch",
                str(self.hosts),
                str(self.seed),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_root(),
        )
        assert self._switch.stdout is not None
        assert self._switch.stdout.readline() == "ready\n", "the switch did not start"

    def rule(self, *, cut: Iterable[tuple[int, int]] = (), delay_ms: float = 0, loss: float = 0) -> None:
        """What is lost and delayed from now on; nothing, if nothing is said."""
        assert self._switch is not None
        assert self._switch.stdin is not None
        assert self._switch.stdout is not None
        self._switch.stdin.write(json.dumps({"cut": sorted(cut), "delay_ms": delay_ms, "loss": loss}) + "\n")
        self._switch.stdin.flush()
        assert self._switch.stdout.readline() == "done\n", "the switch is gone"

    def close(self) -> None:
        """Remove everything, whatever is left of it."""
        if self._switch is not None:
            self._switch.kill()
            self._switch.wait(10)
            for pipe in (self._switch.stdin, self._switch.stdout):
                if pipe is not None:
                    pipe.close()
        for namespace in (*(self.name(host) for host in range(self.hosts)), f"{self._prefix}sw"):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", namespace)


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def network(hosts: int, seed: int = 1) -> Iterator[Network]:
    """A network for the time of a test."""
    made = Network(hosts, seed)
    try:
        made.open()
        yield made
    finally:
        made.close()


def between(some: Iterable[int], others: Iterable[int]) -> list[tuple[int, int]]:
    """Both directions between two groups of hosts, for `cut`."""
    pairs = [(a, b) for a in some for b in others]
    return [*pairs, *((b, a) for a, b in pairs)]
