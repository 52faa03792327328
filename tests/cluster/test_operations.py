"""docs/operations.md, procedure by procedure, with the commands as they are written there.

The last table of that page says which test runs which procedure; the first test here holds it to that.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading

import pytest
from botocore.exceptions import ClientError

from tests.cluster.cluster import now_ms, poll
from tests.cluster.documented import DocumentedCluster, missing
from tests.cluster.page import ROOT, commands, rows, sections
from tests.e2e.payloads import noise
from tests.e2e.server import base_environment, rustfs_command

BUCKET = "operated"
NODES = 4
CONTENTS = {f"k{number}": noise(300_000 if number % 5 == 0 else 2_000, number) for number in range(40)}

_missing = missing()


@pytest.fixture(autouse=True)
def namespaces():
    if _missing:
        if os.environ.get("CI"):
            pytest.fail(_missing)
        pytest.skip(_missing)


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """Four nodes, started by the page, with objects; for procedures that leave them as they were."""
    if _missing:
        pytest.skip(_missing)
    cluster = DocumentedCluster(tmp_path_factory.mktemp("standing"))
    try:
        cluster.follow("Deploy")
        cluster.start()
        fill(cluster)
        yield cluster
        assert cluster.stop() == [0] * NODES
    finally:
        cluster.end()


def fill(cluster):
    cluster.s3(0).create_bucket(Bucket=BUCKET)
    for number, (key, data) in enumerate(CONTENTS.items()):
        cluster.s3(number % NODES).put_object(Bucket=BUCKET, Key=key, Body=data)


def assert_all_there(cluster, numbers, expected=CONTENTS):
    for number in numbers:
        listed = [entry["Key"] for entry in cluster.s3(number).list_objects_v2(Bucket=BUCKET)["Contents"]]
        assert listed == sorted(expected), f"through node {number}"
        for key, data in expected.items():
            assert cluster.s3(number).get_object(Bucket=BUCKET, Key=key)["Body"].read() == data, key


def words_of(text):
    """A command of the page as arguments of `rustfs admin`."""
    words = shlex.split(text.strip("`"))
    assert words[:2] == ["rustfs", "admin"]
    return words[2:]


@contextlib.contextmanager
def following(node, words):
    """A command that goes on until Ctrl-C, which must then end it well."""
    with subprocess.Popen(
        [*rustfs_command(), "admin", *words], stdout=subprocess.PIPE, text=True, env=node.admin_environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 -- a background job ignores it
    ) as process:  # fmt: skip
        try:
            yield process.stdout
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_every_procedure_is_run_by_a_test_that_exists():
    title = "Which test runs what"
    named = {procedure.rstrip(" *").partition(":")[0] for procedure, _ in rows(title)}
    assert named == set(sections()) - {title}
    for procedure, tests in rows(title):
        for file, name in re.findall(r"`([\w/.]+)::(\w+)`", tests):
            assert f"\ndef {name}(" in (ROOT / file).read_text(), procedure


def test_deploy(make_cluster):
    cluster = make_cluster(DocumentedCluster)
    cluster.follow("Deploy")
    (layout,) = commands("Deploy", "rustfs admin layout")
    done = subprocess.run(
        [*rustfs_command(), *map(cluster.as_here, layout[1:])], capture_output=True, text=True, timeout=30, check=True,
        env=base_environment(),
    )  # fmt: skip
    assert "16 drives" in done.stdout
    first, *others, late = (cluster.nodes[number] for number in (2, 0, 3, 1))  # "in any order"
    first.launch()
    poll("it waits and says for whom", lambda: others[0].address in first.log_tail(), 30, first.log_tail)
    assert not first.ready()
    for node in others:
        node.launch()
    for node in (first, *others):
        node.wait_ready(60)  # "a majority is enough"
    cluster.s3(0).create_bucket(Bucket=BUCKET)
    late.launch()
    cluster.wait_together()
    for number in range(NODES):
        assert cluster.nodes[number].get("/rustfs/health/ready")[0] == 200
        cluster.s3(number).put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"v")
    assert len(cluster.facts(0, "info")["drives"]) == 16
    assert cluster.stop() == [0] * NODES


HEALTH_WORDS = {
    "rustfs admin info": "Deployment",
    "rustfs admin health": "Every set can be written and read",
    "rustfs admin drives": "data4",
    "rustfs admin locks": "",
    "rustfs admin config": "heal-share",
}
FOLLOWED = {"rustfs admin heal status --watch": "compared", "rustfs admin trace": f"/{BUCKET}/k1"}


def test_read_the_health(standing):
    standing.wait_whole()
    seen = set()
    for what, _ in rows("Read the health"):
        text = what.strip("`")
        if text.startswith("/"):
            assert [node.get(text)[0] for node in standing.nodes] == [200] * NODES, text
        elif text in FOLLOWED:
            with following(standing.nodes[1], words_of(text)) as lines:
                next(lines)  # it has begun
                standing.s3(3).get_object(Bucket=BUCKET, Key="k1")["Body"].read()
                assert any(FOLLOWED[text] in line for line in lines), text
        else:
            for node in standing.nodes:
                assert HEALTH_WORDS[text] in node.admin(*words_of(text)), text
        seen.add(text)
    assert seen >= {*HEALTH_WORDS, *FOLLOWED}


def test_check_and_repair_on_demand(standing):
    ((*_, deep, target),) = commands("Check and repair on demand", "rustfs admin heal [")
    assert (deep, target) == ("[--deep]", "[BUCKET/PREFIX]")
    for options, where in itertools.product(((), ("--deep",)), ((), (f"{BUCKET}/k",))):
        lines = standing.nodes[1].admin("heal", *options, *where, "--json", timeout_seconds=90).splitlines()
        last = json.loads(lines[-1])
        assert (last["done"], last["keys_failed"], last["keys_waiting"], last["errors"]) == (True, 0, 0, {})
        assert last["keys_checked"] >= len(CONTENTS)
    (stop,) = commands("Check and repair on demand", "rustfs admin heal stop")
    assert standing.nodes[2].admin(*stop[2:]) == "Nothing to stop\n"


def test_take_a_lock_away(standing):
    """The holder is a node that stands still with the lease of a key that all nodes write to at once."""
    (list_words,) = commands("Take a lock away", "rustfs admin locks list")
    (release_words,) = commands("Take a lock away", "rustfs admin locks release")
    assert release_words[-1] == "RESOURCE"
    standing.s3(0).put_object(Bucket=BUCKET, Key="contended", Body=b"0")
    stop = threading.Event()

    def contend(number):
        client = standing.nodes[number].boto3_client(read_timeout=20)
        while not stop.is_set():
            with contextlib.suppress(ClientError, OSError):  # the other one was first
                seen = client.get_object(Bucket=BUCKET, Key="contended")
                seen["Body"].read()
                client.put_object(Bucket=BUCKET, Key="contended", Body=b"1", IfMatch=seen["ETag"])
        client.close()

    # Most of them at node 3: the more often it holds the lock, the sooner it is caught with it.
    contenders = [threading.Thread(target=contend, args=(number,)) for number in (0, 1, 2, 3, 3, 3, 3, 3)]
    holder = standing.nodes[3]

    def held():
        facts = json.loads(standing.nodes[0].admin(*list_words[2:], "--json"))
        return [lock for lock in facts["locks"] if lock["node"] == holder.address and not lock["waiting"]]

    def stands_still_with_a_lock():
        standing.pause(3)
        if held():
            return True
        standing.resume(3)
        return False

    for thread in contenders:
        thread.start()
    try:
        poll("a node stands still while it holds the lock", stands_still_with_a_lock, 120, standing.explain)
        (lock,) = held()
        assert "contended" in lock["resource"]
        assert "Released on" in standing.nodes[0].admin(*release_words[2:-1], lock["resource"])
        assert held() == []
    finally:
        stop.set()
        if 3 in standing.paused:
            standing.resume(3)
        for thread in contenders:
            thread.join(60)
    standing.wait_peers(range(NODES))
    standing.s3(0).delete_object(Bucket=BUCKET, Key="contended")


def test_replace_a_drive(make_cluster):
    cluster = make_cluster(DocumentedCluster, mounted=(1, "data2"))
    cluster.follow("Deploy")
    cluster.start()
    fill(cluster)
    cluster.wait_whole()
    path = str(cluster.seen_by_node("data2"))

    def state():
        drives = cluster.facts(0, "info")["drives"]
        (found,) = (
            each for each in drives if each["node"] == cluster.nodes[1].address and each["endpoint"].endswith(path)
        )
        return found["state"]

    cluster.inside(1, "umount", "--lazy", path)
    poll("the drive is missed", lambda: state() == "offline", 60, cluster.explain)
    assert_all_there(cluster, [1])
    assert list((cluster.nodes[1].directory / "disks" / "data2").iterdir()) == [], "nothing on the system disk"
    since = now_ms()
    cluster.inside(1, "mount", "-t", "tmpfs", "-o", "size=256m", "none", path)
    poll("it is taken into service", lambda: state() == "online", 60, cluster.explain)
    assert cluster.nodes[1].admin("heal", "status")
    cluster.wait_whole(since)
    held = {each["endpoint"]: each["versions"] for each in cluster.facts(0, "info")["drives"]}
    assert max(held.values()) > 0
    cluster.wait_chosen([0, 2, 3])
    assert_all_there(cluster, range(NODES))


def test_replace_a_node(make_cluster):
    cluster = make_cluster(DocumentedCluster)
    cluster.follow("Deploy")
    cluster.start()
    fill(cluster)
    cluster.wait_whole()
    cluster.wait_chosen()
    cluster.kill(2)
    for drive in cluster.nodes[2].drives:
        shutil.rmtree(drive)
        drive.mkdir()
    poll("it is missed", lambda: cluster.nodes[2].address in cluster.nodes[0].admin("health"), 30, cluster.explain)
    since = now_ms()
    cluster.follow("Deploy")  # "with the same command"
    cluster.nodes[2].launch()
    cluster.wait_together()
    cluster.wait_whole(since)
    cluster.kill(0)  # now it counts
    assert_all_there(cluster, [1, 2, 3])


def test_grow(make_cluster):
    cluster = make_cluster(DocumentedCluster, node_count=2 * NODES)
    cluster.follow("Deploy")
    for number in range(NODES):
        cluster.nodes[number].launch()
    for number in range(NODES):
        cluster.nodes[number].wait_ready(60)
    cluster.wait_peers(range(NODES))
    fill(cluster)
    cluster.close_clients()
    assert [cluster.nodes[number].stop() for number in range(NODES)] == [0] * NODES
    cluster.follow("Grow")
    assert [word.count("{1...4}") for word in cluster.nodes[0].volumes] == [2, 1], "one more argument behind the first"
    cluster.start()
    assert_all_there(cluster, range(2 * NODES))
    new = {f"new{number}": noise(3_000 + 30_000 * number, number) for number in range(12)}
    for number, (key, data) in enumerate(new.items()):
        cluster.s3(number % (2 * NODES)).put_object(Bucket=BUCKET, Key=key, Body=data)
    assert_all_there(cluster, (0, 7), CONTENTS | new)
    pools = [drive["pool"] for drive in cluster.facts(6, "info")["drives"]]
    assert (pools.count(0), pools.count(1)) == (16, 16)
    assert cluster.stop() == [0] * (2 * NODES)
