"""When one table grants, queues, refreshes and forgets."""

import pytest

from rustfs.mesh.locks import rules
from rustfs.mesh.locks.rules import Claim, Kind, Owner, Release, Verdict

LEASE = rules.LEASE_SECONDS_MAX


def claim(who, *, shared=False, round_=1, waited=0.0, lease=LEASE):
    return Claim(b"key", owner(who), shared, round_, lease, waited)


def owner(who):
    return Owner(who.encode().ljust(16), "node1", who)


def giving_back(who, *, round_=1, waited=None):
    return Release(b"key", owner(who), False, round_, waited)


class Table:
    """One resource of one table, and the time."""

    def __init__(self, *, young=False):
        self.now = 100.0
        self.state = {}
        self.young = young

    def acquire(self, *args, **options):
        verdict, self.state = rules.acquire(self.alive(), claim(*args, **options), self.now, young=self.young)
        return verdict

    def refresh(self, *args, **options):
        verdict, self.state = rules.refresh(self.alive(), claim(*args, **options), self.now, young=self.young)
        return verdict

    def release(self, *args, **options):
        self.state = rules.release(self.alive(), giving_back(*args, **options), self.now)

    def revoke(self, *who):
        self.state = rules.revoke(self.alive(), [owner(each).owner_id for each in who], self.now)

    def alive(self):
        return rules.live(list(self.state.values()), self.now)

    def kinds(self):
        return {entry.owner.purpose: entry.kind for entry in self.alive().values()}


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (False, False, Verdict.HELD),
        (False, True, Verdict.HELD),
        (True, False, Verdict.HELD),
        (True, True, Verdict.GRANTED),
    ],
)
def test_only_shared_holders_go_together(first, second, verdict):
    table = Table()
    assert table.acquire("a", shared=first) is Verdict.GRANTED
    assert table.acquire("b", shared=second) is verdict


def test_a_lease_ends_by_itself_and_a_refresh_begins_it_anew():
    table = Table()
    table.acquire("a")
    table.now += LEASE - 0.1
    assert table.refresh("a", round_=2) is Verdict.GRANTED
    table.now += LEASE - 0.1
    assert table.acquire("b", waited=None) is Verdict.HELD
    table.now += 0.2
    assert table.acquire("b") is Verdict.GRANTED
    assert table.refresh("a", round_=3) is Verdict.HELD


def test_no_lease_is_longer_than_the_longest():
    table = Table()
    table.acquire("a", lease=1_000 * LEASE)
    table.now += LEASE
    assert table.acquire("b") is Verdict.GRANTED


def test_a_repeated_acquire_is_granted_again():
    table = Table()
    assert table.acquire("a") is Verdict.GRANTED
    assert table.acquire("a") is Verdict.GRANTED
    assert table.kinds() == {"a": Kind.HOLD}


def test_a_repeated_acquire_does_not_fall_back_behind_those_who_wait():
    table = Table()
    table.acquire("a")
    table.acquire("b", waited=5.0)
    assert table.acquire("a") is Verdict.GRANTED
    assert table.kinds() == {"a": Kind.HOLD, "b": Kind.WAIT}


def test_a_shared_holder_among_others_cannot_become_exclusive_and_loses_nothing():
    table = Table()
    table.acquire("a", shared=True)
    table.acquire("b", shared=True)
    assert table.acquire("a", round_=2) is Verdict.HELD
    assert table.kinds() == {"a": Kind.HOLD, "b": Kind.HOLD}


def test_release_is_idempotent():
    table = Table()
    table.acquire("a")
    table.release("a")
    assert table.acquire("b") is Verdict.GRANTED
    table.release("a")
    assert table.kinds()["b"] is Kind.HOLD


def test_an_acquire_that_arrives_after_its_release_is_refused():
    table = Table()
    table.release("a", round_=1)
    assert table.acquire("a", round_=1) is Verdict.REVOKED
    assert table.acquire("b") is Verdict.GRANTED


def test_a_late_release_of_an_earlier_round_takes_nothing_away():
    table = Table()
    table.acquire("a", round_=2)
    table.release("a", round_=1, waited=0.5)
    table.release("a", round_=1)
    assert table.kinds() == {"a": Kind.HOLD}


def test_who_withdraws_waits_on_and_its_late_acquire_is_refused():
    table = Table()
    table.acquire("a", round_=1)
    table.release("a", round_=1, waited=1.0)
    assert table.kinds() == {"a": Kind.WAIT}
    assert table.acquire("a", round_=1, waited=1.0) is Verdict.QUEUED
    assert table.acquire("b") is Verdict.QUEUED
    assert table.acquire("a", round_=2, waited=1.1) is Verdict.GRANTED


def test_a_waiting_exclusive_claim_keeps_new_shared_ones_out():
    table = Table()
    table.acquire("reader 1", shared=True)
    assert table.acquire("writer") is Verdict.HELD
    table.now += 1.0
    assert table.acquire("reader 2", shared=True) is Verdict.QUEUED
    table.release("reader 1")
    assert table.acquire("reader 3", shared=True) is Verdict.QUEUED
    assert table.acquire("writer", round_=2, waited=1.0) is Verdict.GRANTED


def test_shared_claims_that_wait_keep_a_stream_of_exclusive_ones_out():
    table = Table()
    table.acquire("writer 1")
    table.acquire("reader 1", shared=True)
    table.acquire("reader 2", shared=True)
    table.now += 1.0
    table.release("writer 1")
    assert table.acquire("writer 2") is Verdict.QUEUED
    assert table.acquire("reader 1", shared=True, round_=2, waited=1.0) is Verdict.GRANTED
    assert table.acquire("reader 2", shared=True, round_=2, waited=1.0) is Verdict.GRANTED


def test_who_waited_longer_elsewhere_goes_first_here():
    table = Table()
    table.acquire("holder")
    table.acquire("late", waited=0.0)
    table.acquire("early", waited=3.0)
    table.release("holder")
    assert table.acquire("late", round_=2, waited=0.0) is Verdict.QUEUED
    assert table.acquire("early", round_=2, waited=3.0) is Verdict.GRANTED


def test_differences_within_the_margin_let_both_try():
    table = Table()
    table.acquire("holder")
    table.acquire("a", waited=0.05)
    table.acquire("b", waited=0.0)
    table.release("holder")
    assert table.acquire("b", round_=2, waited=0.0) is Verdict.GRANTED


def test_a_waiter_that_asks_no_more_is_forgotten():
    table = Table()
    table.acquire("holder", shared=True)
    table.acquire("gone")
    table.now += rules.WAITER_SECONDS + 0.01
    assert table.kinds() == {"holder": Kind.HOLD}
    assert table.acquire("b", shared=True) is Verdict.GRANTED


def test_waiters_are_bounded_and_the_rest_may_still_try():
    table = Table()
    table.acquire("holder")
    for number in range(2 * rules.WAITERS_MAX):
        assert table.acquire(f"w{number}") is Verdict.HELD
    assert len(table.state) == rules.WAITERS_MAX + 1
    table.release("holder")
    assert table.acquire(f"w{2 * rules.WAITERS_MAX - 1}", round_=2) is Verdict.GRANTED


def test_who_does_not_queue_leaves_no_trace_and_needs_not_wait_for_waiters():
    table = Table()
    table.acquire("holder")
    assert table.acquire("other", waited=None) is Verdict.HELD
    table.acquire("waiter", waited=5.0)
    assert "other" not in table.kinds()
    table.release("holder")
    assert table.acquire("other", waited=None) is Verdict.GRANTED


def test_a_revoked_owner_is_told_and_stays_out_and_others_get_the_lock():
    table = Table(young=True)
    table.acquire("a")
    table.revoke("a")
    assert table.refresh("a", round_=2) is Verdict.REVOKED
    assert table.acquire("a", round_=3, waited=None) is Verdict.REVOKED
    table.release("a", round_=4)
    assert table.acquire("a", round_=5) is Verdict.REVOKED
    assert table.acquire("b") is Verdict.PROVISIONAL


def test_only_a_young_table_learns_locks_by_their_refresh():
    old, young = Table(), Table(young=True)
    assert old.refresh("a") is Verdict.NOT_HELD
    assert young.refresh("a") is Verdict.PROVISIONAL
    assert young.acquire("b") is Verdict.HELD
    assert young.refresh("c") is Verdict.HELD


def test_a_waiter_cannot_refresh():
    table = Table(young=True)
    table.acquire("a")
    table.acquire("b")
    table.release("a")
    assert table.refresh("b", round_=2) is Verdict.NOT_HELD


@pytest.mark.parametrize(
    ("tables", "firm", "provisional", "held"),
    [
        (1, 1, 0, True),
        (1, 0, 1, True),
        (3, 2, 0, True),
        (3, 1, 1, False),
        (3, 1, 2, True),
        (3, 0, 2, False),
        (3, 0, 3, True),
        (4, 2, 1, False),
        (4, 3, 0, True),
        (4, 2, 2, True),
    ],
)
def test_a_lock_takes_a_majority_or_everybody(tables, firm, provisional, held):
    assert rules.is_acquired(tables, firm, provisional) is held


def test_any_two_majorities_meet():
    for tables in range(1, 20):
        assert 2 * rules.majority(tables) > tables
        assert rules.majority(tables) <= tables
