"""One worker: everything wired together, serving until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rustfs.admin.face import AdminFace, Health, is_reserved
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive.format import Format
from rustfs.drive.local import LocalDrive
from rustfs.drive.reader import ReadBatcher
from rustfs.erasure.codec import best_codec
from rustfs.http.limits import Limits
from rustfs.http.messages import HttpError, Request, Response
from rustfs.http.server import HttpServer
from rustfs.iam.keys import KeyRing, root_credentials
from rustfs.node import process_metrics
from rustfs.node.facts import NodeFacts
from rustfs.node.keylocks import FileKeyLocks
from rustfs.node.settings import Settings
from rustfs.objects.driveset import DriveSet, Pool
from rustfs.objects.wiring import wire
from rustfs.s3.address import bucket_by_host
from rustfs.s3.auth import Authenticator
from rustfs.s3.errors import S3Error
from rustfs.s3.face import S3Face
from rustfs.s3.metrics import FaceMetrics
from rustfs.services.background import Background

log = logging.getLogger("rustfs.node")

CPU_THREADS = 4
DRIVE_THREADS_PER_DRIVE = 3
FIGURES_SECONDS = 5.0
LISTEN_BACKLOG = 1024


class Worker:
    """A worker's parts, from drives to listener."""

    def __init__(self, settings: Settings, identities: Sequence[Format], runtime_directory: str) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._runtime_directory = runtime_directory
        self._drive_threads = ThreadPoolExecutor(
            DRIVE_THREADS_PER_DRIVE * len(identities) + 4, thread_name_prefix="drive"
        )
        self._cpu_threads = ThreadPoolExecutor(CPU_THREADS, thread_name_prefix="cpu")
        batcher = ReadBatcher(self._drive_threads, self._clock, asyncio.get_running_loop())
        self._drives = [
            LocalDrive(
                path, identity, batcher, self._drive_threads, self._clock, partial(self._rebuildable, identity.drive_id)
            )
            for path, identity in zip(settings.drives, identities, strict=True)
        ]
        size = settings.set_size
        self._sets = [
            DriveSet(index, tuple(self._drives[index * size : (index + 1) * size]))
            for index in range(settings.set_count)
        ]
        codec = best_codec()
        parities = dict(settings.parities)
        self._quorum = max(self._sets[0].majority, size - parities["STANDARD"])
        self._locks = FileKeyLocks(os.path.join(runtime_directory, "keys.lock"))
        self._room = wire(
            [Pool(self._sets, parities)],
            codec,
            self._clock,
            SystemEntropy(),
            self._cpu_threads,
            compress=settings.compress,
            locks=self._locks,
        )
        keys = KeyRing(root_credentials(settings.access_key, settings.secret_key))
        authenticator = Authenticator(keys, settings.region, self._clock)
        self._health = Health(self._can_read, self._can_write)
        facts = NodeFacts(
            settings, self._sets, self._drives, identities[0].deployment_id, codec.name, self._clock, runtime_directory
        )
        self._admin = AdminFace(
            self._health,
            process_metrics.registry,
            lambda request: _authenticate(authenticator, request),
            {"info": facts.info, "heal": facts.heal},
        )
        self._s3 = S3Face(
            self._room.store,
            authenticator,
            keys,
            settings.region,
            settings.domains,
            FaceMetrics(),
            self._clock,
            tuple(parities),
        )
        self._server = HttpServer(
            self._dispatch, Limits(), self._refused, self._s3.failed, self._clock.monotonic_seconds
        )

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await asyncio.gather(*(drive.open() for drive in self._drives))
        background = asyncio.create_task(self._background(), name="background services")
        figures = asyncio.create_task(self._figures(), name="process figures")
        listener.listen(LISTEN_BACKLOG)
        await self._server.start(listener)
        on_ready()
        await stopping.wait()
        self._health.draining = True
        await self._server.stop(self._settings.drain_seconds)
        for task in (background, figures):
            task.cancel()
        await asyncio.gather(background, figures, return_exceptions=True)
        await asyncio.gather(*(drive.close() for drive in self._drives))
        self._locks.close()
        self._cpu_threads.shutdown(wait=False, cancel_futures=True)
        self._drive_threads.shutdown(wait=False, cancel_futures=True)

    async def _background(self) -> None:
        services = Background(
            self._room, self._drives, self._clock, self._runtime_directory, self._settings.upload_expiry_days
        )
        await services.run()

    async def _figures(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(None, process_metrics.update, self._server.connections)
            await asyncio.sleep(FIGURES_SECONDS)

    async def _dispatch(self, request: Request) -> Response:
        if is_operational(request, self._settings.domains):
            try:
                return await self._admin.handle(request)
            except S3Error as error:
                return self._s3.failed(request, error)
        return await self._s3.handle(request)

    def _refused(self, error: HttpError, request: Request | None) -> Response:
        return self._s3.refused(error, request)

    def _rebuildable(self, drive_id: str) -> bool:
        """Whether the rest of its set could rebuild this drive.

        Versions with less parity than STANDARD may need more: until they are whole, what was set aside is kept.
        """
        needed = self._settings.set_size - dict(self._settings.parities)["STANDARD"]
        own = next(each for each in self._sets if any(drive.drive_id == drive_id for drive in each.drives))
        return own.whole_beside(drive_id) >= needed

    def _can_write(self) -> bool:
        return all(len(each.online()) >= self._quorum for each in self._sets)

    def _can_read(self) -> bool:
        return all(len(each.online()) >= each.read_quorum for each in self._sets)


def is_operational(request: Request, domains: Sequence[str]) -> bool:
    """Whether a request is for the admin face; below a bucket's own host name `rustfs/` begins a key like any other."""
    return is_reserved(request.path) and not bucket_by_host(request, domains)


def _authenticate(authenticator: Authenticator, request: Request) -> None:
    authenticator.verify(request)


def run_worker(
    settings: Settings,
    identities: Sequence[Format],
    runtime_directory: str,
    listener: socket.socket,
    on_ready: Callable[[], None],
) -> None:
    """Run a worker in this process until it is told to stop."""
    import uvloop  # noqa: PLC0415 -- costs the supervisor and the other commands nothing

    async def main() -> None:
        await Worker(settings, identities, runtime_directory).run(listener, on_ready)

    uvloop.run(main())
    log.info("worker %d stopped", os.getpid())
