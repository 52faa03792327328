"""Histories of concurrent clients on all nodes, while the network, the nodes and their clocks misbehave."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.consistency.history import load
from tests.consistency.linearizability import check
from tests.netns.hosts import NODES, hosts
from tests.netns.looking import Looker
from tests.netns.network import between, missing

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

_missing = missing()

REFUSAL_SECONDS_MAX = 8.0
SERVICE_SECONDS_MAX = 4.0


@pytest.fixture(autouse=True)
def namespaces():
    if _missing:
        if os.environ.get("CI"):
            pytest.fail(_missing)
        pytest.skip(_missing)


def judged(history: Path, looker: Looker, least: int) -> list[dict[str, object]]:
    """The clients' calls of a history, which must be linearizable, with what the looker saw, and not too few."""
    operations = load(looker.lines(history))
    violations = check(operations)
    assert not violations, "\n".join(map(str, violations))
    calls = [json.loads(line) for line in history.read_text().splitlines()]
    good = sum(call["outcome"] == "ok" for call in calls)
    assert good >= least, f"only {good} calls of {len(calls)} succeeded"
    return calls


def calls_of(calls, start_ns, end_ns):
    return [call for call in calls if start_ns <= call["start_ns"] < end_ns]


def test_the_network_falls_apart_in_every_way(tmp_path):
    history = tmp_path / "history"
    with hosts(tmp_path, seed=11) as cluster:
        looker = Looker(cluster)
        rule = cluster.net.rule
        with cluster.clients(history, seed=11):
            time.sleep(3)
            rule(cut=between([3], [0, 1, 2]))  # a minority, which clients still reach
            time.sleep(5)  # longer than it takes to notice
            cut_ns = time.monotonic_ns()
            time.sleep(5)
            assert cluster.get(3, "/rustfs/health/cluster")[0] == 503
            assert cluster.get(0, "/rustfs/health/cluster")[0] == 200
            healed_ns = time.monotonic_ns()
            rule(cut=[(1, each) for each in (0, 2, 3)])  # heard by nobody, hears everybody
            time.sleep(7)
            rule(cut=[(0, 1), (1, 2), (2, 3), (3, 0)])  # a ring of one-way cuts
            time.sleep(7)
            rule(cut=[pair for one in range(NODES) for pair in between([one], set(range(NODES)) - {one})])
            time.sleep(6)
            assert {cluster.get(each, "/rustfs/health/cluster")[0] for each in range(NODES)} == {503}
            rule(delay_ms=20, loss=0.02)
            time.sleep(8)
            rule()
            time.sleep(4)
        cluster.wait_whole()
        looker.last_look()
    calls = judged(history, looker, least=200)
    meanwhile = [call for call in calls_of(calls, cut_ns, healed_ns) if call["outcome"] == "ok"]
    assert len(meanwhile) > 20, "the majority went on serving"
    longest_seconds = max(call["end_ns"] - call["start_ns"] for call in meanwhile) / 1e9
    assert longest_seconds < 4.0, "nobody in the majority waits for those who are cut off"


ALONE, REST = 3, [0, 1, 2]
CUTS = {
    "both ways": between([ALONE], REST),
    "heard by nobody": [(ALONE, each) for each in REST],
    "hears nobody": [(each, ALONE) for each in REST],
}


def test_a_majority_goes_on_and_a_minority_refuses_in_time(tmp_path):
    """Clients reach all nodes throughout: what is cut off says 503, soon, and nothing else."""
    history = tmp_path / "history"
    with hosts(tmp_path, seed=14) as cluster:
        looker = Looker(cluster)
        with cluster.clients(history, seed=14, seconds_max=240.0):
            for how, cut in CUTS.items():
                cluster.net.rule(cut=cut)
                cluster.wait_health({ALONE: 503, **dict.fromkeys(REST, 200)})
                for _ in range(3):
                    refused = looker.probe([ALONE])
                    for what, ((status, seconds, _),) in refused.items():
                        assert status == 503, f"{how}: {what} at the minority: {status}"
                        assert seconds < REFUSAL_SECONDS_MAX, f"{how}: {what} at the minority"
                    served = looker.probe(REST)
                    for what, answers in served.items():
                        for status, seconds, body in answers:
                            assert status == 200, f"{how}: {what} at the majority: {status} {body}"
                            assert seconds < SERVICE_SECONDS_MAX, f"{how}: {what} at the majority"
                cluster.net.rule()
                cluster.wait_health(dict.fromkeys(range(NODES), 200))
                looker.probe(list(range(NODES)))
        cluster.wait_whole()
        looker.last_look()
    judged(history, looker, least=200)


def test_nodes_pause_die_and_lose_their_drives(tmp_path):
    history = tmp_path / "history"
    with hosts(tmp_path, seed=12) as cluster:
        looker = Looker(cluster)
        with cluster.clients(history, seed=12):
            time.sleep(2)
            cluster.pause(2)
            time.sleep(6)
            cluster.resume(2)
            time.sleep(3)
            cluster.kill(1)
            time.sleep(3)
            cluster.start(1)
            time.sleep(4)
            cluster.wait_ready()
            cluster.wait_whole()
            cluster.kill(3)
            cluster.wipe(3)
            time.sleep(2)
            cluster.start(3)
            time.sleep(4)
            for number in range(NODES):  # a power cut
                cluster.kill(number)
            for number in range(NODES):
                cluster.start(number)
            cluster.wait_ready()
            time.sleep(3)
        cluster.wait_whole()
        looker.last_look()
    judged(history, looker, least=200)


def test_clocks_step_forward_and_back(tmp_path):
    history = tmp_path / "history"
    with hosts(tmp_path, seed=13, clocks=True) as cluster:
        looker = Looker(cluster)
        with cluster.clients(history, seed=13):
            time.sleep(2)
            for number, seconds in ((0, 300), (1, -300), (0, 0), (2, 600), (1, 0), (2, -600)):
                cluster.step_clock(number, seconds)
                time.sleep(3)
            cluster.step_clock(2, 0)
            time.sleep(2)
        cluster.wait_whole()
        looker.last_look()
    judged(history, looker, least=200)
