"""The node's runtime directory: what its workers share while it runs, gone when it stops.

It lies in memory where the system offers that. A node that was killed leaves its directory behind; the next one that
starts on the machine removes it. Who still lives is told by a lock that the kernel gives back: on `alive` in each.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator

from rustfs.mesh.locks.table import default_directory

PREFIX = "rustfs-"
_YOUNG_SECONDS = 60.0  # a younger directory may be about to get its lock


@contextlib.contextmanager
def runtime_directory(parent: str = "") -> Iterator[str]:
    """A new directory of this process; those of dead ones are swept first. Blocking."""
    base = parent or default_directory()
    sweep(base)
    path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    lock = os.open(os.path.join(path, "alive"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(base: str) -> list[str]:
    """Remove the directories of nodes that are gone, as far as they are ours. What was removed."""
    removed = []
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if name.startswith(PREFIX) and _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _abandoned(path: str) -> bool:
    try:
        status = os.lstat(path)
        if status.st_uid != os.getuid() or not os.path.isdir(path) or os.path.islink(path):
            return False
        if time.time() - status.st_mtime < _YOUNG_SECONDS:
            return False
        try:
            lock = os.open(os.path.join(path, "alive"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
    except OSError:
        return False
    return True
