"""Fixtures of the cluster tests: a cluster of four nodes per file for tests that harm nothing, others of their own."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.cluster import RunningCluster

_bucket_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory is `e2e`, and takes its time."""
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(240))
            # botocore leaves connections that a fault cut short to the garbage collector, which says so.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[RunningCluster]:
    """Four nodes with a drive each, whole at the start of every test, and left so."""
    cluster = RunningCluster(tmp_path_factory.mktemp("shared"))
    try:
        yield cluster.start()
        assert cluster.stop() == [0] * 4
    finally:
        cluster.end()


@pytest.fixture
def make_cluster(tmp_path) -> Iterator[Callable[..., RunningCluster]]:
    """Makes clusters that are not started yet, and ends them with the test."""
    made: list[RunningCluster] = []

    def make(kind: type[RunningCluster] = RunningCluster, **settings: object) -> RunningCluster:
        made.append(kind(tmp_path / f"cluster{len(made)}", **settings))
        return made[-1]

    try:
        yield make
    finally:
        for cluster in made:
            cluster.end()


@pytest.fixture
def own(make_cluster) -> RunningCluster:
    """Four nodes with a drive each, not started yet."""
    return make_cluster()


@pytest.fixture
def bucket(shared) -> str:
    """A new, empty bucket of the shared cluster."""
    name = f"bucket-{next(_bucket_numbers)}"
    shared.s3(0).create_bucket(Bucket=name)
    return name
