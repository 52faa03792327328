"""What every test shares: where its clients are looked up, which process runs it, and what a failure shows."""

import os
import sys
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import pytest
from xdist.remote import Producer

from tests.scheduling import ClustersLast, clusters_last

# `pytest` may be called by path, without an activated environment: its neighbours are the clients under test.
_BIN = os.path.dirname(sys.executable)
if _BIN not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join((_BIN, os.environ.get("PATH", os.defpath)))


@runtime_checkable
class Logging(Protocol):
    """A fixture that has something to say when its test fails: a server or a cluster of them."""

    def log_tail(self) -> str:
        """The end of what it wrote."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ClustersLast:
    """Who hands out the tests under `pytest -n`."""
    return ClustersLast(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters come last, also in a single process."""
    clusters_last(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the ends of the servers' logs beside a failure."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Logging):
                report.sections.append((f"log of {name}", value.log_tail()))
    return report
