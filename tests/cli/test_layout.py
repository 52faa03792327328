"""`rustfs admin layout`: sets, parity and what may fail, as the rules for reads and writes have it."""

import itertools
import json

import pytest
from typer.testing import CliRunner

from rustfs.cli.layout import describe, drives_lost_for_reads, drives_lost_for_writes
from rustfs.cli.main import app
from rustfs.core.errors import ConfigurationError
from rustfs.erasure.parity import default_parity, parity_table
from rustfs.node.volumes import read_volumes
from rustfs.objects.decide import majority, read_quorum

VARIABLES = ("VOLUMES", "ADDRESS", "STORAGE_CLASS_STANDARD", "STORAGE_CLASS_RRS")


def run(*arguments, **environment):
    """The command's standard output."""
    unset = dict.fromkeys(f"RUSTFS_{name}" for name in VARIABLES)
    result = CliRunner().invoke(app, ["admin", "layout", *arguments], env=unset | environment)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def facts(*volumes, **environment):
    return json.loads(run(*volumes, "--json", **environment))


# README, "What it promises"
@pytest.mark.parametrize(
    ("set_size", "reads", "writes"),
    [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 2), (6, 3, 2), (7, 3, 3), (8, 4, 3), (9, 4, 4), (16, 4, 7)],
)
def test_drives_of_a_set_that_may_fail(set_size, reads, writes):
    parity = default_parity(set_size)
    assert drives_lost_for_reads(set_size, parity) == reads
    assert drives_lost_for_writes(set_size, parity) == writes


@pytest.mark.parametrize("set_size", range(1, 17))
def test_quorums_hold_at_the_limit_whatever_the_parity(set_size):
    for parity in range(set_size // 2 + 1):
        left = set_size - drives_lost_for_reads(set_size, parity)
        assert left >= max(read_quorum(set_size), set_size - parity)
        assert set_size - drives_lost_for_writes(set_size, parity) >= majority(set_size)


@pytest.mark.parametrize(
    ("volumes", "read_nodes", "write_nodes"),
    [
        ("http://n{1...4}/d", 2, 1),  # as MinIO's sizing guide has it
        ("http://n{1...5}/d", 2, 2),
        ("http://n{1...6}/d", 3, 2),
        ("http://n{1...7}/d", 3, 3),
        ("http://n{1...4}/d{1...2}", 2, 1),
        ("http://n{1...4}/d{1...4}", 1, 1),
        ("http://n{1...4}/d{1...8}", 1, 1),
        ("http://n{1...16}/d{1...8}", 4, 7),
        ("http://n{1...3}/d", 1, 1),
        ("http://n{1...2}/d{1...2}", 1, 0),
        ("http://n/d{1...4}", 0, 0),
    ],
)
def test_whole_nodes_that_may_fail(volumes, read_nodes, write_nodes):
    may_fail = facts(volumes)["may_fail"]
    assert (may_fail["reads"]["nodes"], may_fail["writes"]["nodes"]) == (read_nodes, write_nodes)


@pytest.mark.parametrize(
    "volumes",
    [
        ["http://n{1...5}/d{1...8}"],
        ["http://n{1...3}/d{1...16}"],
        ["http://n{1...4}/d{1...2}", "http://n{1...2}/e{1...6}"],
        ["http://a/1", "http://a/2", "http://a/3", "http://b/1", "http://b/2", "http://c/1"],
    ],
)
def test_node_figures_are_what_losing_nodes_one_combination_at_a_time_shows(volumes):
    topology = read_volumes(volumes)
    parities = [parity_table(None, None, pool.set_size) for pool in topology.pools]
    figures = describe(topology, parities)["pools"]
    for pool, parity, figure in zip(topology.pools, parities, figures, strict=True):
        nodes = sorted({each.node for each in pool.endpoints})
        for mode, spare in (("reads", drives_lost_for_reads), ("writes", drives_lost_for_writes)):
            needed = pool.set_size - spare(pool.set_size, parity["STANDARD"])
            survives = [
                all(sum(each.node not in lost for each in group) >= needed for lost in losses for group in pool.sets)
                for losses in (list(itertools.combinations(nodes, count)) for count in range(len(nodes) + 1))
            ]
            assert survives.index(False) - 1 == figure["storage_classes"]["STANDARD"]["may_fail"][mode]["nodes"]


def test_programs_get_every_set_with_its_drives():
    found = facts("http://node{1...4}:9000/data{1...8}")
    (pool,) = found["pools"]
    assert (found["nodes"], found["drives"], found["distributed"]) == (4, 32, True)
    assert (pool["set_size"], pool["set_count"], pool["drives"], pool["nodes"]) == (16, 2, 32, 4)
    assert pool["sets"][1][:2] == ["http://node1:9000/data5", "http://node2:9000/data5"]
    assert found["usable_fraction"] == pool["storage_classes"]["STANDARD"]["efficiency"] == 0.75
    assert found["digest"] == read_volumes(["http://node{1...4}:9000/data{1...8}"]).digest()


def test_the_weakest_pool_counts_and_space_is_that_of_all():
    found = facts("/a{1...12}", "/b{1...4}")
    assert found["usable_fraction"] == (8 + 2) / 16
    assert found["may_fail"]["reads"]["drives_per_set"] == 2
    assert found["may_fail"]["writes"]["drives_per_set"] == 1


def test_storage_classes_count_as_for_a_node():
    classes = facts("/a{1...6}", RUSTFS_STORAGE_CLASS_STANDARD="EC:2", RUSTFS_STORAGE_CLASS_RRS="EC:0")["pools"][0][
        "storage_classes"
    ]
    assert {name: each["parity_shards"] for name, each in classes.items()} == {"STANDARD": 2, "REDUCED_REDUNDANCY": 0}
    with pytest.raises(ConfigurationError, match="sets of 4 allow EC:0 to EC:2"):
        run("/a{1...4}", RUSTFS_STORAGE_CLASS_STANDARD="EC:3")


def test_people_get_a_table():
    lines = run("http://node{1...4}:9000/data{1...2}").splitlines()
    assert lines[:3] == [
        "8 drives on 4 nodes in 1 pool; 50% of the raw space holds data",
        "STANDARD objects can be read while any 4 drives of each set may fail, or any 2 whole nodes",
        "STANDARD objects can be written while any 3 drives of each set may fail, or any 1 whole node",
    ]
    assert any(line.split() == ["0/0/5", "http://node2:9000/data2"] for line in lines)
    assert any("1 of 8" in line and "4 + 4" in line and "3 drives or 1 node" in line for line in lines)


def test_what_cannot_fail_is_said():
    assert "can be read only while every drive serves" in run("/a")
    assert "can be read while any 2 drives of each set may fail, but no whole node" in run("http://n/d{1...4}")


def test_volumes_may_come_from_the_variable_and_the_port_from_the_address():
    found = facts(RUSTFS_VOLUMES="http://n{1...2}/d http://n{1...2}/e", RUSTFS_ADDRESS=":9007")
    assert [pool["sets"][0][0] for pool in found["pools"]] == ["http://n1:9007/d", "http://n1:9007/e"]


def test_wrong_volumes_are_one_sentence():
    with pytest.raises(ConfigurationError, match="has a range and"):
        run("/a{1...4}", "/b")
    with pytest.raises(ConfigurationError, match="no volumes given"):
        run()
