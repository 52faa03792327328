"""One worker: peers, drives, object layer and faces wired together, serving until it is told to stop.

In a cluster it answers from the first moment (health; everything else gets a 503) while it finds its peers and agrees
with them on the drives' formats; then it serves.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from rustfs.admin.face import AdminFace, Health, is_reserved
from rustfs.core.configuration import HEAL_SHARE_DEFAULT, LOG_LEVEL_DEFAULT
from rustfs.core.errors import ConfigurationError
from rustfs.core.pb.peer.v1 import drive_pb2, heal_pb2, node_pb2
from rustfs.core.system import SystemClock, SystemEntropy
from rustfs.drive.format import Format
from rustfs.drive.reader import ReadBatcher
from rustfs.erasure.codec import best_codec
from rustfs.http.limits import Limits
from rustfs.http.messages import HttpError, Request, Response
from rustfs.http.server import HttpServer
from rustfs.iam.keys import KeyRing, root_credentials
from rustfs.mesh.authentication import INCARNATION_BYTES, Signer, Verifier, mesh_key
from rustfs.mesh.channel import Peer
from rustfs.mesh.credentials import Certificates, MeshCredentials
from rustfs.mesh.drives import DriveServer
from rustfs.mesh.healing import HealServer
from rustfs.mesh.identity import Self
from rustfs.mesh.mesh import Mesh
from rustfs.mesh.nodes import NodeServer
from rustfs.mesh.rpc import handlers
from rustfs.mesh.server import PeerServer
from rustfs.node import cluster_metrics, process_metrics
from rustfs.node.allocator import give_back, keep_buffers
from rustfs.node.bootstrap import Acceptor, Bootstrap, OwnPool
from rustfs.node.configfiles import ConfigurationFiles
from rustfs.node.configuring import Configuring, live_settings
from rustfs.node.facts import NodeFacts
from rustfs.node.keylocks import FileKeyLocks
from rustfs.node.locking import NodeLocks
from rustfs.node.nonces import FileNonces
from rustfs.node.operator import Operator
from rustfs.node.sets import Sets
from rustfs.node.settings import Settings
from rustfs.node.starting import Starting
from rustfs.node.tls import TlsKeeper
from rustfs.objects.wiring import ObjectRoom, wire
from rustfs.s3.address import bucket_by_host
from rustfs.s3.auth import Authenticator
from rustfs.s3.errors import S3Error
from rustfs.s3.face import S3Face
from rustfs.s3.metrics import FaceMetrics
from rustfs.services.background import Background
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.node")

CPU_THREADS = 4
DRIVE_THREADS_PER_DRIVE = 3
FIGURES_SECONDS = 5.0
LISTEN_BACKLOG = 1024
PEER_GRACE_SECONDS = 1.0


class Worker:
    """See the module."""

    def __init__(self, settings: Settings, runtime_directory: str) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._runtime_directory = runtime_directory
        self._tls: TlsKeeper | None = None
        self._certificates: MeshCredentials | None = None
        if settings.tls_dir:
            self._tls = TlsKeeper(settings.tls_dir, self._clock, settings.mesh_host, self._renew_certificates)
            self._certificates = MeshCredentials(self._tls.certificates)
        own_count = len(settings.drives)
        self._drive_threads = ThreadPoolExecutor(DRIVE_THREADS_PER_DRIVE * own_count + 4, thread_name_prefix="drive")
        self._cpu_threads = ThreadPoolExecutor(CPU_THREADS, thread_name_prefix="cpu")
        self._locks = FileKeyLocks(os.path.join(runtime_directory, "keys.lock"))
        self._codec = best_codec()
        self._face: S3Face | Starting = Starting()
        self._admin: AdminFace | None = None
        self._sets: Sets | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._failure: ConfigurationError | None = None
        self._health = Health(self._can_read, self._can_write, self._may_stop)
        self._join_mesh()
        self._server = HttpServer(self._dispatch, Limits(), self._refused, self._failed, self._clock.monotonic_seconds)

    def _join_mesh(self) -> None:
        settings, clock = self._settings, self._clock
        topology, node = settings.topology, settings.own_node
        incarnation, key = self._entropy.bytes(INCARNATION_BYTES), mesh_key(settings.secret_key)
        lines = ["\n".join(each.name for each in pool.endpoints) for pool in topology.pools]
        self._own = Self(node, topology.digest(), lines, incarnation, clock)
        signer = Signer(key, node, incarnation, clock)
        peers = [Peer(name, target) for name, target in settings.peers.items()]
        self._mesh = Mesh(self._own, signer, peers, self._certificates, clock, self._entropy)
        pools = {
            number: OwnPool(number, pool, node, self._runtime_directory) for number, pool in enumerate(topology.pools)
        }
        acceptor = Acceptor(pools, self._drive_threads)
        self._bootstrap = Bootstrap(
            topology, node, pools, acceptor, self._mesh, clock, self._entropy, self._drive_threads,
            self._runtime_directory,
        )  # fmt: skip
        self._drive_server = DriveServer(self._drive_threads)
        self._node_server = NodeServer(self._own, key, acceptor)
        self._heal_server = HealServer()
        self._peer_server: PeerServer | None = None
        self._node_locks: NodeLocks | None = None
        if settings.peers:
            self._node_locks = NodeLocks(topology, node, self._mesh, clock, self._entropy, self._runtime_directory)
            services = [
                self._node_locks.service,
                handlers(drive_pb2.DESCRIPTOR, self._drive_server),
                handlers(node_pb2.DESCRIPTOR, self._node_server),
                handlers(heal_pb2.DESCRIPTOR, self._heal_server),
            ]
            nonces = FileNonces(os.path.join(self._runtime_directory, "nonces"))
            secured = self._certificates.server() if self._certificates is not None else None
            verifier = Verifier(key, node, incarnation, clock)
            self._peer_server = PeerServer(services, verifier, nonces, secured, self._drive_server.drain)

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises ConfigurationError where the drives do not fit."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if self._tls is not None:
            self._tasks.append(asyncio.create_task(self._tls.watch(), name="certificates"))
        if self._peer_server is None:
            await self._begin()
        else:
            self._own.deployment_id = await self._bootstrap.known_deployment()
            await self._peer_server.start(self._settings.host, self._settings.own_peer_port)
            self._mesh.start()
            self._tasks.append(asyncio.create_task(self._begin_in_cluster(on_ready), name="bootstrap"))
        listener.listen(LISTEN_BACKLOG)
        await self._server.start(listener, self._tls.context if self._tls is not None else None)
        if self._peer_server is None:
            on_ready()
        await self._stopping.wait()
        await self._end()
        if self._failure is not None:
            raise self._failure

    async def _begin_in_cluster(self, on_ready: Callable[[], None]) -> None:
        try:
            await self._begin()
        except ConfigurationError as error:
            self._failure = error
            self._stopping.set()
        else:
            on_ready()

    async def _begin(self) -> None:
        """Identify and open the drives, and put the faces in front of them."""
        identities = await self._bootstrap.run()
        self._own.deployment_id = next(iter(identities.values())).deployment_id
        loop = asyncio.get_running_loop()
        batcher = ReadBatcher(self._drive_threads, self._clock, loop)
        sets = Sets(self._settings, identities, self._mesh, self._clock, batcher, self._drive_threads)
        await asyncio.gather(*(drive.open() for drive in sets.own.values()))
        self._drive_server.serve(sets.own)
        room = self._wire(sets)
        throttle = Throttle(self._clock, self._client_requests)
        configuring = self._configure(room, throttle)
        await configuring.begin()
        self._assemble(sets, identities, room, throttle, configuring)
        self._sets = sets
        self._tasks.append(asyncio.create_task(configuring.run(), name="configuration"))
        self._tasks.append(asyncio.create_task(self._figures(), name="process figures"))

    def _wire(self, sets: Sets) -> ObjectRoom:
        return wire(
            sets.pools,
            self._codec,
            self._clock,
            self._entropy,
            self._cpu_threads,
            compress=self._settings.compress,
            locks=self._locks,
            cluster_locks=self._node_locks.of_sets if self._node_locks is not None else None,
        )

    def _configure(self, room: ObjectRoom, throttle: Throttle) -> Configuring:
        return Configuring(
            self._settings.node_name,
            room.configuration,
            {
                "compression": "auto" if self._settings.compress else "off",
                "heal-share": str(HEAL_SHARE_DEFAULT),
                "log-level": LOG_LEVEL_DEFAULT,
            },
            live_settings(room.ingest, throttle),
            self._mesh.calls,
            ConfigurationFiles(self._runtime_directory),
            self._clock,
            self._entropy,
        )

    def _assemble(
        self,
        sets: Sets,
        identities: Mapping[int, Format],
        room: ObjectRoom,
        throttle: Throttle,
        configuring: Configuring,
    ) -> None:
        settings = self._settings
        keys = KeyRing(root_credentials(settings.access_key, settings.secret_key))
        authenticator = Authenticator(keys, settings.region, self._clock)
        deployment_id = next(iter(identities.values())).deployment_id
        facts = NodeFacts(settings, sets, self._mesh, deployment_id, self._codec.name, self._clock)
        operator = Operator(
            sets, room, self._mesh, self._node_locks, facts, self._clock, self._entropy, self._runtime_directory,
            configuring, throttle, lambda: self._health.draining,
        )  # fmt: skip
        operator.serve_peers(self._node_server, self._heal_server)
        self._admin = AdminFace(
            self._health,
            process_metrics.registry,
            lambda request: _authenticate(authenticator, request),
            operator.operations,
        )
        self._node_server.serving = True
        self._face = S3Face(
            room.store,
            authenticator,
            keys,
            settings.region,
            settings.domains,
            FaceMetrics(),
            self._clock,
            tuple(dict(settings.parities)),
            operator.traces,
        )
        services = Background(
            room,
            list(sets.own.values()),
            self._clock,
            self._runtime_directory,
            settings.upload_expiry_days,
            throttle=throttle,
        )
        self._tasks.append(asyncio.create_task(services.run(), name="background services"))

    def _renew_certificates(self, certificates: Certificates) -> None:
        if self._certificates is not None:
            self._certificates.replace(certificates)

    async def _end(self) -> None:
        self._health.draining = True
        await self._server.stop(self._settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._node_locks is not None:
            await self._node_locks.close(PEER_GRACE_SECONDS)
        await self._mesh.close()
        if self._peer_server is not None:
            await self._peer_server.stop(PEER_GRACE_SECONDS)
        if self._sets is not None:
            await asyncio.gather(*(drive.close() for drive in self._sets.own.values()))
        self._locks.close()
        self._cpu_threads.shutdown(wait=False, cancel_futures=True)
        self._drive_threads.shutdown(wait=False, cancel_futures=True)

    async def _figures(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(None, process_metrics.update, self._server.connections)
            await loop.run_in_executor(None, lambda: give_back(process_metrics.resident_bytes()))
            if self._sets is not None:
                await cluster_metrics.update(self._sets, self._node_locks)
            await asyncio.sleep(FIGURES_SECONDS)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _dispatch(self, request: Request) -> Response:
        if is_operational(request, self._settings.domains):
            admin = self._admin
            if admin is None:
                admin = AdminFace(self._health, process_metrics.registry, _nobody, None)
            try:
                return await admin.handle(request)
            except S3Error as error:
                return self._face.failed(request, error)
        return await self._face.handle(request)

    def _refused(self, error: HttpError, request: Request | None) -> Response:
        return self._face.refused(error, request)

    def _failed(self, request: Request, error: BaseException) -> Response:
        return self._face.failed(request, error)

    def _client_requests(self) -> int:
        """Requests in flight, but for the streams that operators keep open."""
        return self._server.requests_in_flight - (self._admin.streams_open if self._admin is not None else 0)

    def _can_write(self) -> bool:
        return self._sets is not None and not self._sets.without_write_quorum()

    def _can_read(self) -> bool:
        return self._sets is not None and not self._sets.without_read_quorum()

    def _may_stop(self) -> bool:
        return self._sets is not None and not self._sets.without_write_quorum(lambda drive: drive.near)


def is_operational(request: Request, domains: tuple[str, ...]) -> bool:
    """Whether a request is for the admin face; below a bucket's own host name `rustfs/` begins a key like any other."""
    return is_reserved(request.path) and not bucket_by_host(request, domains)


def _authenticate(authenticator: Authenticator, request: Request) -> None:
    authenticator.verify(request)


def _nobody(_request: Request) -> None:
    raise S3Error("ServiceUnavailable", "The node is starting.")


def run_worker(
    settings: Settings, runtime_directory: str, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Run a worker in this process until it is told to stop. Raises ConfigurationError."""
    keep_buffers()
    import uvloop  # noqa: PLC0415 -- costs the supervisor and the other commands nothing

    async def main() -> None:
        await Worker(settings, runtime_directory).run(listener, on_ready)

    try:
        uvloop.run(main())
    finally:
        # The loop no longer listens: another SIGTERM must not spoil the exit status of a worker that is ending well.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.info("worker %d stopped", os.getpid())
