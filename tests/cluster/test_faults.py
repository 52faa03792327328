"""Nodes that die, pause, restart and lose their drives, while clients go on."""

import itertools
import statistics
import sys
import time

import pytest
from botocore.exceptions import ClientError

from tests.cluster.cluster import now_ms, poll
from tests.cluster.load import Load
from tests.e2e.payloads import noise

BUCKET = "faults"


def shown(name, seconds):
    """A line of latencies, for the log of the test."""
    middle, late = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
    line = f"{len(seconds)} requests, p50 {middle * 1e3:.0f} ms, p99 {late * 1e3:.0f} ms, max {seconds[-1]:.2f} s"
    sys.stdout.write(f"{name}: {line}\n")
    return late


@pytest.fixture
def cluster(own):
    own.start()
    own.wait_whole()
    own.s3(0).create_bucket(Bucket=BUCKET)
    return own


@pytest.mark.parametrize(
    ("node_count", "minorities"),
    [(4, [(0,), (1,), (2,), (3,)]), (3, [(2,), (0,), (1,)]), (5, [(0, 1), (4, 2), (3, 1)])],
    ids=["4 nodes", "3 nodes", "5 nodes"],
)
def test_any_minority_killed_under_load_costs_no_acknowledged_write(make_cluster, node_count, minorities):
    cluster = make_cluster(node_count=node_count).start()
    cluster.wait_whole()
    cluster.s3(0).create_bucket(Bucket=BUCKET)
    with Load(cluster, BUCKET) as load:
        for minority in minorities:
            poll("the load is under way", having(load, 20), 60, cluster.explain)
            cluster.kill(*minority)
            poll("clients go on without them", having(load, 40), 60, cluster.explain)
            since = now_ms()
            for number in minority:
                cluster.nodes[number].launch()
            cluster.wait_together()
            cluster.wait_compared(since)  # before that, others would be more than a minority
    load.check()
    assert cluster.stop() == [0] * node_count


def having(load, more):
    """Whether so many more requests went well since now."""
    before = len(load.latencies)
    return lambda: len(load.latencies) >= before + more


@pytest.mark.parametrize("balanced", [False, True], ids=["clients retry", "a balancer follows"])
def test_all_nodes_restart_in_turn_without_a_failed_request(cluster, balanced):
    """By docs/operations.md, "Restart one node after the other"."""
    with Load(cluster, BUCKET) as load:
        for number, node in enumerate(cluster.nodes):
            since = now_ms()
            poll(
                "it may be stopped",
                lambda: cluster.health(number, "?maintenance=true") == 200,  # noqa: B023 -- called at once
                90,
                cluster.explain,
            )
            if balanced:
                cluster.paused.add(number)  # clients are led elsewhere; what is in flight is drained
                time.sleep(1.0)  # for those that were about to connect
            assert node.stop() == 0
            node.launch()
            node.wait_ready(60)
            cluster.paused.discard(number)
            cluster.wait_compared(since)
    load.check()
    if balanced:
        assert load.retried == []
    cluster.wait_whole()


def test_a_paused_node_slows_nobody_down(cluster):
    with Load(cluster, BUCKET) as load:
        marks = [time.monotonic()]
        time.sleep(4)
        cluster.pause(3)
        marks.append(time.monotonic())
        time.sleep(8)
        marks.append(time.monotonic())
        cluster.resume(3)
        time.sleep(4)
        marks.append(time.monotonic())
    before, during, after = (load.between(*pair) for pair in itertools.pairwise(marks))
    shown("before", before)
    assert shown("paused", during) < 1.0
    assert during[-1] < 5.0, "nobody waits for long, not even once"
    shown("after", after)
    load.check()
    cluster.wait_whole()


def test_a_wiped_node_is_rebuilt_and_can_then_do_without_others(cluster):
    client = cluster.s3(0)
    contents = {f"k{number}": noise(200_000 if number % 5 == 0 else 2_000, number) for number in range(60)}
    for key, data in contents.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=data)
    cluster.wait_chosen()
    cluster.kill(2)
    cluster.wipe(2)
    since = now_ms()
    cluster.nodes[2].launch()
    cluster.wait_together()
    cluster.wait_whole(since)
    cluster.kill(0, 1)
    for number in (2, 3):
        for key, data in contents.items():
            assert cluster.s3(number).get_object(Bucket=BUCKET, Key=key)["Body"].read() == data


def test_what_a_node_missed_is_not_seen_through_it(cluster):
    client = cluster.s3(0)
    for number in range(30):
        client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"old %d" % number)
    cluster.kill(3)
    for number in range(0, 30, 2):
        client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"new %d" % number)
    for number in range(1, 30, 2):
        client.delete_object(Bucket=BUCKET, Key=f"k{number}")
    since = now_ms()
    cluster.nodes[3].launch()
    cluster.nodes[3].wait_ready()
    late = cluster.s3(3)
    expected = {f"k{number}": b"new %d" % number for number in range(0, 30, 2)}
    listed = [entry["Key"] for entry in late.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert listed == sorted(expected)
    for key, data in expected.items():
        assert late.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data
    cluster.wait_together()
    cluster.wait_whole(since)


def test_too_few_nodes_say_so_and_more_make_it_well(cluster):
    client = cluster.s3(0)
    client.put_object(Bucket=BUCKET, Key="k", Body=b"v")
    cluster.wait_chosen()
    assert cluster.health(0) == 200
    cluster.kill(3)
    poll("it is noticed", lambda: cluster.health(0, "?maintenance=true") == 412, 20, cluster.explain)
    assert cluster.health(0) == 200
    client.put_object(Bucket=BUCKET, Key="k2", Body=b"v2")
    cluster.wait_chosen([0, 1, 2])
    cluster.kill(2)
    poll("it is noticed", lambda: cluster.health(0) == 503, 20, cluster.explain)
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=BUCKET, Key="k3", Body=b"v3")
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"v"
    cluster.kill(1)
    with pytest.raises(ClientError) as refused:
        client.get_object(Bucket=BUCKET, Key="k")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    for number in (1, 2, 3):
        cluster.nodes[number].launch()
    cluster.wait_together()
    client.put_object(Bucket=BUCKET, Key="k3", Body=b"v3")
    assert cluster.s3(3).get_object(Bucket=BUCKET, Key="k2")["Body"].read() == b"v2"
