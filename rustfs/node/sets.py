"""The drives of the volumes as one worker sees them: its own ones and those of its peers, in sets and pools."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from rustfs.core.ports import Clock, Drive
from rustfs.drive.format import Format
from rustfs.drive.local import LocalDrive
from rustfs.drive.reader import ReadBatcher
from rustfs.mesh.mesh import Mesh
from rustfs.node.settings import Settings
from rustfs.objects.driveset import DriveSet, Pool


class Sets:
    """See the module."""

    def __init__(
        self,
        settings: Settings,
        identities: Mapping[int, Format],
        mesh: Mesh,
        clock: Clock,
        batcher: ReadBatcher,
        executor: Executor,
    ) -> None:
        """`identities`: of this node's drives, by index among all drives of the volumes."""
        topology = settings.topology
        self.own: dict[int, LocalDrive] = {}
        pools: list[Pool] = []
        number = 0
        for pool, parities in zip(topology.pools, settings.pool_parities, strict=True):
            sets = []
            layout = next((identities[each.index].sets for each in pool.endpoints if each.index in identities), ())
            for place, members in enumerate(pool.sets):
                drives: list[Drive] = []
                for position, endpoint in enumerate(members):
                    if endpoint.node == settings.own_node:
                        identity = identities[endpoint.index]
                        rebuildable = self._rebuildable(number, identity.drive_id, dict(parities)["STANDARD"])
                        drive = LocalDrive(endpoint.path, identity, batcher, executor, clock, rebuildable)
                        drive.endpoint = endpoint.name
                        self.own[endpoint.index] = drive
                        drives.append(drive)
                    else:
                        expected_id = layout[place][position] if layout else ""
                        drives.append(mesh.drive(endpoint.node, endpoint.index, position, endpoint.name, expected_id))
                sets.append(DriveSet(number, tuple(drives)))
                number += 1
            pools.append(Pool(sets, dict(parities)))
        self.pools = tuple(pools)
        self.all = tuple(each for pool in pools for each in pool.sets)
        self._parity = [pool.parities["STANDARD"] for pool in pools for _ in pool.sets]

    def write_quorum(self, drive_set: DriveSet) -> int:
        """Drives that a STANDARD write needs."""
        return max(drive_set.majority, drive_set.size - self._parity[drive_set.index])

    def read_quorum(self, drive_set: DriveSet) -> int:
        """Drives that reading a STANDARD object, written on all of the set, needs."""
        return max(drive_set.read_quorum, drive_set.size - self._parity[drive_set.index])

    def without_write_quorum(self, also_lost: Callable[[Drive], bool] = lambda _drive: False) -> list[int]:
        """Sets that cannot be written to, or could not without the drives that `also_lost` names."""
        return [
            each.index
            for each in self.all
            if sum(not also_lost(drive) for drive in each.online()) < self.write_quorum(each)
        ]

    def without_read_quorum(self) -> list[int]:
        """Sets that cannot be read."""
        return [each.index for each in self.all if len(each.online()) < each.read_quorum]

    def _rebuildable(self, set_index: int, drive_id: str, parity: int) -> Callable[[], bool]:
        """Whether the rest of its set could rebuild this drive now.

        Versions with less parity than STANDARD may need more: until they are whole, what was set aside is kept.
        """

        def rebuildable() -> bool:
            own = self.all[set_index]
            return own.whole_beside(drive_id) >= own.size - parity

        return rebuildable
