"""Which parts of a bucket the drives of a set hold alike, by the digests of their ranges: pure.

Drives that hold the same keys have the same ranges. Where one lacks a key at which the others cut, it has one range for
several of theirs, so what is compared are spans between cuts that all have, by the digests of the ranges in them
combined.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rustfs.core.drivetypes import OPEN_END, RangePage


class Span(NamedTuple):
    """Keys above `after` up to `last`, and whether all drives hold the same there."""

    after: bytes
    last: bytes
    alike: bool
    ranges: int  # on the drive with most of them
    rows: int  # likewise


class _Sums(NamedTuple):
    digest: int
    ranges: int
    rows: int


def compared_spans(pages: Sequence[RangePage], after: bytes) -> tuple[list[Span], bytes | None]:
    """What the drives' pages of ranges above `after` say, in key order, and from where to go on (None: all is said).

    Spans that differ and adjoin are one.
    """
    ends = [{each.last for each in page.ranges} | (set() if page.more else {OPEN_END}) for page in pages]
    common = sorted(set.intersection(*ends))
    comparable = bool(common)
    if not comparable:
        # Not one cut that all have, as where a drive lacks most of the bucket: nothing but the keys tells.
        common = [min(page.ranges[-1].last for page in pages if page.more)]
    # A page starts with the range that holds the first keys above `after`. Where a drive has no cut at `after` that
    # range holds others, too, and can only be compared with one that starts where it starts.
    alike_start = len({page.start for page in pages}) == 1
    found: list[Span] = []
    for index, sums in enumerate(zip(*(_sums(page, common) for page in pages), strict=True)):
        alike = comparable and (index > 0 or alike_start) and len({(each.digest, each.rows) for each in sums}) == 1
        ranges, rows = max(each.ranges for each in sums), max(each.rows for each in sums)
        if found and not alike and not found[-1].alike:
            last = found.pop()
            found.append(Span(last.after, common[index], False, last.ranges + ranges, last.rows + rows))
        else:
            found.append(Span(found[-1].last if found else after, common[index], alike, ranges, rows))
    return found, None if common[-1] == OPEN_END else common[-1]


def _sums(page: RangePage, ends: Sequence[bytes]) -> Iterable[_Sums]:
    """What a drive's ranges up to each of these ends come to, above the end before."""
    index = 0
    for end in ends:
        digest = ranges = rows = 0
        while index < len(page.ranges) and page.ranges[index].last <= end:
            digest ^= int.from_bytes(page.ranges[index].digest, "big")
            ranges += 1
            rows += page.ranges[index].rows
            index += 1
        yield _Sums(digest, ranges, rows)
