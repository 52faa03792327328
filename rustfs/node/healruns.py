"""Healing for operators: how far all nodes have come, and runs on demand, by each node for the sets it keeps."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rustfs.admin.face import BadParameter
from rustfs.core.errors import DriveError
from rustfs.core.pb.peer.v1 import heal_pb2 as pb
from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.rpc import methods
from rustfs.node.gathering import Ended, Merged
from rustfs.node.sets import Sets
from rustfs.services.ondemand import OnDemand, figures
from rustfs.services.progress import published

PEER_SECONDS = 4.0
SILENCE_SECONDS = 10.0  # a run tells of itself twice a second
LINE_SECONDS = 0.5

_METHODS = methods(pb.DESCRIPTOR)


class HealRuns:
    """One per worker: rustfs.mesh.healing.HealRunner for peers, and what operators ask of all nodes together."""

    def __init__(
        self,
        node: str,
        sets: Sets,
        own: OnDemand,
        calls: Mapping[str, PeerCalls],
        clock: Clock,
        entropy: Entropy,
        runtime_directory: str,
        stopping: Callable[[], bool],
    ) -> None:
        """`stopping`: whether the node is about to stop, and streams are to end."""
        self._node = node
        self._sets = sets
        self._own = own
        self._calls = calls
        self._clock = clock
        self._entropy = entropy
        self._progress_path = os.path.join(runtime_directory, "heal.json")
        self._stopping = stopping

    # -- this node, for peers ------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """How far this node's healing has come. (Any: JSON.)"""
        progress = await asyncio.get_running_loop().run_in_executor(None, published, self._progress_path)
        queues: dict[int, int] = {}
        for drive_set in self._sets.all:
            own = [drive for drive in drive_set.drives if drive.near]
            waiting = [(await drive.info()).repair_queue for drive in own]
            queues[drive_set.index] = max(waiting, default=0)
        now_ms = self._clock.now_milliseconds()
        sets = [
            {**each, "node": self._node, "repair_queue": queues.get(each["set"], 0), **pace(each, now_ms)}
            for each in progress
        ]
        return {"sets": sets, "runs": [{**run, "node": self._node} for run in self._own.active()]}

    def start(self, request: pb.HealStartRequest) -> AsyncGenerator[pb.HealProgress, None]:
        """A run on this node."""
        return self._own.start(request)

    def stop(self, name: str) -> bool:
        """End runs of this node."""
        return self._own.stop(name)

    # -- all nodes, for operators --------------------------------------------------------------------------------------

    async def heal(self) -> dict[str, Any]:
        """For GET heal. (Any: JSON.)"""
        answers = await self._ask("Status", pb.HealStatusRequest())
        theirs = [json.loads(answer.json) for answer in answers.values() if not isinstance(answer, str)]
        all_nodes = [await self.status(), *theirs]
        return {
            "sets": [each for answer in all_nodes for each in answer["sets"]],
            "runs": [each for answer in all_nodes for each in answer["runs"]],
            "nodes_without_answer": {node: answer for node, answer in answers.items() if isinstance(answer, str)},
        }

    async def end(self, query: Mapping[str, str]) -> dict[str, Any]:
        """For POST heal/stop: end a run, or all of them, on all nodes. (Any: JSON.)"""
        name = query.get("run", "")
        stopped = [self._node] if self._own.stop(name) else []
        answers = await self._ask("Stop", pb.HealStopRequest(run=name))
        stopped += [node for node, answer in answers.items() if not isinstance(answer, str) and answer.found]
        silent = {node: answer for node, answer in answers.items() if isinstance(answer, str)}
        return {"stopped_on": sorted(stopped), "nodes_without_answer": silent}

    async def run(self, query: Mapping[str, str]) -> AsyncGenerator[Any, None]:
        """For POST heal/start: a run on all nodes; closing the stream ends it. Raises BadParameter. (Any: JSON.)

        The first line names the run, the last one says that it is done and what came of it.
        """
        request = start_request(query, self._entropy.bytes(6).hex())
        sources: dict[str, AsyncGenerator[pb.HealProgress, None]] = {self._node: self._own.start(request)}
        for node, calls in self._calls.items():
            sources[node] = calls.follow(_METHODS["Start"], request, SILENCE_SECONDS)
        tally = Tally()
        began = told = self._clock.monotonic_seconds()
        async with Merged[pb.HealProgress](sources) as merged:
            yield {"run": request.run, "nodes": sorted(sources)}
            ended: set[str] = set()
            while len(ended) < len(sources) and not self._stopping():
                found = await merged.next()
                now = self._clock.monotonic_seconds()
                if found is not None:
                    node, message = found
                    if isinstance(message, Ended):
                        ended.add(node)
                        tally.over(node, message)
                    else:
                        tally.take(node, message)
                if now - told >= LINE_SECONDS:
                    told = now
                    yield {**tally.figures(), "seconds": now - began}
        if self._stopping():
            tally.errors[self._node] = "the node is about to stop"
        lost = sorted({each.index for each in self._sets.all} - tally.sets)
        yield {
            **tally.figures(),
            "seconds": self._clock.monotonic_seconds() - began,
            "done": True,
            "stopped": tally.stopped,
            "sets_checked": sorted(tally.sets),
            "sets_not_checked": lost,
            "errors": tally.errors,
        }

    async def _ask(self, method: str, request: Any) -> dict[str, Any]:  # noqa: ANN401 -- messages
        """The answer of each peer, or why there is none."""

        async def ask(calls: PeerCalls) -> Any:  # noqa: ANN401 -- messages
            try:
                return (await calls.collect(_METHODS[method], request, PEER_SECONDS))[0]
            except DriveError as error:
                return str(error)

        return dict(zip(self._calls, await asyncio.gather(*map(ask, self._calls.values())), strict=True))


@dataclass(slots=True)
class Tally:
    """A run on all nodes, added up."""

    by_node: dict[str, pb.HealProgress] = field(default_factory=dict)
    sets: set[int] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    def take(self, node: str, progress: pb.HealProgress) -> None:
        """A node's latest."""
        self.by_node[node] = progress
        self.sets.update(progress.sets)
        self.stopped = self.stopped or progress.stopped
        if progress.error:
            self.errors[node] = progress.error

    def over(self, node: str, ended: Ended) -> None:
        """A node's stream is over."""
        latest = self.by_node.get(node)
        if latest is None or not latest.done:
            self.errors[node] = str(ended.__cause__ or f"{node} broke the run off")

    def figures(self) -> dict[str, Any]:
        """The sums. (Any: JSON.)"""
        each = [figures(progress) for progress in self.by_node.values()]
        names = ("keys_checked", "keys_healed", "keys_failed", "keys_waiting", "bytes_healed")
        last = max((one["last_key"] for one in each), default="")
        return {**{name: sum(one[name] for one in each) for name in names}, "last_key": last}


def start_request(query: Mapping[str, str], run: str) -> pb.HealStartRequest:
    """What to heal. Raises BadParameter."""
    unknown: Sequence[str] = sorted(query.keys() - {"bucket", "prefix", "deep"})
    if unknown:
        raise BadParameter(f"a heal has no parameter {unknown[0]!r}")
    bucket, prefix = query.get("bucket", ""), query.get("prefix", "")
    if prefix and not bucket:
        raise BadParameter("a prefix needs a bucket")
    return pb.HealStartRequest(bucket=bucket, prefix=prefix.encode(), deep=query.get("deep", "") == "true", run=run)


def pace(progress: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Rates of a pass, and how long it will take from now; None where that is not known. (Any: JSON.)"""
    active = progress["state"] == "healing"
    until_ms = now_ms if active else progress["finished_ms"] or progress.get("updated_ms", 0)
    seconds = max(0.0, (until_ms - progress["started_ms"]) / 1000) if progress["started_ms"] else 0.0
    keys_per_second = progress["keys_checked"] / seconds if seconds else None
    left = max(0, progress["keys_total"] - progress["keys_checked"])
    return {
        "seconds": seconds,
        "keys_per_second": keys_per_second,
        "bytes_per_second": progress.get("bytes_healed", 0) / seconds if seconds else None,
        "seconds_left": left / keys_per_second if active and keys_per_second else None,
    }
