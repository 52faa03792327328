"""Whether a drive of this node serves: it goes offline when it fails, and comes back when it is well again.

It fails when it is absent, foreign, read-only, hanging, or answers with I/O errors; a probe every two seconds looks for
what no call has met, and for its return.
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import apsw

from rustfs.core.drivetypes import DriveState
from rustfs.core.errors import DriveError, DriveFull, DriveOffline
from rustfs.core.ports import Clock
from rustfs.drive.capacity import Capacity
from rustfs.drive.format import Format, FormatMismatch, FormatUnusable
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.queries import is_healing
from rustfs.drive.reader import ReadBatcher
from rustfs.drive.session import Session, StoreCorrupt, open_session
from rustfs.drive.tables import is_damage

log = logging.getLogger("rustfs.drive")

PROBE_SECONDS = 2.0
COMMIT_STALL_SECONDS = 15.0


class Availability:
    """The session of one drive, while it has one. Used by the event loop's thread, `failed` by any."""

    def __init__(
        self,
        root: str,
        identity: Format,
        capacity: Capacity,
        batcher: ReadBatcher,
        executor: Executor,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        meters: DriveMeters,
        rebuildable: Callable[[], bool],
    ) -> None:
        """`rebuildable` tells whether the other drives of the set could rebuild this one now."""
        self._root = root
        self._identity = identity
        self._capacity = capacity
        self._batcher = batcher
        self._executor = executor
        self._clock = clock
        self._loop = loop
        self._meters = meters
        self._rebuildable = rebuildable
        self.session: Session | None = None
        self.generation = 0
        self.state = DriveState.OFFLINE
        self.reason = "not opened yet"
        self._prober: asyncio.Task[None] | None = None
        self._suspect = False  # a read or write met damage in the metadata store

    async def open(self) -> None:
        """Begin to serve, or to try to; never raises for a drive that is not well."""
        await self._try_open()
        self._prober = asyncio.create_task(self._probe_for_ever(), name=f"probe {self._root}")

    async def close(self) -> None:
        """Commit what is queued and leave."""
        if self._prober is not None:
            self._prober.cancel()
        session, self.session = self.session, None
        self.state, self.reason = DriveState.OFFLINE, "closed"
        if session is not None:
            await self._loop.run_in_executor(self._executor, session.close)

    async def _try_open(self) -> None:
        opening = partial(
            open_session,
            self._root,
            self._identity,
            self._clock,
            self._loop,
            self.failed,
            self._meters,
            deep_check=self._suspect,
            rebuildable=self._rebuildable,
        )
        try:
            session: Session = await self._loop.run_in_executor(self._executor, opening)
            await self._capacity.measure()
        except (FormatMismatch, FormatUnusable, StoreCorrupt) as error:
            self._set_state(DriveState.REFUSED, str(error))
        except (OSError, apsw.Error) as error:
            self._set_state(DriveState.OFFLINE, _sentence(self._root, error))
        else:
            self._suspect = False
            self.session = session
            self.generation += 1
            self._set_state(DriveState.ONLINE, "")

    def _set_state(self, state: DriveState, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        was, self.state, self.reason = self.state, state, reason
        if state is DriveState.ONLINE:
            if was is not DriveState.ONLINE:
                log.info("drive %s is online", self._root)
        else:
            log.error("drive %s is %s: %s", self._root, state.value, reason)

    def failed(self, error: BaseException) -> DriveError:
        """Called by whichever thread met the error; the drive goes offline on the loop's next turn.

        Returns what the call that met it ends with.
        """
        if isinstance(error, apsw.FullError) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        ):
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
                self._loop.call_soon_threadsafe(self._capacity.ran_out)
            return DriveFull(f"{self._root}: no space left")
        session = self.session
        reason = _sentence(self._root, error)
        if is_damage(error):
            self._suspect = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._go_offline, session, reason)
        return DriveOffline(reason)

    def _go_offline(self, session: Session | None, reason: str) -> None:
        if session is None or session is not self.session:
            return
        self.session = None
        self._meters.failures.inc()
        self._set_state(DriveState.OFFLINE, reason)
        self._executor.submit(session.abandon)

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            session = self.session
            if session is None:
                await self._try_open()
                continue
            busy = session.writer.busy_since
            if busy and self._clock.monotonic_seconds() - busy > COMMIT_STALL_SECONDS:
                self._go_offline(session, f"{self._root}: a commit has taken over {COMMIT_STALL_SECONDS:.0f} s")
                continue
            try:
                identity = await self._loop.run_in_executor(self._executor, session.probe)
                await self._capacity.measure()
            except OSError as error:
                self._go_offline(session, _sentence(self._root, error))
                continue
            if identity != session.identity_file:
                self._go_offline(session, f"{self._root}: the drive was formatted anew")
            elif session.healing:
                await self._look_whether_healed(session)

    async def _look_whether_healed(self, session: Session) -> None:
        """Healing runs in one process of the node; the others learn here that it has ended."""
        with contextlib.suppress(DriveError):  # it just went offline
            session.healing = await self._batcher.submit(session.reads, is_healing)


def _sentence(root: str, error: BaseException) -> str:
    text = str(error)
    return text if text.startswith(root) else f"{root}: {text}"
