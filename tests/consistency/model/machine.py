"""The register protocol as a small machine, explored state by state: every order of messages, every loss.

The drives' rules and the readers' rule are the product's own (rustfs.drive.rules, rustfs.objects.decide); the
conversation around them (rustfs.objects.register) is written down here once more, as the steps of three kinds of
clients: a blind write, a compare-and-swap, a read. A state is what the drives hold and have promised, where each client
stands, and which messages are under way. From a state lead:

- a drive serves a request, whichever, whenever: also long after the client has gone on (late messages);
- a client goes on with any of the answers there are: the others were lost; a client that never goes on has crashed, a
  drive that never serves is down (what drives know is durable, so a restart is nothing else);
- a client takes any unused token above what it knows: clocks are as wrong as can be;
- a drive learns that an acknowledged version is chosen, and forgets the ones before it.

Steps that only multiply states are left out:

- drives are alike, so states that differ by a permutation of drives are one state; so are clients of one kind, where
  the whole machine is explored;
- an answer that changes nothing on its drive is no step of its own: it is as good as given when its client goes on, or
  right before its drive changes so that it would be another one (the client then has it from before, or not). A reader
  begins with the first of these, which is when it has to know most.

What must hold in every state is checked by `Model.check`, and what clients are told by `Model._done` and `_saw`. Stamps
and tokens are small integers; version 0 is there at the beginning, chosen on all drives.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

from rustfs.core.drivetypes import BLIND, CHOSEN, NO_MARK, Held, Mark, Refusal
from rustfs.drive.rules import KeyState, judge_accept, judge_prepare
from rustfs.objects.decide import (
    Decision,
    Verdict,
    WriteOutcome,
    copies_needed_of,
    decide,
    judge_write,
    overwritten,
    read_quorum,
    version_flags,
    write_quorum_of,
)
from tests.consistency.model.states import (
    ACCEPTED,
    COMPLETING,
    DONE,
    START,
    WAITING,
    Client,
    Drive,
    Ghost,
    Message,
    State,
    answer_of,
    idle_client,
    order,
    with_client,
)


def accept(state: KeyState, token: bytes, stamp: bytes, epoch: bytes, mark: Mark) -> tuple[Refusal, bytes]:
    """The product's rule; and what it would be if a version could be offered under another token than its stamp."""
    return judge_accept(state._replace(promise=b"") if token >= state.promise else state, stamp, epoch, mark)


def _bytes(stamp: int) -> bytes:
    return b"" if stamp < 0 else stamp.to_bytes(2, "big")


@dataclass(frozen=True)
class Rules:
    """The product's rules, and what a test may put in the place of one of them."""

    accept: Callable[..., tuple[Refusal, bytes]] = accept
    prepare: Callable[..., tuple[bool, bytes]] = judge_prepare
    read: Callable[..., tuple] = decide
    overwritten: Callable[..., bool] = overwritten
    copies_forward: bool = True  # under a fresh token a version is proposed anew as that token's, never under its own
    counts_refusals: bool = False  # a version refused by so many that W cannot hold it is dead, whoever holds it


class Broken(Exception):
    """A property does not hold; `trail` are the states that lead there."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.trail: list[State] = []


class Model:
    """The machine for one size of set and one group of clients."""

    def __init__(
        self,
        n: int,
        k: int,
        clients: tuple[str, ...],
        *,
        tokens: int,
        late_max: int = 1,
        forgets: bool = True,
        rules: Rules | None = None,
    ) -> None:
        """`late_max`: requests that may be under way after their clients have gone on; all others are lost then."""
        self.n, self.k, self.tokens, self.late_max, self.forgets = n, k, tokens, late_max, forgets
        self.rules = rules or Rules()
        self.flags = version_flags(n, k)
        self.write_quorum = write_quorum_of(self.flags)
        self.needed = copies_needed_of(self.flags)
        self.read_quorum = read_quorum(n)
        blank = tuple(None for _ in clients)
        idle = tuple(idle_client(kind) for kind in clients)
        drives = (Drive((0,), 0, -1, (), blank),) * n
        self.start = State(drives, idle, Ghost((), (0,), 0, ()))
        self.decide = lru_cache(maxsize=None)(self._decide)
        self.serve = lru_cache(maxsize=None)(self._serve)

    # -- drives --------------------------------------------------------------------------------------------------------

    def _serve(
        self, accepted: tuple[int, ...], chosen: int, promise: int, message: Message
    ) -> tuple[tuple[int, ...], int, object]:
        """What a drive has accepted and promised after a request, and its answer."""
        held = tuple(each for each in accepted if each >= chosen)
        newest = held[-1]
        token, stamp = _bytes(message.token), _bytes(message.stamp)
        state = KeyState(_bytes(newest), message.stamp in held, _bytes(promise), b"")
        if message.kind == "prepare":
            good, _ = self.rules.prepare(state, token)
            return accepted, message.token if good else promise, (held, chosen) if good else None
        refusal, _ = self.rules.accept(state, token, stamp, b"", NO_MARK)
        if refusal is Refusal.NONE and message.stamp not in held:
            accepted = tuple(sorted((*accepted, message.stamp)))
            promise = -1 if promise <= message.stamp else promise
        return accepted, promise, ACCEPTED if refusal is Refusal.NONE else None

    def _decide(self, answers: tuple[object, ...]) -> tuple[Verdict, int]:
        shown = {}
        for position, (held, chosen) in enumerate(answers):  # type: ignore[misc]
            versions = [
                Held(_bytes(stamp), self.flags | CHOSEN * (stamp == chosen), b"", None) for stamp in reversed(held)
            ]
            shown[position] = tuple(versions)
        decision = self.rules.read(self.n, shown)
        return decision[0], int.from_bytes(decision[1], "big") if decision[1] else -1

    # -- steps ---------------------------------------------------------------------------------------------------------

    def steps(self, state: State) -> Iterator[State]:
        """The states that may come next."""
        for index, drive in enumerate(state.drives):
            if index and drive == state.drives[index - 1]:
                continue  # the same step on a drive just like this one
            yield from self._drive_steps(state, index, drive)
        for number, client in enumerate(state.clients):
            if client.step == START and client.kind == "read":
                begun = self._begun(state, client)
                yield from self._client_steps(with_client(state, number, begun), number, begun)
            elif client.step == START:
                for token in self._free_tokens(state, client):
                    yield from self._begin(state, number, self._begun(state, client), token)
            elif client.step != DONE:
                yield from self._client_steps(state, number, client)

    def _begun(self, state: State, client: Client) -> Client:
        if client.kind == "read":
            return client._replace(floor=state.ghost.known, step="read", round=Message("read", 0, 0))
        return client._replace(floor=state.ghost.known, before=state.ghost.chosen if client.kind == "put" else ())

    def _drive_steps(self, state: State, index: int, drive: Drive) -> Iterator[State]:
        for number, slot in enumerate(drive.answers):
            message = state.clients[number].round
            if slot is WAITING and message is not None and self._may_matter(drive, message):
                accepted, promise, said = self.serve(drive.accepted, drive.chosen, drive.promise, message)
                answers = (*drive.answers[:number], said, *drive.answers[number + 1 :])
                after = drive._replace(accepted=accepted, promise=promise, answers=answers)
                yield from self._with_drive(state, index, after)
        for message in drive.late:
            accepted, promise, _ = self.serve(drive.accepted, drive.chosen, drive.promise, message)
            late = tuple(each for each in drive.late if each != message)
            yield from self._with_drive(state, index, drive._replace(accepted=accepted, promise=promise, late=late))
        for client in state.clients if self.forgets else ():
            stamp = client.result[1]
            if client.result[0] == "ok" and stamp in drive.accepted and stamp > drive.chosen:
                yield from self._with_drive(state, index, drive._replace(chosen=stamp))

    def _with_drive(self, state: State, index: int, after: Drive) -> Iterator[State]:
        """The states after a drive's step; who could have had another answer before it now has that, or has not."""
        before = state.drives[index]
        options: list[tuple[object, ...]] = []
        for client, was, slot in zip(state.clients, before.answers, after.answers, strict=True):
            old = answer_of(client, before, was) if was is slot else None
            if old is None or old == answer_of(client, after, slot):
                options.append((slot,))
            elif client.step in COMPLETING:
                options.append((old,))  # it goes by how many accepted, and may count fewer
            else:
                options.append((slot, old))
        for answers in product(*options):
            clients = tuple(
                self._begun(state, client) if client.step == START and slot is not None else client
                for client, slot in zip(state.clients, answers, strict=True)
            )
            yield self._changed(state._replace(clients=clients), index, after._replace(answers=answers))

    def _changed(self, state: State, index: int, drive: Drive) -> State:
        drive = self._tidy(state.clients, drive)
        drives = (*state.drives[:index], drive, *state.drives[index + 1 :])
        ghost = state.ghost
        if drive.accepted != state.drives[index].accepted:
            holders = Counter(stamp for each in drives for stamp in each.accepted)
            new = [s for s, count in holders.items() if count >= self.write_quorum and s not in ghost.chosen]
            if new:
                ghost = ghost._replace(chosen=tuple(sorted((*ghost.chosen, *new))))
        return state._replace(drives=tuple(sorted(drives, key=order)), ghost=ghost)

    def _tidy(self, clients: tuple[Client, ...], drive: Drive) -> Drive:
        """Without what cannot matter any more: requests that it would refuse; and each answer in one form."""
        late = tuple(each for each in drive.late if self._may_matter(drive, each))
        answers = list(drive.answers)
        for number, (client, slot) in enumerate(zip(clients, drive.answers, strict=True)):
            if client.round is None or client.round.kind == "read" or slot is None:
                continue
            if client.step in COMPLETING:
                if client.round.stamp in drive.shown[0]:
                    answers[number] = WAITING
                elif slot is WAITING and not self._may_matter(drive, client.round):
                    answers[number] = None
            elif slot is WAITING and client.round.kind == "prepare" and not self._may_matter(drive, client.round):
                answers[number] = None
        return drive._replace(late=late, answers=tuple(answers))

    def _may_matter(self, drive: Drive, message: Message) -> bool:
        accepted, promise, _ = self.serve(drive.accepted, drive.chosen, drive.promise, message)
        return accepted != drive.accepted or promise != drive.promise

    def _free_tokens(self, state: State, client: Client) -> list[int]:
        used = {stamp for stamp, _, _ in state.ghost.writes}
        for each in state.clients:
            used.update(each.own)
            if each.round is not None:
                used.add(each.round.token)
        for drive in state.drives:
            used.update(message.token for message in drive.late)
            used.add(drive.promise)
        above = max((*client.own, client.round.token if client.round else 0, 0))
        return [token for token in range(above + 1, self.tokens + 1) if token not in used]

    def _begin(self, state: State, number: int, client: Client, token: int) -> Iterator[State]:
        if client.kind == "put":
            state = state._replace(ghost=state.ghost._replace(blind=tuple(sorted((*state.ghost.blind, token)))))
            return self._offer(state, number, client._replace(step="offer", own=()), token, token, -1)
        return self._ask(state, number, client._replace(step="judge"), Message("prepare", token, 0))

    def _ask(self, state: State, number: int, client: Client, message: Message | None) -> Iterator[State]:
        """Send a request to all drives; of those under way to them, any few arrive late, and the others never."""
        before = state.clients[number].round
        clients = with_client(state, number, client._replace(round=message)).clients
        answer = None if message is None or message.kind == "read" else WAITING
        drives = []
        under_way = []
        for index, drive in enumerate(state.drives):
            if drive.answers[number] is WAITING and before is not None and self._may_matter(drive, before):
                under_way.append(index)
            answers = (*drive.answers[:number], answer, *drive.answers[number + 1 :])
            drives.append(drive._replace(answers=answers))
        room = self.late_max - sum(len(drive.late) for drive in drives)
        for count in range(min(room, len(under_way)) + 1):
            for chosen in combinations(under_way, count):
                some = list(drives)
                for index in chosen:
                    assert before is not None
                    some[index] = some[index]._replace(late=tuple(sorted({*some[index].late, before})))
                tidy = sorted((self._tidy(clients, each) for each in some), key=order)
                yield State(tuple(tidy), clients, state.ghost)

    def _offer(
        self, state: State, number: int, client: Client, token: int, stamp: int, follows: int
    ) -> Iterator[State]:
        """Offer the client's own version (or a copy of another's, where `client.target` says so)."""
        if all(stamp != each for each, _, _ in state.ghost.writes):
            writer = number if client.target < 0 else state.ghost.writer(client.target)
            writes = (*state.ghost.writes, (stamp, writer, follows))
            state = state._replace(ghost=state.ghost._replace(writes=tuple(sorted(writes))))
        if client.target < 0 and stamp not in client.own:
            client = client._replace(own=(*client.own, stamp))
        return self._ask(state, number, client, Message("accept", token, stamp))

    def _done(self, state: State, number: int, result: str, stamp: int) -> Iterator[State]:
        client = state.clients[number]
        if result in ("ok", "refused"):
            if stamp < client.floor:
                raise Broken(f"{client.kind} was told of {stamp}, when {client.floor} was known before it began")
            if stamp not in state.ghost.chosen:
                raise Broken(f"{client.kind} was told of {stamp}, which is not chosen")
            state = state._replace(ghost=state.ghost._replace(known=max(state.ghost.known, stamp)))
        outcome = ("", -1) if client.kind == "read" else (result, stamp if result == "ok" else -1)
        return self._ask(state, number, idle_client(client.kind)._replace(step=DONE, result=outcome), None)

    # -- clients -------------------------------------------------------------------------------------------------------

    def _client_steps(self, state: State, number: int, client: Client) -> Iterator[State]:
        answers = [drive.answers[number] for drive in state.drives]
        if client.step in ("read", "overtaken"):
            for verdict, stamp in self._sightings(state, answers):
                yield from self._read_step(state, number, client, verdict, stamp)
        elif client.step in ("judge", "settle", "recomplete"):
            for shown, verdict, stamp in self._readings(answers):
                step = {"judge": self._judged, "settle": self._settled, "recomplete": self._recomplete}[client.step]
                yield from step(state, number, client, shown, verdict, stamp)
        else:
            yield from self._offered(state, number, client)

    def _sightings(self, state: State, answers: list[object]) -> list[tuple[Verdict, int]]:
        """What a reader may decide from what it saw on drives that changed since then, and on any of the others now."""
        seen = [each for each in answers if each is not None]
        now = [drive.shown for drive, each in zip(state.drives, answers, strict=True) if each is None]
        found = set()
        for size in range(max(0, self.read_quorum - len(seen)), len(now) + 1):
            for some in combinations(now, size):
                found.add(self.decide(tuple(sorted((*seen, *some)))))  # type: ignore[type-var]
        return sorted(found, key=repr)

    def _readings(self, answers: list[object]) -> list[tuple[tuple[object, ...], Verdict, int]]:
        """What may be decided from the answers, any of which may be lost."""
        there = sorted((each for each in answers if isinstance(each, tuple)), key=repr)
        found = set()
        for size in range(self.read_quorum, len(there) + 1):
            for some in combinations(there, size):
                found.add((some, *self.decide(some)))
        return sorted(found, key=repr)

    def _read_step(self, state: State, number: int, client: Client, verdict: Verdict, stamp: int) -> Iterator[State]:
        if verdict is Verdict.VALUE:
            yield from self._saw(state, number, client, stamp)
        elif verdict is Verdict.NOTHING:
            raise Broken("a read found nothing, where version 0 is chosen")
        elif verdict is Verdict.COMPLETE:
            message = Message("accept", stamp, stamp)
            yield from self._ask(state, number, client._replace(step="completing", target=stamp), message)

    def _saw(self, state: State, number: int, client: Client, stamp: int) -> Iterator[State]:
        """What a reader saw is chosen. A put that looks after it was partly refused may have its answer by that."""
        if client.kind == "read":
            yield from self._done(state, number, "ok", stamp)
            return
        own = client.own[-1]
        value = Decision(Verdict.VALUE, _bytes(stamp), self.flags | BLIND * (stamp in state.ghost.blind))
        if self.rules.overwritten(self.n, client.accepted, _bytes(own), value):
            writer = state.ghost.writer(stamp)
            if writer != number and any(state.ghost.writer(each) == writer for each in client.before):
                raise Broken(f"a put took effect before {stamp}, which had been written when it began")
            if writer != number and state.clients[writer].kind == "swap":
                raise Broken(f"a put took effect right before {stamp}, whose writer saw something else there")
            yield from self._done(state, number, "ok", stamp)
            return
        for token in self._free_tokens(state, client):
            yield from self._ask(state, number, client._replace(step="settle"), Message("prepare", token, 0))

    def _judged(
        self, state: State, number: int, client: Client, _shown: object, verdict: Verdict, stamp: int
    ) -> Iterator[State]:
        """The compare-and-swap wants version 0 to be the current value."""
        assert client.round is not None
        token = client.round.token
        if verdict is Verdict.UNDECIDED:
            yield from self._done(state, number, "failed", -1)
        elif state.ghost.writer(stamp) == -1:
            yield from self._offer(state, number, client._replace(step="offer"), token, token, stamp)
        elif verdict is Verdict.VALUE:
            yield from self._done(state, number, "refused", stamp)
        else:
            yield from self._copy(state, number, client._replace(step="refusing", target=stamp), token, stamp)

    def _copy(self, state: State, number: int, client: Client, token: int, stamp: int) -> Iterator[State]:
        """Complete a version under a fresh token."""
        if self.rules.copies_forward:
            return self._offer(state, number, client, token, token, stamp)
        return self._ask(state, number, client, Message("accept", token, stamp))

    def _settled(
        self, state: State, number: int, client: Client, shown: tuple, verdict: Verdict, stamp: int
    ) -> Iterator[State]:
        """What became of the client's own version?"""
        assert client.round is not None
        token = client.round.token
        copies = Counter(each for held, _ in shown for each in held)
        marked = [chosen for _, chosen in shown]
        for own in client.own:
            if copies[own] >= self.write_quorum or own in marked:
                yield from self._done(state, number, "ok", own)
                return
        if max(held[-1] for held, _ in shown if held) > client.own[-1]:
            if client.kind != "put" or state.ghost.writer(stamp) != number or verdict is Verdict.UNDECIDED:
                yield from self._done(state, number, "unknown", -1)
            elif verdict is Verdict.VALUE:
                yield from self._done(state, number, "ok", stamp)  # somebody brought it forward
            else:
                yield from self._offer(state, number, client._replace(step="again"), token, token, -1)
            return
        follows = next((each for own, _, each in state.ghost.writes if own == client.own[0]), -1)
        last = client.own[-1]
        if self.rules.copies_forward:
            yield from self._offer(state, number, client._replace(step="offer"), token, token, follows)
        elif copies[last] + self.n - len(shown) >= self.write_quorum:
            yield from self._ask(state, number, client._replace(step="again"), Message("accept", token, last))
        else:
            yield from self._offer(state, number, client._replace(step="offer"), token, token, follows)

    def _recomplete(
        self, state: State, number: int, client: Client, _shown: object, verdict: Verdict, stamp: int
    ) -> Iterator[State]:
        assert client.round is not None
        if verdict is Verdict.COMPLETE:
            yield from self._copy(
                state, number, client._replace(step="recompleting", target=stamp), client.round.token, stamp
            )
        elif verdict is Verdict.VALUE:
            again = client._replace(step="read", target=-1, tries=client.tries + 1)
            yield from self._ask(state, number, again, Message("read", 0, 0))

    def _offered(self, state: State, number: int, client: Client) -> Iterator[State]:
        assert client.round is not None
        stamp = client.round.stamp
        counts = self._counts(state, number, client.round)
        outcomes = {self._outcome(accepted, refused) for accepted, refused in counts}
        if client.step in {"offer", "again"}:
            if WriteOutcome.CHOSEN in outcomes:
                yield from self._done(state, number, "ok", stamp)
            if WriteOutcome.DEAD in outcomes and client.own == (stamp,):
                yield from self._dead(state, number, client)
            if client.kind == "put" and client.step == "offer" and client.own == (stamp,):
                for accepted in sorted({accepted for accepted, refused in counts if refused}):
                    looking = client._replace(step="overtaken", accepted=accepted)
                    yield from self._ask(state, number, looking, Message("read", 0, 0))
            # Some answers may be lost, so its fate may be open whatever they are.
            for token in self._free_tokens(state, client):
                yield from self._ask(state, number, client._replace(step="settle"), Message("prepare", token, 0))
        elif client.step == "completing":
            if WriteOutcome.CHOSEN in outcomes:
                yield from self._saw(state, number, client, stamp)
            for token in self._free_tokens(state, client):
                yield from self._ask(state, number, client._replace(step="recomplete"), Message("prepare", token, 0))
        elif client.step == "recompleting":
            if client.tries == 0:
                again = client._replace(step="read", target=-1, tries=1)
                yield from self._ask(state, number, again, Message("read", 0, 0))
        elif client.step == "refusing":
            if WriteOutcome.CHOSEN in outcomes:
                yield from self._done(state, number, "refused", stamp)
            yield from self._done(state, number, "failed", -1)

    def _dead(self, state: State, number: int, client: Client) -> Iterator[State]:
        """Its version is dead for good: the client says so, or begins anew, once."""
        yield from self._done(state, number, "failed", -1)
        if client.tries:
            return
        for token in self._free_tokens(state, client):
            yield from self._begin(state, number, client._replace(tries=1), token)

    def _counts(self, state: State, number: int, message: Message) -> list[tuple[int, int]]:
        """How many drives may have accepted an offer, and how many refused it, when its client goes on."""
        waiting = [drive for drive in state.drives if drive.answers[number] is WAITING]
        holding = sum(message.stamp in drive.shown[0] for drive in waiting)
        refusing = sum(not self._may_matter(drive, message) for drive in waiting) - holding
        accepted = sum(drive.answers[number] is ACCEPTED for drive in state.drives)
        return [(accepted + more, refused) for more in range(holding + 1) for refused in range(refusing + 1)]

    def _outcome(self, accepted: int, refused: int) -> WriteOutcome:
        if self.rules.counts_refusals and accepted < self.write_quorum and refused > self.n - self.write_quorum:
            return WriteOutcome.DEAD
        return judge_write(self.n, self.write_quorum, self.needed, accepted, refused)

    # -- properties ----------------------------------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """Raises Broken. In the order of stamps, the versions ever chosen must read like one history of one register.

        Each write is there once (copies of it follow one another), a swap follows directly what it was judged upon, and
        what was said to have failed is not there, now or later.
        """
        order = [state.ghost.writer(stamp) for stamp in state.ghost.chosen]
        collapsed = [each for index, each in enumerate(order) if not index or each != order[index - 1]]
        if len(collapsed) != len(set(collapsed)):
            raise Broken(f"a value came back: the writes chosen are {collapsed} in the order of stamps")
        for index, writer in enumerate(collapsed):
            client = state.clients[writer] if writer >= 0 else None
            if client is not None and client.kind == "swap" and collapsed[index - 1] != -1:
                raise Broken(f"a swap of version 0 took effect after another write: {collapsed}")
            if client is not None and client.result[0] in ("failed", "refused"):
                raise Broken(f"a write that {client.result[0]} took effect: {collapsed}")
