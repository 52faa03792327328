"""What `rustfs admin` shows of nodes, drives and sets, gathered from all nodes."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import rustfs
from rustfs.core.drivetypes import DriveInfo, DriveState
from rustfs.core.errors import DriveError
from rustfs.core.pb.peer.v1 import node_pb2
from rustfs.core.ports import Clock
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.rpc import methods
from rustfs.node.configuring import Configuring
from rustfs.node.process_metrics import resident_bytes
from rustfs.node.sets import Sets
from rustfs.node.settings import Settings

PEER_SECONDS = 4.0
PING_SECONDS = 1.0

_NODE = methods(node_pb2.DESCRIPTOR)
_INFO, _PING = _NODE["Info"], _NODE["Ping"]


class NodeFacts:
    """Gathers facts. (Any: JSON for the operator's eyes.)"""

    def __init__(
        self, settings: Settings, sets: Sets, mesh: Mesh, deployment_id: str, codec: str, clock: Clock
    ) -> None:
        self._settings = settings
        self._sets = sets
        self._mesh = mesh
        self._deployment_id = deployment_id
        self._codec = codec
        self._clock = clock
        self._started = clock.monotonic_seconds()

    @property
    def name(self) -> str:
        """This node, as operators know it."""
        return self._settings.node_name

    async def node(self) -> dict[str, Any]:
        """This node and its drives."""
        settings = self._settings
        return {
            "address": self.name,
            "state": "online",
            "reason": "",
            "version": rustfs.__version__,
            "workers": settings.workers,
            "uptime_seconds": round(self._clock.monotonic_seconds() - self._started),
            "worker_resident_bytes": resident_bytes(),
            "peers_online": sorted(self._mesh.online()),
            "drives": [self._drive(index, await drive.info()) for index, drive in self._sets.own.items()],
        }

    async def info(self) -> dict[str, Any]:
        """For `rustfs admin info`."""
        settings = self._settings
        nodes = await self._nodes()
        drives = _drives_of(nodes)
        for node in nodes:
            del node["drives"]
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
                    "read_quorum": self._sets.read_quorum(each),
                    "parity": sets.parities,
                }
                for pool, sets in enumerate(self._sets.pools)
                for each in sets.sets
            ],
            "drives": drives,
        }

    async def drives(self) -> list[dict[str, Any]]:
        """For `rustfs admin drives`."""
        return _drives_of(await self._nodes())

    async def health(self) -> dict[str, Any]:
        """For `rustfs admin health`: the sets as this node sees them now."""
        sets = [self._set_health(pool, each.index) for pool, sets in enumerate(self._sets.pools) for each in sets.sets]
        return {
            "node": self.name,
            "nodes": sorted([self.name, *self._mesh.links]),
            "nodes_offline": {node: link.reason for node, link in self._mesh.links.items() if not link.up},
            "pings": await self._pings(),
            "sets": sets,
            "sets_without_write_quorum": self._sets.without_write_quorum(),
            "sets_without_read_quorum": self._sets.without_read_quorum(),
            "nodes_may_fail": {
                mode: min(each["may_fail"][mode]["nodes"] for each in sets) for mode in ("writes", "reads")
            },
            "this_node_may_stop": self.may_stop(),
            "drives_offline": [
                getattr(drive, "endpoint", drive.drive_id)
                for each in self._sets.all
                for drive in each.drives
                if not drive.online
            ],
            "drives_healing": [
                getattr(drive, "endpoint", drive.drive_id)
                for each in self._sets.all
                for drive in each.drives
                if drive.healing
            ],
        }

    async def _pings(self) -> dict[str, dict[str, float]]:
        """Of the peers that answer at once: milliseconds there and back, and how far their clocks are ahead."""

        async def ping(node: str) -> dict[str, float]:
            clock = self._clock
            began, mine_ms = clock.monotonic_seconds(), clock.now_milliseconds()
            try:
                async with asyncio.timeout(PING_SECONDS):
                    answer = (await self._mesh.calls[node].collect(_PING, node_pb2.PingRequest(), PING_SECONDS))[0]
            except (DriveError, TimeoutError):
                return {}
            took_ms = (clock.monotonic_seconds() - began) * 1000
            ahead_ms = answer.time_ms - mine_ms - took_ms / 2
            return {"round_trip_ms": round(took_ms, 3), "clock_ahead_ms": round(ahead_ms)}

        nodes = self._mesh.online()
        answers = await asyncio.gather(*map(ping, nodes))
        return {node: answer for node, answer in zip(nodes, answers, strict=True) if answer}

    def may_stop(self) -> bool:
        """Whether all sets could still be written to without this node."""
        return not self._sets.without_write_quorum(lambda drive: drive.near)

    def _set_health(self, pool: int, index: int) -> dict[str, Any]:
        drive_set = self._sets.all[index]
        first = sum(len(sets.sets) for sets in self._sets.pools[:pool])
        members = self._settings.topology.pools[pool].sets[index - first]
        online = [drive.online for drive in drive_set.drives]
        by_node = Counter(endpoint.node for endpoint, up in zip(members, online, strict=True) if up)
        quorums = {"writes": self._sets.write_quorum(drive_set), "reads": self._sets.read_quorum(drive_set)}
        return {
            "set": index,
            "pool": pool,
            "drives": drive_set.size,
            "online": sum(online),
            "healing": sum(drive.healing for drive in drive_set.drives),
            "write_quorum": quorums["writes"],
            "read_quorum": quorums["reads"],
            "may_fail": {mode: may_fail(by_node, quorum) for mode, quorum in quorums.items()},
        }

    async def _nodes(self) -> list[dict[str, Any]]:
        theirs = await self.of_peers("node")
        nodes = [await self.node()]
        for node, facts in theirs.items():
            if facts is None:
                reason = self._mesh.links[node].reason or f"{node} does not answer"
                facts = {"address": node, "state": "offline", "reason": reason, "drives": self._lost_drives(node)}  # noqa: PLW2901
            nodes.append(facts)
        order = {node: place for place, node in enumerate(self._settings.topology.nodes)}
        return sorted(nodes, key=lambda facts: order.get(facts["address"], 0))

    async def of_peers(self, what: str) -> dict[str, Any]:
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


def may_fail(online_by_node: Counter[str], quorum: int) -> dict[str, int]:
    """How many more drives, and whole nodes, may fail, whichever they are, before fewer than the quorum are online."""
    spare = online_by_node.total() - quorum
    nodes, lost = 0, 0
    for _, drives in online_by_node.most_common():
        lost += drives
        if lost > spare:
            break
        nodes += 1
    return {"drives": max(0, spare), "nodes": nodes}


def _drives_of(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    drives = [drive for node in nodes for drive in node["drives"]]
    return sorted(drives, key=lambda drive: (drive["set"], drive["position"]))


def peer_facts_by_name(facts: NodeFacts, configuring: Configuring) -> Mapping[str, Callable[[], Awaitable[Any]]]:
    """What peers may ask for."""
    return {"node": facts.node, "configuration": configuring.of_node}
