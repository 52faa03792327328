"""What happens to the disks under an object layer: taken away, wiped, damaged, and as a sudden end leaves them."""

import contextlib
import fcntl
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path


def take_away(root: Path) -> None:
    """As if it had been unplugged."""
    root.rename(root.with_suffix(".away"))
    root.write_bytes(b"")  # nothing can be made here in its place


def put_back(root: Path) -> None:
    """See take_away."""
    root.unlink()
    root.with_suffix(".away").rename(root)


def wipe(root: Path) -> None:
    """As if it had been replaced by a new one: moved out first, for a process that still writes by these paths."""
    away = root.with_suffix(".wiped")
    away.mkdir()
    for entry in list(root.iterdir()):
        entry.rename(away / entry.name)
    shutil.rmtree(away, ignore_errors=True)  # the process may be removing what it set aside in there


def flip_bytes(root: Path, dice: random.Random) -> None:
    """Damage every shard file, and the metadata store where the dice say so."""
    victims = sorted((root / "shards").glob("*/*"))
    if dice.random() < 0.5:
        victims.append(root / ".rustfs" / "meta.db")
    for path in victims:
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            for _ in range(3 if size else 0):
                file.seek(offset := dice.randrange(size))
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes((byte ^ 1 << dice.randrange(8),)))


@contextlib.contextmanager
def stalled(roots: Iterable[Path]) -> Iterator[None]:
    """Keep these drives from committing anything; uploads may still stage their bytes."""
    with contextlib.ExitStack() as held:
        for root in roots:
            lock = os.open(root / ".rustfs" / "write.lock", os.O_CREAT | os.O_RDWR)
            held.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def freeze(root: Path) -> Path:
    """A copy of a stalled drive as kill -9 would leave it right now: between two transactions, uploads wherever."""
    frozen = root.with_suffix(".frozen")
    _copy(root, frozen)
    # The store's connections share memory through this file; the sudden end of all of them leaves it worthless.
    (frozen / ".rustfs" / "meta.db-shm").unlink(missing_ok=True)
    return frozen


def _copy(source: Path, target: Path) -> None:
    """Copy a tree that loses files meanwhile, hard links and all: by these, recovery knows a shard put into service."""
    copies: dict[int, Path] = {}
    for directory, _, names in os.walk(source):
        there = target / Path(directory).relative_to(source)
        there.mkdir()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                inode = os.stat(os.path.join(directory, name)).st_ino
                if inode in copies:
                    os.link(copies[inode], there / name)
                else:
                    shutil.copyfile(os.path.join(directory, name), there / name)
                    copies[inode] = there / name


def thaw(root: Path) -> None:
    """Put the frozen copy in the place of what has gone on since."""
    shutil.rmtree(root, ignore_errors=True)
    root.with_suffix(".frozen").rename(root)
