"""A real Prometheus, with the configuration in deploy/, against a running node."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.promql import names_in
from tests.deploy.test_monitoring import alerts, dashboard_expressions
from tests.e2e.server import RunningServer, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
SECONDS_MAX = 45.0
ONLY_WHEN_IT_HAPPENS = {"ALERTS", "rustfs_erasure_bad_shards_total"}
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus (Debian's package) is missing"),
]


class Prometheus:
    """A Prometheus under test, and its HTTP API."""

    def __init__(self, directory: Path, target: str) -> None:
        self._base = f"http://127.0.0.1:{free_port()}"
        configuration = directory / "prometheus"
        shutil.copytree(DEPLOY / "prometheus", configuration)
        settings = configuration / "prometheus.yml"
        text = settings.read_text()
        assert "interval: 15s" in text
        settings.write_text(text.replace("interval: 15s", "interval: 1s"))  # for an impatient test
        (configuration / "nodes.yml").write_text(f"- targets: [{json.dumps(target)}]\n")
        self._log = directory / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={settings}",
                    f"--storage.tsdb.path={directory / 'tsdb'}",
                    f"--web.listen-address={self._base.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
            )

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an API call; None while it is not ready."""
        try:
            url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
            with urllib.request.urlopen(url, timeout=10) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 503:  # it listens, and still reads its configuration
                raise
            answer = None
        except (urllib.error.URLError, ConnectionError) as error:
            if not isinstance(getattr(error, "reason", error), ConnectionError):
                raise
            answer = None
        if answer is None:
            assert self._process.poll() is None, self._log.read_text()
            return None
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str) -> float | None:
        """The value of an expression that gives at most one series."""
        data = self.get("query", query=expression)
        results = data["result"] if data else []
        assert len(results) <= 1, results
        return float(results[0]["value"][1]) if results else None

    def wait_for(self, expression: str, expected: float) -> None:
        """Poll until an expression has a value."""
        deadline = time.monotonic() + SECONDS_MAX
        while (value := self.value(expression)) != expected:
            assert time.monotonic() < deadline, (
                f"{expression} is {value}, not {expected}\n{self._log.read_text()[-4000:]}"
            )
            time.sleep(0.1)

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def node(tmp_path) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path / "node", drive_count=4, worker_count=2)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def prometheus(tmp_path, node) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path, node.address)
    yield running
    running.end()


def test_prometheus_scrapes_a_node_and_evaluates_what_is_in_deploy(node, prometheus):
    client = node.boto3_client()
    client.create_bucket(Bucket="scraped")
    for number in range(3):
        client.put_object(Bucket="scraped", Key=f"{number}", Body=b"x" * 1000)
    client.get_object(Bucket="scraped", Key="0")["Body"].read()

    prometheus.wait_for('up{job="rustfs"}', 1)
    # Figures of both workers together, and of the background services, which run in one of them.
    prometheus.wait_for('sum(rustfs_s3_requests_total{operation="PutObject", status="200"})', 3)
    prometheus.wait_for('sum(rustfs_s3_received_bytes_total{operation="PutObject"})', 3000)
    prometheus.wait_for("sum(rustfs_drive_online)", 4)
    prometheus.wait_for("count(rustfs_process_resident_memory_bytes)", 2)

    for where, expression in dashboard_expressions().items():
        assert prometheus.get("query", query=expression) is not None, where
    # What a node that serves exports is what metric_names.py reads from its code; the rest appears when it happens.
    asked = frozenset[str]().union(*(names_in(each).metrics for each in dashboard_expressions().values()))
    asked = frozenset(name for name in asked if not name.startswith("rustfs_peer_"))  # of nodes that have peers
    deadline = time.monotonic() + SECONDS_MAX
    while missing := asked - set(prometheus.get("label/__name__/values")) - ONLY_WHEN_IT_HAPPENS:
        assert time.monotonic() < deadline, missing
        time.sleep(0.2)

    groups = prometheus.get("rules")["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in alerts()}
    assert [rule for rule in loaded if rule["health"] == "err"] == []
    assert [
        alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"] if alert["state"] == "firing"
    ] == []

    node.stop()
    prometheus.wait_for('up{job="rustfs"}', 0)
    prometheus.wait_for('count(ALERTS{alertname="RustfsNodeDown", alertstate="pending"})', 1)
