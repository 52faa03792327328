"""From volumes to identified drives in a cluster: this node's votes, its proposals, and what it learns from its peers.

Once per node and pool one worker at a time goes through `Bootstrap.run`; the others find format.json where it has been.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from rustfs.core.errors import ConfigurationError, DriveError
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.ports import Clock, Entropy
from rustfs.core.stamps import StampClock
from rustfs.core.topology import PoolLayout, Topology
from rustfs.drive.format import Format, is_mount_point
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.rpc import methods
from rustfs.node.agreement import VoteFile, choice, judge, promise
from rustfs.node.formatting import (
    format_first,
    identify_drives,
    identities_of,
    layout_of,
    majority_layout,
    new_format,
    pool_format,
    read_formats,
)

log = logging.getLogger("rustfs.node")

ROUND_SECONDS = 4.0
PAUSE_SECONDS = (0.05, 0.5)
SAY_SECONDS = 10.0
ALL_SECONDS = 3.0  # how long the first format waits for all nodes before a majority goes ahead
TURN_SECONDS = 0.1

_METHODS = methods(pb.DESCRIPTOR)

T = TypeVar("T")


class OwnPool:
    """What this node has of one pool. Blocking."""

    def __init__(self, number: int, pool: PoolLayout, node: str, runtime_directory: str) -> None:
        self.number = number
        self.pool = pool
        self.nodes = tuple(dict.fromkeys(endpoint.node for endpoint in pool.endpoints))
        self.places = {place: endpoint.path for place, endpoint in enumerate(pool.endpoints) if endpoint.node == node}
        self.votes = VoteFile(list(self.places.values()), os.path.join(runtime_directory, f"vote-{number}.lock"))

    def decided(self) -> Format | None:
        """The pool's layout, as most of this node's drives remember it. Raises ConfigurationError."""
        return majority_layout(read_formats(self.places)[0])

    def identities(self, layout: Format) -> dict[int, Format]:
        """By index among all drives of the volumes. Raises ConfigurationError."""
        found, _ = read_formats(self.places)
        count = len(self.pool.endpoints)
        by_place = identities_of(self.places, found, layout, count, self.pool.set_size)
        first = self.pool.endpoints[0].index
        return {first + place: identity for place, identity in by_place.items()}

    def adopt(self, agreed: pb.PoolFormat) -> None:
        """Make this node's empty directories the drives that were agreed upon. Raises ConfigurationError.

        Where this node has not voted for the outcome its directories may be drives that were wiped: they are left to be
        formatted, as such, when they are opened.
        """
        with self.votes.locked():
            layout = layout_of(agreed, self.pool.set_size)
            if self.decided() is None and self.votes.read().accepted == agreed:
                count = len(self.pool.endpoints)
                format_first(self.places, identities_of(self.places, {}, layout, count, self.pool.set_size))
            self.votes.forget()


class Acceptor:
    """See rustfs.mesh.nodes.FormatAcceptor."""

    def __init__(self, pools: Mapping[int, OwnPool], executor: Executor) -> None:
        self._pools = pools
        self._executor = executor

    async def prepare(self, request: pb.PrepareFormatRequest) -> pb.PrepareFormatAnswer:
        """Promise to refuse lower ballots; an empty ballot only asks."""
        own = self._pools.get(request.pool)
        if own is None or not own.places:
            return pb.PrepareFormatAnswer()
        return await asyncio.get_running_loop().run_in_executor(self._executor, _prepare, own, request.ballot)

    async def accept(self, request: pb.AcceptFormatRequest) -> pb.AcceptFormatAnswer:
        """Vote for a format."""
        own = self._pools.get(request.pool)
        if own is None or not own.places:
            return pb.AcceptFormatAnswer()
        work = (own, request.ballot, request.format)
        return await asyncio.get_running_loop().run_in_executor(self._executor, _accept, *work)


def _prepare(own: OwnPool, ballot: bytes) -> pb.PrepareFormatAnswer:
    mount_points = [place for place, path in own.places.items() if is_mount_point(path)]
    with own.votes.locked():
        decided = own.decided()
        if decided is not None:
            return pb.PrepareFormatAnswer(decided=pool_format(decided), mount_points=mount_points)
        vote = own.votes.read()
        new = promise(vote, ballot) if ballot else None
        if new is not None:
            own.votes.write(new)
        return pb.PrepareFormatAnswer(
            promised=new is not None,
            highest=vote.promised,
            accepted_ballot=vote.ballot,
            accepted=vote.accepted,
            mount_points=mount_points,
        )


def _accept(own: OwnPool, ballot: bytes, proposed: pb.PoolFormat) -> pb.AcceptFormatAnswer:
    with own.votes.locked():
        vote = own.votes.read()
        new = judge(vote, ballot, proposed) if own.decided() is None else None
        if new is not None:
            own.votes.write(new)
        return pb.AcceptFormatAnswer(accepted=new is not None, highest=vote.promised)


class Bootstrap:
    """See the module."""

    def __init__(
        self,
        topology: Topology,
        node: str,
        pools: Mapping[int, OwnPool],
        acceptor: Acceptor,
        mesh: Mesh,
        clock: Clock,
        entropy: Entropy,
        executor: Executor,
        runtime_directory: str,
    ) -> None:
        self._topology = topology
        self._node = node
        self._pools = pools
        self._acceptor = acceptor
        self._mesh = mesh
        self._clock = clock
        self._entropy = entropy
        self._executor = executor
        self._stamps = StampClock(clock, entropy)
        self._turn_path = os.path.join(runtime_directory, "bootstrap.lock")
        self._began = clock.monotonic_seconds()
        self._said = clock.monotonic_seconds() - SAY_SECONDS / 2  # a cluster that starts together need not say it

    async def known_deployment(self) -> str:
        """The deployment that this node's drives belong to, for the first handshakes; "" where none is formatted.

        Raises ConfigurationError.
        """
        for own in self._pools.values():
            known = await self._blocking(own.decided) if own.places else None
            if known is not None:
                return known.deployment_id
        return ""

    async def run(self) -> dict[int, Format]:
        """The identities of this node's drives, by index among all drives of the volumes. Waits as long as it takes.

        Raises:
            ConfigurationError: a drive does not fit, which waiting will not mend.
        """
        descriptor = os.open(self._turn_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor):  # noqa: ASYNC110 -- another worker is at it, and cannot tell us
                await asyncio.sleep(TURN_SECONDS)
            identities: dict[int, Format] = {}
            deployment_id = ""
            for number in range(len(self._topology.pools)):
                own = self._pools[number]
                if not own.places:
                    continue
                layout = await self._layout(own, deployment_id)
                if deployment_id and layout.deployment_id != deployment_id:
                    raise ConfigurationError(
                        f"pool {number + 1} was formatted for deployment {layout.deployment_id}, the pools before it "
                        f"for deployment {deployment_id}"
                    )
                deployment_id = layout.deployment_id
                identities |= await self._blocking(own.identities, layout)
            return identities
        finally:
            os.close(descriptor)

    async def _layout(self, own: OwnPool, deployment_id: str) -> Format:
        known = await self._blocking(own.decided)
        if known is not None:
            return known
        if own.nodes == (self._node,) and (own.number == 0 or deployment_id):
            paths = list(own.places.values())
            await self._blocking(identify_drives, paths, own.pool.set_size, deployment_id)
        else:
            agreed = await self._agreed(own, deployment_id)
            await self._blocking(own.adopt, agreed)
            known = await self._blocking(own.decided)
            return known or layout_of(agreed, own.pool.set_size)
        formatted = await self._blocking(own.decided)
        assert formatted is not None  # noqa: S101 -- it has just been formatted
        return formatted

    async def _agreed(self, own: OwnPool, deployment_id: str) -> pb.PoolFormat:
        """The format of a pool that this node's drives know nothing of."""
        pause, high = PAUSE_SECONDS[0], b""
        while True:
            wanted = deployment_id or ("" if own.number == 0 else await self._first_deployment())
            if own.number == 0 or wanted:
                agreed, high = await self._round(own, wanted, high)
                if agreed is not None:
                    return agreed
            await asyncio.sleep(self._entropy.uniform(pause / 2, pause))
            pause = min(PAUSE_SECONDS[1], pause * 2)

    async def _round(self, own: OwnPool, deployment_id: str, high: bytes) -> tuple[pb.PoolFormat | None, bytes]:
        """One try: what is agreed, if anything; and the highest ballot met."""
        ballot = self._stamps.next(high)
        request = pb.PrepareFormatRequest(pool=own.number, ballot=ballot)
        answers = await self._ask(own, "PrepareFormat", request, self._acceptor.prepare(request))
        for answer in answers.values():
            if answer.HasField("decided"):
                return answer.decided, high
        everybody = len(answers) == len(own.nodes)
        if not everybody and self._clock.monotonic_seconds() - self._began < ALL_SECONDS:
            return None, high  # whoever votes now starts with new drives, not with ones to be compared first
        promises = [answer for answer in answers.values() if answer.promised]
        high = max([high, *(answer.highest for answer in answers.values())])
        quorum = len(own.nodes) // 2 + 1
        if len(promises) < quorum:
            self._say_who_is_missing(own, answers, quorum)
            return None, high
        mount_points = sorted({place for answer in answers.values() for place in answer.mount_points})
        proposed = choice(promises) or new_format(len(own.pool.endpoints), deployment_id, mount_points)
        offer = pb.AcceptFormatRequest(pool=own.number, ballot=ballot, format=proposed)
        accepts = await self._ask(own, "AcceptFormat", offer, self._acceptor.accept(offer))
        high = max([high, *(answer.highest for answer in accepts.values())])
        if sum(answer.accepted for answer in accepts.values()) < quorum:
            return None, high
        log.info("pool %d is formatted by agreement of %d of its nodes", own.number + 1, len(accepts))
        return proposed, high

    async def _first_deployment(self) -> str:
        """The deployment that the first pool was formatted for, as its nodes say; "" where they do not say yet."""
        request = pb.PrepareFormatRequest(pool=0)
        for node in self._pools[0].nodes:
            if node == self._node:
                continue
            with_answer = await self._call(node, "PrepareFormat", request)
            if with_answer is not None and with_answer.HasField("decided"):
                return str(with_answer.decided.deployment_id)
        return ""

    async def _ask(self, own: OwnPool, method: str, request: Any, ours: Any) -> dict[str, Any]:  # noqa: ANN401 -- messages
        """The answers of the pool's nodes, this one among them."""
        others = [node for node in own.nodes if node != self._node]
        mine, *theirs = await asyncio.gather(ours, *(self._call(node, method, request) for node in others))
        found = {node: answer for node, answer in zip(others, theirs, strict=True) if answer is not None}
        return {self._node: mine, **found} if own.places else found

    async def _call(self, node: str, method: str, request: Any) -> Any:  # noqa: ANN401 -- messages
        """A node's answer; None where there is none."""
        try:
            return (await self._mesh.calls[node].collect(_METHODS[method], request, ROUND_SECONDS))[0]
        except DriveError:
            return None

    def _say_who_is_missing(self, own: OwnPool, answers: Mapping[str, Any], quorum: int) -> None:
        now = self._clock.monotonic_seconds()
        missing = [node for node in own.nodes if node not in answers]
        if missing and now - self._said > SAY_SECONDS:
            self._said = now
            reasons = "; ".join(self._mesh.links[node].reason or node for node in missing)
            log.warning(
                "waiting for %d of the %d nodes of pool %d to format its drives: %s",
                quorum, len(own.nodes), own.number + 1, reasons,
            )  # fmt: skip

    async def _blocking(self, work: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 -- the work's own
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
