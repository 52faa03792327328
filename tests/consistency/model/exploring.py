"""Ways through the model: all of them, or many at random."""

import random

from tests.consistency.model.machine import Broken, Model
from tests.consistency.model.states import State, order


def _canonical(state: State) -> State:
    """Of the states that differ only by which of two clients of one kind is which, one."""
    first, second = state.clients[:2]
    if first.kind != second.kind or order(first) <= order(second):
        return state
    drives = (each._replace(answers=(each.answers[1], each.answers[0], *each.answers[2:])) for each in state.drives)
    names = {0: 1, 1: 0}
    writes = tuple((stamp, names.get(writer, writer), follows) for stamp, writer, follows in state.ghost.writes)
    clients = (second, first, *state.clients[2:])
    return State(tuple(sorted(drives, key=order)), clients, state.ghost._replace(writes=writes))


def explore(model: Model) -> int:
    """Visit every state that can be reached. How many there are. Raises Broken, with the way there.

    Of a state that was visited only its hash is kept (64 bits: of ten million states two are taken for one with a
    chance of one in 300,000).
    """
    came_from: dict[int, int] = {hash(model.start): 0}
    to_do = [model.start]
    while to_do:
        state = to_do.pop()
        try:
            for following in map(_canonical, model.steps(state)):
                mark = hash(following)
                if mark not in came_from:
                    came_from[mark] = hash(state)
                    if following.ghost.chosen != state.ghost.chosen or following.clients != state.clients:
                        model.check(following)
                    to_do.append(following)
        except Broken as broken:
            broken.trail = _way_to(model, came_from, state)
            raise
    return len(came_from)


def _way_to(model: Model, came_from: dict[int, int], last: State) -> list[State]:
    marks = [hash(last)]
    while came_from[marks[-1]]:
        marks.append(came_from[marks[-1]])
    trail = [model.start]
    for mark in reversed(marks[:-1]):
        trail.append(next(each for each in map(_canonical, model.steps(trail[-1])) if hash(each) == mark))
    return trail


def wander(model: Model, seed: int, walks: int) -> int:
    """Random ways through the machine, each to its end. Steps taken. Raises Broken, with the way there."""
    choice = random.Random(seed)
    steps = 0
    for _ in range(walks):
        state = model.start
        trail = [state]
        try:
            while following := list(model.steps(state)):
                state = choice.choice(following)
                model.check(state)
                trail.append(state)
        except Broken as broken:
            broken.trail = trail
            raise
        steps += len(trail)
    return steps
