"""The rules of readers and drives, case by case; tests/consistency has them together."""

import pytest

from rustfs.core.drivetypes import BLIND, CHOSEN, NO_MARK, TOMBSTONE, Held, Mark, Refusal
from rustfs.drive.rules import KeyState, joined, judge_accept, judge_prepare, raised
from rustfs.objects.decide import (
    Decision,
    Verdict,
    WriteOutcome,
    copies_needed_of,
    decide,
    judge_write,
    majority,
    overwritten,
    read_quorum,
    version_flags,
    write_quorum_of,
)

FLAGS = version_flags(4, 2)


def held(stamp: bytes, flags: int = FLAGS) -> Held:
    return Held(stamp, flags, b"", None)


def verdict(answers, **arguments):
    decision = decide(4, {p: tuple(map(held, stamps)) for p, stamps in answers.items()}, **arguments)
    return decision.verdict, decision.stamp


def test_flags_carry_the_quorums():
    assert (write_quorum_of(FLAGS), copies_needed_of(FLAGS)) == (3, 2)
    assert write_quorum_of(version_flags(4, 4)) == 4
    assert write_quorum_of(version_flags(5, 3)) == 3
    assert version_flags(4, 1, tombstone=True) & TOMBSTONE


@pytest.mark.parametrize("count", range(1, 17))
def test_quorums_meet(count):
    assert majority(count) * 2 > count
    assert majority(count) + read_quorum(count) > count


def test_seen_on_a_write_quorum_is_the_value():
    assert verdict({0: [b"2"], 1: [b"2"], 2: [b"2"]}) == (Verdict.VALUE, b"2")


def test_marked_chosen_is_the_value_by_a_single_copy():
    decision = decide(4, {0: (held(b"2", FLAGS | CHOSEN),), 1: ()})
    assert (decision.verdict, decision.stamp) == (Verdict.VALUE, b"2")


def test_what_may_be_chosen_elsewhere_is_completed_when_enough_copies_are_in_reach():
    assert verdict({0: [b"2"], 1: [b"2"]}) == (Verdict.COMPLETE, b"2")
    assert verdict({0: [b"2"], 1: []}) == (Verdict.UNDECIDED, b"2")


def test_what_cannot_be_chosen_is_passed_over_for_the_next_older():
    assert verdict({0: [b"2", b"1"], 1: [b"1"], 2: [b"1"], 3: []}) == (Verdict.VALUE, b"1")
    assert verdict({0: [b"2"], 1: [], 2: [], 3: []}) == (Verdict.NOTHING, b"")


def test_k_copies_are_no_quorum():
    """Two copies rebuild the bytes, but two drives say that they never had it: it was not acknowledged."""
    assert verdict({0: [b"2"], 1: [b"2"], 2: [], 3: []}) == (Verdict.NOTHING, b"")


def test_the_silence_of_a_blank_drive_says_nothing():
    assert verdict({0: [b"2"], 1: [b"2"], 2: [], 3: []}, blank={3}) == (Verdict.COMPLETE, b"2")


def test_versions_of_an_earlier_bucket_are_not_seen():
    assert verdict({p: [b"1"] for p in range(4)}, not_below=b"2") == (Verdict.NOTHING, b"")


def test_outcomes_of_a_write():
    assert judge_write(4, 3, 2, accepted=3, refused=1) is WriteOutcome.CHOSEN
    assert judge_write(4, 3, 2, accepted=0, refused=4) is WriteOutcome.DEAD
    assert judge_write(3, 3, 2, accepted=0, refused=3) is WriteOutcome.DEAD, "the fourth was never asked"
    assert judge_write(4, 3, 2, accepted=0, refused=3) is WriteOutcome.DEAD, "nor if the fourth holds it"
    assert judge_write(4, 3, 2, accepted=0, refused=2) is WriteOutcome.OPEN, "two may hold it"
    assert judge_write(4, 3, 2, accepted=1, refused=3) is WriteOutcome.DEAD, "nobody can rebuild it from one shard"
    assert judge_write(4, 3, 2, accepted=1, refused=2) is WriteOutcome.OPEN, "the fourth may hold it, and make two"
    assert judge_write(4, 3, 1, accepted=1, refused=3) is WriteOutcome.OPEN, "others may bring it forward"


def test_when_a_write_took_effect_right_before_another():
    flags = version_flags(4, 2)

    def by(accepted, stamp, flags):
        return overwritten(4, accepted, b"5", Decision(Verdict.VALUE, stamp, flags))

    assert by(2, b"6", flags | BLIND), "the newer one was not on three drives when two of four accepted ours"
    assert not by(1, b"6", flags | BLIND), "it may have been chosen before"
    assert not by(2, b"6", flags), "it may have been written upon a condition that ours would have broken"
    assert not by(2, b"4", flags | BLIND)
    assert by(1, b"5", flags)


def test_rules_of_a_drive():
    fresh = KeyState(b"", holds=False, promise=b"", floor=b"5")
    assert judge_accept(fresh, b"4", b"", NO_MARK) == (Refusal.STALE, b"5")
    assert judge_accept(fresh, b"6", b"", NO_MARK)[0] is Refusal.NONE
    assert judge_prepare(fresh, b"5") == (False, b"5")
    promised = KeyState(b"3", holds=False, promise=b"7", floor=b"")
    assert judge_accept(promised, b"6", b"", NO_MARK) == (Refusal.PROMISED, b"7")
    assert judge_accept(promised, b"2", b"", NO_MARK)[0] is Refusal.STALE
    assert judge_accept(promised, b"7", b"", NO_MARK)[0] is Refusal.NONE
    assert judge_accept(promised._replace(holds=True), b"3", b"", NO_MARK)[0] is Refusal.NONE
    fence = Mark(b"2", fenced=True)
    assert judge_accept(fresh, b"6", b"2", fence)[0] is Refusal.BUCKET
    assert judge_accept(fresh, b"6", b"3", fence)[0] is Refusal.NONE
    assert raised(fence, b"3") == Mark(b"3", fenced=False)
    assert joined(Mark(b"2", fenced=False), fence) == fence
