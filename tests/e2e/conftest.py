"""Fixtures of the end-to-end tests: one server per test process for the client tests, a fresh bucket per test."""

import itertools
import os
from collections.abc import Iterator

import pytest
from botocore.client import BaseClient

from tests.e2e.server import RunningServer

_bucket_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory is `e2e`."""
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)
            # botocore leaves connections that a refusal cut short to the garbage collector, which says so.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[RunningServer]:
    """Four drives, two workers, shared by the client tests of one test process."""
    running = RunningServer(tmp_path_factory.mktemp("server"))
    try:
        yield running.start()
        assert running.stop() == 0
    finally:
        running.kill()


@pytest.fixture(scope="session")
def s3(server) -> Iterator[BaseClient]:
    """A boto3 client of the shared server."""
    client = server.boto3_client()
    yield client
    client.close()


@pytest.fixture
def bucket(s3) -> str:
    """The name of a new, empty bucket; the server's directory goes with the session, so nobody tidies up."""
    name = f"bucket-{os.getpid()}-{next(_bucket_numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def own_server(tmp_path) -> Iterator[RunningServer]:
    """A server, not yet started, for tests that harm it."""
    running = RunningServer(tmp_path / "own")
    try:
        yield running
    finally:
        running.kill()
