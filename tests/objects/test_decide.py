"""The read rule, case by case, and the whole protocol on random schedules of lost messages and restarts."""

import random

import pytest

from rustfs.core.ports import CHOSEN, NO_MARK, TOMBSTONE, Held, Mark, Refusal
from rustfs.drive.rules import KeyState, joined, judge_accept, judge_prepare, raised
from rustfs.objects.decide import (
    Verdict,
    WriteOutcome,
    copies_needed_of,
    decide,
    judge_write,
    majority,
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
    assert judge_write(4, 3, accepted=3, final_refusals=1, refusals=1) is WriteOutcome.CHOSEN
    assert judge_write(4, 3, accepted=2, final_refusals=2, refusals=2) is WriteOutcome.DEAD
    assert judge_write(4, 3, accepted=0, final_refusals=0, refusals=4) is WriteOutcome.DEAD
    assert judge_write(4, 3, accepted=2, final_refusals=1, refusals=1) is WriteOutcome.OPEN
    assert judge_write(4, 3, accepted=0, final_refusals=0, refusals=0) is WriteOutcome.OPEN


def test_rules_of_a_drive():
    fresh = KeyState(b"", holds=False, promise=b"", floor=b"5")
    assert judge_accept(fresh, b"4", b"4", b"", NO_MARK) == (Refusal.STALE, b"5")
    assert judge_accept(fresh, b"6", b"6", b"", NO_MARK)[0] is Refusal.NONE
    assert judge_prepare(fresh, b"5") == (False, b"5")
    promised = KeyState(b"3", holds=False, promise=b"7", floor=b"")
    assert judge_accept(promised, b"6", b"6", b"", NO_MARK) == (Refusal.PROMISED, b"7")
    assert judge_accept(promised, b"2", b"2", b"", NO_MARK)[0] is Refusal.STALE
    assert judge_accept(promised, b"7", b"7", b"", NO_MARK)[0] is Refusal.NONE
    assert judge_accept(promised._replace(holds=True), b"3", b"3", b"", NO_MARK)[0] is Refusal.NONE
    fence = Mark(b"2", fenced=True)
    assert judge_accept(fresh, b"6", b"6", b"2", fence)[0] is Refusal.BUCKET
    assert judge_accept(fresh, b"6", b"6", b"3", fence)[0] is Refusal.NONE
    assert raised(fence, b"3") == Mark(b"3", fenced=False)
    assert joined(Mark(b"2", fenced=False), fence) == fence


class ModelDrive:
    """A drive's rules over a dict, without a disk."""

    def __init__(self) -> None:
        self.versions: dict[bytes, int] = {}
        self.promise = b""

    def state(self, stamp: bytes) -> KeyState:
        return KeyState(max(self.versions, default=b""), stamp in self.versions, self.promise, b"")

    def accept(self, token: bytes, stamp: bytes) -> Refusal:
        refusal, _ = judge_accept(self.state(stamp), token, stamp, b"", NO_MARK)
        if refusal is Refusal.NONE:
            self.versions.setdefault(stamp, FLAGS)
        return refusal

    def prepare(self, token: bytes) -> bool:
        good, _ = judge_prepare(self.state(b""), token)
        if good:
            self.promise = token
        return good

    def shown(self) -> tuple[Held, ...]:
        return tuple(Held(stamp, self.versions[stamp], b"", None) for stamp in sorted(self.versions, reverse=True))


@pytest.mark.parametrize("seed", range(400))
def test_random_schedules_are_linearizable(seed):
    """Writes and reads of one key, message by message: what was acknowledged or read is never unread.

    A read that returned a stamp, and a write that was acknowledged, bound every later read from below.
    """
    choice = random.Random(seed)
    drives = [ModelDrive() for _ in range(4)]
    ticks = iter(range(1, 10_000))
    known = b""  # the highest stamp that somebody was told of

    def stamp() -> bytes:
        return next(ticks).to_bytes(4, "big")

    def ask(action):
        reached = [p for p in range(4) if choice.random() < 0.75]
        choice.shuffle(reached)
        return {p: action(drives[p]) for p in reached}

    def complete(version: bytes, token: bytes) -> bool:
        return sum(r is Refusal.NONE for r in ask(lambda drive: drive.accept(token, version)).values()) >= 3

    for _ in range(60):
        kind = choice.random()
        if kind < 0.4:
            mine = stamp()
            answers = ask(lambda drive, mine=mine: drive.accept(mine, mine)).values()
            if sum(r is Refusal.NONE for r in answers) >= 3:
                known = max(known, mine)
        elif kind < 0.6:
            token = stamp()
            good = {p for p, ok in ask(lambda drive, token=token: drive.prepare(token)).items() if ok}
            if len(good) >= read_quorum(4):
                decision = decide(4, {p: drives[p].shown() for p in good})
                if decision.verdict is Verdict.VALUE:
                    assert decision.stamp >= known
                if decision.verdict in (Verdict.VALUE, Verdict.NOTHING, Verdict.COMPLETE) and complete(token, token):
                    known = max(known, token)
        else:
            answers = ask(lambda drive: drive.shown())
            if len(answers) >= read_quorum(4):
                decision = decide(4, answers)
                half_done = decision.verdict is Verdict.COMPLETE
                if decision.verdict is Verdict.VALUE or (half_done and complete(decision.stamp, decision.stamp)):
                    assert decision.stamp >= known
                    known = max(known, decision.stamp)
                elif decision.verdict is Verdict.NOTHING:
                    assert known == b""
