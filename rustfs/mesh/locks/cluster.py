"""What the object layer sees of the locks: a lease on a key of a set, waited for, but never insisted upon."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rustfs.core.errors import LockTimeout
from rustfs.mesh.locks.client import LockClient

log = logging.getLogger("rustfs.locks")

PURPOSE = "conditional write"


class SetLocks:
    """ClusterLocks (rustfs.core.ports): the lock clients of all sets, by the set's index."""

    def __init__(self, clients: Sequence[LockClient]) -> None:
        """Sets on the same nodes may share one client."""
        self._clients = tuple(clients)

    @asynccontextmanager
    async def held(self, set_index: int, key: bytes, timeout_seconds: float) -> AsyncIterator[None]:
        """See ClusterLocks."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(
                    self._clients[set_index].held(b"key:" + key, timeout_seconds=timeout_seconds, purpose=PURPOSE)
                )
            except LockTimeout as error:
                log.debug("going ahead: %s", error)
            yield
