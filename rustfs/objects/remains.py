"""Remains of writes that were accepted by too few drives, under keys that nobody will ever ask for again.

A client that was told 503 writes its object once more, and that settles what the first try left behind. But the upload
id of a CreateMultipartUpload is new each time: what a failed one left on some of the drives would stay for ever, and
could still be completed by a listing that one of the others does not answer.
"""

import contextlib
from collections.abc import AsyncIterator

from rustfs.core.drivetypes import CHOSEN, Level, Scan
from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.ports import Drive
from rustfs.core.stamps import milliseconds_of
from rustfs.objects.decide import version_flags
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import in_time
from rustfs.objects.proposals import Proposal
from rustfs.objects.register import Register
from rustfs.objects.rounds import SYSTEM

ROWS_PER_PAGE = 1000
SETTLED_PER_SWEEP = 1000
SCAN_TIMEOUT_SECONDS = 30.0


async def settle_remains(register: Register, drive_set: DriveSet, bucket: bytes, before_ms: int) -> int:
    """Supersede what has no value, and was written before `before_ms`, by a deletion. Keys settled.

    Only what was never chosen is ended: that is read as any reader reads it. A deletion is a version like any other, so
    whoever completes the remains meanwhile does no harm, and it is forgotten when all drives have it.
    """
    settled = 0
    for drive in drive_set.online():
        async for key, stamp in _doubtful(drive, bucket, before_ms):
            with contextlib.suppress(QuorumLost):  # the next sweep tries again
                if not (await register.read(drive_set, bucket, key, era=SYSTEM)).stamp:
                    gone = Proposal(version_flags(drive_set.size, 1, tombstone=True), b"")
                    await register.write(drive_set, bucket, key, gone, b"", stamp)
                    settled += 1
            if settled >= SETTLED_PER_SWEEP:
                return settled
    return settled


async def _doubtful(drive: Drive, bucket: bytes, before_ms: int) -> AsyncIterator[tuple[bytes, bytes]]:
    """Keys, and newest stamps, of what the drive does not know to be chosen; as much as it tells."""
    after = b""
    while True:
        try:
            request = Scan(bucket, b"", b"", after, ROWS_PER_PAGE, Level.STAMPS)
            page = await in_time(drive.scan(request), SCAN_TIMEOUT_SECONDS)
        except DriveError:
            return
        newest: dict[bytes, tuple[bytes, int]] = {}
        for key, stamp, flags, _ in page.rows:
            newest.setdefault(key, (stamp, flags))
        for key, (stamp, flags) in newest.items():
            if not flags & CHOSEN and milliseconds_of(stamp) < before_ms:
                yield key, stamp
        if not page.more:
            return
        after = page.resume
