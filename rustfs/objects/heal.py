"""Making the copies of a key whole: every drive of its set holds the current version, with good shards.

Healing never decides what the value is: it reads the register as any reader does, and brings chosen versions to the
drives that lack them. So it may run at any time, on any node, several times at once.
"""

from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass

from rustfs.core.drivetypes import CHOSEN, Accept, FrameRun, Held, KeyAnswer, Level, Refusal
from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.frames import CHECKSUM_BYTES, verified
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import shard_of
from rustfs.core.ports import Clock
from rustfs.erasure.layout import build_footer
from rustfs.objects.decide import Verdict, decide
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout, in_time
from rustfs.objects.metrics import BAD_SHARDS, HEALED_KEYS
from rustfs.objects.pace import Pace
from rustfs.objects.proposals import BucketChanged
from rustfs.objects.rebuild import Rebuilder
from rustfs.objects.records import extents_of, shard_file_ids
from rustfs.objects.register import Register
from rustfs.objects.rounds import ANY, Era

ANSWER_TIMEOUT_SECONDS = 12.0
EVERYBODY_SECONDS = 2.0  # no client waits: on a busy node a drive may be that slow without being sick
STAT_TIMEOUT_SECONDS = 4.0
VERIFY_BLOCKS = 64  # at once, so that a drive is not kept from other work for long
VERIFY_TIMEOUT_SECONDS = 30.0
COMPLETIONS_MAX = 3
LOOK_SECONDS = 600.0  # drives keep in mind for longer what they dropped (rustfs.drive.transactions.PURGED_KEPT_MS)


@dataclass(frozen=True, slots=True)
class HealResult:
    """What came of healing a key."""

    whole: bool  # every drive of the set holds the version now
    changed: int  # drives that were given something
    missed: frozenset[int] = frozenset()  # positions that may still lack something, offline ones included


class Healer:
    """Heals keys. One per process."""

    def __init__(
        self,
        register: Register,
        rebuilder: Rebuilder,
        executor: Executor,
        clock: Clock,
        pace: Pace,
        era: Callable[[bytes], Awaitable[Era]],
    ) -> None:
        """`era`: of a bucket's keys, as of now; see Buckets.era."""
        self._clock = clock
        self._era = era
        self._pace = pace
        self._register = register
        self._rebuilder = rebuilder
        self._executor = executor
        self._in_hand: set[tuple[bytes, bytes]] = set()

    @property
    def rebuilt_bytes(self) -> int:
        """Of shards, since the start of this process."""
        return self._rebuilder.rebuilt_bytes

    async def heal(self, drive_set: DriveSet, bucket: bytes, key: bytes, *, deep: bool) -> HealResult:
        """Bring the current version to every drive of the set that is online.

        Args:
            deep: read and verify every shard, rather than only look whether its file has the right length.

        Raises:
            QuorumLost: too few drives, or too few good shards, to tell or to rebuild.
        """
        everyone = frozenset(range(drive_set.size))
        if (bucket, key) in self._in_hand:
            return HealResult(whole=False, changed=0, missed=everyone)
        self._in_hand.add((bucket, key))
        try:
            for _ in range(COMPLETIONS_MAX):
                result = await self._heal(drive_set, bucket, key, deep=deep)
                if result is not None:
                    return result
            return HealResult(whole=False, changed=0, missed=everyone)
        finally:
            self._in_hand.discard((bucket, key))

    async def _heal(self, drive_set: DriveSet, bucket: bytes, key: bytes, *, deep: bool) -> HealResult | None:
        """None: the key was half-written and is complete now; look again."""
        looked = self._clock.monotonic_seconds()
        answers = await self._all_answers(drive_set, bucket, key)
        versions = {position: answer.versions for position, answer in answers.items()}
        blank = [position for position, answer in answers.items() if answer.blank]
        unheard = frozenset(range(drive_set.size)) - answers.keys()
        decision = decide(drive_set.size, versions, blank)
        if decision.verdict in (Verdict.COMPLETE, Verdict.UNDECIDED):
            era = await self._era(bucket)
            if era is ANY or decision.stamp < era.created:
                return HealResult(whole=True, changed=0, missed=unheard)  # its bucket is gone, and nobody will see it
            # Reading completes it, or says that it cannot be told.
            try:
                await self._register.read(drive_set, bucket, key, era=era)
            except BucketChanged:
                raise QuorumLost("the bucket changed while a key of it was completed") from None
            return None
        if decision.verdict is Verdict.NOTHING:
            return HealResult(whole=True, changed=0, missed=unheard)
        held = {
            position: version
            for position, each in versions.items()
            for version in each
            if version.stamp == decision.stamp
        }
        lacking = [position for position in versions if position not in held]
        record = next(iter(held.values())).record
        work = _Work(drive_set, bucket, key, decision.stamp, decision.flags, record, held, lacking, looked)
        changed, missed = await self._restore(work, deep=deep)
        for position, version in held.items():
            if not version.flags & CHOSEN or len(versions[position]) > 1:
                drive_set.drives[position].note_chosen(bucket, key, decision.stamp, True)
        if changed:
            HEALED_KEYS.inc()
        missed |= unheard
        return HealResult(not missed, changed, missed)

    async def _all_answers(self, drive_set: DriveSet, bucket: bytes, key: bytes) -> dict[int, KeyAnswer]:
        fan = Fanout(
            ((drive.position, drive.read_key(bucket, key, Level.INLINE)) for drive in drive_set.online()), self._clock
        )

        def readable() -> bool:
            return sum(not answer.blank for answer in fan.answers.values()) >= drive_set.read_quorum

        def proceed() -> bool:
            return readable() and all(self._pace.is_late(drive_set.drives[position]) for position in fan.silent)

        # Those that are not known to be slow get time: what a heal leaves out has to be healed again.
        await fan.wait(lambda: False, EVERYBODY_SECONDS, proceed)
        await fan.wait(readable, ANSWER_TIMEOUT_SECONDS)
        self._pace.late([drive_set.drives[position] for position in fan.silent])
        if not readable():
            raise QuorumLost(f"too few drives of set {drive_set.index} answered to heal")
        return dict(fan.answers)

    async def _restore(self, work: "_Work", *, deep: bool) -> tuple[int, frozenset[int]]:
        """Rebuild what is missing or bad, and hand it over. Drives given something; positions that lack it still."""
        inline: dict[int, bytes] = {}
        staged: dict[int, list[bytes]] = {}
        unfinished: set[int] = set()
        extents = extents_of(work.bucket, work.record)
        refs = shard_file_ids(extents)
        try:
            for extent in extents:
                if extent.inline:
                    inline = self._restore_inline(work, extent)
                    continue
                bad, unsure = await self._bad_positions(work.drive_set, extent, work.held, work.lacking, deep=deep)
                unfinished |= unsure
                files = await self._rebuilder.files(work.drive_set, extent, bad)
                unfinished.update(bad.keys() - files.staged.keys())
                for position in files.staged:
                    if bad[position]:
                        replacing = work.drive_set.drives[position].replace_shard(extent.data_id)
                        await in_time(replacing, ANSWER_TIMEOUT_SECONDS)
                    staged.setdefault(position, []).extend(() if bad[position] else (extent.data_id,))
            changed = await self._hand_over(work, refs, inline, staged, unfinished)
            return changed, frozenset(unfinished)
        except DriveError as error:
            raise QuorumLost(str(error)) from error

    async def _hand_over(
        self,
        work: "_Work",
        refs: tuple[bytes, ...],
        inline: dict[int, bytes],
        staged: dict[int, list[bytes]],
        unfinished: set[int],
    ) -> int:
        if self._clock.monotonic_seconds() - work.looked > LOOK_SECONDS:
            await self._look_again(work)
        changed = 0
        for position in sorted({*work.lacking, *inline, *staged}):
            drive = work.drive_set.drives[position]
            files = tuple(staged.get(position, ()))
            if position in work.lacking or position in inline:
                offer = Accept(
                    work.bucket, work.key, work.stamp, work.flags, work.record, inline.get(position), files,
                    refs, b"",
                )  # fmt: skip
                try:
                    answer = await in_time(drive.heal(offer, replace_inline=True), ANSWER_TIMEOUT_SECONDS)
                except DriveError:
                    unfinished.add(position)
                    continue
                if answer.refusal is not Refusal.NONE:
                    continue  # overwritten meanwhile
            changed += 1
        return changed

    async def _look_again(self, work: "_Work") -> None:
        """A large object takes long to rebuild. Raises QuorumLost where it is no longer the value."""
        answers = await self._all_answers(work.drive_set, work.bucket, work.key)
        blank = [position for position, answer in answers.items() if answer.blank]
        versions = {position: answer.versions for position, answer in answers.items()}
        if decide(work.drive_set.size, versions, blank).stamp != work.stamp:
            raise QuorumLost("the key changed while it was rebuilt")

    def _restore_inline(self, work: "_Work", extent: pb.Extent) -> dict[int, bytes]:
        size = work.drive_set.size
        bad = [
            position
            for position, held in work.held.items()
            if held.inline is None or verified(held.inline, 0, shard_of(position, extent.rotation, size)) is None
        ]
        wanted = [*bad, *work.lacking]
        if not wanted:
            return {}
        copies = {position: held.inline for position, held in work.held.items()}
        return self._rebuilder.inline_frames(work.drive_set, extent, copies, wanted)

    async def _bad_positions(
        self, drive_set: DriveSet, extent: pb.Extent, held: Collection[int], lacking: Collection[int], *, deep: bool
    ) -> tuple[dict[int, bool], set[int]]:
        """Which of these drives lack a good shard file of the extent; True where one in service is to be replaced.

        And the positions of those that do not say.
        """
        layout = await self._rebuilder.reader(drive_set, extent).layout()
        bad: dict[int, bool] = {}
        unsure: set[int] = set()
        for position in (*held, *lacking):
            drive = drive_set.drives[position]
            if not drive.online:
                unsure.add(position)
                continue
            try:
                size = (await in_time(drive.stat_shards([extent.data_id]), STAT_TIMEOUT_SECONDS))[0]
                if size != layout.shard_file_bytes or (deep and not await self._verify(drive_set, extent, position)):
                    # Where the version is held, its file has its place already: a rename fills it, too.
                    bad[position] = size >= 0 or position in held
            except DriveError:
                unsure.add(position)
        return bad, unsure

    async def _verify(self, drive_set: DriveSet, extent: pb.Extent, position: int) -> bool:
        """Whether all frames of a shard file match their checksums; the drive itself reads them, where they lie."""
        layout = await self._rebuilder.reader(drive_set, extent).layout()
        shard = shard_of(position, extent.rotation, drive_set.size)
        drive = drive_set.drives[position]
        for first in range(0, layout.blocks, VERIFY_BLOCKS):
            end = min(first + VERIFY_BLOCKS, layout.blocks)
            lengths = [CHECKSUM_BYTES + layout.slice_bytes(index) for index in range(first, end)]
            run = FrameRun(extent.data_id, shard, first, layout.frames_range(first, end)[0], lengths)
            if await in_time(drive.verify_shard(run), VERIFY_TIMEOUT_SECONDS):
                BAD_SHARDS.labels("corrupt").inc()
                return False
        if layout.stored is not None and layout.blocks > 1:
            footer = build_footer(layout.stored)
            offset = layout.shard_file_bytes - len(footer)
            reading = drive.read_shard(extent.data_id, offset, len(footer))
            return await in_time(reading, ANSWER_TIMEOUT_SECONDS) == footer
        return True


@dataclass(frozen=True, slots=True)
class _Work:
    drive_set: DriveSet
    bucket: bytes
    key: bytes
    stamp: bytes
    flags: int
    record: bytes
    held: dict[int, Held]
    lacking: list[int]
    looked: float  # monotonic time
