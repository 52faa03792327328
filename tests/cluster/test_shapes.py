"""Clusters of several shapes: each node answers for all, and as many nodes as promised may be gone."""

import shutil

import pytest

from tests.cluster.cluster import now_ms
from tests.cluster.tools import MAKERS, download, tool_of, upload
from tests.e2e.payloads import noise, prose
from tests.e2e.trees import read_tree, write_tree

BUCKET = "shapes"
CONTENTS = {
    "empty": b"",
    "tiny": b"x",
    "inline": noise(100_000, 1),
    "file": noise(400_001, 2),
    "several/blocks": noise(3_300_000, 3),
    "shrinks": prose(1_500_000, 4),
}


def read_all(client) -> dict[str, bytes]:
    """Every object that the listing names."""
    listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return {entry["Key"]: client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed}


@pytest.mark.parametrize(
    ("node_count", "drives_per_node", "worker_count", "may_fail"),
    [(4, 1, 2, 2), (4, 4, 1, 1), (3, 1, 1, 1)],
    ids=["4x1", "4x4", "3x1"],
)
def test_every_node_reads_all_and_goes_on_without_those_that_may_fail(
    make_cluster, node_count, drives_per_node, worker_count, may_fail
):
    cluster = make_cluster(node_count=node_count, drives_per_node=drives_per_node, worker_count=worker_count).start()
    cluster.s3(0).create_bucket(Bucket=BUCKET)
    for number, (key, data) in enumerate(CONTENTS.items()):
        cluster.s3(number % node_count).put_object(Bucket=BUCKET, Key=key, Body=data)
    for number in range(node_count):
        assert read_all(cluster.s3(number)) == CONTENTS

    info = cluster.facts(0, "info")
    assert len(info["drives"]) == node_count * drives_per_node
    assert all(drive["state"] == "online" for drive in info["drives"])

    cluster.wait_whole()
    cluster.wait_chosen()
    gone = list(range(may_fail))
    cluster.kill(*gone)
    for number in range(may_fail, node_count):
        assert read_all(cluster.s3(number)) == CONTENTS, f"through node {number} without {gone}"
    since = now_ms()
    for number in gone:
        cluster.nodes[number].launch()
    cluster.wait_together()
    cluster.wait_whole(since)
    assert read_all(cluster.s3(0)) == CONTENTS
    assert cluster.stop() == [0] * node_count


@pytest.mark.parametrize(("node_count", "drives_per_node"), [(4, 4), (3, 1)], ids=["4x4", "3x1"])
def test_every_client_reads_through_other_nodes_what_any_client_wrote_while_one_is_dead(
    make_cluster, tmp_path, node_count, drives_per_node
):
    cluster = make_cluster(node_count=node_count, drives_per_node=drives_per_node).start()
    cluster.wait_whole()
    cluster.s3(0).create_bucket(Bucket=BUCKET)
    files = {"small": b"hello", "deep/er/large": noise(9_000_000, 6)}  # in parts, by most of them
    source = write_tree(tmp_path / "source", files)
    names = [name for name in MAKERS if name != "mc" or shutil.which("mc")]
    dead = node_count - 1

    def tool(name, turn, home):
        return tool_of(name, cluster.nodes[turn % dead], tmp_path / home / name)

    for turn, name in enumerate(names):
        if turn == len(names) // 2:
            cluster.kill(dead)
        upload(tool(name, turn, "there"), source, BUCKET, name)
    for turn, name in enumerate(names):
        writer = names[(turn + 1) % len(names)]
        download(tool(name, turn, "back"), BUCKET, writer, tmp_path / "target" / name)
        assert read_tree(tmp_path / "target" / name) == files, f"{name} reads what {writer} wrote"
    expected = {f"{name}/{path}": data for name in names for path, data in files.items()}
    for number in range(dead):
        assert read_all(cluster.s3(number)) == expected
