"""The cluster's topology as values: which drives there are, on which nodes, and how they make sets and pools.

Every node derives it from its volumes arguments alone, so nodes started alike have equal topologies, and `digest` says
so in one comparison. Nothing here knows which node it runs on, resolves a name or touches a drive.

Invariants: endpoints are numbered through all pools, in order; the sets of a pool are runs of its endpoints; and either
every endpoint has a node (a cluster) or none has (one node that was given directories).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One drive: where it is."""

    node: str  # "host:port" of the node's S3 address; "" where directories were given
    path: str  # absolute, on that node
    index: int  # among the drives of all pools
    scheme: str = "http"  # of the URL that named it; says nothing where node is ""

    @property
    def name(self) -> str:
        """What people see: the URL, or the path."""
        return f"{self.scheme}://{self.node}{self.path}" if self.node else self.path


class Seat(NamedTuple):
    """Where a drive sits: its pool, its set in the pool, its position in the set."""

    pool: int
    set: int
    position: int


@dataclass(frozen=True, slots=True)
class PoolLayout:
    """The drives of one volumes argument, set after set. Raises ValueError where the sets would not be equal."""

    endpoints: tuple[Endpoint, ...]
    set_size: int

    def __post_init__(self) -> None:
        if self.set_size < 1 or not self.endpoints or len(self.endpoints) % self.set_size:
            raise ValueError(f"{len(self.endpoints)} drives do not make sets of {self.set_size}")

    @property
    def set_count(self) -> int:
        """Number of sets."""
        return len(self.endpoints) // self.set_size

    @property
    def sets(self) -> tuple[tuple[Endpoint, ...], ...]:
        """The sets, each with its drives by position."""
        size = self.set_size
        return tuple(self.endpoints[start : start + size] for start in range(0, len(self.endpoints), size))

    def nodes_that_may_fail(self, drives_that_may_fail: int) -> int:
        """How many whole nodes, whichever they are, can be lost when every set can do without that many drives."""
        return min(_largest_that_fit(Counter(each.node for each in group), drives_that_may_fail) for group in self.sets)


@dataclass(frozen=True, slots=True)
class Topology:
    """All pools. Raises ValueError where the invariants of this module do not hold."""

    pools: tuple[PoolLayout, ...]

    def __post_init__(self) -> None:
        if [each.index for each in self.endpoints] != list(range(len(self.endpoints))) or not self.pools:
            raise ValueError("the drives are not numbered through all pools")
        if len({bool(each.node) for each in self.endpoints}) != 1:
            raise ValueError("some drives have a node and some have none")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All drives, by index."""
        return tuple(each for pool in self.pools for each in pool.endpoints)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The distinct nodes, in order of first appearance; ("",) where directories were given."""
        return tuple(dict.fromkeys(each.node for each in self.endpoints))

    @property
    def distributed(self) -> bool:
        """Whether drives are named by URL, so that nodes have addresses (even if there is only one)."""
        return bool(self.pools[0].endpoints[0].node)

    def endpoints_of(self, node: str) -> tuple[Endpoint, ...]:
        """The drives of one node, by index."""
        return tuple(each for each in self.endpoints if each.node == node)

    def seat(self, index: int) -> Seat:
        """Where the drive with this index sits. Raises IndexError."""
        rest = index
        for number, pool in enumerate(self.pools):
            if 0 <= rest < len(pool.endpoints):
                return Seat(number, rest // pool.set_size, rest % pool.set_size)
            rest -= len(pool.endpoints)
        raise IndexError(f"no drive has the index {index}")

    def digest(self) -> str:
        """Hex SHA-256 of the topology as text: equal on nodes that were started with the same volumes."""
        return hashlib.sha256("\n".join(self._lines()).encode("utf-8", "surrogateescape")).hexdigest()

    def _lines(self) -> Iterable[str]:
        """One line per pool and drive; no path holds a line break (volumes are split at white space)."""
        yield "rustfs topology 1"
        for pool in self.pools:
            yield f"pool of {len(pool.endpoints)} in sets of {pool.set_size}"
            yield from (each.name for each in pool.endpoints)

    def to_plain(self) -> list[dict[str, Any]]:
        """For json.dumps. (Any: JSON.)"""
        return [
            {
                "set_size": pool.set_size,
                "endpoints": [[each.node, each.path, each.index, each.scheme] for each in pool.endpoints],
            }
            for pool in self.pools
        ]

    @staticmethod
    def from_plain(plain: list[dict[str, Any]]) -> "Topology":
        """See to_plain."""
        return Topology(
            tuple(PoolLayout(tuple(Endpoint(*each) for each in pool["endpoints"]), pool["set_size"]) for pool in plain)
        )


def _largest_that_fit(drives_by_node: Counter[str], drives_that_may_fail: int) -> int:
    """How many nodes may fail even if they are those with the most drives."""
    lost, nodes = 0, 0
    for _, count in drives_by_node.most_common():
        lost += count
        if lost > drives_that_may_fail:
            break
        nodes += 1
    return nodes
