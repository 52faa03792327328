"""What digests of ranges say: which spans all drives hold alike, however differently their ranges are cut."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.drivetypes import OPEN_END, KeyRange, RangePage
from rustfs.services.ranges import Span, compared_spans

CUTS = frozenset({b"c", b"f", b"i", b"l"})
KEYS = [bytes((number,)) for number in range(ord("a"), ord("o"))]


def page_of(held, after=b"", limit=100):
    """What a drive answers that holds these versions, {key: stamp}: ranges end at the keys of CUTS that it holds."""
    ends = [key for key in sorted(held) if key in CUTS]
    starts, start = [], b""
    for end in [*ends, OPEN_END]:
        starts.append((start, end))
        start = end
    ranges = []
    for low, end in starts:
        keys = [key for key in held if low < key <= end]
        if keys and end > after:
            ranges.append(KeyRange(end, digest(held, keys), len(keys)))
    first = max([end for end in ends if end <= after], default=b"")
    return RangePage(first, ranges[:limit], len(ranges) > limit, blank=False)


def digest(held, keys):
    total = 0
    for key in keys:
        total ^= int.from_bytes(hashlib.md5(key + held[key]).digest(), "big")
    return total.to_bytes(16, "big")


WHOLE = dict.fromkeys(KEYS, b"1")


def without(*keys):
    return {key: stamp for key, stamp in WHOLE.items() if key not in keys}


def test_drives_that_hold_the_same_are_alike_throughout():
    spans, resume = compared_spans([page_of(WHOLE)] * 3, b"")
    assert resume is None
    assert [(span.after, span.last) for span in spans] == [
        (b"", b"c"), (b"c", b"f"), (b"f", b"i"), (b"i", b"l"), (b"l", OPEN_END)
    ]  # fmt: skip
    assert all(span.alike for span in spans)
    assert sum(span.rows for span in spans) == len(KEYS)


@pytest.mark.parametrize(
    ("other", "span"),
    [
        (without(b"e"), (b"c", b"f")),
        (WHOLE | {b"e": b"2"}, (b"c", b"f")),
        (WHOLE | {b"f": b"2"}, (b"c", b"f")),
        (without(b"f"), (b"c", b"i")),  # a cut less: two ranges of the others are compared with one
        (without(b"e", b"g"), (b"c", b"i")),  # neighbours are one span
        (without(b"a"), (b"", b"c")),
        (without(b"n"), (b"l", OPEN_END)),
        ({}, (b"", OPEN_END)),
        (WHOLE | {b"zz": b"1"}, (b"l", OPEN_END)),
    ],
)
def test_a_difference_is_in_its_span_only(other, span):
    for pages in ([page_of(WHOLE), page_of(other)], [page_of(other), page_of(WHOLE), page_of(WHOLE)]):
        spans, resume = compared_spans(pages, b"")
        assert resume is None
        assert [(each.after, each.last) for each in spans if not each.alike] == [span]


def test_where_there_is_nothing_all_are_alike():
    assert compared_spans([page_of({}), page_of({})], b"") == ([Span(b"", OPEN_END, True, 0, 0)], None)


def test_a_range_that_starts_before_the_page_is_compared_only_with_its_like():
    lacking = without(b"c")
    spans, _ = compared_spans([page_of(WHOLE, b"c"), page_of(lacking, b"c")], b"c")
    assert (spans[0].after, spans[0].last, spans[0].alike) == (b"c", b"f", False)
    assert all(span.alike for span in spans[1:])
    spans, _ = compared_spans([page_of(lacking, b"c"), page_of(lacking, b"c")], b"c")
    assert all(span.alike for span in spans)


holdings = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([b"1", b"2"]))


@settings(deadline=None)
@given(
    st.lists(holdings, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), st.just(b"1"), min_size=1),
    st.integers(1, 6),
)
def test_page_by_page_every_difference_is_found_and_every_key_passed_once(changes, base, limit):
    drives = [base, *(base | change if index else change for index, change in enumerate(changes))]
    after, passed = b"", b""
    while after is not None:
        pages = [page_of(held, after, limit) for held in drives]
        spans, resume = compared_spans(pages, after)
        for span in spans:
            assert span.after == passed
            passed = span.last
            keys = [key for key in KEYS if span.after < key <= span.last]
            if span.alike:
                assert all({key: held.get(key) for key in keys} == {key: base.get(key) for key in keys}
                           for held in drives)  # fmt: skip
        assert resume is None or resume > after
        after = resume
    assert passed == OPEN_END
