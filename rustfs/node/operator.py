"""What operators may ask of a node, put together: facts, settings, healing, locks, traces, from all nodes."""

from collections.abc import Callable
from typing import Any

from rustfs.admin.face import Operations
from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.healing import HealServer
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.nodes import NodeServer
from rustfs.node.configuring import Configuring
from rustfs.node.facts import NodeFacts, peer_facts_by_name
from rustfs.node.following import Following
from rustfs.node.healruns import HealRuns
from rustfs.node.lockfacts import LockFacts
from rustfs.node.locking import NodeLocks
from rustfs.node.sets import Sets
from rustfs.node.traces import TraceBus
from rustfs.objects.wiring import ObjectRoom
from rustfs.services.ondemand import OnDemand
from rustfs.services.runs import RunFiles
from rustfs.services.throttle import Throttle


class Operator:
    """One per worker, made when its drives are open."""

    def __init__(
        self,
        sets: Sets,
        room: ObjectRoom,
        mesh: Mesh,
        locks: NodeLocks | None,
        facts: NodeFacts,
        clock: Clock,
        entropy: Entropy,
        runtime_directory: str,
        configuring: Configuring,
        throttle: Throttle,
        stopping: Callable[[], bool],
    ) -> None:
        """`throttle`: by which healing makes room for clients; `stopping`: whether streams are to end."""
        node = facts.name
        self._facts = facts
        self._configuring = configuring
        self.traces = TraceBus(node, runtime_directory, clock)
        following = Following(node, self.traces, mesh.calls, clock, stopping)
        on_demand = OnDemand(room, clock, throttle, RunFiles(runtime_directory))
        self._heal = HealRuns(node, sets, on_demand, mesh.calls, clock, entropy, runtime_directory, stopping)
        lock_facts = LockFacts({node: locks.own, **locks.peers} if locks is not None else {})
        self.operations = Operations(
            facts={
                "config": self._config,
                "info": facts.info,
                "drives": facts.drives,
                "health": facts.health,
                "heal": self._heal.heal,
                "locks": lock_facts.locks,
            },
            actions={
                "config/set": configuring.set,
                "config/unset": configuring.unset,
                "heal/stop": self._heal.end,
                "locks/release": lock_facts.release,
            },
            followed={"trace": following.trace},
            started={"heal/start": self._heal.run},
        )

    def serve_peers(self, node_server: NodeServer, heal_server: HealServer) -> None:
        """From now on peers may ask this node."""
        node_server.tell(peer_facts_by_name(self._facts, self._configuring), self.traces, self._configuring)
        heal_server.serve(self._heal)

    async def _config(self) -> dict[str, Any]:
        own = {self._facts.name: await self._configuring.of_node()}
        return self._configuring.shown({**own, **await self._facts.of_peers("configuration")})
