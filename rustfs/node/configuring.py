"""The cluster's configuration in one worker: learnt, put in force, changed, and told to all others.

A change is stored by a quorum first (rustfs.objects.configuration), then told to all nodes that are in reach, each of
which answers when its workers have put it in force. Whoever was not told (away, or just starting) learns it by reading
the register every few seconds. While no quorum can be asked a worker goes by what is known: the file of its fellow
workers, or the newest version on any drive in reach. Settings are no data: to go by a version that may turn out not to
be chosen does no harm, and the first quorum that answers corrects it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from rustfs.admin.face import BadParameter
from rustfs.core.configuration import SETTINGS, Configuration, SettingRefused
from rustfs.core.errors import DriveError, ObjectError
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.rpc import methods
from rustfs.node import cluster_metrics
from rustfs.node.configfiles import ConfigurationFiles, message_of, stored_of
from rustfs.objects.configuration import UNSET, ConfigurationStore, Stored
from rustfs.objects.ingest import Ingest
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.node")

LOOK_SECONDS = 0.25  # for what a fellow worker has published
READ_SECONDS = (3.0, 6.0)
CONFIRM_SECONDS = 4.0  # for the workers of a node to put a version in force
PEER_SECONDS = 6.0
POLL_SECONDS = 0.05

T = TypeVar("T")

_CHANGED = methods(pb.DESCRIPTOR)["ConfigurationChanged"]


class Configuring:
    """One per worker; used by the event loop's thread."""

    def __init__(
        self,
        node: str,
        store: ConfigurationStore,
        defaults: Mapping[str, str],
        put_in_force: Callable[[Mapping[str, str]], None],
        calls: Mapping[str, PeerCalls],
        files: ConfigurationFiles,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`defaults`: what the node's own command and environment say, for every setting."""
        self._node = node
        self._store = store
        self._defaults = defaults
        self._put_in_force = put_in_force
        self._calls = calls
        self._files = files
        self._clock = clock
        self._entropy = entropy
        self._current = UNSET
        self._sure = False  # the current version is known to be chosen
        self._published = b""  # stamp of the newest version that this worker let the others know
        self._confirming = asyncio.Lock()

    @property
    def version(self) -> int:
        """That is in force in this worker."""
        return self._current.configuration.version

    async def begin(self) -> None:
        """Put in force what the node knows, before it serves."""
        await self._in_thread(self._files.enlist)
        await self._take(await self._in_thread(self._files.chosen), sure=True)
        await self._take(await self._store.seen(), sure=False)

    async def run(self) -> None:
        """Learn of changes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._look))
            group.create_task(self._for_ever(self._read))

    async def changed(self, request: pb.ConfigurationChangedRequest) -> pb.ConfigurationChangedAnswer:
        """A peer has stored a version: put it in force in all workers of this node. Raises ValueError."""
        stored = stored_of(request)
        await self._publish(stored)
        deadline = self._clock.monotonic_seconds() + CONFIRM_SECONDS
        while True:
            workers, late = await self._in_thread(self._files.unconfirmed, stored.stamp)
            if not late or self._clock.monotonic_seconds() > deadline:
                return pb.ConfigurationChangedAnswer(workers=workers, unconfirmed=late)
            await asyncio.sleep(POLL_SECONDS)

    # -- for operators (Any: JSON) -------------------------------------------------------------------------------------

    async def of_node(self) -> dict[str, Any]:
        """What this worker goes by, and how many of the node's workers do not, for peers."""
        workers, late = await self._in_thread(self._files.unconfirmed, self._current.stamp)
        return {"version": self.version, "workers": workers, "workers_behind": late}

    def shown(self, by_node: Mapping[str, Any]) -> dict[str, Any]:
        """For GET config; `by_node`: what `of_node` says on each node, None where there is no answer."""
        values = self._current.configuration.values
        in_force = self._current.configuration.in_force(self._defaults)
        return {
            "version": self.version,
            "settings": [
                {
                    "name": name,
                    "value": in_force[name],
                    "source": "cluster" if name in values else "node",
                    "default": self._defaults[name],
                    "takes": setting.values,
                    "meaning": setting.meaning,
                }
                for name, setting in SETTINGS.items()
            ],
            "unknown_settings": sorted(values.keys() - SETTINGS.keys()),
            "nodes": dict(by_node),
        }

    async def set(self, query: Mapping[str, str]) -> dict[str, Any]:
        """For POST config/set. Raises BadParameter, ObjectError."""
        if query.keys() != {"name", "value"}:
            raise BadParameter("say which setting, and its value")
        return await self._change(query["name"], query["value"])

    async def unset(self, query: Mapping[str, str]) -> dict[str, Any]:
        """For POST config/unset. Raises BadParameter, ObjectError."""
        if query.keys() != {"name"}:
            raise BadParameter("say which setting")
        return await self._change(query["name"], None)

    async def _change(self, name: str, value: str | None) -> dict[str, Any]:
        try:
            stored = await self._store.change(name, value)
        except SettingRefused as error:
            raise BadParameter(str(error)) from error
        message = message_of(stored)
        answers = await asyncio.gather(
            self.changed(message), *(self._tell(calls, message) for calls in self._calls.values())
        )
        by_node = dict(zip((self._node, *self._calls), answers, strict=True))
        return {
            "version": stored.configuration.version,
            "name": name,
            "value": stored.configuration.in_force(self._defaults)[name],
            "nodes_unconfirmed": {node: lack for node, answer in by_node.items() if (lack := _lack(answer))},
        }

    async def _tell(
        self, calls: PeerCalls, message: pb.ConfigurationChangedRequest
    ) -> pb.ConfigurationChangedAnswer | str:
        """The answer of a peer, or why there is none."""
        try:
            async with asyncio.timeout(PEER_SECONDS):
                answer: pb.ConfigurationChangedAnswer = (await calls.collect(_CHANGED, message, PEER_SECONDS))[0]
        except DriveError as error:
            return str(error)
        except TimeoutError:
            return "it did not answer in time"
        return answer

    # -- learning ------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Put in force what fellow workers publish."""
        news = await self._in_thread(self._files.news)
        if news is not None:
            await self._take(news, sure=True)
        await asyncio.sleep(LOOK_SECONDS)

    async def _read(self) -> None:
        """Learn what nobody told this node."""
        try:
            stored = await self._store.read()
        except ObjectError:  # no quorum answers
            await self._take(await self._store.seen(), sure=False)
        else:
            if not self._sure:
                await self._put(stored, sure=True)  # whatever was seen: this is what is chosen
            await self._publish(stored)
        await asyncio.sleep(self._entropy.uniform(*READ_SECONDS))

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("learning of the cluster's settings failed; trying again")
                await asyncio.sleep(READ_SECONDS[0])

    async def _publish(self, stored: Stored) -> None:
        """A version that is known to be chosen: put it in force here, and let the node's other workers know."""
        if stored.stamp > self._published:
            await self._in_thread(self._files.publish, stored)
            self._published = max(self._published, stored.stamp)
        await self._take(stored, sure=True)

    async def _take(self, stored: Stored, *, sure: bool) -> None:
        """Put a version in force unless the one that is in force is newer, or the same and as sure."""
        newer = stored.stamp > self._current.stamp
        if newer or (sure and not self._sure and stored.stamp == self._current.stamp):
            await self._put(stored, sure=sure)

    async def _put(self, stored: Stored, *, sure: bool) -> None:
        was, self._current, self._sure = self._current, stored, sure
        if stored.stamp != was.stamp:
            self._put_in_force(stored.configuration.in_force(self._defaults))
            cluster_metrics.CONFIGURATION_VERSION.set(self.version)
            log.info("version %d of the cluster's settings: %s", self.version, _told(stored.configuration))
        async with self._confirming:  # one after the other, each the newest there is
            await self._in_thread(self._files.confirm, self._current.stamp)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def live_settings(ingest: Ingest, throttle: Throttle) -> Callable[[Mapping[str, str]], None]:
    """What puts a worker's settings in force."""

    def put_in_force(values: Mapping[str, str]) -> None:
        ingest.compress = values["compression"] == "auto"
        throttle.share_percent = int(values["heal-share"])
        logging.getLogger("rustfs").setLevel(values["log-level"].upper())

    return put_in_force


def _lack(answer: pb.ConfigurationChangedAnswer | str) -> str:
    """Why it is not known that a version is in force on a node; "" where it is."""
    if isinstance(answer, str):
        return answer
    return f"{answer.unconfirmed} of its {answer.workers} workers are late" if answer.unconfirmed else ""


def _told(configuration: Configuration) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in sorted(configuration.values.items())) or "all of the nodes' own"
    )
