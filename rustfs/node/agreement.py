"""How the nodes of a pool agree, once, on its first format: a single-decree Paxos (Lamport 2001).

The acceptors are the nodes that have drives in the pool. Any node may propose, in any order of starting, and be
restarted midway: what an acceptor promised or accepted lies on all its drives of the pool (`.rustfs/agreement.json`)
before it answers, and a node that finds a format.json on one of them answers with what is decided. A node that joins
when all is decided learns the outcome from its peers; whether its empty drives are new or were wiped cannot be told
then, so they count as wiped (healing) unless the node had accepted the very outcome before.

`promise`, `judge` and `choice` are pure; the rest reads and writes small files, and blocks.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.drive.format import sync_directory, system_path

STATE_FILE = "agreement.json"


@dataclass(frozen=True, slots=True)
class Vote:
    """What an acceptor has promised and accepted."""

    promised: bytes = b""
    ballot: bytes = b""  # of what was accepted; b"" for nothing
    accepted: pb.PoolFormat | None = None


def promise(vote: Vote, ballot: bytes) -> Vote | None:
    """The vote after promising to refuse ballots below `ballot`; None where a higher one is promised."""
    return Vote(ballot, vote.ballot, vote.accepted) if ballot > vote.promised else None


def judge(vote: Vote, ballot: bytes, proposed: pb.PoolFormat) -> Vote | None:
    """The vote after accepting; None where a higher ballot is promised."""
    return Vote(ballot, ballot, proposed) if ballot >= vote.promised else None


def choice(answers: Sequence[pb.PrepareFormatAnswer]) -> pb.PoolFormat | None:
    """What a proposer must propose by the promises of a majority: what was accepted under the highest ballot."""
    accepted = [answer for answer in answers if answer.accepted_ballot]
    if not accepted:
        return None
    return max(accepted, key=lambda answer: answer.accepted_ballot).accepted


class VoteFile:
    """The vote of this node for one pool, on all its drives of the pool. Blocking; `locked` around each change."""

    def __init__(self, roots: Sequence[str], lock_path: str) -> None:
        self._roots = tuple(roots)
        self._lock_path = lock_path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One change at a time, whichever worker makes it."""
        descriptor = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> Vote:
        """The vote; what most advanced drive says counts. Raises OSError."""
        votes = [vote for root in self._roots if (vote := _read(root)) is not None]
        return max(votes, key=lambda vote: (vote.promised, vote.ballot), default=Vote())

    def write(self, vote: Vote) -> None:
        """Durably, on every drive. Raises OSError."""
        for root in self._roots:
            os.makedirs(system_path(root), exist_ok=True)
            target = system_path(root, STATE_FILE)
            raw: dict[str, Any] = {"promised": vote.promised.hex(), "ballot": vote.ballot.hex()}
            if vote.accepted is not None:
                raw["accepted"] = MessageToDict(vote.accepted)
            with open(f"{target}.new", "w", encoding="utf-8") as file:
                json.dump(raw, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{target}.new", target)
            sync_directory(system_path(root))

    def forget(self) -> None:
        """The pool is formatted: the outcome lies in format.json."""
        for root in self._roots:
            with contextlib.suppress(OSError):
                os.unlink(system_path(root, STATE_FILE))


def _read(root: str) -> Vote | None:
    try:
        with open(system_path(root, STATE_FILE), encoding="utf-8") as file:
            raw = json.load(file)
    except FileNotFoundError:
        return None
    accepted = ParseDict(raw["accepted"], pb.PoolFormat()) if "accepted" in raw else None
    return Vote(bytes.fromhex(raw["promised"]), bytes.fromhex(raw["ballot"]), accepted)
