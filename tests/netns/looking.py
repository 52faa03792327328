"""What is asked of single nodes beside the clients' load: probes in a partition, and the last look at every key.

All of it becomes part of the history, so that the checker judges it together with what the clients saw.
"""

import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.e2e.server import base_environment
from tests.netns.hosts import ACCESS_KEY, BUCKET, CLIENTS, NODES, PORT, SECRET_KEY, Hosts
from tests.netns.workload import etags_of

PROCESS = 1_000  # the first number of a client in the history; the load's are lower
OBJECTS = 4  # how many keys the load uses


@dataclass
class Looker:
    """Asks any node, and remembers for the history."""

    cluster: Hosts
    calls: list[dict[str, Any]] = field(default_factory=list)  # as lines of a history
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, requests: list[tuple[int, str, str, str, str]]) -> list[dict[str, Any]]:
        """Answers to (node, method, key or "", query, body); see tests.netns.asking."""
        wanted = [
            {
                "host": self.cluster.net.address(node), "port": PORT, "method": method,
                "path": f"/{BUCKET}/{key}" if key else f"/{BUCKET}", "query": query, "body": body,
            }
            for node, method, key, query, body in requests
        ]  # fmt: skip
        done = subprocess.run(
            [*self.cluster.net.inside(CLIENTS), sys.executable, "-m", "tests.netns.asking"],
            input=f"{ACCESS_KEY} {SECRET_KEY}\n{json.dumps(wanted)}\n", capture_output=True, text=True, check=True,
            timeout=20 + 20 * len(wanted), env=base_environment(), cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def probe(self, nodes: list[int]) -> dict[str, list[tuple[int, float, str]]]:
        """A PUT, a GET and a list of each node: (status, seconds, body) of each, by node, for "put", "get" and "list".

        Each node has a key of its own that nobody else writes: between contenders a 503 may be the right answer.
        """
        found: dict[str, list[tuple[int, float, str]]] = {"put": [], "get": [], "list": []}
        for node in nodes:
            value = f"probe{next(self._numbers)}"
            key = f"probe{node}"
            put, get, listed = self.ask(
                [(node, "PUT", key, "", value), (node, "GET", key, "", ""), (node, "GET", "", "list-type=2", "")]
            )
            self._note(node, "put", key, value, put, "ok" if put["status"] == 200 else "unknown")
            self._note_read(node, key, get)
            for name, each in (("put", put), ("get", get), ("list", listed)):
                found[name].append((each["status"], (each["end_ns"] - each["start_ns"]) / 1e9, each["body"]))
        return found

    def last_look(self) -> None:
        """After all is healed: every key, through every node, and every node's listing. All must agree."""
        keys = [*(f"key{number}" for number in range(OBJECTS)), *(f"probe{node}" for node in range(NODES))]
        seen: dict[int, dict[str, str | None]] = {}
        listings: dict[int, dict[str, str]] = {}
        for node in range(NODES):
            *reads, listed = self.ask(
                [*((node, "GET", key, "", "") for key in keys), (node, "GET", "", "list-type=2", "")]
            )
            for key, read in zip(keys, reads, strict=True):
                assert read["status"] in (200, 404), f"node {node}, {key}: {read}"
                self._note_read(node, key, read)
            seen[node] = {
                key: read["body"] if read["status"] == 200 else None for key, read in zip(keys, reads, strict=True)
            }
            assert listed["status"] == 200, f"node {node}: {listed}"
            entries = ET.fromstring(listed["body"]).iterfind("{*}Contents")
            listings[node] = {
                each.findtext("{*}Key") or "": (each.findtext("{*}ETag") or "").strip('"') for each in entries
            }
        assert all(seen[node] == seen[0] for node in range(NODES)), f"the nodes do not agree: {seen}"
        for node, listing in listings.items():
            present = {key: value for key, value in seen[node].items() if value is not None}
            assert listing.keys() == present.keys(), f"node {node} lists {listing}, and has {present}"
            for key, value in present.items():
                assert listing[key] in etags_of(value), f"node {node} lists another {key} than it gives"

    def lines(self, history: Path) -> list[str]:
        """The clients' history and all that was asked here; ETags that only this looker knows are made values."""
        known = {
            f"?{etag}": call["value"]
            for call in self.calls
            if call["op"] == "put"
            for etag in etags_of(str(call["value"]))
        }
        calls = [json.loads(line) for line in history.read_text().splitlines()]
        for call in calls:
            if "keys" in call:
                call["keys"] = {key: known.get(value, value) for key, value in call["keys"].items()}
        return [json.dumps(call) for call in (*calls, *self.calls)]

    def _note_read(self, node: int, key: str, answer: dict[str, Any]) -> None:
        if answer["status"] in (200, 404):
            value = answer["body"] if answer["status"] == 200 else None
            self._note(node, "read", key, value, answer, "ok")

    def _note(self, node: int, op: str, key: str, value: str | None, answer: dict[str, Any], outcome: str) -> None:
        self.calls.append({
            "process": PROCESS + node, "op": op, "key": key, "value": value, "outcome": outcome,
            "start_ns": answer["start_ns"], "end_ns": answer["end_ns"],
        })  # fmt: skip
