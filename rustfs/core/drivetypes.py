"""What goes to a drive and comes from it, as values: versions, marks, offers, scans, and the answers to them.

Buckets and keys are bytes here (UTF-8), so that SQLite's and Python's order are S3's order.
"""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

from rustfs.core.buffers import Buffer

# A version's flags: three bits, then its write quorum W and the copies k that rebuild it, so that the read rule needs
# not look into the record. A drive keeps them as they are offered and only ever adds CHOSEN.
CHOSEN = 1  # known to be on a write quorum: a reader may trust this copy alone
TOMBSTONE = 2  # a deletion: the version has no bytes
BLIND = 4  # the first offer of a write without a condition: whatever the key held before, it would have been offered
QUORUM_SHIFT = 8
NEEDED_SHIFT = 16


class Level(IntEnum):
    """How much of each version a read returns; every level includes the ones before it."""

    STAMPS = 0
    RECORD = 1
    INLINE = 2


class Held(NamedTuple):
    """One version of a key as one drive holds it."""

    stamp: bytes
    flags: int
    record: bytes  # encoded ObjectRecord (or another register's record); empty at Level.STAMPS
    inline: bytes | None  # this drive's shard file, where it lies in the metadata store


class Mark(NamedTuple):
    """What a drive knows of a bucket: the newest epoch it was shown, and whether writes below it are refused."""

    epoch: bytes
    fenced: bool


NO_MARK = Mark(b"", False)


class Ceiling(NamedTuple):
    """How high a drive went: it promised no token and holds no stamp above `stamp`.

    `known` is false for a drive that was wiped, and was not told yet how high it may have gone before. `formatting`
    names the drive's contents: one that is wiped, and so formatted anew, has another one.
    """

    stamp: bytes
    known: bool
    formatting: bytes


class MarksPage(NamedTuple):
    """The marks of a range of buckets, by name. `blank`: see KeyAnswer."""

    marks: list[tuple[bytes, Mark]]
    blank: bool


class KeyAnswer(NamedTuple):
    """What a drive holds under a key: newest version first.

    `blank`: the drive was being rebuilt when it answered: what it lacks says nothing.
    """

    versions: tuple[Held, ...]
    mark: Mark
    blank: bool


class PrepareAnswer(NamedTuple):
    """`promised`: the drive will refuse tokens below the one prepared. Otherwise `highest` is what stood against it."""

    promised: bool
    highest: bytes
    versions: tuple[Held, ...]
    mark: Mark
    blank: bool  # see KeyAnswer
    floor: bytes  # what the drive forgot of any key, on purpose or by accident, is not above it; b"": it does not say


class Refusal(IntEnum):
    """Why a drive did not accept."""

    NONE = 0
    STALE = 1  # a higher stamp is held, or the floor is higher
    BUCKET = 2  # the write's bucket epoch is older than the drive's mark, or fenced
    PROMISED = 3  # a higher token is promised
    ABSENT = 4  # there is nothing to delete: see Accept.if_held


class AcceptAnswer(NamedTuple):
    """`highest` is the highest stamp or token that the drive knows of for the key (of use when refused)."""

    refusal: Refusal
    highest: bytes
    superseded: bool  # older versions are still held until the new one is noted as chosen
    mark: Mark


class Accept(NamedTuple):
    """A version offered to one drive. Durable there once answered with Refusal.NONE."""

    bucket: bytes
    key: bytes
    stamp: bytes  # also the token under which it is offered: a drive that promised a higher one refuses it
    flags: int
    record: bytes
    inline: bytes | Sequence[Buffer] | None  # this drive's shard file bytes, for inline extents
    staged: tuple[bytes, ...]  # data ids whose staged shard files enter service with this version
    refs: tuple[bytes, ...]  # data ids of all extents with shard files (staged ones included)
    bucket_epoch: bytes  # b"" for system registers, which no bucket mark guards
    if_held: bool = False  # a whole drive that holds no version, or a chosen tombstone at the top, answers ABSENT


class ScanRow(NamedTuple):
    """A version in a scan; rows ascend by key, and descend by stamp within a key."""

    key: bytes
    stamp: bytes
    flags: int
    record: bytes  # empty at Level.STAMPS


class ScanPage(NamedTuple):
    """Rows up to a key boundary; `more` when keys may follow the last row (or `resume`)."""

    rows: list[tuple[bytes, bytes, int, bytes]]  # ScanRow fields as plain tuples, for speed
    more: bool
    resume: bytes  # where `more`: scan on from keys above this one
    mark: Mark
    blank: bool  # see KeyAnswer


class Scan(NamedTuple):
    """Keys of a bucket above `after`, starting with `prefix`, at most about `limit` rows.

    With a delimiter, of all keys that share the prefix up to and including the first delimiter behind `prefix`, only
    the first whose newest version on this drive is no tombstone is returned, and the others cost a seek. `after`
    may be any byte string, not only a key.
    """

    bucket: bytes
    prefix: bytes
    delimiter: bytes
    after: bytes
    limit: int
    level: Level


OPEN_END = b"\xff"  # ends a bucket's last range: above every key, since the byte does not occur in UTF-8


class KeyRange(NamedTuple):
    """The keys of a bucket up to `last` and above the range before, by what one drive holds of them.

    Drives whose digests of the same range are equal hold the same versions in it, those left aside that they have not
    noted as chosen.
    """

    last: bytes  # or OPEN_END
    digest: bytes  # 16 bytes, over keys and stamps of versions noted as chosen; those of joined ranges are XORed
    rows: int  # such versions


class RangePage(NamedTuple):
    """Ranges in key order, the first of which starts above `start`; empty ones are left out.

    `more`: others follow the last one. `blank`: see KeyAnswer.
    """

    start: bytes
    ranges: list[KeyRange]
    more: bool
    blank: bool


class FrameRun(NamedTuple):
    """Frames of a shard file, one after the other (rustfs.core.frames)."""

    data_id: bytes
    shard: int  # its index among the shards of the extent
    first_block: int  # of the extent
    offset_bytes: int  # of that block's frame in the file
    lengths_bytes: Sequence[int]  # of the frames


class RepairItem(NamedTuple):
    """An entry of a drive's durable repair queue; `sequence` names it when it is done."""

    sequence: int
    bucket: bytes
    key: bytes


class DriveState(StrEnum):
    """Whether a drive serves; everything but ONLINE answers calls with DriveOffline."""

    ONLINE = "online"
    OFFLINE = "offline"  # absent or failing: tried again by itself
    REFUSED = "refused"  # belongs elsewhere: needs the operator


class DriveInfo(NamedTuple):
    """A drive as the operator sees it."""

    drive_id: str
    endpoint: str  # the path given to `rustfs start`
    state: DriveState
    reason: str  # one sentence when not online, or when it takes no writes
    total_bytes: int
    free_bytes: int
    versions: int  # rows in the metadata store, approximately
    repair_queue: int
    reclaim_queue: int
    healing: bool  # formatted anew in place of a wiped drive and not yet whole
