"""What `rustfs admin` shows: the node, its drives and sets, and how far healing has come."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import rustfs
from rustfs.core.ports import Clock
from rustfs.drive.local import LocalDrive
from rustfs.node.settings import Settings
from rustfs.objects.driveset import DriveSet
from rustfs.services.progress import published


class NodeFacts:
    """Gathers facts. (Any: JSON for the operator's eyes.)"""

    def __init__(
        self,
        settings: Settings,
        sets: Sequence[DriveSet],
        drives: Sequence[LocalDrive],
        deployment_id: str,
        codec: str,
        clock: Clock,
        runtime_directory: str,
    ) -> None:
        self._settings = settings
        self._sets = sets
        self._drives = drives
        self._deployment_id = deployment_id
        self._codec = codec
        self._clock = clock
        self._started = clock.monotonic_seconds()
        self._runtime_directory = runtime_directory

    async def info(self) -> dict[str, Any]:
        """For `rustfs admin info`."""
        settings = self._settings
        drives = []
        for drive in self._drives:
            info = await drive.info()
            drives.append({**info._asdict(), "set": drive.set_index, "position": drive.position})
        parity = dict(settings.parities)
        return {
            "version": rustfs.__version__,
            "deployment_id": self._deployment_id,
            "region": settings.region,
            "codec": self._codec,
            "nodes": [
                {
                    "address": f"{settings.host}:{settings.port}",
                    "state": "online",
                    "workers": settings.workers,
                    "uptime_seconds": round(self._clock.monotonic_seconds() - self._started),
                }
            ],
            "sets": [
                {
                    "set": each.index,
                    "drives": each.size,
                    "online": len(each.online()),
                    "write_quorum": max(each.majority, each.size - parity["STANDARD"]),
                    "parity": parity,
                }
                for each in self._sets
            ],
            "drives": drives,
            "healing": await self.heal(),
        }

    async def heal(self) -> list[dict[str, Any]]:
        """For `rustfs admin heal status`."""
        path = os.path.join(self._runtime_directory, "heal.json")
        progress = await asyncio.get_running_loop().run_in_executor(None, published, path)
        queued = [(await drive.info()).repair_queue for drive in self._drives]
        for each in progress:
            each["repair_queue"] = max(
                (queue for drive, queue in zip(self._drives, queued, strict=True) if drive.set_index == each["set"]),
                default=0,
            )
        return progress
