"""Whether a recorded history is linearizable, key by key.

After Wing and Gong (1993) with Lowe's pruning (2017): the history is walked once in order of time, with the set of all
*configurations* that explain it so far: the value of the register, which of the calls under way have taken effect, and
which calls of unknown outcome have. A call takes effect just in time, when its answer makes it necessary. A
configuration seen before is not followed twice, and one that is no better than another is dropped:

- reads (and refused conditions) change nothing, so they take effect as soon as the value is right;
- a call is tried only where its own answer, or another call under way, could need the value that it leaves;
- a plain write is *free* once another plain write has taken effect while it was under way: it may have been overwritten
  at once, so its answer is explained already, and yet it may take effect later;
- of two configurations with the same value, one whose calls are as far or free, and which used up fewer of the unknown
  calls, makes the other needless;
- unknown deletes are alike, and so are unknown puts whose value nobody sees any more: the oldest is used first.

Where no call is under way only values are left in the set, so long histories cost no more than their busiest moment.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.consistency.history import Operation, load

CONFIGURATIONS_MAX = 200_000
SHRINK_CALLS_MAX = 400_000  # calls walked while a violation is made smaller


class Absurd(Exception):
    """The history cannot be checked: too many ways to explain it."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A key's history that no order of effects explains."""

    key: str
    culprit: Operation  # the call whose answer cannot be explained
    values: tuple[str | None, ...]  # what the register could hold just before that answer
    initial: tuple[str | None, ...]  # what it could hold where the window begins
    window: tuple[Operation, ...]  # a small part of the history that is not linearizable by itself

    def __str__(self) -> str:
        lines = [f"key {self.key!r} is not linearizable: the answer of", f"  {self.culprit}"]
        lines += [f"cannot be explained; before it the register could hold: {_listed(self.values)}. A smallest window,"]
        lines += [f"from a register that could hold {_listed(self.initial)}:"]
        lines += [f"{'* ' if operation is self.culprit else '  '}{operation}" for operation in self.window]
        return "\n".join(lines)


def _listed(values: Iterable[str | None]) -> str:
    return ", ".join(sorted(value or "nothing" for value in values))


def holds(operation: Operation, value: str | None) -> bool:
    """Whether the operation's condition is satisfied by the register's value."""
    wanted, unwanted = operation.if_match, operation.if_none_match
    if wanted is not None and (value is None if wanted == "*" else value != wanted):
        return False
    return unwanted is None or (value is None if unwanted == "*" else value != unwanted)


def effect(operation: Operation, value: str | None) -> tuple[bool, str | None]:
    """Whether the operation could take effect on `value` with the outcome it had, and the value after it."""
    if operation.op == "read":
        return value == operation.value, value
    idle_delete = operation.op == "delete" and value is None
    if operation.outcome == "refused":
        return not idle_delete and not holds(operation, value), value
    return idle_delete or holds(operation, value), operation.value if operation.op == "put" else None


def check(operations: Iterable[Operation]) -> list[Violation]:
    """The violations of a history, at most one per key; keys begin with no object."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    found = []
    for key in sorted(by_key):
        calls = [each for each in by_key[key] if each.outcome in ("ok", "refused") or _counts(each)]
        walk = _Walk(calls)
        if walk.run():
            continue
        assert walk.culprit is not None
        initial, window = _smallest(calls, walk)
        found.append(Violation(key, walk.culprit, tuple(walk.values), tuple(initial), window))
    return found


class _Configuration(NamedTuple):
    value: str | None
    done: frozenset[int]  # calls under way that have taken effect
    free: frozenset[int]  # calls under way that need not take effect any more, but may
    used: frozenset[int]  # unknown calls that have taken effect

    def makes_needless(self, other: "_Configuration") -> bool:
        """Whether all that `other` can explain, this one can."""
        return self.used <= other.used and (self.done ^ other.done) | (self.free ^ other.free) <= self.free


def _counts(operation: Operation) -> bool:
    return operation.outcome == "unknown" and operation.op != "read"


class _Walk:
    """One pass over the calls on one key."""

    def __init__(self, calls: Sequence[Operation], initial: Iterable[str | None] = (None,)) -> None:
        self._calls = calls
        self._under_way: dict[int, Operation] = {}  # to be explained by the time of their answers
        self._optional = _Optional(calls)
        self._configurations = {_Configuration(value, frozenset(), frozenset(), frozenset()) for value in initial}
        self.culprit: Operation | None = None  # the first call whose answer cannot be explained
        self.values = set(initial)  # that the register could hold before it
        self.quiet = (-1, set(initial))  # the last moment when no call was under way, and what it could hold then

    def run(self) -> bool:
        """Whether the calls are linearizable."""
        for time, phase, index in self._events():
            operation = self._calls[index]
            if phase == _EXPIRES:
                self._optional.expire(index)
            elif phase == _STARTS and operation.outcome == "unknown":
                self._optional.add(index)
            elif phase == _STARTS:
                self._under_way[index] = operation
                if _changes_nothing(operation) or operation.op == "delete":
                    self._replace(self._settled(each) for each in self._configurations)
            else:
                self.values = {each.value for each in self._configurations}
                after = self._explaining(index)
                self._under_way.pop(index)
                if not after:
                    self.culprit = operation
                    return False
                self._replace(each._replace(done=each.done - {index}, free=each.free - {index}) for each in after)
                if not self._under_way:
                    self.quiet = (time, {each.value for each in self._configurations})
        return True

    def _events(self) -> list[tuple[int, int, int]]:
        last_seen: dict[str | None, int] = {}
        for call in self._calls:
            end = call.end_ns if call.end_ns is not None and call.outcome != "unknown" else _NEVER
            for value in (call.if_match, call.if_none_match, call.value if call.op == "read" else None):
                last_seen[value] = max(end, last_seen.get(value, end))
        events = []
        for index, call in enumerate(self._calls):
            if call.outcome != "unknown":
                if call.end_ns is None:
                    raise Absurd(f"answered, but without a time: {call}")
                events += [(call.start_ns, _STARTS, index), (call.end_ns, _ENDS, index)]
                continue
            events.append((call.start_ns, _STARTS, index))
            if call.op == "put":
                events.append((max(call.start_ns, last_seen.get(call.value, -1)), _EXPIRES, index))
        return sorted(events)

    def _settled(self, configuration: _Configuration) -> _Configuration:
        """With every call that changes nothing, and can take effect now, done."""
        value, done, free, _ = configuration
        ready = []
        idle = []
        for index, call in self._under_way.items():
            if index in done:
                continue
            if call.op == "delete" and call.outcome == "ok":
                if value is None:
                    idle.append(index)
            elif _changes_nothing(call) and effect(call, value)[0]:
                ready.append(index)
        if not ready and not idle:
            return configuration
        return configuration._replace(done=done.union(ready), free=free.union(idle))

    def _explaining(self, needed: int) -> set[_Configuration]:
        """Configurations reachable by effects of calls under way in which the answer of `needed` is explained."""
        reached = set()
        seen = set(self._configurations)
        to_do = list(self._configurations)
        while to_do:
            configuration = to_do.pop()
            if needed in configuration.done:
                reached.add(configuration)
                continue
            if needed in configuration.free:
                reached.add(configuration)
            for step in self._steps(configuration, needed):
                if step not in seen:
                    seen.add(step)
                    to_do.append(step)
            if len(seen) > CONFIGURATIONS_MAX:
                raise Absurd(f"more than {CONFIGURATIONS_MAX} ways to explain {self._calls[needed]}")
        return reached

    def _steps(self, configuration: _Configuration, needed: int) -> Iterable[_Configuration]:
        value, done, free, used = configuration
        waiting = {index: call for index, call in self._under_way.items() if index not in done}
        wanted = _Wanted()
        for call in waiting.values():
            wanted.by_outcome(call)
        groups = self._optional.worth_trying(wanted)
        for index, call in waiting.items():
            if _changes_nothing(call) or not (index == needed or not _is_plain(call) or wanted.includes(call)):
                continue
            possible, after = effect(call, value)
            if possible:
                yield self._after(configuration, call, after, done | {index}, used)
        for group in groups:
            first = next((index for index in group if index not in used), None)
            if first is not None:
                possible, after = effect(self._calls[first], value)
                frees = any(_is_plain(call) and index not in free for index, call in waiting.items())
                if possible and (after != value or frees):  # what is there already may have come back after a put
                    yield self._after(configuration, self._calls[first], after, done, used | {first})

    def _after(
        self,
        configuration: _Configuration,
        call: Operation,
        value: str | None,
        done: frozenset[int],
        used: frozenset[int],
    ) -> _Configuration:
        free = configuration.free
        if _is_plain(call):
            free = free.union(index for index, each in self._under_way.items() if _is_plain(each))
        return self._settled(_Configuration(value, done, free - done, used))

    def _replace(self, configurations: Iterable[_Configuration]) -> None:
        """Take these as the current ones, less those that others make needless."""
        kept: dict[str | None, list[_Configuration]] = {}
        for each in set(configurations):
            same = kept.setdefault(each.value, [])
            if not any(other.makes_needless(each) for other in same):
                same[:] = [other for other in same if not each.makes_needless(other)]
                same.append(each)
        current = [each for same in kept.values() for each in same]
        spent = frozenset.intersection(*(each.used for each in current))
        self._optional.spend(spent)
        self._configurations = {each._replace(used=each.used - spent) for each in current}


class _Wanted:
    """Values that calls could need to take effect."""

    def __init__(self) -> None:
        self.values: set[str | None] = set()
        self.any_other = False  # any change of the value could help

    def by_outcome(self, call: Operation) -> None:
        """What an answered call could need."""
        if call.op == "read":
            self.values.add(call.value)
            return
        if call.outcome == "refused" or (call.op == "delete" and call.if_match is not None):
            self.values.add(None)
        self.any_other |= call.outcome == "refused"
        self.by_condition(call)

    def by_condition(self, call: Operation) -> None:
        """What a write could need."""
        if call.if_match is not None:
            self.values.add(call.if_match)
        if call.if_none_match is not None:
            self.values.add(None)
        self.any_other |= call.if_match == "*" or call.if_none_match not in (None, "*")

    def includes(self, call: Operation) -> bool:
        """Whether the call leaves such a value."""
        return self.any_other or (None if call.op == "delete" else call.value) in self.values


class _Optional:
    """The unknown calls that may take effect from now on."""

    def __init__(self, calls: Sequence[Operation]) -> None:
        self._calls = calls
        self._deletes: list[int] = []
        self._unseen: list[int] = []  # puts of values that nobody will see
        self._seen: dict[str | None, int] = {}  # puts, by value
        self._conditional: list[int] = []

    def add(self, index: int) -> None:
        """The call was made."""
        call = self._calls[index]
        if call.if_match is not None or call.if_none_match is not None:
            self._conditional.append(index)
        elif call.op == "delete":
            self._deletes.append(index)
        else:
            self._seen[call.value] = index

    def expire(self, index: int) -> None:
        """Nobody will name the put's value any more."""
        if self._seen.get(self._calls[index].value) == index:
            del self._seen[self._calls[index].value]
            self._unseen.append(index)

    def spend(self, indexes: frozenset[int]) -> None:
        """They have taken effect, whatever explains the history."""
        if indexes:
            self._deletes = [index for index in self._deletes if index not in indexes]
            self._unseen = [index for index in self._unseen if index not in indexes]
            self._seen = {value: index for value, index in self._seen.items() if index not in indexes}
            self._conditional = [index for index in self._conditional if index not in indexes]

    def worth_trying(self, wanted: "_Wanted") -> list[list[int]]:
        """Groups of calls that are alike, and that leave a value wanted; what they need is added to that."""
        groups = []
        rest = self._conditional
        while rest:  # what one of them needs, another may give
            needed = [index for index in rest if wanted.includes(self._calls[index])]
            if not needed:
                break
            for index in needed:
                groups.append([index])
                wanted.by_condition(self._calls[index])
            rest = [index for index in rest if index not in needed]
        if None in wanted.values or wanted.any_other:
            groups.append(self._deletes)
        if wanted.any_other:
            groups.append(self._unseen)
        values = self._seen.keys() if wanted.any_other else wanted.values & self._seen.keys()
        groups += [[self._seen[value]] for value in values]
        return groups


_NEVER = 1 << 63
_STARTS, _ENDS, _EXPIRES = 0, 1, 2  # in this order where times are equal


def _is_plain(operation: Operation) -> bool:
    return not _changes_nothing(operation) and operation.if_match is None and operation.if_none_match is None


def _changes_nothing(operation: Operation) -> bool:
    return operation.op == "read" or operation.outcome == "refused"


def _smallest(calls: Sequence[Operation], walk: _Walk) -> tuple[set[str | None], tuple[Operation, ...]]:
    """A part of the history, as small as can be found quickly, that is not linearizable by itself.

    It begins where no call was under way, if that suffices. Left out are calls that change nothing, then values
    altogether: with a value go all calls that wrote or named it, so what is left of a linearizable history stays so.
    """
    assert walk.culprit is not None
    end = walk.culprit.end_ns or 0
    moment, initial = walk.quiet
    rest = [each for each in calls if each.start_ns <= end]
    late = [each for each in rest if each.outcome == "unknown" or (each.end_ns or 0) > moment]
    if _Walk(late, initial).run():
        initial = {None}
    else:
        rest = late
    budget = SHRINK_CALLS_MAX

    def still_wrong(candidate: list[Operation]) -> bool:
        nonlocal budget
        budget -= len(candidate)
        return budget > 0 and not _Walk(candidate, initial).run()

    rest = _shrink(rest, [[index] for index, call in enumerate(rest) if _changes_nothing(call)], still_wrong)
    if not any(map(_names_by_exclusion, rest)):
        rest = _shrink(rest, _value_groups(rest), still_wrong)
    return initial, tuple(sorted(rest, key=lambda each: each.start_ns))


def _names_by_exclusion(call: Operation) -> bool:
    """Whether it says what the value was not: then values cannot be left out without changing what it says."""
    return call.outcome == "refused" or call.if_match == "*" or call.if_none_match not in (None, "*")


def _shrink(
    operations: list[Operation], groups: list[list[int]], still_wrong: Callable[[list[Operation]], bool]
) -> list[Operation]:
    """Without the groups of indexes that it is wrong without, too: halves of them first, then ever smaller parts."""
    size = max(1, len(groups) // 2)
    gone: set[int] = set()
    while True:
        left = [group for group in groups if not gone.issuperset(group)]
        progress = False
        for start in range(0, len(left), size):
            without = gone.union(*left[start : start + size])
            candidate = [each for index, each in enumerate(operations) if index not in without]
            if candidate and still_wrong(candidate):
                gone, progress = without, True
        if size == 1 and not progress:
            return [each for index, each in enumerate(operations) if index not in gone]
        size = max(1, size // 2)


def _value_groups(operations: list[Operation]) -> list[list[int]]:
    """Indexes of calls that are tied to one another by the values that they write, see or name."""
    parent: dict[str | None, str | None] = {}

    def root(value: str | None) -> str | None:
        while parent.setdefault(value, value) != value:
            value = parent[value]
        return value

    def named(call: Operation) -> list[str | None]:
        values: list[str | None] = [None if call.op == "delete" else call.value]
        if call.if_match is not None:
            values.append(call.if_match)
        if call.if_none_match is not None:
            values.append(None if call.if_none_match == "*" else call.if_none_match)
        return values

    for call in operations:
        first, *others = named(call)
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str | None, list[int]] = defaultdict(list)
    for index, call in enumerate(operations):
        groups[root(named(call)[0])].append(index)
    return list(groups.values())


def main(paths: Sequence[str]) -> int:
    """Check history files; exit status 1 when one is not linearizable."""
    status = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            operations = load(file)
        violations = check(operations)
        sys.stdout.write(f"{path}: {len(operations)} operations, {len(violations)} keys not linearizable\n")
        for violation in violations:
            sys.stdout.write(f"{violation}\n")
        status = status or int(bool(violations))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
