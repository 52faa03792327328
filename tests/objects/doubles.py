"""Drives that are far away, slow or forgetful: a real drive behind a face that a test can spoil."""

import asyncio
from collections import Counter

from rustfs.core.errors import DriveOffline

_ASKED = (
    "read_key", "prepare", "accept", "scan", "mark_bucket", "marks", "read_shard", "stat_shards", "hold_shards",
    "verify_shard", "replace_shard", "heal", "drop", "tombstones", "ranges", "unsettled", "repairs", "repaired",
    "ceiling", "learn", "healed",
)  # fmt: skip


class FarDrive:
    """A drive as another node's would look from here: it may be remote, and stop answering without going offline."""

    def __init__(self, drive, *, near=False):
        self.drive = drive
        self.near = near
        self.stalled = False
        self.claims_whole = False  # a cached flag that is out of date
        self.blank = None  # what answers say of themselves, where it is to differ
        self.asked = Counter()

    def __getattr__(self, name):
        if name not in _ASKED:
            return getattr(self.drive, name)

        def call(*args, **named):
            self.asked[name] += 1
            if self.stalled:
                return asyncio.get_running_loop().create_future()
            future = getattr(self.drive, name)(*args, **named)
            return future if self.blank is None else asyncio.ensure_future(self._marked(future))

        return call

    async def _marked(self, future):
        answer = await future
        if not hasattr(answer, "blank"):
            return answer
        nothing = {"versions": (), "rows": [], "more": False, "marks": [], "ranges": []}
        lost = {name: value for name, value in nothing.items() if hasattr(answer, name)}
        return answer._replace(blank=self.blank, **(lost if self.blank else {}))

    @property
    def healing(self):
        return self.drive.healing and not self.claims_whole

    def note_chosen(self, *args):
        if not self.stalled:
            self.drive.note_chosen(*args)

    def queue_repair(self, *args):
        if not self.stalled:
            self.drive.queue_repair(*args)

    async def stage(self, data_id, size_bytes):
        if self.stalled:
            await asyncio.get_running_loop().create_future()
        return FarShard(self, await self.drive.stage(data_id, size_bytes))


class FarShard:
    """A staged shard of a FarDrive."""

    def __init__(self, owner, shard):
        self._owner = owner
        self._shard = shard

    def write(self, buffers):
        if self._owner.stalled:
            raise DriveOffline("flow control has not moved for too long")
        self._shard.write(buffers)

    async def finish(self):
        if self._owner.stalled:
            await asyncio.get_running_loop().create_future()
        await self._shard.finish()

    async def abort(self):
        await self._shard.abort()

    def abandon(self):
        self._shard.abandon()
