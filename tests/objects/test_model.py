"""The object layer against a small model, step by step: with restarts, sudden ends, lost, wiped and damaged drives.

Four drives, two of them parity, so W is 3. The faults stay within what is promised: at most two drives are not whole at
a time, where a sudden end counts for one, since it may leave each version on three drives only until the set is healed.
Within that, every read is right and certain; writes may fail while two drives are out, and are in doubt then.
"""

import asyncio
import os
import random
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rustfs.core.errors import NoSuchKey, PreconditionFailed, QuorumLost
from rustfs.core.system import SystemClock
from rustfs.drive import availability, transactions
from rustfs.objects.types import CompletePart, CompleteSpec, PutSpec, UploadSpec, WriteCondition
from rustfs.services.reconcile import Reconciler
from tests.drive.harness import make_whole
from tests.objects import disks
from tests.objects.harness import BytesBody, Room, contents, open_room
from tests.objects.model import Key, Value, listed

DRIVES = 4
INLINE_BYTES_MAX = 4096
MIB = 1 << 20
NAMES = ["a", "a/b", "a/c", "b//", "ü"]
WAIT_SECONDS_MAX = 20.0
HEAL_ATTEMPTS_MAX = 6
CEILING_STRIDE_MS = 10
# Whether a sync reaches a disk cannot be told apart here, and in memory ten times as many steps can be tried.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

names = st.sampled_from(NAMES)
seeds = st.integers(0, 3)
sizes = st.sampled_from([0, 1, 700, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 70_000, MIB + 3])
drives = st.integers(0, DRIVES - 1)


def data_of(size: int, seed: int) -> bytes:
    """Bytes that shrink, and bytes that do not."""
    if seed % 2:
        return (b"line %d\n" % seed * (size // 7 + 1))[:size]
    return random.Random(seed).randbytes(size)


class Machine(RuleBasedStateMachine):
    """See the module. Rules run one after the other; the object layer's loop runs while one of them waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="rustfs-model-", dir=MEMORY))
        self.roots = [self.directory / f"drive{number}" for number in range(DRIVES)]
        self.runner = asyncio.Runner()
        self.keys = {name: Key() for name in NAMES}
        self.away: set[int] = set()
        self.unhealed: set[int] = set()  # drives that are or were away, wiped or damaged since the set was last healed
        self.damaged: set[int] = set()  # and perhaps not noticed yet
        self.ended = False  # suddenly, since the set was last healed

    def teardown(self) -> None:
        try:
            self.runner.run(self.stack.aclose())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    # -- the node ------------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.runner.run(self.open())
        self.runner.run(self.store.create_bucket("bucket", "", "owner"))

    async def open(self) -> None:
        self.stack = AsyncExitStack()
        roots = [str(root) for root in self.roots]
        self.room: Room = await self.stack.enter_async_context(open_room(roots, inline_bytes_max=INLINE_BYTES_MAX))
        self.store = self.room.store

    async def until(self, condition) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS_MAX
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, [await drive.info() for drive in self.room.drives]
            await asyncio.sleep(0.005)

    async def all_back(self) -> None:
        """Until each drive that is here has noticed so: damage is found in use, and takes a drive out for a moment."""
        await self.until(lambda: all(self.room.drives[n].online != (n in self.away) for n in range(DRIVES)))

    async def notes_written(self) -> None:
        """What was chosen is noted within half a second; a drive that is lost after that is what is promised about."""
        for drive in self.room.drives:
            drive._notes.flush()
        await asyncio.gather(*(drive.repaired([]) for drive in self.room.drives), return_exceptions=True)
        await self.all_back()

    @rule()
    def restart(self) -> None:
        async def again() -> None:
            await self.stack.aclose()
            await self.open()
            await self.all_back()

        self.runner.run(again())

    @precondition(lambda self: self.may_lose(self.unhealed, ended=True))
    @rule(
        name=names,
        size=sizes,
        seed=seeds,
        kind=st.sampled_from(["put", "put", "delete", "multipart"]),
        behind=st.sets(drives, max_size=DRIVES),
        milliseconds=st.sampled_from([0, 2, 10, 30, 30, 60]),
        victim=drives,
        fate=st.sampled_from(["well", "away", "wiped", "wiped"]),
    )
    def end_suddenly(
        self,
        name: str,
        size: int,
        seed: int,
        kind: str,
        behind: set[int],
        milliseconds: int,
        victim: int,
        fate: str,
    ) -> None:
        """kill -9 somewhere in a write that has not yet reached the drives `behind`; a drive may be lost with it."""
        lost = fate != "well" and victim not in self.away and self.may_lose(self.unhealed | {victim}, ended=True)
        value = None if kind == "delete" else Value(data_of(size, seed))
        here = [root for number, root in enumerate(self.roots) if number not in self.away]

        async def write() -> None:
            if value is None:
                await self.store.delete_object("bucket", name, None)
            elif kind == "put":
                await self.store.put_object("bucket", name, BytesBody(value.data, piece_bytes=30_000), PutSpec())
            else:
                await self.multipart(name, [value.data])

        async def crash() -> None:
            with disks.stalled(self.roots[number] for number in sorted(behind - self.away)):
                task = asyncio.create_task(write())
                await asyncio.wait([task], timeout=milliseconds / 1000)
                with disks.stalled(self.roots[number] for number in range(DRIVES) if number not in self.away | behind):
                    for root in here:
                        disks.freeze(root)
                    if task.done() and task.exception() is None:
                        self.acknowledge(name, value)
                    else:
                        self.keys[name].doubt(value)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.stack.aclose()
            for root in here:
                disks.thaw(root)
            if lost and fate == "away":
                disks.take_away(self.roots[victim])
                self.away.add(victim)
            elif lost:
                disks.wipe(self.roots[victim])
            await self.open()
            await self.all_back()

        self.ended = True
        if lost:
            self.unhealed.add(victim)
        self.runner.run(crash())
        self.look(name)
        if self.away:
            self.come_back()
        self.look(name)

    # -- drives --------------------------------------------------------------------------------------------------------

    def may_lose(self, unhealed: set[int], *, ended: bool) -> bool:
        return len(unhealed) + ended <= 2

    @rule(drive=drives)
    def lose(self, drive: int) -> None:
        if drive in self.away or not self.may_lose(self.unhealed | {drive}, ended=self.ended):
            return
        self.unhealed.add(drive)
        self.runner.run(self.notes_written())
        disks.take_away(self.roots[drive])
        self.away.add(drive)
        self.runner.run(self.all_back())

    @precondition(lambda self: self.away)
    @rule()
    def come_back(self) -> None:
        drive = min(self.away)
        disks.put_back(self.roots[drive])
        self.away.discard(drive)
        self.runner.run(self.all_back())

    @rule(drive=drives, seed=st.none() | seeds)
    def wipe_or_damage(self, drive: int, seed: int | None) -> None:
        if drive in self.away or not self.may_lose(self.unhealed | {drive}, ended=self.ended):
            return
        self.unhealed.add(drive)
        self.runner.run(self.notes_written())
        if seed is None:
            wiped = self.room.drives[drive]
            before = wiped._availability.session
            disks.wipe(self.roots[drive])
            self.runner.run(self.until(lambda: wiped.healing and wiped._availability.session is not before))
        else:
            disks.flip_bytes(self.roots[drive], random.Random(seed))
            self.damaged.add(drive)

    @precondition(lambda self: self.unhealed or self.ended)
    @rule()
    def heal(self) -> None:
        """What the services do by themselves once the drives are here: compare, rebuild, look into what was damaged."""

        async def whole() -> None:
            await self.notes_written()
            for drive in (self.room.drives[number] for number in self.damaged):
                # Damage that no read has met yet would outlast the healing: have the whole store read.
                drive._availability._suspect = True
                drive._availability._go_offline(drive._availability.session, "it is looked into")
            await self.all_back()
            drive_set = self.room.room.pools.sets[0]
            buckets = [b"bucket"]
            reconciler = Reconciler(self.room.room.healer, SystemClock(), lambda _result: None)
            passes = 0
            for _ in range(HEAL_ATTEMPTS_MAX):
                try:
                    result = await reconciler.compare(drive_set, buckets)
                    for name in NAMES:
                        await self.room.room.healer.heal(drive_set, b"bucket", name.encode(), deep=True)
                except QuorumLost:
                    passes = 0  # damage was met, and its drive is out for a moment: the services try again, too
                else:
                    passes = passes + 1 if result.failed == 0 else 0
                await self.all_back()
                if passes == 2:  # a drive whose damage the first pass finds is rebuilt by the second
                    break
            assert passes == 2
            for drive in self.room.drives:
                if drive.healing:
                    await make_whole(drive)

        while self.away:
            self.come_back()
        self.runner.run(whole())
        # A drive that was wiped goes by what others may have promised: it takes nothing until that has passed.
        # What is written before lies on three drives until the repair queue is gone through, which nobody does here.
        self.runner.run(asyncio.sleep(2 * CEILING_STRIDE_MS / 1000))
        self.unhealed, self.damaged, self.ended = set(), set(), False

    # -- writes --------------------------------------------------------------------------------------------------------

    def acknowledge(self, name: str, value: Value | None) -> None:
        if value is None:
            self.keys[name].acknowledge_deletion()
        else:
            self.keys[name].acknowledge(value)

    def attempt(self, name: str, value: Value | None, write) -> None:
        """Run a write; one that two lost drives keep from its quorum is in doubt."""
        try:
            self.runner.run(write)
        except QuorumLost:
            assert len(self.unhealed) == 2, "a write failed although three drives were well"
            self.keys[name].doubt(value)
            self.runner.run(self.all_back())
        else:
            self.acknowledge(name, value)

    @rule(name=names, size=sizes, seed=seeds, note=st.text("xyzü", max_size=3))
    def put(self, name: str, size: int, seed: int, note: str) -> None:
        value = Value(data_of(size, seed), (("note", note),))
        spec = PutSpec(user_metadata=value.metadata)
        self.attempt(name, value, self.store.put_object("bucket", name, BytesBody(value.data), spec))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.attempt(name, None, self.store.delete_object("bucket", name, None))

    async def multipart(self, name: str, parts: list[bytes]) -> None:
        upload = await self.store.create_upload("bucket", name, UploadSpec())
        done = []
        for number, data in enumerate(parts, 1):
            part = await self.store.upload_part("bucket", name, upload, number, BytesBody(data))
            done.append(CompletePart(number, part.etag))
        await self.store.complete_upload("bucket", name, upload, CompleteSpec(tuple(done)))

    @rule(name=names, size=sizes, seed=seeds, several=st.booleans())
    def put_in_parts(self, name: str, size: int, seed: int, several: bool) -> None:
        parts = [data_of(5 * MIB, 1)] * several + [data_of(size, seed)]
        self.attempt(name, Value(b"".join(parts)), self.multipart(name, parts))

    @rule(name=names, size=sizes, seed=seeds, fresh=st.booleans())
    def put_on_condition(self, name: str, size: int, seed: int, fresh: bool) -> None:
        """If-None-Match: *, or If-Match with the ETag just read."""
        found = self.look(name)
        if found is None and not fresh:
            return
        etag = "" if found is None else self.runner.run(self.store.head_object("bucket", name)).etag
        condition = WriteCondition(if_none_match=("*",)) if fresh else WriteCondition(if_match=(etag,))
        value = Value(data_of(size, seed))
        spec = PutSpec(condition=condition)
        try:
            self.attempt(name, value, self.store.put_object("bucket", name, BytesBody(value.data), spec))
        except (PreconditionFailed, NoSuchKey):
            assert not self.keys[name].certain or (fresh and found is not None)
        else:
            assert not fresh or None in (found, *self.keys[name].possible())

    @rule(name=names, note=st.text("xyzü", max_size=3))
    def change_metadata(self, name: str, note: str) -> None:
        found = self.look(name)
        if found is None or not self.keys[name].certain:
            return
        value = found._replace(metadata=(("note", note),))

        async def change() -> None:
            info = await self.store.head_object("bucket", name)
            await self.store.update_metadata(info, PutSpec(user_metadata=value.metadata), None)

        self.attempt(name, value, change())

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def fetch(self, name: str) -> Value | None:
        try:
            opened = await self.store.open_object("bucket", name)
        except NoSuchKey:
            return None
        return Value(await contents(opened), opened.info.user_metadata)

    def look(self, name: str) -> Value | None:
        """Read a key and hold it against the model."""
        key = self.keys[name]
        if len(self.unhealed) == 2:
            self.runner.run(self.notes_written())
        try:
            found = self.runner.run(self.fetch(name))
        except QuorumLost:
            assert len(self.unhealed) == 2, "a read failed that had all it needed"
            assert not key.certain, "a read failed that had all it needed"
            return key.current
        key.observe(found)
        return found

    @rule(name=names)
    def read(self, name: str) -> None:
        self.look(name)

    @rule(name=names, start=st.integers(0, MIB + 2), length=st.integers(1, MIB))
    def read_range(self, name: str, start: int, length: int) -> None:
        found = self.look(name)
        if found is None or not self.keys[name].certain or start >= len(found.data):
            return
        end = min(len(found.data), start + length)

        async def ranged() -> bytes:
            return await contents(await self.store.open_object("bucket", name), start, end)

        assert self.runner.run(ranged()) == found.data[start:end]

    @rule(prefix=st.sampled_from(["", "a", "a/", "b/"]), delimiter=st.sampled_from(["", "/"]))
    def list(self, prefix: str, delimiter: str) -> None:
        for name in NAMES:
            self.look(name)
        if not all(key.certain for key in self.keys.values()):
            return
        page = self.runner.run(self.store.list_objects("bucket", prefix, delimiter, "", 100))
        objects, prefixes = listed(self.keys, prefix, delimiter)
        assert [each.key for each in page.objects] == sorted(objects, key=str.encode)
        assert {each.key: each.size_bytes for each in page.objects} == {n: len(v.data) for n, v in objects.items()}
        assert page.prefixes == sorted(prefixes, key=str.encode)

    @invariant()
    def the_node_survives(self) -> None:
        assert len(self.unhealed) + self.ended <= 2


@pytest.mark.slow
def test_the_object_layer_does_what_the_model_does(monkeypatch):
    monkeypatch.setattr(transactions, "CEILING_STRIDE_MS", CEILING_STRIDE_MS)
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.01)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # threads and disks have a time of their own: a failure hardly shrinks
            suppress_health_check=list(HealthCheck),
        ),
    )
