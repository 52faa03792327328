"""Digests of ranges: kept up as versions come and go, equal on drives that hold the same, and made anew if absent."""

import asyncio
import functools
import itertools
import os
import shutil
import tempfile
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.drivetypes import CHOSEN, OPEN_END, TOMBSTONE, Accept, KeyRange
from rustfs.drive import digests, tables
from rustfs.drive.digests import counted, ends_range, range_page
from rustfs.drive.transactions import Memory, Transaction
from tests.drive.harness import open_drives

FLAGS = 3 << 8 | 2 << 16
BUCKETS = (b"a", b"b")
KEYS = [b"%d" % number for number in range(24)]


def stamp_of(number: int) -> bytes:
    return number.to_bytes(6, "big") + bytes(10)


@functools.cache
def empty_store():
    """The file of one that was just made."""
    path = os.path.join(tempfile.mkdtemp(), "meta.db")
    tables.create(path, b"", b"", healing=False)
    return path


class Store:
    """A metadata store under transactions, without the threads around it."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "meta.db")
        shutil.copy(empty_store(), self.path)
        self.open()

    def open(self):
        self.connection = tables.connect(self.path, writable=True)
        self.connection.execute("PRAGMA synchronous=OFF")  # hundreds of stores, and no power fails
        self.memory = Memory()

    def close(self):
        self.connection.close()

    def commit(self, work, *, keep=True):
        """One group commit; or one that fails at its end."""
        self.connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(self.connection, 0, self.memory)
        for each in work:
            each(transaction)
        transaction.finish()
        if keep:
            self.connection.execute("COMMIT")
        else:
            transaction.rolled_back()
            self.connection.execute("ROLLBACK")

    def ranges(self):
        return self.connection.execute("SELECT bucket, last, high, low, rows FROM ranges").fetchall()

    def check(self):
        assert self.ranges() == list(counted(self.connection))


def accept(bucket, key, stamp, flags=0):
    offer = Accept(bucket, key, stamp, FLAGS | flags, b"record", b"shard", (), (), b"")
    return lambda transaction: transaction.accept(offer, blank=False)


def accept_chosen(bucket, key, stamp):
    return accept(bucket, key, stamp, CHOSEN)


def heal(bucket, key, stamp):
    offer = Accept(bucket, key, stamp, FLAGS, b"record", b"shard", (), (), b"")
    return lambda transaction: transaction.heal(offer, replace_inline=True)


def note(bucket, key, stamp):
    return lambda transaction: transaction.note_chosen([(bucket, key, stamp, True)])


def drop(bucket, key, stamp):
    return lambda transaction: transaction.drop(bucket, key, stamp)


calls = st.builds(
    lambda kind, bucket, key, number: kind(bucket, key, stamp_of(number)),
    st.sampled_from([accept, accept_chosen, accept_chosen, heal, note, note, drop]),
    st.sampled_from(BUCKETS),
    st.sampled_from(KEYS),
    st.integers(1, 40),
)


@pytest.fixture(autouse=True)
def short_ranges(monkeypatch):
    monkeypatch.setattr(digests, "RANGE_KEYS", 4)


def test_the_keys_of_these_tests_cut_ranges():
    assert 3 <= sum(map(ends_range, KEYS)) <= 12


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["commit", "commit", "fail", "reopen"]), st.lists(calls, max_size=12))))
def test_digests_are_at_all_times_what_a_count_would_make_them(steps):
    with tempfile.TemporaryDirectory() as directory:
        store = Store(directory)
        for kind, work in steps:
            store.commit(work, keep=kind != "fail")
            if kind == "reopen":
                store.close()
                store.open()
            store.check()
        store.commit(drop(bucket, key, stamp_of(99)) for bucket, key in itertools.product(BUCKETS, KEYS))
        assert store.ranges() == []
        store.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(calls, max_size=60), st.sets(st.tuples(st.sampled_from(BUCKETS), st.sampled_from(KEYS))))
def test_drives_that_hold_the_same_have_the_same_ranges_whatever_their_histories(work, held):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        stores = [Store(one), Store(two)]
        stores[0].commit(work)
        stores[0].commit(drop(bucket, key, stamp_of(99)) for bucket, key in itertools.product(BUCKETS, KEYS))
        for store, order in zip(stores, (sorted(held), sorted(held, reverse=True)), strict=True):
            for bucket, key in order:  # each in a commit of its own
                store.commit([accept(bucket, key, stamp_of(200))])
                store.commit([note(bucket, key, stamp_of(200))])
        assert stores[0].ranges() == stores[1].ranges()
        for store in stores:
            store.close()


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    made.close()


def test_a_version_counts_once_it_is_noted_as_chosen(store):
    store.commit([accept(b"a", b"1", stamp_of(1))])
    assert store.ranges() == []
    store.commit([note(b"a", b"1", stamp_of(1))])
    first = store.ranges()
    assert [row[4] for row in first] == [1]
    store.commit([accept(b"a", b"1", stamp_of(2), TOMBSTONE), note(b"a", b"1", stamp_of(1))])
    assert store.ranges() == first
    store.commit([note(b"a", b"1", stamp_of(2))])
    assert [row[4] for row in store.ranges()] == [1]
    assert store.ranges() != first


def test_pages_go_on_where_the_last_one_ended(store):
    store.commit(accept_chosen(b"a", key, stamp_of(1)) for key in KEYS)
    store.commit([accept_chosen(b"b", b"other bucket", stamp_of(1))])
    whole = range_page(store.connection, b"a", b"", 100, blank=False)
    assert (whole.start, whole.more) == (b"", False)
    assert sum(each.rows for each in whole.ranges) == len(KEYS)
    assert [each.last for each in whole.ranges if each.last != OPEN_END] == sorted(filter(ends_range, KEYS))
    assert all(len(each.digest) == 16 for each in whole.ranges)
    found, after = [], b""
    while True:
        page = range_page(store.connection, b"a", after, 2, blank=True)
        assert page.blank
        assert page.start == after
        found += page.ranges
        if not page.more:
            break
        assert len(page.ranges) == 2
        after = page.ranges[-1].last
    assert found == whole.ranges


def test_a_page_starts_with_the_range_that_holds_what_is_asked_for(store):
    store.commit(accept_chosen(b"a", key, stamp_of(1)) for key in KEYS)
    first, second = range_page(store.connection, b"a", b"", 2, blank=False).ranges
    within = range_page(store.connection, b"a", first.last + b"\0", 1, blank=False)
    assert (within.start, within.ranges) == (first.last, [second])


def test_a_range_of_a_bucket_is_not_taken_for_one_of_the_next(store):
    """Both buckets have a range that ends with the same key, and the first one has none that is open yet."""
    end = next(filter(ends_range, KEYS))
    store.commit(accept_chosen(bucket, end, stamp_of(1)) for bucket in BUCKETS)
    store.commit([accept_chosen(b"a", end + b"0", stamp_of(1))])
    store.check()
    assert [row[:2] for row in store.ranges()] == [(b"a", end), (b"a", OPEN_END), (b"b", end)]


def test_a_store_made_before_there_were_digests_gets_them_when_it_is_opened(tmp_path):
    root = str(tmp_path / "drive")

    async def write():
        async with open_drives([root]) as (drive,):
            for number, key in enumerate(KEYS):
                await drive.accept(
                    Accept(b"a", key, stamp_of(number), FLAGS | (CHOSEN if number % 4 else 0),
                           b"record", b"shard", (), (), b"")
                )  # fmt: skip
            return await look(drive)

    async def look(drive):
        return await drive.ranges(b"a", b"", 100), await drive.unsettled(b"", stamp_of(99), 100)

    async def reopened():
        async with open_drives([root]) as (drive,):
            return await look(drive)

    before = asyncio.run(write())
    assert len(before[0].ranges) > 3
    assert [row[1] for row in before[1]] == KEYS[::4]
    connection = tables.connect(os.path.join(root, ".rustfs", "meta.db"), writable=True)
    connection.execute("DROP TABLE ranges; DROP INDEX unsettled")
    connection.close()
    assert asyncio.run(reopened()) == before
    with mock.patch.object(tables, "recount", side_effect=AssertionError("once is enough")):
        assert asyncio.run(reopened()) == before


def test_digests_of_adjoining_ranges_combine(store, monkeypatch):
    """Where one drive has a cut that another has not, the two ranges there are compared with the one here."""
    store.commit(accept_chosen(b"a", key, stamp_of(1)) for key in KEYS)
    parts = range_page(store.connection, b"a", b"", 100, blank=False).ranges
    monkeypatch.setattr(digests, "RANGE_KEYS", 1 << 40)
    digests.recount(store.connection)
    (whole,) = range_page(store.connection, b"a", b"", 100, blank=False).ranges
    combined = 0
    for part in parts:
        combined ^= int.from_bytes(part.digest, "big")
    assert len(parts) > 3
    assert combined == int.from_bytes(whole.digest, "big")
    assert whole == KeyRange(OPEN_END, whole.digest, len(KEYS))
