"""The server's side of heal.proto: a node's healing, seen and steered by its peers."""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import grpc
import grpc.aio

from rustfs.core.pb.peer.v1 import heal_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class HealRunner(Protocol):
    """Healing on this node."""

    async def status(self) -> Any:  # noqa: ANN401 -- JSON for the operator's eyes
        """How far healing has come."""

    def start(self, request: pb.HealStartRequest) -> AsyncGenerator[pb.HealProgress, None]:
        """A run: its progress, the last message saying that it is done. Closing it ends the run."""

    def stop(self, name: str) -> bool:
        """End a run, or with "" all of them. Whether there was one."""


class HealServer:
    """Methods are named after the rpcs. Until it is told who heals, calls are answered with FAILED_PRECONDITION."""

    def __init__(self) -> None:
        self._runner: HealRunner | None = None

    def serve(self, runner: HealRunner) -> None:
        """From now on."""
        self._runner = runner

    async def status(self, _request: pb.HealStatusRequest, context: Context) -> pb.HealStatusAnswer:
        """See heal.proto."""
        runner = await self._serving(context)
        return pb.HealStatusAnswer(json=json.dumps(await runner.status()))

    async def start(self, request: pb.HealStartRequest, context: Context) -> AsyncGenerator[pb.HealProgress, None]:
        """See heal.proto."""
        runner = await self._serving(context)
        async with contextlib.aclosing(runner.start(request)) as run:
            async for progress in run:
                yield progress

    async def stop(self, request: pb.HealStopRequest, context: Context) -> pb.HealStopAnswer:
        """See heal.proto."""
        runner = await self._serving(context)
        return pb.HealStopAnswer(found=runner.stop(request.run))

    async def _serving(self, context: Context) -> HealRunner:
        if self._runner is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the node is starting")
        return self._runner
