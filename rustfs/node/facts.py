"""What `rustfs admin` shows: nodes, drives and sets, and how far healing has come, gathered from all nodes."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import rustfs
from rustfs.core.errors import DriveError
from rustfs.core.pb.peer.v1 import node_pb2
from rustfs.core.ports import Clock, DriveInfo, DriveState
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.rpc import methods
from rustfs.node.process_metrics import resident_bytes
from rustfs.node.sets import Sets
from rustfs.node.settings import Settings
from rustfs.services.progress import published

PEER_SECONDS = 4.0

_INFO = methods(node_pb2.DESCRIPTOR)["Info"]


class NodeFacts:
    """Gathers facts. (Any: JSON for the operator's eyes.)"""

    def __init__(
        self, settings: Settings, sets: Sets, mesh: Mesh, deployment_id: str, codec: str, clock: Clock,
        runtime_directory: str,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._sets = sets
        self._mesh = mesh
        self._deployment_id = deployment_id
        self._codec = codec
        self._clock = clock
        self._started = clock.monotonic_seconds()
        self._runtime_directory = runtime_directory

    async def node(self) -> dict[str, Any]:
        """This node and its drives."""
        settings = self._settings
        return {
            "address": settings.own_node or f"{settings.host}:{settings.port}",
            "state": "online",
            "reason": "",
            "version": rustfs.__version__,
            "workers": settings.workers,
            "uptime_seconds": round(self._clock.monotonic_seconds() - self._started),
            "worker_resident_bytes": resident_bytes(),
            "peers_online": sorted(self._mesh.online()),
            "drives": [self._drive(index, await drive.info()) for index, drive in self._sets.own.items()],
        }

    async def own_heal(self) -> list[dict[str, Any]]:
        """How far this node's healing has come."""
        path = os.path.join(self._runtime_directory, "heal.json")
        progress = await asyncio.get_running_loop().run_in_executor(None, published, path)
        queues: dict[int, int] = {}
        for index, drive in self._sets.own.items():
            number = self._set_of(index)
            queues[number] = max(queues.get(number, 0), (await drive.info()).repair_queue)
        for each in progress:
            each["node"] = self._settings.own_node
            each["repair_queue"] = queues.get(each["set"], 0)
        return progress

    async def info(self) -> dict[str, Any]:
        """For `rustfs admin info`."""
        settings = self._settings
        nodes = await self._nodes()
        drives = [drive for node in nodes for drive in node.pop("drives")]
        return {
            "version": rustfs.__version__,
            "deployment_id": self._deployment_id,
            "region": settings.region,
            "codec": self._codec,
            "nodes": nodes,
            "sets": [
                {
                    "set": each.index,
                    "pool": pool,
                    "drives": each.size,
                    "online": len(each.online()),
                    "write_quorum": self._sets.write_quorum(each),
                    "parity": sets.parities,
                }
                for pool, sets in enumerate(self._sets.pools)
                for each in sets.sets
            ],
            "drives": sorted(drives, key=lambda drive: (drive["set"], drive["position"])),
            "healing": await self.heal(),
        }

    async def heal(self) -> list[dict[str, Any]]:
        """For `rustfs admin heal status`: all nodes that answer."""
        theirs = await self._of_peers("heal")
        return [*await self.own_heal(), *(each for answer in theirs.values() for each in answer or ())]

    async def health(self) -> dict[str, Any]:
        """For `rustfs admin health`."""
        unwritable, unreadable = self._sets.without_write_quorum(), self._sets.without_read_quorum()
        return {
            "nodes": {
                self._settings.own_node or f"{self._settings.host}:{self._settings.port}": "",
                **{node: link.reason for node, link in self._mesh.links.items()},
            },
            "sets": len(self._sets.all),
            "sets_without_write_quorum": unwritable,
            "sets_without_read_quorum": unreadable,
            "this_node_may_stop": self.may_stop(),
            "drives_offline": [
                getattr(drive, "endpoint", drive.drive_id)
                for each in self._sets.all
                for drive in each.drives
                if not drive.online
            ],
        }

    def may_stop(self) -> bool:
        """Whether all sets could still be written to without this node."""
        return not self._sets.without_write_quorum(lambda drive: drive.near)

    async def _nodes(self) -> list[dict[str, Any]]:
        theirs = await self._of_peers("node")
        nodes = [await self.node()]
        for node, facts in theirs.items():
            if facts is None:
                reason = self._mesh.links[node].reason or f"{node} does not answer"
                facts = {"address": node, "state": "offline", "reason": reason, "drives": self._lost_drives(node)}  # noqa: PLW2901
            nodes.append(facts)
        order = {node: place for place, node in enumerate(self._settings.topology.nodes)}
        return sorted(nodes, key=lambda facts: order.get(facts["address"], 0))

    async def _of_peers(self, what: str) -> dict[str, Any]:
        """The answer of each peer; None of those that have none."""

        async def ask(node: str) -> Any:  # noqa: ANN401 -- JSON
            request = node_pb2.InfoRequest(what=what)
            try:
                return json.loads((await self._mesh.calls[node].collect(_INFO, request, PEER_SECONDS))[0].json)
            except DriveError:
                return None

        peers = list(self._mesh.links)
        return dict(zip(peers, await asyncio.gather(*map(ask, peers)), strict=True))

    def _lost_drives(self, node: str) -> list[dict[str, Any]]:
        reason = self._mesh.links[node].reason
        return [
            self._drive(each.index, DriveInfo("", each.name, DriveState.OFFLINE, reason, 0, 0, 0, 0, 0, healing=False))
            for each in self._settings.topology.endpoints_of(node)
        ]

    def _drive(self, index: int, info: DriveInfo) -> dict[str, Any]:
        seat = self._settings.topology.seat(index)
        place = {"pool": seat.pool, "set": self._set_of(index), "position": seat.position}
        return {**info._asdict(), **place, "node": self._settings.topology.endpoints[index].node}

    def _set_of(self, index: int) -> int:
        seat = self._settings.topology.seat(index)
        return sum(pool.set_count for pool in self._settings.topology.pools[: seat.pool]) + seat.set


def facts_by_name(facts: NodeFacts) -> Mapping[str, Any]:
    """What the admin face answers, by the last part of the path."""
    return {"info": facts.info, "heal": facts.heal, "health": facts.health}


def peer_facts_by_name(facts: NodeFacts) -> Mapping[str, Any]:
    """What peers may ask for."""
    return {"node": facts.node, "heal": facts.own_heal}
