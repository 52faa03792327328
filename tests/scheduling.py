"""Which test process runs what, when `pytest -n` has several: clusters of nodes come last, one after the other.

A cluster fills the machine, and its tests measure how long clients wait: beside another one they would measure that
one. xdist's own `--dist loadgroup` cannot say so: with pytest 9.2 and xdist 3.8 it passes groups over in silence
(pytest-xdist issue 1386), and it would begin with the largest group. Told by the path, not by a mark: the process that
hands out the tests knows no more of them than their names.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

CLUSTERS = ("tests/cluster/", "tests/netns/")


class ClustersLast(LoadScopeScheduling):
    """Every test by itself to whichever process is free; all tests of clusters as one piece of work, after the rest."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the largest piece first

    def _split_scope(self, nodeid: str) -> str:
        return "clusters" if nodeid.startswith(CLUSTERS) else nodeid


def clusters_last(items: list[pytest.Item]) -> None:
    """Order collected tests so, in every process alike."""
    items.sort(key=lambda item: item.nodeid.startswith(CLUSTERS))
