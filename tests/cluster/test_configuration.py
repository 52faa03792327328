"""Settings of a running cluster: in force on every node once they are acknowledged, and learnt by whoever was away."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.cluster import READY_SECONDS_MAX, RunningCluster, poll
from tests.e2e.server import rustfs_command

WORKERS = 2
BOUNDED_SECONDS = 45.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Four nodes of two workers, whole at the start of every test."""
    cluster = RunningCluster(tmp_path_factory.mktemp("configured"), worker_count=WORKERS)
    try:
        yield cluster.start()
    finally:
        cluster.end()


def admin(cluster, number, *words):
    """Exit code, standard output and standard error of `rustfs admin config ...` for a node."""
    done = subprocess.run(
        [*rustfs_command(), "admin", "config", *words], capture_output=True, text=True, timeout=60, check=False,
        env=cluster.nodes[number].admin_environment(),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def change(cluster, number, *words):
    """The answer to a change that succeeds."""
    code, out, err = admin(cluster, number, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def facts_of(cluster, number, name):
    """As the node tells them, which it does in the end however busy it is."""
    found = []

    def told():
        facts = cluster.facts(number, name)
        found[:] = [facts]
        return facts is not None

    poll(f"node {number} tells its {name}", told, READY_SECONDS_MAX, cluster.log_tail)
    return found[0]


def missed(cluster, number):
    """The nodes that a node does not reach."""
    return set(facts_of(cluster, number, "health")["nodes_offline"])


def in_force(cluster, number):
    """A node's settings, by name."""
    facts = facts_of(cluster, number, "config")
    return {each["name"]: each["value"] for each in facts["settings"]}


def wait_in_force(cluster, version, numbers):
    """Until all workers of these nodes go by this version."""

    def everywhere():
        facts = facts_of(cluster, numbers[0], "config")
        nodes = [facts["nodes"][cluster.nodes[number].address] for number in numbers]
        return all(each == {"version": version, "workers": WORKERS, "workers_behind": 0} for each in nodes)

    poll(
        f"version {version} on nodes {numbers}", everywhere, READY_SECONDS_MAX,
        lambda: f"{cluster.facts(numbers[0], 'config')}\n{cluster.log_tail()}",
    )  # fmt: skip


def workers_of(node):
    """The processes of a node but for its supervisor."""
    pid = node.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_change_through_any_node_is_in_force_on_all_when_it_is_acknowledged(cluster):
    for number, share in enumerate(("11", "22", "33", "44")):
        answer = change(cluster, number, "set", "heal-share", share)
        assert (answer["name"], answer["value"]) == ("heal-share", share)
        confirmed = [each for each in range(4) if cluster.nodes[each].address not in answer["nodes_unconfirmed"]]
        assert number in confirmed, "on a machine that stalls, others may be late, and are named"
        assert [in_force(cluster, each)["heal-share"] for each in confirmed] == [share] * len(confirmed)
        wait_in_force(cluster, answer["version"], range(4))
        assert [in_force(cluster, each)["heal-share"] for each in range(4)] == [share] * 4
    answer = change(cluster, 2, "unset", "heal-share")
    assert answer["value"] == "50"
    wait_in_force(cluster, answer["version"], range(4))
    assert [in_force(cluster, each)["heal-share"] for each in range(4)] == ["50"] * 4
    code, out, _ = admin(cluster, 1)
    assert code == 0
    assert "heal-share" in out
    assert "!" not in out


def test_administrators_who_meet_all_succeed(cluster):
    before = facts_of(cluster, 0, "config")["version"]
    wanted = [("heal-share", "71"), ("compression", "off"), ("log-level", "warning"), ("heal-share", "72")]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: change(cluster, each[0], "set", *each[1]), enumerate(wanted)))
    assert sorted(each["version"] for each in answers) == list(range(before + 1, before + 5))
    wait_in_force(cluster, before + 4, range(4))
    found = in_force(cluster, 3)
    assert (found["compression"], found["log-level"]) == ("off", "warning")
    assert found["heal-share"] in ("71", "72")
    change(cluster, 0, "set", "log-level", "info")


def test_nonsense_is_one_sentence_and_exit_code_2(cluster):
    before = facts_of(cluster, 0, "config")["version"]
    for words, said in (
        (("set", "compression", "perhaps"), "compression must be auto or off, not 'perhaps'"),
        (("unset", "nothing"), "there is no setting 'nothing'"),
    ):
        code, out, err = admin(cluster, 0, *words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert facts_of(cluster, 0, "config")["version"] == before


def test_a_node_that_was_away_learns_what_was_changed_meanwhile(cluster):
    cluster.kill(3)
    poll("it is missed", lambda: missed(cluster, 0) == {cluster.nodes[3].address}, READY_SECONDS_MAX)
    answer = change(cluster, 0, "set", "heal-share", "81")
    assert cluster.nodes[3].address in answer["nodes_unconfirmed"]
    cluster.nodes[3].launch()
    cluster.wait_together()
    wait_in_force(cluster, answer["version"], range(4))
    assert in_force(cluster, 3)["heal-share"] == "81"


def test_without_a_write_quorum_nothing_changes_and_new_processes_still_know_the_settings(cluster):
    version = change(cluster, 1, "set", "heal-share", "91")["version"]
    wait_in_force(cluster, version, range(4))
    cluster.wait_chosen()
    cluster.kill(2, 3)
    poll("they are missed", lambda: len(missed(cluster, 0)) == 2, READY_SECONDS_MAX)
    began = time.monotonic()
    code, _, err = admin(cluster, 0, "set", "heal-share", "92")
    assert time.monotonic() - began < BOUNDED_SECONDS
    assert code == 2
    assert "nothing changed" in err
    assert err.count("\n") == 1

    victim = workers_of(cluster.nodes[1])[0]
    os.kill(victim, signal.SIGKILL)
    poll("another worker took its place", lambda: len(set(workers_of(cluster.nodes[1])) - {victim}) == WORKERS, 60)
    wait_in_force(cluster, version, (0, 1))

    cluster.kill(1)  # one node of four: no quorum of any kind
    cluster.nodes[0].kill()
    cluster.nodes[0].launch()
    poll("it answers", lambda: cluster.facts(0, "config") is not None, READY_SECONDS_MAX, cluster.log_tail)
    wait_in_force(cluster, version, (0,))
    assert in_force(cluster, 0)["heal-share"] == "91"

    for node in cluster.nodes[1:]:
        node.launch()
    cluster.wait_together()
    wait_in_force(cluster, version, range(4))
