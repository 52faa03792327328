"""What a state of the model consists of: drives, clients, and what an observer outside knows."""

from functools import cache
from typing import NamedTuple


class Drive(NamedTuple):
    """One drive's column of a state."""

    accepted: tuple[int, ...]  # stamps, ascending; of them,
    chosen: int  # this one is marked chosen, and those below it are forgotten
    promise: int  # -1: none
    late: tuple["Message", ...]  # requests under way whose clients have gone on
    answers: tuple[object, ...]  # by client: None, WAITING, ACCEPTED, or the versions that it was shown

    @property
    def shown(self) -> tuple[tuple[int, ...], int]:
        """What it answers to who asks for the versions it holds."""
        return tuple(each for each in self.accepted if each >= self.chosen), self.chosen


@cache
def order(each: object) -> str:
    """By what drives and clients are sorted: in every run in the same way, so that the seeds of random ways hold."""
    return repr(each)


class Message(NamedTuple):
    """A request to every drive."""

    kind: str  # read, prepare, accept
    token: int
    stamp: int


class Client(NamedTuple):
    """Where a client stands."""

    kind: str
    step: str
    round: Message | None
    own: tuple[int, ...]  # stamps under which it offered its version
    target: int  # the version that it is completing
    floor: int  # what had been seen or acknowledged anywhere when it began
    tries: int
    before: tuple[int, ...]  # of a put: what had ever been chosen when it began
    accepted: int  # of a put that was partly refused: how many drives had accepted it
    result: tuple[str, int]  # (ok | refused | failed | unknown, the stamp it learnt)


class Ghost(NamedTuple):
    """What an observer outside knows: nobody acts upon it."""

    writes: tuple[tuple[int, int, int], ...]  # (stamp, which client's write, stamp it must follow or -1)
    chosen: tuple[int, ...]  # stamps that were ever on a write quorum
    known: int  # the highest stamp that anybody was told of
    blind: tuple[int, ...]  # stamps that are the first offer of a put

    def writer(self, stamp: int) -> int:
        """Whose write a stamp is; -1 is version 0."""
        return next((writer for each, writer, _ in self.writes if each == stamp), -1)


WAITING, ACCEPTED = "waiting", "accepted"
COMPLETING = ("completing", "recompleting", "refusing")  # steps in which a client offers another's version
START, DONE = "start", "done"


class State(NamedTuple):
    """Everything."""

    drives: tuple[Drive, ...]
    clients: tuple[Client, ...]
    ghost: Ghost


def idle_client(kind: str) -> Client:
    return Client(kind, START, None, (), -1, 0, 0, (), 0, ("", -1))


def with_client(state: State, number: int, client: Client) -> State:
    return state._replace(clients=(*state.clients[:number], client, *state.clients[number + 1 :]))


def answer_of(client: Client, drive: Drive, slot: object) -> object:
    """What a drive may answer a client without being changed by it, if anything.

    None also for a refusal: it stays one, so that it waits until the client goes on.
    """
    if client.step == START:
        return drive.shown if client.kind == "read" and slot is None else None
    if client.round is None or client.round.kind == "prepare":
        return None
    if client.round.kind == "read":
        return drive.shown if slot is None else None
    return ACCEPTED if slot is WAITING and client.round.stamp in drive.shown[0] else None
