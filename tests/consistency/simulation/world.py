"""Clients with the real rustfs.objects.register.Register, over simulated drives with the real rules, and a bad network.

One key; a value is whole on every drive here (records, not shards), with the quorums of an erasure-coded one: k copies
are needed to complete it. Messages and answers are late, lost, or both; drives restart; clients die midway; clocks are
off; tombstones are purged by the real service. What the clients saw is a history for the checker.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rustfs.core.drivetypes import (
    CHOSEN,
    NO_MARK,
    TOMBSTONE,
    Accept,
    AcceptAnswer,
    Held,
    KeyAnswer,
    Level,
    PrepareAnswer,
    Refusal,
)
from rustfs.core.errors import ConditionalConflict, DriveOffline, ObjectError, PreconditionFailed, QuorumLost
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.stamps import ZERO_STAMP, StampClock
from rustfs.drive import rules
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import DriveSet, Pool, Pools
from rustfs.objects.pace import Pace
from rustfs.objects.proposals import Proposal
from rustfs.objects.register import Register
from rustfs.objects.rounds import SYSTEM, Reading
from rustfs.services import tombstones
from tests.consistency.history import Operation
from tests.consistency.simulation.virtual_time import SimClock, SimEntropy, run

BUCKET, KEY = b"bucket", b"key"
LOST_SECONDS = 4.0  # when the mesh gives a call up
KEPT_MS = 12_000  # of tombstones: longer than any message is under way, as in life
OPERATIONS = 5
CLIENTS = 4


class SimDrive:
    """What a drive keeps of one key, by rustfs.drive.rules, and the order in which it is asked."""

    def __init__(self) -> None:
        self.versions: dict[bytes, tuple[int, bytes]] = {}
        self.promise = b""
        self.floor = ZERO_STAMP

    def _state(self, stamp: bytes = b"") -> rules.KeyState:
        return rules.KeyState(max(self.versions, default=b""), stamp in self.versions, self.promise, self.floor)

    def _held(self) -> tuple[Held, ...]:
        return tuple(Held(stamp, *self.versions[stamp], None) for stamp in sorted(self.versions, reverse=True))

    def read_key(self, _bucket: bytes, _key: bytes, _level: Level) -> KeyAnswer:
        return KeyAnswer(self._held(), NO_MARK, blank=False)

    def prepare(self, _bucket: bytes, _key: bytes, token: bytes, _level: Level) -> PrepareAnswer:
        good, high = rules.judge_prepare(self._state(), token)
        if good:
            self.promise = token
        return PrepareAnswer(good, high, self._held(), NO_MARK, False, self.floor)

    def accept(self, offer: Accept) -> AcceptAnswer:
        state = self._state(offer.stamp)
        refusal, high = rules.judge_accept(state, offer.stamp, b"", NO_MARK)
        if offer.if_held and not refusal and not state.holds:
            newest = self.versions.get(state.newest)
            if rules.nothing_to_delete(newest and newest[0]):
                refusal = Refusal.ABSENT
        if not refusal and not state.holds:
            self.versions[offer.stamp] = (offer.flags, offer.record)
            if self.promise <= offer.stamp:
                self.promise = b""
        return AcceptAnswer(refusal, high, bool(state.newest) and state.newest < offer.stamp, NO_MARK)

    def note_chosen(self, _bucket: bytes, _key: bytes, stamp: bytes, superseded: bool) -> None:
        if stamp in self.versions:
            flags, record = self.versions[stamp]
            self.versions[stamp] = (flags | CHOSEN, record)
            if superseded:
                self.versions = {each: held for each, held in self.versions.items() if each >= stamp}

    def tombstones(self, before: bytes, _limit: int) -> list[tuple[bytes, bytes, bytes]]:
        return [
            (BUCKET, KEY, stamp)
            for stamp, (flags, _) in self.versions.items()
            if stamp < before and flags & TOMBSTONE and flags & CHOSEN
        ]

    def drop(self, _bucket: bytes, _key: bytes, stamp: bytes) -> None:
        self.versions = {each: held for each, held in self.versions.items() if each > stamp}
        if self.promise <= stamp:
            self.promise = b""
        self.floor = max(self.floor, stamp)

    def restart(self) -> None:
        """Everything that was said is durable."""


@dataclass
class Weather:
    """How bad the network is."""

    loss: float
    restarts: float  # a second, over all drives
    deaths: float  # of clients, in an operation


class FarSimDrive:
    """A SimDrive over the network, as one client sees it; the part of the Drive port that registers use."""

    near = False
    online = True
    healing = False
    generation = 1

    def __init__(self, drive: SimDrive, position: int, weather: Weather, dice: random.Random) -> None:
        self._drive = drive
        self.position = position
        self.drive_id = f"drive{position}"
        self._weather = weather
        self._dice = dice

    def _delay(self) -> float:
        return self._dice.expovariate(200) if self._dice.random() < 0.9 else self._dice.uniform(0.05, 2.0)

    def _ask(self, name: str, *arguments: Any) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # not all are looked at

        def fail() -> None:
            if not future.done():
                future.set_exception(DriveOffline("no answer"))

        def answer(value: Any) -> None:
            if not future.done():
                future.set_result(value)

        def arrive() -> None:
            value = getattr(self._drive, name)(*arguments)
            if self._dice.random() >= self._weather.loss:
                loop.call_later(self._delay(), answer, value)

        loop.call_later(LOST_SECONDS, fail)
        if self._dice.random() >= self._weather.loss:
            loop.call_later(self._delay(), arrive)
        return future

    def read_key(self, *arguments: Any) -> "asyncio.Future[KeyAnswer]":
        return self._ask("read_key", *arguments)

    def prepare(self, *arguments: Any) -> "asyncio.Future[PrepareAnswer]":
        return self._ask("prepare", *arguments)

    def accept(self, *arguments: Any) -> "asyncio.Future[AcceptAnswer]":
        return self._ask("accept", *arguments)

    def tombstones(self, *arguments: Any) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        return self._ask("tombstones", *arguments)

    def drop(self, *arguments: Any) -> "asyncio.Future[None]":
        return self._ask("drop", *arguments)

    def note_chosen(self, *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(0.5, self._ask, "note_chosen", *arguments)

    def queue_repair(self, *_arguments: Any) -> None:
        """Repairs are reads; the clients read enough."""


@dataclass
class World:
    """One run."""

    drive_count: int
    data_shards: int
    seed: int
    make_drive: Callable[[], SimDrive] = SimDrive
    make_register: Callable[..., Register] = Register
    history: list[Operation] = field(default_factory=list)

    def run(self) -> list[Operation]:
        """The history of a run in virtual time."""
        run(self._run())
        return self.history

    async def _run(self) -> None:
        dice = random.Random(self.seed * 7919 + self.drive_count)
        drives = [self.make_drive() for _ in range(self.drive_count)]
        weather = Weather(dice.choice((0.0, 0.05, 0.2)), dice.choice((0.0, 8.0)), dice.choice((0.0, 0.05)))
        people = [asyncio.create_task(self._live(number, drives, weather, dice)) for number in range(CLIENTS)]
        others = [
            asyncio.create_task(self._restarts(drives, weather, dice)),
            asyncio.create_task(self._purges(drives, weather, dice)),
        ]
        await asyncio.wait(people)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _restarts(self, drives: list[SimDrive], weather: Weather, dice: random.Random) -> None:
        while weather.restarts:
            await asyncio.sleep(dice.expovariate(weather.restarts))
            dice.choice(drives).restart()

    async def _purges(self, drives: list[SimDrive], weather: Weather, dice: random.Random) -> None:
        clock = SimClock()
        drive_set = self._seen(drives, weather, dice)
        pools = Pools([Pool([drive_set], {"STANDARD": self.drive_count - self.data_shards})])
        while True:
            await asyncio.sleep(dice.uniform(0.5, 3.0))
            await tombstones.purge(pools, drive_set, clock.now_milliseconds() + tombstones.KEPT_MS - KEPT_MS, clock)

    def _seen(self, drives: list[SimDrive], weather: Weather, dice: random.Random) -> DriveSet:
        far = [FarSimDrive(drive, position, weather, dice) for position, drive in enumerate(drives)]
        return DriveSet(0, tuple(far))  # type: ignore[arg-type] # the part of the port that registers use

    async def _live(self, number: int, drives: list[SimDrive], weather: Weather, dice: random.Random) -> None:
        clock, entropy = SimClock(), SimEntropy(dice)
        clock.skew_seconds = dice.choice((0.0, 0.0, 0.05, -0.05, 3.0))

        async def rebuild(_set: DriveSet, _bucket: bytes, _key: bytes, reading: Reading) -> Proposal:
            if len(reading.held) < (reading.flags >> 16 & 0xFF):
                raise QuorumLost("too few copies")
            return Proposal(reading.flags & ~CHOSEN, reading.record)

        register = self.make_register(StampClock(clock, entropy), clock, entropy, Pace(clock), rebuild)
        person = Person(self, number, register, self._seen(drives, weather, dice), dice)
        for _ in range(OPERATIONS):
            await asyncio.sleep(dice.expovariate(5) if dice.random() < 0.8 else dice.uniform(5, 20))
            if dice.random() >= weather.deaths:
                await person.act()
                continue
            with_patience = asyncio.create_task(person.act())
            await asyncio.wait([with_patience], timeout=dice.expovariate(50))
            with_patience.cancel()
            await asyncio.gather(with_patience, return_exceptions=True)


@dataclass
class Person:
    """One client."""

    world: World
    number: int
    register: Register
    drive_set: DriveSet
    dice: random.Random
    written: int = 0

    async def act(self) -> None:
        """One operation, recorded."""
        kind = self.dice.choices(("put", "delete", "read", "swap", "create"), (3, 2, 5, 2, 1))[0]
        entry: dict[str, Any] = {"process": self.number, "key": "key", "value": None, "outcome": "unknown"}
        entry |= {"start_ns": self._now_ns(), "end_ns": None}
        try:
            await getattr(self, kind)(entry)
        except PreconditionFailed:
            entry["outcome"] = "refused"
        except ConditionalConflict:
            entry["outcome"] = "failed"
        except QuorumLost:
            pass
        except asyncio.CancelledError:
            self.world.history.append(Operation(**entry))
            raise
        entry["end_ns"] = self._now_ns()
        self.world.history.append(Operation(**entry))

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def _proposal(self, value: str | None) -> Proposal:
        shards = 1 if value is None else self.world.data_shards
        flags = version_flags(self.world.drive_count, shards, tombstone=value is None)
        return Proposal(flags, b"" if value is None else pb.ObjectRecord(etag=value).SerializeToString())

    def _value(self) -> str:
        self.written += 1
        return f"c{self.number}-{self.written}"

    async def put(self, entry: dict[str, Any]) -> None:
        """A blind write."""
        entry |= {"op": "put", "value": self._value()}
        await self.register.write(self.drive_set, BUCKET, KEY, self._proposal(entry["value"]), b"")
        entry["outcome"] = "ok"

    async def delete(self, entry: dict[str, Any]) -> None:
        """A blind tombstone, if there is anything to delete."""
        entry["op"] = "delete"
        await self.register.write(self.drive_set, BUCKET, KEY, replace(self._proposal(None), if_held=True), b"")
        entry["outcome"] = "ok"

    async def read(self, entry: dict[str, Any]) -> str | None:
        """A read; the value seen."""
        entry["op"] = "read"
        reading = await self.register.read(self.drive_set, BUCKET, KEY, era=SYSTEM)
        entry["value"] = _value_of(reading)
        entry["outcome"] = "ok"
        return entry["value"]

    async def swap(self, entry: dict[str, Any]) -> None:
        """A write on the condition that the value is still the one read just before."""
        entry["op"] = "read"
        seen = await self.read(entry)
        if seen is None:
            return
        entry["end_ns"] = self._now_ns()
        self.world.history.append(Operation(**entry))
        entry |= {"op": "put", "value": self._value(), "if_match": seen, "outcome": "unknown"}
        entry |= {"start_ns": self._now_ns(), "end_ns": None}
        await self._swap(entry, lambda current: current == seen)

    async def create(self, entry: dict[str, Any]) -> None:
        """A write on the condition that nothing is there."""
        entry |= {"op": "put", "value": self._value(), "if_none_match": "*"}
        await self._swap(entry, lambda current: current is None)

    async def _swap(self, entry: dict[str, Any], good: Callable[[str | None], bool]) -> None:
        async def judge(reading: Reading) -> Proposal:
            if not good(_value_of(reading)):
                raise PreconditionFailed("If-Match")
            return self._proposal(entry["value"])

        await self.register.swap(self.drive_set, BUCKET, KEY, judge, b"")
        entry["outcome"] = "ok"


def _value_of(reading: Reading) -> str | None:
    return None if reading.absent else pb.ObjectRecord.FromString(reading.record).etag


__all__ = ["ObjectError", "SimDrive", "World"]
