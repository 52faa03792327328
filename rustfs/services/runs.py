"""The healing runs of a node as files in its runtime directory, so that all its workers see them and can end them.

A run is a file that the worker which does it has locked, and that holds its latest progress. It goes on while its file
has its name: whoever removes it, in whichever worker, ends the run. The file of a worker that died is not locked any
more, and is removed by the next one that looks.

Everything here blocks, for a few system calls on files in memory.
"""

import contextlib
import fcntl
import json
import os
import re
from types import TracebackType
from typing import Any, Self

from rustfs.core.errors import RustFSError

RUNS_MAX = 4
_NAME = re.compile(r"[0-9A-Za-z-]{1,64}").fullmatch


class RunRefused(RustFSError):
    """The run cannot begin; the message says why."""


class RunFiles:
    """See the module."""

    def __init__(self, runtime_directory: str) -> None:
        self._directory = os.path.join(runtime_directory, "heal-runs")

    def begin(self, name: str) -> "Run":
        """Raises RunRefused."""
        if not _NAME(name):
            raise RunRefused("the name of a run has 1 to 64 letters, digits and hyphens")
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        if len(self.active()) >= RUNS_MAX:
            raise RunRefused(f"{RUNS_MAX} runs are under way already")
        path, unnamed = os.path.join(self._directory, name), os.path.join(self._directory, f".{os.getpid()}-{name}")
        descriptor = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before others see it
            os.link(unnamed, path)
        except FileExistsError as error:
            os.close(descriptor)
            raise RunRefused(f"the run {name} is under way already") from error
        finally:
            os.unlink(unnamed)
        return Run(path, descriptor)

    def active(self) -> list[dict[str, Any]]:
        """The latest progress of every run under way, by name. (Any: JSON for the operator's eyes.)"""
        found = []
        for name in self._names():
            try:
                with open(os.path.join(self._directory, name), "rb") as file:
                    if _is_locked(file.fileno()):
                        with contextlib.suppress(ValueError):  # none yet, or in the middle of being written
                            found.append(json.load(file))
                        continue
                os.unlink(os.path.join(self._directory, name))
            except FileNotFoundError:
                continue
        return found

    def stop(self, name: str) -> bool:
        """End a run, or with "" all of them. Whether there was one."""
        stopped = False
        for each in self._names():
            if name in ("", each):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._directory, each))
                    stopped = True
        return stopped

    def _names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self._directory) if not name.startswith("."))
        return []


class Run:
    """A run under way in this process; the context manager ends it."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self.wanted():
            os.unlink(self._path)
        os.close(self._descriptor)

    def wanted(self) -> bool:
        """Whether nobody has stopped it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def show(self, progress: dict[str, Any]) -> None:
        """Publish progress. (Any: JSON for the operator's eyes.)"""
        data = json.dumps(progress).encode()
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
