"""Nodes that do not belong together are told why in one sentence that names both; nodes of one release line talk."""

from dataclasses import replace

import pytest

from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.mesh.authentication import SKEW_SECONDS_MAX
from rustfs.mesh.identity import PROTOCOL, Self, difference
from tests.mesh.test_authentication import StoppedClock

MINE = Self("a:9000", "digest", ("a/1\nb/1", "a/2\nb/2"), b"i" * 16, StoppedClock(), "deployment")
THEIRS = replace(MINE, node="b:9000", incarnation=b"j" * 16)


def of(said: Self, **changes) -> pb.Identity:
    identity = said.identity()
    for name, value in changes.items():
        setattr(identity, name, value)
    return identity


def told(mine: Self, theirs: Self, **changes) -> str:
    return difference(mine.identity(), of(theirs, **changes))


def test_equal_nodes_belong_together():
    assert told(MINE, THEIRS) == ""


@pytest.mark.parametrize("deployment", ["", "deployment"])
def test_a_node_that_is_not_formatted_yet_is_welcome(deployment):
    assert told(replace(MINE, deployment_id=deployment), replace(THEIRS, deployment_id="")) == ""
    assert told(replace(MINE, deployment_id=""), replace(THEIRS, deployment_id=deployment)) == ""


def test_releases_with_one_protocol_belong_together_whatever_they_are_called():
    assert told(MINE, THEIRS, version="99.1.2") == ""


def test_another_protocol_names_both_versions():
    sentence = told(MINE, THEIRS, protocol=PROTOCOL + 1, version="99.0")
    assert sentence.startswith(f"b:9000 runs rustfs 99.0, which speaks version {PROTOCOL + 1} of the peer protocol")
    assert f"a:9000 runs rustfs {MINE.identity().version}, which speaks version {PROTOCOL}" in sentence


@pytest.mark.parametrize(
    ("drives", "words"),
    [
        (("a/1\nb/1",), "1 pool(s) there, 2 here"),
        (("a/1\nb/1", "a/2\nb/2", "a/3\nb/3"), "3 pool(s) there, 2 here"),
        (("a/1\nb/1", "a/2\nb/2\nc/2"), "pool 2 has 3 drives there, 2 here"),
        (("a/1\nb/x", "a/2\nb/2"), "where pool 1 has the drive b/x there, it has b/1 here"),
        (("b/1\na/1", "a/2\nb/2"), "where pool 1 has the drive b/1 there, it has a/1 here"),
        (("a/1\nb/1", "a/2\nb/2"), "the sets are of another size"),
    ],
)
def test_other_volumes_name_the_first_difference(drives, words):
    sentence = told(MINE, replace(THEIRS, topology="other", drives=drives))
    assert sentence == f"b:9000 was started with other volumes than a:9000: {words}"


def test_another_deployment_names_both():
    sentence = told(MINE, replace(THEIRS, deployment_id="other"))
    assert "the drives of b:9000 belong to deployment other" in sentence
    assert "those of a:9000 to deployment deployment" in sentence


@pytest.mark.parametrize(("seconds", "way"), [(901, "ahead of"), (-901, "behind")])
def test_another_time_names_who_is_ahead(seconds, way):
    sentence = told(MINE, replace(THEIRS, clock=StoppedClock(StoppedClock().now_ms + seconds * 1000)))
    assert sentence.startswith(f"the clock of b:9000 is 901 s {way} the clock of a:9000; at most 900 s are tolerated")


@pytest.mark.parametrize("seconds", [SKEW_SECONDS_MAX, -SKEW_SECONDS_MAX, 0])
def test_a_time_within_what_is_tolerated_is_none(seconds):
    assert told(MINE, replace(THEIRS, clock=StoppedClock(StoppedClock().now_ms + seconds * 1000))) == ""


def test_both_sides_come_to_the_same_conclusion():
    others = [
        replace(THEIRS, topology="other", drives=("x",)),
        replace(THEIRS, deployment_id="other"),
        replace(THEIRS, clock=StoppedClock(0)),
        THEIRS,
    ]
    for other in others:
        assert bool(told(MINE, other)) == bool(told(other, MINE))
