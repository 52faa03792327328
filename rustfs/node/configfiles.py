"""The cluster's configuration among the workers of a node: files in the runtime directory, which they share.

`chosen` is the newest version that is known to be chosen, for workers that start while no quorum can be asked; and each
worker has a file with the stamp of the version that it has put in force, and a lock on it that the kernel takes back
when it dies. All calls are blocking.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator

from google.protobuf.message import DecodeError

from rustfs.core.configuration import Configuration
from rustfs.core.pb.peer.v1.node_pb2 import ConfigurationChangedRequest
from rustfs.objects.configuration import UNSET, Stored

_WORKER = "worker-"


class ConfigurationFiles:
    """See the module. One per worker; thread-safe."""

    def __init__(self, runtime_directory: str) -> None:
        self._directory = os.path.join(runtime_directory, "configuration")
        self._chosen = os.path.join(self._directory, "chosen")
        self._own = -1
        self._seen: tuple[int, int] = (0, 0)

    def enlist(self) -> None:
        """From now on, until its process ends, this worker counts as one of the node; before all else."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with self._turn():  # nobody looks between the two, and takes the file for a dead worker's
            self._own, _ = tempfile.mkstemp(prefix=_WORKER, dir=self._directory)
            fcntl.flock(self._own, fcntl.LOCK_EX)

    def chosen(self) -> Stored:
        """The newest version that a worker of the node has published; UNSET for none."""
        try:
            with open(self._chosen, "rb") as file:
                return stored_of(ConfigurationChangedRequest.FromString(file.read()))
        except FileNotFoundError:
            return UNSET

    def news(self) -> Stored | None:
        """What `chosen` says, where it is not what this method has said before."""
        try:
            status = os.stat(self._chosen)
        except FileNotFoundError:
            return None
        seen = (status.st_ino, status.st_mtime_ns)
        if seen == self._seen:
            return None
        self._seen = seen
        return self.chosen()

    def publish(self, stored: Stored) -> None:
        """Let all workers of the node know of a version that is chosen; an older one than theirs has no effect."""
        with self._turn():
            if stored.stamp <= self.chosen().stamp:
                return
            temporary = f"{self._chosen}.new"
            with open(temporary, "wb") as file:
                file.write(message_of(stored).SerializeToString())
            os.rename(temporary, self._chosen)

    def confirm(self, stamp: bytes) -> None:
        """This worker has put the version in force; one call at a time."""
        if stamp:
            os.pwrite(self._own, stamp, 0)  # stamps are of one length
        else:
            os.ftruncate(self._own, 0)

    def unconfirmed(self, stamp: bytes) -> tuple[int, int]:
        """How many workers the node has, and how many of them have not put that version, or a newer one, in force."""
        workers = late = 0
        with self._turn():
            for name in os.listdir(self._directory):
                path = os.path.join(self._directory, name)
                if not name.startswith(_WORKER):
                    continue
                with open(path, "rb") as file:
                    if _is_locked(file.fileno()):
                        workers += 1
                        late += file.read() < stamp
                    else:
                        os.unlink(path)
        return workers, late

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        descriptor = os.open(os.path.join(self._directory, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def message_of(stored: Stored) -> ConfigurationChangedRequest:
    """See stored_of."""
    return ConfigurationChangedRequest(stamp=stored.stamp, record=stored.configuration.encoded())


def stored_of(message: ConfigurationChangedRequest) -> Stored:
    """See message_of. Raises ValueError."""
    try:
        return Stored(message.stamp, Configuration.of(message.record))
    except DecodeError as error:
        raise ValueError(f"no configuration: {error}") from error
