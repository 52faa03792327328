"""The protocol's rules, checked exhaustively on small cases and by long random ways through larger ones."""

import pytest

from rustfs.core.drivetypes import BLIND
from rustfs.objects.decide import write_quorum_of
from tests.consistency.model.exploring import explore, wander
from tests.consistency.model.machine import Broken, Model, Rules

pytestmark = pytest.mark.timeout(900)

TWO_AND_A_READER = ("put", "swap", "read")
TWO_PUTS_AND_A_READER = ("put", "put", "read")


@pytest.mark.parametrize(
    ("shape", "clients", "tokens", "late"),
    [
        ((2, 1), ("put", "read"), 3, 1),
        ((2, 1), ("put", "swap"), 3, 1),
        ((3, 2), ("put", "read"), 3, 0),
        ((3, 2), ("put", "put"), 3, 0),
        ((3, 2), ("put", "swap"), 3, 0),
        ((3, 2), TWO_PUTS_AND_A_READER, 3, 0),
        ((3, 2), TWO_AND_A_READER, 3, 0),
        ((3, 2), TWO_PUTS_AND_A_READER, 2, 1),
        ((3, 2), TWO_AND_A_READER, 2, 1),
        ((4, 2), TWO_PUTS_AND_A_READER, 2, 1),
        ((4, 2), TWO_AND_A_READER, 2, 1),
        ((5, 3), TWO_PUTS_AND_A_READER, 2, 0),
        ((5, 3), TWO_AND_A_READER, 2, 0),
    ],
)
def test_every_order_of_messages_losses_and_crashes_keeps_the_promise(shape, clients, tokens, late):
    assert explore(Model(*shape, clients, tokens=tokens, late_max=late)) > 1000


@pytest.mark.parametrize("shape", [(4, 1), (4, 2), (5, 1), (5, 3)])
@pytest.mark.parametrize("clients", [TWO_AND_A_READER, TWO_PUTS_AND_A_READER, ("put", "put", "swap")])
def test_no_random_way_breaks_the_promise(shape, clients):
    assert wander(Model(*shape, clients, tokens=6, late_max=2), seed=1, walks=400) > 4000


# -- each rule left out is noticed -------------------------------------------------------------------------------------


def test_a_version_completed_under_a_fresh_token_with_its_old_stamp():
    model = Model(4, 2, TWO_AND_A_READER, tokens=5, late_max=1, rules=Rules(copies_forward=False))
    with pytest.raises(Broken, match="took effect after another write"):
        wander(model, seed=1, walks=6000)


def test_a_version_taken_for_dead_because_so_many_refused_it():
    model = Model(5, 1, ("put", "put", "swap"), tokens=6, late_max=1, rules=Rules(counts_refusals=True))
    with pytest.raises(Broken, match="a write that failed took effect"):
        wander(model, seed=0, walks=6000)


def test_a_write_overtaken_by_a_version_that_was_there_before():
    def careless(_count, _accepted, stamp, value):
        return value.stamp == stamp or (value.stamp > stamp and bool(value.flags & BLIND))

    with pytest.raises(Broken, match="which had been written when it began"):
        explore(Model(4, 2, ("put", "put"), tokens=2, late_max=0, rules=Rules(overwritten=careless)))


def test_a_write_overtaken_by_a_conditional_one():
    def careless(count, accepted, stamp, value):
        return value.stamp == stamp or (value.stamp > stamp and accepted > count - write_quorum_of(value.flags))

    with pytest.raises(Broken, match="saw something else there"):
        explore(Model(4, 2, ("put", "swap"), tokens=2, late_max=0, rules=Rules(overwritten=careless)))


def test_promises_that_are_not_kept():
    def forgetful(state, stamp, *rest):
        return Rules().accept(state._replace(promise=b""), stamp, *rest)

    with pytest.raises(Broken):
        wander(Model(3, 2, TWO_AND_A_READER, tokens=5, late_max=1, rules=Rules(accept=forgetful)), seed=0, walks=6000)
