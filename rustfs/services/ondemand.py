"""Healing because an operator asks: every key below a prefix, in the sets that this node keeps, is looked at.

What runs by itself compares stamps and looks only at keys that differ. A run looks at each key: its shard files must
be there and have their length, and, where it is to go deep, all their checksums must match. It ends with the stream
that it answers through, or when it is stopped by name (rustfs.services.runs).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from rustfs.core.drivetypes import Level, Scan
from rustfs.core.errors import DriveError, NoSuchBucket, ObjectError
from rustfs.core.pb.peer.v1 import heal_pb2 as pb
from rustfs.core.ports import Clock
from rustfs.objects.driveset import DriveSet
from rustfs.objects.heal import HealResult
from rustfs.objects.wiring import ObjectRoom
from rustfs.services.background import is_keeper
from rustfs.services.reconcile import HEALS_AT_ONCE, ROWS_PER_PAGE, SYSTEM_BUCKETS, differing_keys, scan_all
from rustfs.services.runs import Run, RunFiles, RunRefused
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.services")

PROGRESS_SECONDS = 0.5
TRIES = 3  # for a key that something else is healing at the moment
TRY_PAUSE_SECONDS = 0.5
ERROR_CHARACTERS_MAX = 500


class OnDemand:
    """Runs of this node. One per worker; see the module."""

    def __init__(self, room: ObjectRoom, clock: Clock, throttle: Throttle, runs: RunFiles) -> None:
        self._room = room
        self._clock = clock
        self._throttle = throttle
        self._runs = runs

    async def start(self, request: pb.HealStartRequest) -> AsyncGenerator[pb.HealProgress, None]:
        """Heal, telling how far it has come, until the last message says that it is done."""
        try:
            run = self._runs.begin(request.run)
        except RunRefused as error:
            yield pb.HealProgress(run=request.run, done=True, error=str(error))
            return
        with run:
            walk = _Walk(self._room, self._clock, self._throttle, run, request)
            yield walk.snapshot()
            task = asyncio.create_task(walk.all(), name="healing on demand")
            try:
                while not task.done():
                    await asyncio.wait((task,), timeout=PROGRESS_SECONDS)
                    if not run.wanted() and not task.done():
                        walk.progress.stopped = True
                        break
                    run.show(shown(walk.progress, request, self._clock.now_milliseconds() - walk.started_ms))
                    if not task.done():
                        yield walk.snapshot()
            finally:
                task.cancel()
                await asyncio.wait((task,))
            if not task.cancelled() and (failure := task.exception()) is not None:
                log.error("healing on demand failed", exc_info=failure)
                walk.failed("an internal error; the node's log has it")
            walk.progress.done = True
            yield walk.snapshot()

    def stop(self, name: str) -> bool:
        """End a run of this node, or with "" all of them. Whether there was one."""
        return self._runs.stop(name)

    def active(self) -> list[dict[str, Any]]:
        """The runs of this node that are under way. (Any: JSON for the operator's eyes.)"""
        return self._runs.active()


class _Walk:
    """One run through the sets."""

    def __init__(
        self, room: ObjectRoom, clock: Clock, throttle: Throttle, run: Run, request: pb.HealStartRequest
    ) -> None:
        self._room = room
        self._clock = clock
        self._throttle = throttle
        self._run = run
        self._request = request
        self._bytes_before = room.healer.rebuilt_bytes
        self.started_ms = clock.now_milliseconds()
        self.progress = pb.HealProgress(run=request.run)

    async def all(self) -> None:
        try:
            buckets = await self._buckets()
        except NoSuchBucket:
            self.failed(f"there is no bucket {self._request.bucket}")
            return
        except (ObjectError, DriveError) as error:
            self.failed(str(error))
            return
        for drive_set in filter(is_keeper, self._room.pools.sets):
            try:
                for bucket in buckets:
                    await self._bucket(drive_set, bucket)
            except (ObjectError, DriveError) as error:
                self.failed(str(error))
            else:
                self.progress.sets.append(drive_set.index)

    def snapshot(self) -> pb.HealProgress:
        """The progress as of now."""
        copy = pb.HealProgress()
        copy.CopyFrom(self.progress)
        return copy

    def failed(self, sentence: str) -> None:
        """Remember the first reason why something could not be checked."""
        self.progress.error = self.progress.error or sentence[:ERROR_CHARACTERS_MAX]

    async def _buckets(self) -> Sequence[bytes]:
        name = self._request.bucket.encode()
        if not name:
            return (*SYSTEM_BUCKETS, *await self._room.store.buckets.all_names())
        await self._room.store.buckets.look_up(name)
        return (name,)

    async def _bucket(self, drive_set: DriveSet, bucket: bytes) -> None:
        after = b""
        silent: set[int] = set()
        while True:
            request = Scan(bucket, self._request.prefix, b"", after, ROWS_PER_PAGE, Level.STAMPS)
            pages = await scan_all(drive_set, request, silent, self._clock)
            silent |= set(range(drive_set.size)) - pages.keys()
            horizon = min((page.resume for page in pages.values() if page.more), default=None)
            await self._keys(drive_set, bucket, [key for key, _ in differing_keys(pages, horizon)])
            if horizon is None:
                return
            after = horizon

    async def _keys(self, drive_set: DriveSet, bucket: bytes, keys: Sequence[bytes]) -> None:
        gate = asyncio.Semaphore(HEALS_AT_ONCE)

        async def one(key: bytes) -> None:
            async with gate, self._throttle.turn():
                await self._key(drive_set, bucket, key)

        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(one(key))

    async def _key(self, drive_set: DriveSet, bucket: bytes, key: bytes) -> None:
        progress = self.progress
        try:
            outcome = await self._heal(drive_set, bucket, key)
        except (ObjectError, DriveError) as error:
            log.warning("cannot heal %s/%s: %s", bucket.decode(), key.decode("utf-8", "replace"), error)
            self.failed(f"{bucket.decode()}/{key.decode('utf-8', 'replace')}: {error}")
            progress.keys_failed += 1
        else:
            missed_in_reach = outcome.missed & {drive.position for drive in drive_set.online()}
            progress.keys_healed += outcome.changed > 0
            progress.keys_failed += bool(missed_in_reach)
            progress.keys_waiting += bool(outcome.missed and not missed_in_reach)
        progress.keys_checked += 1
        progress.bytes_healed = self._room.healer.rebuilt_bytes - self._bytes_before
        progress.bucket, progress.last_key = bucket, key

    async def _heal(self, drive_set: DriveSet, bucket: bytes, key: bytes) -> HealResult:
        for _ in range(TRIES - 1):
            outcome = await self._room.healer.heal(drive_set, bucket, key, deep=self._request.deep)
            if outcome.changed or len(outcome.missed) < drive_set.size:
                return outcome
            await asyncio.sleep(TRY_PAUSE_SECONDS)
        return await self._room.healer.heal(drive_set, bucket, key, deep=self._request.deep)


def shown(progress: pb.HealProgress, request: pb.HealStartRequest, elapsed_ms: int) -> dict[str, Any]:
    """Progress for the operator's eyes. (Any: JSON.)"""
    return {
        "run": request.run,
        "bucket": request.bucket,
        "prefix": request.prefix.decode("utf-8", "replace"),
        "deep": request.deep,
        "seconds": elapsed_ms / 1000,
        **figures(progress),
    }


def figures(progress: pb.HealProgress) -> dict[str, Any]:
    """The numbers of a progress. (Any: JSON.)"""
    return {
        "keys_checked": progress.keys_checked,
        "keys_healed": progress.keys_healed,
        "keys_failed": progress.keys_failed,
        "keys_waiting": progress.keys_waiting,
        "bytes_healed": progress.bytes_healed,
        "last_key": "/".join(part.decode("utf-8", "replace") for part in (progress.bucket, progress.last_key) if part),
    }
