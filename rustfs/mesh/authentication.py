"""Who may call: every call between nodes carries an HMAC by a key that is derived from the cluster's root secret.

Signed are the method, the calling node, the called node, the time, a nonce, and the *incarnation* of the process called
(random, learned by the handshake). A call is good once. A nonce is the calling process's incarnation and a number that
counts its calls, so a sliding window over the numbers tells what was seen before in little memory (as in IPsec,
RFC 4303, 3.4.3); and since a call is bound to one process, the workers of a node need not tell each other what they
saw. The handshake itself, which cannot name an incarnation yet, is guarded by nonces that the node's workers share
(`NonceBook`). Bodies are not covered: on networks where others may write, run the mesh with TLS.

Pure; the clock is an argument.
"""

import hmac
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rustfs.core.ports import Clock

SKEW_SECONDS_MAX = 15 * 60
INCARNATION_BYTES = 16
WINDOW_CALLS = 4096  # calls of one process that may overtake each other
CALLERS_MAX = 10_000  # processes whose windows are remembered
_DIGITS_MAX = 40  # of a time or a call's number

METADATA_KEYS = ("rustfs-from", "rustfs-to", "rustfs-time", "rustfs-nonce", "rustfs-incarnation", "rustfs-signature")

Metadata = tuple[tuple[str, str], ...]


class Unauthentic(Exception):
    """The call does not come from a node of this cluster, or not from now. The message may be shown to the caller."""


class NonceBook(Protocol):
    """Remembers the nonces of handshakes for all workers of a node."""

    def enter(self, nonce: str) -> bool:
        """Whether the nonce is new. Blocking, briefly."""


def mesh_key(root_secret: str) -> bytes:
    """The key that signs calls between nodes; the root secret cannot be told from it."""
    return hmac.digest(root_secret.encode(), b"rustfs mesh key v1", "sha256")


def _signature(key: bytes, method: str, fields: tuple[str, str, str, str, str]) -> str:
    return hmac.digest(key, "\n".join((method, *fields)).encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the calls of one process."""

    key: bytes
    node: str
    incarnation: bytes
    clock: Clock
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def sign(self, method: str, to: str, incarnation: bytes) -> Metadata:
        """Metadata of a call of `method` (as in `/rustfs.peer.v1.DriveService/Exchange`).

        `incarnation` is empty for a handshake.
        """
        nonce = f"{self.incarnation.hex()}-{next(self._numbers)}"
        fields = (self.node, to, str(self.clock.now_milliseconds()), nonce, incarnation.hex())
        return tuple(zip(METADATA_KEYS, (*fields, _signature(self.key, method, fields)), strict=True))


def nonce_of(metadata: Mapping[str, str]) -> str:
    """The nonce of signed metadata."""
    return metadata[METADATA_KEYS[3]]


def answer_proof(key: bytes, nonce: str, identity: bytes) -> bytes:
    """What a handshake's answer proves itself with: made from the call's nonce and the answering node's identity."""
    return hmac.digest(key, b"rustfs handshake answer v1\n" + nonce.encode() + b"\n" + identity, "sha256")


class Verifier:
    """Verifies the calls that reach one process."""

    def __init__(self, key: bytes, node: str, incarnation: bytes, clock: Clock) -> None:
        self._key = key
        self._node = node
        self._incarnation = incarnation.hex()
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()  # by caller, the one heard last at the end

    def verify(self, method: str, metadata: Mapping[str, str], *, handshake: bool) -> str:
        """The calling node's name. Raises Unauthentic.

        Of a handshake the caller has to ask the node's NonceBook whether it was seen before.
        """
        values = [metadata.get(key, "") for key in METADATA_KEYS]
        sender, to, time_text, nonce, incarnation, signature = values
        expected = _signature(self._key, method, (sender, to, time_text, nonce, incarnation))
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise Unauthentic("the signature is wrong: is the node started with the same secret key?")
        now_ms = self._clock.now_milliseconds()
        skew_ms = int(_digits(time_text)) - now_ms
        if abs(skew_ms) > SKEW_SECONDS_MAX * 1000:
            raise Unauthentic(
                f"the clock of {sender} is {abs(skew_ms) // 1000} s {'ahead of' if skew_ms > 0 else 'behind'} "
                f"the clock of {self._node}; at most {SKEW_SECONDS_MAX} s are tolerated"
            )
        if to != self._node:
            raise Unauthentic(f"the call is meant for {to}, but this is {self._node}")
        if handshake:
            return sender
        if incarnation != self._incarnation:
            raise Unauthentic("the process that was called is gone; shake hands again")
        caller, _, number_text = nonce.partition("-")
        number = int(_digits(number_text))
        window = self._windows.pop(caller, None) or _Window()
        self._windows[caller] = window
        if len(self._windows) > CALLERS_MAX:
            self._windows.popitem(last=False)
        if not window.enter(number):
            raise Unauthentic("the call was seen before")
        return sender


def _digits(text: str) -> str:
    """The text, if it is a decimal number without a sign and no longer than any of ours. Raises Unauthentic."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Unauthentic("the call's time or nonce is none")
    return text


class _Window:
    """Which of a caller's last calls were seen."""

    __slots__ = ("_bits", "_highest")

    def __init__(self) -> None:
        self._highest = -1
        self._bits = 0  # bit i: the call numbered highest - i was seen

    def enter(self, number: int) -> bool:
        """Whether the call is new, which it is not any more afterwards. What is too old to tell counts as seen."""
        if number > self._highest:
            self._bits = (self._bits << min(number - self._highest, WINDOW_CALLS) | 1) & ((1 << WINDOW_CALLS) - 1)
            self._highest = number
            return True
        age = self._highest - number
        if age >= WINDOW_CALLS or self._bits >> age & 1:
            return False
        self._bits |= 1 << age
        return True
