"""The topology as a value: numbering, sets, seats, what may fail, and one digest for equal volumes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustfs.core.setsizes import SET_SIZE_MAX, arrange, choose_set_size
from rustfs.core.topology import Endpoint, PoolLayout, Topology


def grid(node_count, drives_per_node, first=0):
    """Drives with the node varying fastest."""
    return tuple(
        Endpoint(f"n{node}:9000", f"/d{drive}", first + drive * node_count + node)
        for drive in range(drives_per_node)
        for node in range(node_count)
    )


TWO_POOLS = Topology((PoolLayout(grid(4, 4), 8), PoolLayout(grid(2, 3, first=16), 6)))


def test_what_people_see_is_the_url_or_the_path():
    assert Endpoint("n1:9000", "/data", 0, "https").name == "https://n1:9000/data"
    assert Endpoint("", "/data", 0).name == "/data"


def test_sets_are_runs_of_a_pool_s_drives():
    first, second = TWO_POOLS.pools
    assert (first.set_count, second.set_count) == (2, 1)
    assert [[each.index for each in group] for group in first.sets] == [list(range(8)), list(range(8, 16))]
    assert [[each.index for each in group] for group in second.sets] == [list(range(16, 22))]


def test_every_drive_has_its_seat():
    seats = [TWO_POOLS.seat(index) for index in range(22)]
    for index, seat in enumerate(seats):
        assert TWO_POOLS.pools[seat.pool].sets[seat.set][seat.position].index == index
    assert len(set(seats)) == 22
    for index in (-1, 22):
        with pytest.raises(IndexError):
            TWO_POOLS.seat(index)


def test_nodes_come_in_the_order_of_their_first_drive():
    assert TWO_POOLS.nodes == ("n0:9000", "n1:9000", "n2:9000", "n3:9000")
    assert [each.index for each in TWO_POOLS.endpoints_of("n1:9000")] == [1, 5, 9, 13, 17, 19, 21]
    assert TWO_POOLS.distributed
    local = Topology((PoolLayout((Endpoint("", "/a", 0), Endpoint("", "/b", 1)), 2),))
    assert (local.nodes, local.distributed) == (("",), False)


def test_the_digest_tells_topologies_apart():
    a, b = Endpoint("n1:9000", "/a", 0), Endpoint("n2:9000", "/a", 1)
    base = Topology((PoolLayout((a, b), 2),))
    others = [
        Topology((PoolLayout((a, b), 1),)),
        Topology((PoolLayout((a,), 1), PoolLayout((b,), 1))),
        Topology((PoolLayout((Endpoint(b.node, b.path, 0), Endpoint(a.node, a.path, 1)), 2),)),
        Topology((PoolLayout((a, Endpoint("n2:9001", "/a", 1)), 2),)),
        Topology((PoolLayout((a, Endpoint("n2:9000", "/b", 1)), 2),)),
        Topology((PoolLayout((Endpoint("n1:9000", "/a", 0, "https"), Endpoint("n2:9000", "/a", 1, "https")), 2),)),
    ]
    assert len({each.digest() for each in [base, *others]}) == 1 + len(others)
    assert base.digest() == Topology((PoolLayout((a, b), 2),)).digest()
    assert len(bytes.fromhex(base.digest())) == 32


def test_it_travels_as_json():
    assert Topology.from_plain(json.loads(json.dumps(TWO_POOLS.to_plain()))) == TWO_POOLS


@pytest.mark.parametrize(
    "make",
    [
        lambda: PoolLayout(grid(4, 1), 3),
        lambda: PoolLayout(grid(4, 1), 0),
        lambda: PoolLayout((), 1),
        lambda: Topology(()),
        lambda: Topology((PoolLayout(grid(4, 1, first=1), 4),)),
        lambda: Topology((PoolLayout((Endpoint("n:1", "/a", 0), Endpoint("", "/b", 1)), 2),)),
    ],
)
def test_what_breaks_an_invariant_is_no_topology(make):
    with pytest.raises(ValueError, match=r"drives"):
        make()


@pytest.mark.parametrize(
    ("nodes", "drives_per_node", "drives_that_may_fail", "expected"),
    [(4, 1, 2, 2), (4, 1, 1, 1), (4, 4, 4, 1), (4, 4, 7, 1), (4, 4, 8, 2), (1, 4, 2, 0), (3, 4, 3, 0), (16, 1, 4, 4)],
)
def test_whole_nodes_count_by_their_drives_in_a_set(nodes, drives_per_node, drives_that_may_fail, expected):
    pool = PoolLayout(grid(nodes, drives_per_node), nodes * drives_per_node)
    assert pool.nodes_that_may_fail(drives_that_may_fail) == expected


def test_the_worst_set_and_the_fullest_node_decide():
    names = ["a", "b", "c", "d", "a", "a", "b", "c"]
    drives = tuple(Endpoint(f"{node}:1", f"/{index}", index) for index, node in enumerate(names))
    assert PoolLayout(drives, 4).nodes_that_may_fail(1) == 0
    assert PoolLayout(drives, 4).nodes_that_may_fail(2) == 1


@pytest.mark.parametrize(
    ("node_count", "drives_per_node", "size"),
    [
        (1, 1, 1),
        (1, 16, 16),
        (4, 1, 4),
        (4, 4, 16),
        (5, 3, 15),
        (2, 180, 12),  # MinIO's own example: 15 would be uneven
        (3, 16, 12),  # reported by a user of MinIO
        (5, 8, 10),
        (32, 32, 16),
        (32, 1, 16),
        (16, 8, 16),
        (20, 4, 10),
        (5, 7, 5),
        (17, 52, 13),  # 17 nodes divide by nothing: 13 of them in each set
        (38, 12, 12),  # 2 would be symmetric, and hardly tolerate anything
        (34, 1, 2),
    ],
)
def test_set_sizes_over_nodes(node_count, drives_per_node, size):
    assert choose_set_size([each.node for each in grid(node_count, drives_per_node)]) == size


@pytest.mark.parametrize("count", [17, 19, 37, 289])
def test_numbers_that_no_set_divides(count):
    for nodes in ([""] * count, [str(number) for number in range(count)]):
        with pytest.raises(ValueError, match=f"{count} drives cannot be cut into sets of 2 to 16"):
            choose_set_size(nodes)


@given(node_count=st.integers(1, 40), drives_per_node=st.integers(1, 24))
def test_equal_nodes_take_equal_parts_in_the_order_given(node_count, drives_per_node):
    nodes = [each.node for each in grid(node_count, drives_per_node)]
    try:
        size = choose_set_size(nodes)
    except ValueError:
        assert all(len(nodes) % size for size in range(2, SET_SIZE_MAX + 1))
        return
    assert len(nodes) % size == 0
    assert size <= SET_SIZE_MAX
    assert arrange(nodes, size) == list(range(len(nodes)))
    for start in range(0, len(nodes), size):
        group = nodes[start : start + size]
        counts = {group.count(node) for node in group}
        assert counts == {max(1, size // node_count)}  # equally many of each node that takes part


@given(nodes=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=96), divisor=st.integers(1, 16))
def test_drives_in_any_order_are_dealt_evenly(nodes, divisor):
    size = divisor if len(nodes) % divisor == 0 else len(nodes)
    order = arrange(nodes, size)
    assert sorted(order) == list(range(len(nodes)))
    groups = [[nodes[drive] for drive in order[start : start + size]] for start in range(0, len(nodes), size)]
    for node in set(nodes):
        counts = [group.count(node) for group in groups]
        assert max(counts) - min(counts) <= 1
