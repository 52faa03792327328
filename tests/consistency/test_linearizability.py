"""The checker passes what a real register did, however it is scrambled in time, and catches what none could do."""

import io
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.consistency.history import Operation, load, save
from tests.consistency.linearizability import check, effect, main


def call(op, value, start, end, outcome="ok", process=0, **condition) -> Operation:
    return Operation(process, op, "k", value, outcome, start, end, **condition)


def history_of(seed: int, count: int, processes: int, keys: int = 1, unknown: float = 0.1) -> list[Operation]:
    """Calls on real registers: each takes effect at one moment between its start and its end, or, unknown, whenever."""
    choice = random.Random(seed)
    registers: dict[str, str | None] = {}
    free_at = [0] * processes
    calls = []
    for number in range(count):
        process = min(range(processes), key=free_at.__getitem__)
        start = free_at[process] + choice.randrange(1, 4)
        moment = start + choice.randrange(1, 20)
        end = moment + choice.randrange(1, 20)
        free_at[process] = end
        calls.append((moment, process, start, end, number))
    operations = []
    late = []
    for moment, process, start, end, number in calls:
        lost = choice.random() < unknown
        if lost:
            late.append(moment + choice.choice([0, 100, 10_000]))
        op = choice.choice(["put", "put", "read", "read", "read", "delete", "swap"])
        operations.append(
            (
                late[-1] if lost else moment,
                Operation(
                    process,
                    op,
                    f"k{choice.randrange(keys)}",
                    f"v{number}" if op != "delete" else None,
                    "unknown" if lost else "ok",
                    start,
                    end,
                ),
            )
        )
    told = []
    for _, planned in sorted(operations, key=lambda pair: pair[0]):
        each = planned
        held = registers.get(each.key)
        lost = each.outcome == "unknown"
        if lost and choice.random() < 0.5:
            told.append(replace(each, op="put" if each.op == "swap" else each.op))
            continue
        if each.op == "swap":
            wish = held if choice.random() < 0.6 else "v0"
            each = replace(each, op="put", if_match=wish) if wish else replace(each, op="put", if_none_match="*")
        if each.op == "read":
            each = replace(each, value=held)
        else:
            possible, after = effect(each, held)
            if possible:
                registers[each.key] = after
            elif not lost:
                each = replace(each, outcome="refused")
        told.append(each)
    choice.shuffle(told)
    return told


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(1, 40), st.integers(1, 6), st.integers(1, 3))
def test_what_a_register_did_is_linearizable(seed, count, processes, keys):
    assert check(history_of(seed, count, processes, keys)) == []


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(1, 40))
def test_values_from_nowhere_are_caught(seed, count):
    history = history_of(seed, count, 4)
    end = max(each.end_ns for each in history)
    assert check([*history, call("read", "never written", end + 1, end + 2)])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(0, 30))
def test_mutations_after_a_known_value_are_caught(seed, count):
    """Behind any history, once nothing is under way or unknown: stale read, lost update, revived delete."""
    history = history_of(seed, count, 4, unknown=0.0)
    end = max((each.end_ns for each in history), default=0)
    history += [call("put", "old", end + 1, end + 2), call("put", "new", end + 3, end + 4)]
    assert check(history) == []
    assert check([*history, call("read", "new", end + 5, end + 6), call("read", "new", end + 5, end + 7)]) == []
    assert check([*history, call("read", "old", end + 5, end + 6)]), "stale read"
    swaps = [call("put", f"swap{n}", end + 5, end + 9, process=n, if_match="new") for n in range(2)]
    assert check([*history, *swaps]), "both swaps of one value succeeded: one update is lost"
    assert check([*history, swaps[0], replace(swaps[1], outcome="refused")]) == []
    gone = [*history, call("delete", None, end + 5, end + 6)]
    assert check([*gone, call("read", None, end + 7, end + 8)]) == []
    assert check([*gone, call("read", "new", end + 7, end + 8)]), "a deleted object came back"


def explainable(calls: list[Operation], value: str | None = None) -> bool:
    """Wing and Gong without any pruning: try every call that may be the first one."""
    answered = [each for each in calls if each.outcome != "unknown"]
    if not answered:
        return True
    first_end = min(each.end_ns for each in answered)
    for index, each in enumerate(calls):
        if each.start_ns <= first_end:
            possible, after = effect(each, value)
            if possible and explainable(calls[:index] + calls[index + 1 :], after):
                return True
    return False


VALUES = st.sampled_from(["a", "b", "c", "d"])
CONDITIONS = st.one_of(
    st.just({}),
    st.builds(lambda value: {"if_match": value}, st.one_of(VALUES, st.just("*"))),
    st.builds(lambda value: {"if_none_match": value}, st.one_of(VALUES, st.just("*"))),
)


@st.composite
def arbitrary_calls(draw):
    """A few calls that overlap and contradict each other at will; each value is written at most once."""
    calls = []
    to_write = ["a", "b", "c", "d"]
    for process in range(draw(st.integers(1, 7))):
        op = draw(st.sampled_from(["read", "read", "delete", *(["put"] * 2 if to_write else [])]))
        condition = draw(CONDITIONS) if op != "read" else {}
        outcomes = ["ok", "ok", "unknown", "refused"] if condition else ["ok", "ok", "unknown"]
        outcome = draw(st.sampled_from(outcomes)) if op != "read" else "ok"
        value = to_write.pop() if op == "put" else draw(st.one_of(st.none(), VALUES)) if op == "read" else None
        start = draw(st.integers(0, 12))
        calls.append(call(op, value, start, start + draw(st.integers(1, 8)), outcome, process, **condition))
    return calls


@settings(max_examples=1500, deadline=None)
@given(arbitrary_calls())
def test_pruning_changes_no_verdict(calls):
    found = check(calls)
    assert bool(found) != explainable(calls)
    for violation in found:
        assert not any(explainable(list(violation.window), value) for value in violation.initial)


def test_concurrent_calls_may_take_effect_in_any_order():
    puts = [call("put", "a", 0, 10, process=1), call("put", "b", 0, 10, process=2)]
    for first, second in (("a", "b"), ("b", "a")):
        reads = [call("read", first, 2, 3), call("read", second, 4, 5)]
        assert check(puts + reads) == []
        assert check([*puts, *reads, call("read", first, 6, 7)]), "and back again is not an order"


def test_an_unknown_write_takes_effect_once_at_any_later_time_or_never():
    lost = call("put", "a", 0, 1, "unknown")
    later = call("put", "b", 2, 3)
    assert check([lost, later, call("read", "b", 4, 5)]) == []
    assert check([lost, later, call("read", "b", 4, 5), call("read", "a", 6, 7)]) == []
    twice = [call("read", "a", 4, 5), call("put", "c", 6, 7), call("read", "a", 8, 9)]
    assert check([lost, later, *twice]), "it took effect twice"
    assert check([replace(lost, outcome="failed"), later, call("read", "a", 6, 7)]), "it had none"
    assert check([call("read", "a", 0, 1), replace(lost, start_ns=2, end_ns=None)]), "not before it began"


def test_an_unseen_unknown_write_explains_a_refusal():
    refused = call("put", "b", 4, 5, "refused", if_none_match="*")
    assert check([refused])
    assert check([call("put", "a", 0, 1, "unknown"), refused]) == []
    assert check([call("delete", None, 0, 1, "unknown"), refused])


def test_an_unknown_delete_explains_a_put_before_a_creation():
    """The put comes first, and is deleted before the creation finds nothing."""
    put = call("put", "a", 0, 9)
    created = call("put", "b", 3, 8, if_none_match="*", process=1)
    seen = call("read", "b", 10, 11)
    lost = call("delete", None, 2, None, "unknown", process=2)
    assert check([put, created, seen, lost]) == []
    assert check([put, created, seen])
    assert check([put, created, seen, call("delete", None, 8.5, None, "unknown", process=2)])


def test_unknown_deletes_are_used_once_each():
    puts = [call("put", f"v{n}", 10 * n, 10 * n + 1) for n in range(3)]
    gone = [call("read", None, 10 * n + 2, 10 * n + 3) for n in range(3)]
    lost = [call("delete", None, 0, None, "unknown", process=n) for n in range(3)]
    assert check(puts + gone + lost) == []
    assert check(puts + gone + lost[:2])


def test_a_refused_condition_tells_of_the_value():
    put = call("put", "a", 0, 1)
    assert check([put, call("put", "b", 2, 3, "refused", if_match="z")]) == []
    assert check([put, call("put", "b", 2, 3, "refused", if_match="a")])
    assert check([put, call("put", "b", 2, 3, "refused", if_none_match="*")]) == []
    assert check([call("delete", None, 2, 3, if_match="z")]) == [], "a delete of nothing is no error"
    assert check([put, call("delete", None, 2, 3, if_match="z")])


def test_a_listing_sees_each_key_at_one_moment_of_the_call():
    lines = [
        '{"process": 1, "op": "put", "key": "a", "value": "1", "outcome": "ok", "start_ns": 0, "end_ns": 9}',
        '{"process": 1, "op": "put", "key": "b", "value": "2", "outcome": "ok", "start_ns": 10, "end_ns": 11}',
        '{"process": 2, "op": "list", "keys": {"a": "1", "b": "2"}, "outcome": "ok", "start_ns": 5, "end_ns": 12}',
    ]
    assert check(load(lines)) == []
    late = '{"process": 2, "op": "list", "keys": {"a": null}, "outcome": "ok", "start_ns": 20, "end_ns": 22}'
    (violation,) = check(load([*lines, late]))
    assert violation.key == "a"


def test_the_window_shows_what_matters_and_little_else():
    noise = [call("put", f"n{n}", 10 * n, 10 * n + 11, process=n % 3) for n in range(500)]
    noise += [call("read", f"n{n}", 10 * n + 11, 10 * n + 12, process=9) for n in range(499)]
    mine = [call("put", "mine", 6000, 6001), call("put", "yours", 6002, 6003), call("read", "mine", 6004, 6005)]
    (violation,) = check(noise + mine)
    assert violation.culprit == mine[-1]
    assert len(violation.window) <= 3
    assert "mine" in str(violation)


def test_a_violation_in_the_middle_of_a_busy_history_is_made_small():
    history = history_of(5, 3000, 6, unknown=0.02)
    moment = sorted(each.end_ns for each in history)[2000]
    bad = [call("put", "x", moment, moment + 1), call("put", "y", moment + 2, moment + 3)]
    bad += [call("read", "y", moment + 200, moment + 201), call("read", "x", moment + 202, moment + 203)]
    bad = [replace(each, key="k0") for each in bad]
    (violation,) = check(history + bad)
    assert len(violation.window) < 100


@pytest.mark.parametrize(("count", "keys"), [(4_000, 1), (100_000, 20)])
def test_long_histories_are_checked_in_seconds(count, keys):
    history = history_of(1, count, 12, keys, unknown=0.01)
    started = time.process_time()
    assert check(history) == []
    assert time.process_time() - started < 40


def test_a_history_file_is_read_as_it_was_written(tmp_path, capsys):
    history = history_of(7, 200, 4, 3)
    file = io.StringIO()
    save(history, file)
    assert load(file.getvalue().splitlines()) == history
    path = tmp_path / "history.jsonl"
    path.write_text(file.getvalue())
    assert main([str(path)]) == 0
    wrong = '{"process": 1, "op": "read", "key": "k0", "value": "?", "outcome": "ok", "start_ns": 0, "end_ns": 1}\n'
    path.write_text(file.getvalue() + wrong)
    assert main([str(path)]) == 1
    assert "k0" in capsys.readouterr().out
