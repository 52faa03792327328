"""The cluster as a node sees it, for Prometheus: sets that cannot be written, settings, and locks in its table."""

from prometheus_client import Gauge

from rustfs.core.errors import LockError
from rustfs.mesh.locks.table import LIST_MAX
from rustfs.node.locking import NodeLocks
from rustfs.node.sets import Sets

_UNWRITABLE = Gauge(
    "rustfs_cluster_sets_without_write_quorum",
    "Sets that cannot be written, as the worker sees it that sees most of them.",
    multiprocess_mode="livemax",
)
CONFIGURATION_VERSION = Gauge(
    "rustfs_configuration_version",
    "Version of the cluster's settings that is in force, in the worker that is furthest behind.",
    multiprocess_mode="livemin",
)
_LOCKS = Gauge(
    "rustfs_locks_held",
    f"Locks that this node's table has granted, {LIST_MAX} at the most; a lock counts on every node that granted it.",
    multiprocess_mode="mostrecent",
)


async def update(sets: Sets, locks: NodeLocks | None) -> None:
    """Take the figures. `locks`: None where there is but one node."""
    _UNWRITABLE.set(len(sets.without_write_quorum()))
    held = 0
    if locks is not None:
        try:
            held = sum(not entry.waiting for entry in await locks.own.list((b"", b""), LIST_MAX))
        except LockError:
            return  # the figure stays what it was, until the table answers again
    _LOCKS.set(held)
