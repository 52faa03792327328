"""The cluster's configuration as a register: read and changed with the same quorums as everything else.

A change carries a random name. Where a round ends with its outcome unknown, the same change is offered again: whoever
judges the current value sees by the name whether it took effect. So administrators who change something at the same
moment through different nodes all succeed, and nobody is told "perhaps".
"""

import asyncio
from typing import NamedTuple

from rustfs.core.configuration import Configuration, check
from rustfs.core.drivetypes import Level
from rustfs.core.errors import ConditionalConflict, ObjectError, QuorumLost
from rustfs.core.ports import Clock, Entropy
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import DriveSet, Pools
from rustfs.objects.fanout import Fanout
from rustfs.objects.proposals import Proposal
from rustfs.objects.records import CONFIGURATION
from rustfs.objects.register import Register
from rustfs.objects.rounds import SYSTEM, Reading

KEY = b"cluster"
CHANGE_NAME_BYTES = 16
CHANGE_SECONDS = 20.0
PAUSE_SECONDS = (0.05, 0.4)
SEEN_SECONDS = 1.0


class Stored(NamedTuple):
    """A version of the configuration and its stamp, b"" where nothing was ever set."""

    stamp: bytes
    configuration: Configuration


UNSET = Stored(b"", Configuration())


class NothingChanged(ObjectError):
    """A change was not made, certainly; the message is one sentence."""


class _Done(ObjectError):
    """The change had taken effect already."""


class ConfigurationStore:
    """One per process."""

    def __init__(self, pools: Pools, register: Register, clock: Clock, entropy: Entropy) -> None:
        self._set: DriveSet = pools.first.place(CONFIGURATION, KEY).set
        self._register = register
        self._clock = clock
        self._entropy = entropy

    async def read(self) -> Stored:
        """The current version. Raises QuorumLost."""
        return _stored(await self._register.read(self._set, CONFIGURATION, KEY, era=SYSTEM))

    async def seen(self) -> Stored:
        """The newest version on the drives in reach; whether it is chosen is not known. UNSET for none."""
        calls = ((each.position, each.read_key(CONFIGURATION, KEY, Level.RECORD)) for each in self._set.online())
        fan = Fanout(calls, self._clock)
        await fan.wait(lambda: fan.complete, SEEN_SECONDS)
        held = [each for answer in fan.answers.values() for each in answer.versions if each.record]
        newest = max(held, key=lambda each: each.stamp, default=None)
        return UNSET if newest is None else Stored(newest.stamp, Configuration.of(newest.record))

    async def change(self, name: str, value: str | None) -> Stored:
        """Set `name` to `value`, or unset it (None). The version in which that is so.

        Raises:
            SettingRefused: there is no such setting, or it does not take the value.
            NothingChanged: too few drives answer; nothing was written.
            QuorumLost: outcome unknown.
            StorageFull: too few drives have room; outcome unknown where some took it.
        """
        check(name, value)
        online, quorum = len(self._set.online()), self._set.majority
        if online < quorum:  # what a minority took could be completed later
            raise NothingChanged(
                f"nothing changed: {online} of the {self._set.size} drives that keep the settings are in reach, "
                f"and {quorum} are needed"
            )
        change = self._entropy.bytes(CHANGE_NAME_BYTES)
        seen = UNSET
        offered = False
        trouble = "it took too long"

        async def judge(reading: Reading) -> Proposal:
            nonlocal seen, offered
            current = _stored(reading)
            if change in current.configuration.changes:
                seen = current
                raise _Done
            seen = Stored(b"", current.configuration.with_change(name, value, change))
            offered = True
            return Proposal(version_flags(self._set.size, 1), seen.configuration.encoded())

        try:
            async with asyncio.timeout(CHANGE_SECONDS):
                while True:
                    try:
                        stamp = await self._register.swap(self._set, CONFIGURATION, KEY, judge, b"")
                        return Stored(stamp, seen.configuration)
                    except _Done:
                        return seen
                    except ConditionalConflict as error:
                        trouble = str(error)
                    except QuorumLost as error:
                        trouble = str(error)
                        if not offered:
                            break
                    await asyncio.sleep(self._entropy.uniform(*PAUSE_SECONDS))
        except TimeoutError:
            pass
        if offered:
            raise QuorumLost(f"{name} may have been changed, or may yet be: {trouble}")
        raise NothingChanged(f"nothing changed: {trouble}")


def _stored(reading: Reading) -> Stored:
    return UNSET if reading.absent else Stored(reading.stamp, Configuration.of(reading.record))
