"""The locks of a node, put together: its own table, those of its peers, and a client for each set of drives."""

import os
from collections.abc import Sequence

from rustfs.core.pb.peer.v1 import lock_pb2
from rustfs.core.ports import Clock, Entropy
from rustfs.core.topology import Topology
from rustfs.mesh.locks.client import LockClient
from rustfs.mesh.locks.cluster import SetLocks
from rustfs.mesh.locks.peers import LocalLocks
from rustfs.mesh.locks.remote import LockService, RemoteLocks
from rustfs.mesh.locks.server import LockServer
from rustfs.mesh.locks.table import LockTable
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.rpc import handlers


class NodeLocks:
    """One per worker."""

    def __init__(
        self, topology: Topology, node: str, mesh: Mesh, clock: Clock, entropy: Entropy, runtime_directory: str
    ) -> None:
        path = os.path.join(runtime_directory, "locks.db")
        self.own = LocalLocks(node, lambda: LockTable(path, clock))
        self.peers = {name: RemoteLocks(name, calls) for name, calls in mesh.calls.items()}
        self.service = handlers(lock_pb2.DESCRIPTOR, LockService(LockServer(self.own)))
        clients: dict[tuple[str, ...], LockClient] = {}
        by_set: list[LockClient] = []
        for pool in topology.pools:
            for members in pool.sets:
                nodes = tuple(sorted({endpoint.node for endpoint in members}))
                if nodes not in clients:
                    clients[nodes] = LockClient(self._tables(nodes, node), node, clock, entropy)
                by_set.append(clients[nodes])
        self._clients: Sequence[LockClient] = list(clients.values())
        self.of_sets = SetLocks(by_set)

    def _tables(self, nodes: Sequence[str], own: str) -> list[LocalLocks | RemoteLocks]:
        return [self.own if name == own else self.peers[name] for name in nodes]

    async def close(self, timeout_seconds: float) -> None:
        """Give back what is held, and close the table."""
        for client in self._clients:
            await client.close(timeout_seconds)
        await self.own.close()
