"""The nonces of handshakes that a node's workers have seen: one empty file each, in a directory that they share."""

import contextlib
import hashlib
import os
import time

from rustfs.mesh.authentication import SKEW_SECONDS_MAX

_PURGE_EVERY = 500


class FileNonces:
    """See rustfs.mesh.authentication.NonceBook. The kernel decides which worker was first."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._entered = 0

    def enter(self, nonce: str) -> bool:
        """See NonceBook.enter."""
        self._entered += 1
        if self._entered % _PURGE_EVERY == 0:
            self._purge()
        name = hashlib.blake2b(nonce.encode(), digest_size=16).hexdigest()
        try:
            os.close(os.open(os.path.join(self._directory, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def _purge(self) -> None:
        """Forget what is too old to be accepted anyway."""
        before = time.time() - 2 * SKEW_SECONDS_MAX
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < before:
                        os.unlink(entry.path)
