"""Streams of several nodes made one, within bounds: a slow reader holds all of them up, and each says what it lost."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

QUEUED_MAX = 64
TICK_SECONDS = 1.0


class Ended(Exception):
    """A node's stream is over; its cause, where there is one, says why."""


class Merged(Generic[T]):
    """A context manager around the streams of nodes, by name: they run while it is open, and are closed with it."""

    def __init__(self, sources: Mapping[str, AsyncGenerator[T, None]]) -> None:
        self._sources = sources
        self._queue: asyncio.Queue[tuple[str, T | Ended]] = asyncio.Queue(QUEUED_MAX)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Merged[T]":
        for node, source in self._sources.items():
            self._tasks.append(asyncio.create_task(self._pump(node, source), name=f"stream of {node}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next(self) -> tuple[str, T | Ended] | None:
        """The next message and the node it is of; an Ended is a node's last. None: there was none for a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                return await self._queue.get()
        return None

    async def _pump(self, node: str, source: AsyncGenerator[T, None]) -> None:
        ended = Ended()
        try:
            async with contextlib.aclosing(source):
                async for message in source:
                    await self._queue.put((node, message))
        except Exception as error:  # noqa: BLE001 -- told to the reader, whatever it is
            ended.__cause__ = error
        await self._queue.put((node, ended))
