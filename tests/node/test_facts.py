"""The figures that operators decide by."""

from collections import Counter

import pytest

from rustfs.admin.face import BadParameter
from rustfs.core.pb.peer.v1 import heal_pb2
from rustfs.node.facts import may_fail
from rustfs.node.following import trace_request
from rustfs.node.gathering import Ended
from rustfs.node.healruns import Tally, pace, start_request


@pytest.mark.parametrize(
    ("online", "quorum", "drives", "nodes"),
    [
        ({"a": 1, "b": 1, "c": 1, "d": 1}, 3, 1, 1),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, 2, 2, 2),
        ({"a": 1, "b": 1, "c": 1}, 3, 0, 0),
        ({"a": 1, "b": 1}, 3, 0, 0),  # too few already
        ({"a": 4, "b": 4, "c": 4, "d": 4}, 12, 4, 1),
        ({"a": 2, "b": 4, "c": 4, "d": 4}, 12, 2, 0),  # which node fails is not ours to choose
        ({"": 4}, 3, 1, 0),
        ({}, 1, 0, 0),
    ],
)
def test_how_much_may_still_fail(online, quorum, drives, nodes):
    assert may_fail(Counter(online), quorum) == {"drives": drives, "nodes": nodes}


PASS = {
    "state": "healing", "started_ms": 10_000, "finished_ms": 0, "updated_ms": 12_000,
    "keys_checked": 400, "keys_total": 1000, "bytes_healed": 8_000,
}  # fmt: skip


def test_the_pace_of_a_pass_tells_when_it_will_end():
    assert pace(PASS, 14_000) == {
        "seconds": 4.0, "keys_per_second": 100.0, "bytes_per_second": 2_000.0, "seconds_left": 6.0
    }  # fmt: skip
    done = {**PASS, "state": "idle", "finished_ms": 18_000, "keys_checked": 1000}
    assert pace(done, 99_000_000) == {
        "seconds": 8.0, "keys_per_second": 125.0, "bytes_per_second": 1_000.0, "seconds_left": None
    }  # fmt: skip


@pytest.mark.parametrize("change", [{"started_ms": 0}, {"started_ms": 14_000}, {"started_ms": 15_000}])
def test_no_pace_where_no_time_has_passed(change):
    assert pace({**PASS, **change}, 14_000)["seconds_left"] is None


def test_more_keys_than_were_expected_leave_nothing_to_do():
    assert pace({**PASS, "keys_checked": 2000}, 14_000)["seconds_left"] == 0.0


def test_a_run_is_the_sum_of_what_its_nodes_did():
    tally = Tally()
    done = heal_pb2.HealProgress(keys_checked=5, keys_healed=1, bytes_healed=10, sets=[0, 2], done=True)
    for node, message in [
        ("a", heal_pb2.HealProgress(keys_checked=3)),
        ("a", done),
        ("b", heal_pb2.HealProgress(keys_checked=7, keys_failed=2, error="no quorum", bucket=b"bkt", last_key=b"k")),
    ]:
        tally.take(node, message)
    tally.over("a", Ended())
    assert tally.figures() == {
        "keys_checked": 12, "keys_healed": 1, "keys_failed": 2, "keys_waiting": 0, "bytes_healed": 10,
        "last_key": "bkt/k",
    }  # fmt: skip
    assert (tally.sets, tally.errors) == ({0, 2}, {"b": "no quorum"})
    tally.over("b", Ended())
    assert tally.errors["b"] == "b broke the run off"


def test_parameters_are_read_strictly():
    assert start_request({"bucket": "b", "prefix": "é/", "deep": "true"}, "run") == heal_pb2.HealStartRequest(
        bucket="b", prefix="é/".encode(), deep=True, run="run"
    )
    for wrong in ({"prefix": "p"}, {"depp": "true"}):
        with pytest.raises(BadParameter):
            start_request(wrong, "run")
    assert trace_request("n", {"path": "bkt/k", "errors": "true", "slower_than_ms": "5"}).path_prefix == "/bkt/k"
    for wrong in ({"slower_than_ms": "-1"}, {"slower_than_ms": "x"}, {"slower_than_ms": str(1 << 32)}, {"pth": "x"}):
        with pytest.raises(BadParameter):
            trace_request("n", wrong)
