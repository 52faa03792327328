"""The background services of a node: they run in whichever worker holds a file lock, so once per node.

In a cluster every node empties its own drives' repair queues and rebuilds its own drives. What concerns a set as a
whole is done by its *keeper*, the node of the first drive that is online; where nodes disagree for a while about who
that is, the work is done twice, which does no harm.

Each is a loop with one shape: do a round of work, then wait. A round that fails is logged and tried again; it never
takes another loop down. Idle is idle: a round over nothing costs a few point reads.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rustfs.core.errors import RustFSError
from rustfs.core.ports import Clock, Drive
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import in_time
from rustfs.objects.recall import copy_marks, learn_ceiling
from rustfs.objects.wiring import ObjectRoom
from rustfs.services import metrics, tombstones
from rustfs.services.progress import HealProgress, publish
from rustfs.services.reconcile import PassResult, Reconciler
from rustfs.services.repair import Repairer
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.services")

Drives: TypeAlias = frozenset[tuple[str, int]]  # drive id, generation

LOCK_POLL_SECONDS = 2.0
ANSWER_TIMEOUT_SECONDS = 12.0
RETRY_SECONDS = 5.0  # after a pass that could not make everything whole
QUORUM_RETRY_SECONDS = 1.0  # after one that found too few drives, as at the start of a cluster
DAY_MS = 86_400_000
COMPLETED_UPLOAD_KEPT_MS = DAY_MS
ORPHANS_KEPT_MS = 3_600_000  # longer than any request that may still come to its end


class MaintainedDrive(Drive, Protocol):
    """A drive of this node, which this node looks after."""

    async def maintain(self) -> None:
        """Free what is due."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between rounds."""

    repair: float = 1.0
    recall: float = 0.25
    maintenance: float = 5.0
    heal: float = 2.0
    tombstones: float = 20.0
    uploads: float = 600.0


class Background:
    """All services of a node."""

    def __init__(
        self,
        room: ObjectRoom,
        drives: Sequence[MaintainedDrive],
        clock: Clock,
        runtime_directory: str,
        upload_expiry_days: float,
        intervals: Intervals | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self._room = room
        self._drives = drives
        self._clock = clock
        self._runtime_directory = runtime_directory
        self._upload_expiry_ms = int(upload_expiry_days * DAY_MS)
        self._intervals = intervals or Intervals()
        self._progress = [HealProgress(drive_set.index) for drive_set in room.pools.sets]
        self._compared: dict[int, Drives] = {}  # set -> drives in reach since its last whole comparison
        self._forgetful: dict[bytes, float] = {}  # formatting of a drive that has to learn -> known since, monotonic
        self._throttle = throttle or Throttle(clock, lambda: 0)
        self._not_before: dict[int, float] = {}  # set -> monotonic time of the next try, after one that failed
        self._repairer = Repairer(room.pools, room.healer)

    async def run(self) -> None:
        """Wait for the lock, then run until cancelled."""
        descriptor = os.open(os.path.join(self._runtime_directory, "services.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            while not _try_lock(descriptor):  # noqa: ASYNC110 -- another process holds it: nobody here can tell
                await asyncio.sleep(LOCK_POLL_SECONDS)
            waits = self._intervals
            async with asyncio.TaskGroup() as group:
                group.create_task(self._loop("repair", waits.repair, self._repair))
                group.create_task(self._loop("recall", waits.recall, self._recall))
                group.create_task(self._loop("maintenance", waits.maintenance, self._maintain))
                group.create_task(self._loop("heal", waits.heal, self._reconcile))
                group.create_task(self._loop("tombstones", waits.tombstones, self._purge))
                group.create_task(self._loop("uploads", waits.uploads, self._sweep_uploads))
        finally:
            os.close(descriptor)

    async def _loop(self, name: str, wait_seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except RustFSError as error:
                log.warning("%s: %s; trying again", name, error)
            except Exception:
                log.exception("%s failed; trying again", name)
            await asyncio.sleep(wait_seconds)

    async def _repair(self) -> None:
        while await self._repairer.round():
            pass

    async def _recall(self) -> None:
        """Tell this node's drives that were wiped how high their promises may have gone."""
        known, self._forgetful = self._forgetful, {}
        learners = []
        for drive_set in self._room.pools.sets:
            for drive in drive_set.online():
                if drive.near and drive.healing:
                    own = await in_time(drive.ceiling(), ANSWER_TIMEOUT_SECONDS)
                    if not own.known:
                        since = known.get(own.formatting, self._clock.monotonic_seconds())
                        self._forgetful[own.formatting] = since
                        learners.append((drive_set, drive, own.formatting, self._clock.monotonic_seconds() - since))
        lessons = (learn_ceiling(*learner, self._clock) for learner in learners)
        outcomes = await asyncio.gather(*lessons, return_exceptions=True)
        for (_, drive, formatting, _), outcome in zip(learners, outcomes, strict=True):
            if isinstance(outcome, RustFSError):
                if formatting not in known:  # said once, not four times a second
                    log.warning("%s takes no writes yet: %s; trying again", (await drive.info()).endpoint, outcome)
            elif outcome is not None:
                raise outcome

    async def _maintain(self) -> None:
        for drive in self._drives:
            await drive.maintain()
        for drive in self._drives:
            metrics.show_drive(await drive.info())

    async def _purge(self) -> None:
        for drive_set in filter(is_keeper, self._room.pools.sets):
            await tombstones.purge(
                self._room.pools, drive_set, self._clock.now_milliseconds(), self._clock, self._throttle
            )

    async def _sweep_uploads(self) -> None:
        now = self._clock.now_milliseconds()
        multipart = self._room.store.multipart
        kept = list(filter(is_keeper, self._room.pools.sets))
        if not kept:
            return
        for upload in await multipart.expired(now - self._upload_expiry_ms, now - COMPLETED_UPLOAD_KEPT_MS):
            await multipart.expire(upload)
        for drive_set in kept:
            await multipart.drop_orphans(drive_set, now - ORPHANS_KEPT_MS)
            await multipart.settle_remains(drive_set, now - ORPHANS_KEPT_MS)

    # -- healing -------------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Compare every set in which a drive came back, was formatted anew, or was not compared since the start."""
        for drive_set, progress in zip(self._room.pools.sets, self._progress, strict=True):
            online = drives_in_reach(drive_set)
            healing = [drive for drive in drive_set.online() if drive.near and drive.healing]
            known = self._compared.get(drive_set.index, frozenset())
            self._compared[drive_set.index] = known & online
            now = self._clock.monotonic_seconds()
            returned = online - known if is_keeper(drive_set) else frozenset()
            if (healing or returned) and now >= self._not_before.get(drive_set.index, 0.0):
                # Set anew by a pass that finds everything whole.
                self._not_before[drive_set.index] = now + RETRY_SECONDS
                await self._heal_set(drive_set, progress, online, healing)
            elif progress.state == "waiting" and not healing and not is_keeper(drive_set):
                progress.state, progress.drives = "idle", ()  # another node does now what this one could not
                await self._publish()

    async def _heal_set(
        self, drive_set: DriveSet, progress: HealProgress, online: Drives, healing: list[Drive]
    ) -> None:
        infos = [await drive.info() for drive in drive_set.drives]
        progress.state = "healing"
        rebuilt = {drive.drive_id for drive in healing}
        progress.drives = tuple(info.endpoint for info in infos if info.drive_id in rebuilt)
        progress.started_ms = progress.updated_ms = self._clock.now_milliseconds()
        progress.finished_ms = progress.bytes_healed = 0
        progress.keys_checked = progress.keys_healed = progress.keys_failed = 0
        progress.keys_total = max(info.versions for info in infos)
        bytes_before = self._room.healer.rebuilt_bytes
        if healing:
            log.info("rebuilding %s: about %d keys to compare", ", ".join(progress.drives), progress.keys_total)
        await self._publish()
        logged = published = self._clock.monotonic_seconds()

        def note(result: PassResult) -> None:
            nonlocal logged, published
            progress.keys_checked, progress.keys_healed = result.keys, result.healed
            progress.keys_failed = result.failed
            progress.bytes_healed = self._room.healer.rebuilt_bytes - bytes_before
            progress.updated_ms = self._clock.now_milliseconds()
            now = self._clock.monotonic_seconds()
            if now - published > 1.0:
                published = now
                publish(self._progress_path, self._progress)
                metrics.show_progress(progress)
            if now - logged > 10.0:
                logged = now
                log.info("healing set %d: %d of about %d keys", drive_set.index, result.keys, progress.keys_total)

        try:
            formattings = {drive.drive_id: await self._formatting(drive) for drive in healing}
            buckets = await self._room.store.buckets.all_names()
            result = await Reconciler(self._room.healer, self._clock, note, self._throttle).compare(drive_set, buckets)
            note(result)
            missed = {drive_set.drives[position].drive_id for position in result.missed | result.silent}
            rebuilt_now = [drive for drive in healing if drive.online and drive.drive_id not in missed]
            for drive in rebuilt_now:
                await copy_marks(drive_set, drive)
        except RustFSError:
            self._not_before[drive_set.index] = self._clock.monotonic_seconds() + QUORUM_RETRY_SECONDS
            progress.state = "waiting"
            await self._publish()
            raise
        still = drives_in_reach(drive_set)
        self._compared[drive_set.index] = frozenset(each for each in online & still if each[0] not in missed)
        for drive in rebuilt_now:
            await in_time(drive.healed(formattings[drive.drive_id]), ANSWER_TIMEOUT_SECONDS)
        if result.failed == 0 and missed.isdisjoint(drive_id for drive_id, _ in still):
            self._not_before.pop(drive_set.index, None)
            if healing or result.healed:
                log.info(
                    "set %d is whole: %d keys compared, %d healed; %d had to be looked at",
                    drive_set.index, result.keys, result.healed, result.looked_at,
                )  # fmt: skip
        progress.state = "idle" if result.failed == 0 else "waiting"
        progress.drives = () if result.failed == 0 else progress.drives
        progress.finished_ms = self._clock.now_milliseconds()
        await self._publish()

    async def _formatting(self, drive: Drive) -> bytes:
        """Which formatting of the drive is about to be rebuilt: it may be wiped once more meanwhile."""
        return (await in_time(drive.ceiling(), ANSWER_TIMEOUT_SECONDS)).formatting

    @property
    def _progress_path(self) -> str:
        return os.path.join(self._runtime_directory, "heal.json")

    async def _publish(self) -> None:
        for progress in self._progress:
            metrics.show_progress(progress)
        await asyncio.get_running_loop().run_in_executor(None, publish, self._progress_path, self._progress)


def is_keeper(drive_set: DriveSet) -> bool:
    """Whether this node sees to what concerns the set as a whole."""
    first = next(iter(drive_set.online()), None)
    return first is not None and first.near


def drives_in_reach(drive_set: DriveSet) -> Drives:
    """The drives in reach; one that was away in between is another one."""
    return frozenset((drive.drive_id, drive.generation) for drive in drive_set.online())


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
