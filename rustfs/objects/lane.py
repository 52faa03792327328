"""Jobs that run one after the other in threads of a pool, without the event loop between one and the next.

Handing every job to the pool when the one before is done costs a turn of the loop each, which is busy receiving: for a
megabyte that takes as long as digesting half of it (docs/performance.md).
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

BURST = 4  # jobs before others that wait for a thread have their turn


class Lane:
    """One row of jobs. `add` belongs to the event loop's thread. After a job that failed no other one runs."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[tuple[Callable[[], None], asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()
        self._running = False
        self._failure: BaseException | None = None

    def add(self, job: Callable[[], None]) -> "asyncio.Future[None]":
        """Its end; the future raises what the job raised, or the one that failed before it."""
        future: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            self._jobs.append((job, future))
            start, self._running = not self._running, True
        if start:
            self._executor.submit(self._run)
        return future

    def _run(self) -> None:
        for _ in range(BURST):
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job, future = self._jobs.popleft()
            if self._failure is None:
                try:
                    job()
                except BaseException as error:  # noqa: BLE001 -- whoever waits is told
                    self._failure = error
            self._loop.call_soon_threadsafe(_end, future, self._failure)
        self._executor.submit(self._run)


def _end(future: "asyncio.Future[None]", failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
