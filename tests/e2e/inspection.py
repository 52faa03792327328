"""What lies on a drive that no process has open: read with plain SQLite and the file system (docs/format.md)."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

DATA_ID_BYTES = 16


@dataclass(frozen=True)
class Contents:
    """Facts about one drive at rest."""

    files: frozenset[str]  # names below shards/
    staged: tuple[str, ...]
    named: Counter[str]  # data ids that versions name, with how often
    counted: Counter[str]  # the drive's own count of them
    reclaim: frozenset[str]  # due to be removed


def inspect(drive: Path) -> Contents:
    """Read a drive's contents."""
    with closing(sqlite3.connect(f"file:{drive}/.rustfs/meta.db?mode=ro", uri=True)) as store:
        named: Counter[str] = Counter()
        for (refs,) in store.execute("SELECT refs FROM versions"):
            for start in range(0, len(refs), DATA_ID_BYTES):
                named[refs[start : start + DATA_ID_BYTES].hex()] += 1
        counted = Counter({data_id.hex(): count for data_id, count in store.execute("SELECT data_id, count FROM refs")})
        reclaim = frozenset(data_id.hex() for (data_id,) in store.execute("SELECT data_id FROM reclaim"))
    return Contents(
        files=frozenset(path.name for path in (drive / "shards").glob("*/*")),
        staged=tuple(str(path) for path in (drive / "staging").rglob("*") if path.is_file()),
        named=named,
        counted=counted,
        reclaim=reclaim,
    )
