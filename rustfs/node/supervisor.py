"""Starting a node: a supervisor and its workers, if only one.

The supervisor holds no state and serves nothing: it starts workers, starts them again when they die (with a growing
pause for those that die young), passes SIGTERM on, and waits. A worker gets the settings through a pipe, so that no
secret is ever on its command line or in its environment.
"""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rustfs.core.errors import ConfigurationError
from rustfs.erasure.codec import best_codec
from rustfs.node.banner import banner
from rustfs.node.formatting import check_empty, identify_drives, identities_of, majority_layout, read_formats
from rustfs.node.listener import bound_socket, reserved_socket
from rustfs.node.runtime import runtime_directory
from rustfs.node.settings import Settings
from rustfs.node.tls import load

log = logging.getLogger("rustfs.node")

READY_SECONDS_MAX = 60.0
YOUNG_SECONDS = 10.0
RESTART_PAUSE_SECONDS_MAX = 10.0
EXTRA_STOP_SECONDS = 10.0
REFUSED_STATUS = 2  # of a worker whose settings or drives do not fit


def start_node(settings: Settings) -> None:
    """Run the node until it is told to stop. Raises ConfigurationError before anything is served."""
    check_tls(settings)
    check_drives(settings)
    try:
        reserved = reserved_socket(settings.host, settings.port)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; is another server running there?"
        ) from error
    try:
        with runtime_directory() as directory:
            if settings.peers:
                _try_peer_port(settings)
            Supervisor(settings, directory).run()
    finally:
        reserved.close()


def check_drives(settings: Settings) -> None:
    """Refuse drives that do not fit before anything is started. Raises ConfigurationError.

    Pools that lie on this node as a whole are formatted here, where nobody else has a say; the workers see to the rest.
    """
    deployment_id = ""
    for pool in settings.topology.pools:
        paths = {place: each.path for place, each in enumerate(pool.endpoints) if each.node == settings.own_node}
        if len(paths) == len(pool.endpoints) and not settings.peers:
            deployment_id = identify_drives(list(paths.values()), pool.set_size, deployment_id)[0].deployment_id
            continue
        found, _ = read_formats(paths)
        layout = majority_layout(found)
        if layout is not None:
            identities_of(paths, found, layout, len(pool.endpoints), pool.set_size)
        else:
            for path in paths.values():
                check_empty(path)


def _try_peer_port(settings: Settings) -> None:
    """Raises ConfigurationError where somebody else listens on the peer service's port."""
    try:
        bound_socket(settings.host, settings.own_peer_port, shared=False).close()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen for peers on {settings.host}:{settings.own_peer_port}: {error.strerror}; "
            "--peer-port names another"
        ) from error


def check_tls(settings: Settings) -> None:
    """Refuse to start with certificates that will not do, and say what is wrong with those that will.

    Raises ConfigurationError.
    """
    if settings.tls_dir:
        for warning in load(settings.tls_dir, time.time(), settings.mesh_host).warnings:
            log.warning("%s", warning)


def show_banner(settings: Settings) -> None:
    """Tell the person who started the node that it is ready."""
    missing = [path for path in settings.drives if not os.path.isdir(path)]
    states = [f"drive {path} is missing" for path in missing]
    print(banner(settings, best_codec().name, states), flush=True)  # noqa: T201 -- it is for the terminal
    log.info("serving %d drives", len(settings.drives))


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "RUSTFS_SECRET_KEY"}


@dataclass(slots=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    started: float
    ready: bool = False


@dataclass(slots=True)
class _Slot:
    """A worker's place; who fills it changes when workers die."""

    child: _Child | None = None
    start_at: float = 0.0
    early_deaths: int = 0


class Supervisor:
    """Starts, watches and stops the workers."""

    def __init__(self, settings: Settings, runtime_directory: str) -> None:
        self._settings = settings
        self._runtime_directory = runtime_directory
        self._metrics_directory = os.path.join(runtime_directory, "metrics")
        os.mkdir(self._metrics_directory)
        self._slots = [_Slot() for _ in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._announced = False
        self._refused = False
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        began = time.monotonic()
        while not self._stopping:
            self._start_due()
            self._wait(self._next_start())
            self._reap()
            if self._refused:
                self._stop_all()
                raise ConfigurationError("the node cannot start with these settings and drives; the log says why")
            # A node of a cluster waits for its peers as long as it takes.
            if not self._announced and not self._settings.peers and time.monotonic() - began > READY_SECONDS_MAX:
                self._stop_all()
                raise ConfigurationError(f"the workers were not ready within {READY_SECONDS_MAX:.0f} s; see the log")
        self._stop_all()

    def _note_stop(self, *_: object) -> None:
        self._stopping = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is None and now >= slot.start_at:
                slot.child = self._spawn()

    def _spawn(self) -> _Child:
        process = subprocess.Popen(  # noqa: S603 -- this interpreter and our own module
            [sys.executable, "-m", "rustfs.node.child", self._runtime_directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_without_secrets(os.environ), "PROMETHEUS_MULTIPROC_DIR": self._metrics_directory},
            start_new_session=False,
        )
        assert process.stdin is not None  # noqa: S101 -- asked for above
        assert process.stdout is not None  # noqa: S101 -- asked for above
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._settings.to_json() + b"\n")
            process.stdin.flush()
        child = _Child(process, time.monotonic())
        self._selector.register(process.stdout, selectors.EVENT_READ, child)
        return child

    def _wait(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
                continue
            child: _Child = key.data
            said = os.read(key.fd, 64)
            child.ready = child.ready or said.startswith(b"ready")
            if not said:
                self._selector.unregister(key.fileobj)
        if not self._announced and all(slot.child is not None and slot.child.ready for slot in self._slots):
            self._announced = True
            show_banner(self._settings)

    def _next_start(self) -> float | None:
        waits = [slot.start_at - time.monotonic() for slot in self._slots if slot.child is None]
        if self._announced and not waits:
            return None  # until a signal: SIGCHLD, too, wakes the selector
        return max(0.0, min([1.0, *waits]))

    def _reap(self) -> None:
        for slot in self._slots:
            child = slot.child
            if child is None or child.process.poll() is None:
                continue
            self._forget(child)
            slot.child = None
            if self._stopping:
                continue
            if child.process.returncode == REFUSED_STATUS and not self._announced:
                self._refused = True
                return
            now = time.monotonic()
            slot.early_deaths = slot.early_deaths + 1 if now - child.started < YOUNG_SECONDS else 0
            pause = min(RESTART_PAUSE_SECONDS_MAX, 0.25 * 2**slot.early_deaths) if slot.early_deaths else 0.0
            slot.start_at = now + pause
            log.error(
                "worker %d ended with status %d; starting another in %.1f s",
                child.process.pid,
                child.process.returncode,
                pause,
            )

    def _forget(self, child: _Child) -> None:
        from prometheus_client import multiprocess  # noqa: PLC0415 -- reads its directory's name when imported

        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(child.process.stdout)  # type: ignore[arg-type] # it is a pipe
        for pipe in (child.process.stdin, child.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        multiprocess.mark_process_dead(child.process.pid, self._metrics_directory)  # type: ignore[no-untyped-call]

    def _stop_all(self) -> None:
        self._stopping = True
        children = [slot.child for slot in self._slots if slot.child is not None]
        for child in children:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_seconds + EXTRA_STOP_SECONDS
        for child in children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker %d did not stop in time and is killed", child.process.pid)
                child.process.kill()
                child.process.wait()
            self._forget(child)
