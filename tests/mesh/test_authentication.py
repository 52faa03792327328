"""A call is accepted once, from a node with the secret, by the process it is meant for, within the time allowed."""

import hmac
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.mesh import authentication
from rustfs.mesh.authentication import (
    METADATA_KEYS,
    SKEW_SECONDS_MAX,
    WINDOW_CALLS,
    Signer,
    Unauthentic,
    Verifier,
    answer_proof,
    mesh_key,
    nonce_of,
)

KEY = mesh_key("secret")
METHOD = "/rustfs.peer.v1.DriveService/Exchange"
CALLER, CALLED = b"c" * 16, b"s" * 16


@dataclass
class StoppedClock:
    """A clock that goes where the test puts it."""

    now_ms: int = 1_800_000_000_000

    def now_milliseconds(self) -> int:
        return self.now_ms

    def monotonic_seconds(self) -> float:
        return self.now_ms / 1000


def signer(key: bytes = KEY, node: str = "a:9000", clock: StoppedClock | None = None) -> Signer:
    return Signer(key, node, CALLER, clock or StoppedClock())


def verifier(node: str = "b:9000", clock: StoppedClock | None = None) -> Verifier:
    return Verifier(KEY, node, CALLED, clock or StoppedClock())


def signed(number: int, *, key: bytes = KEY, **fields: str) -> dict[str, str]:
    """Metadata of the call with this number, or with other fields; the signature covers whatever they are."""
    values = {
        "rustfs-from": "a:9000",
        "rustfs-to": "b:9000",
        "rustfs-time": str(StoppedClock().now_ms),
        "rustfs-nonce": f"{CALLER.hex()}-{number}",
        "rustfs-incarnation": CALLED.hex(),
    } | {f"rustfs-{name}": value for name, value in fields.items()}
    text = "\n".join((METHOD, *(values[name] for name in METADATA_KEYS[:5])))
    return values | {"rustfs-signature": hmac.digest(key, text.encode(), "sha256").hex()}


def is_accepted(to: Verifier, metadata: dict[str, str]) -> bool:
    try:
        to.verify(METHOD, metadata, handshake=False)
    except Unauthentic:
        return False
    return True


def test_a_signed_call_names_its_caller():
    metadata = dict(signer().sign(METHOD, "b:9000", CALLED))
    assert set(metadata) == set(METADATA_KEYS)
    assert verifier().verify(METHOD, metadata, handshake=False) == "a:9000"


def test_what_the_tests_sign_by_hand_is_what_the_signer_signs():
    assert signed(0) == dict(signer().sign(METHOD, "b:9000", CALLED))


@pytest.mark.parametrize("field", METADATA_KEYS)
@pytest.mark.parametrize("change", [lambda value: value + "0", lambda value: value[:-1], lambda _value: ""])
def test_a_field_that_was_changed_on_the_way_is_noticed(field, change):
    metadata = signed(0)
    with pytest.raises(Unauthentic, match="the signature is wrong"):
        verifier().verify(METHOD, metadata | {field: change(metadata[field])}, handshake=False)
    with pytest.raises(Unauthentic, match="the signature is wrong"):
        verifier().verify(METHOD, {key: metadata[key] for key in metadata if key != field}, handshake=False)


def test_a_call_is_good_for_its_method_only():
    with pytest.raises(Unauthentic, match="the signature is wrong"):
        verifier().verify("/rustfs.peer.v1.DriveService/ReadShard", signed(0), handshake=False)


def test_another_secret_is_refused():
    with pytest.raises(Unauthentic, match="the same secret key"):
        verifier().verify(METHOD, dict(signer(mesh_key("other")).sign(METHOD, "b:9000", CALLED)), handshake=False)


def test_the_root_secret_itself_signs_nothing():
    assert mesh_key("secret") != hmac.digest(b"secret", b"", "sha256")
    with pytest.raises(Unauthentic):
        verifier().verify(METHOD, signed(0, key=b"secret"), handshake=False)


@pytest.mark.parametrize(("seconds", "way"), [(SKEW_SECONDS_MAX + 1, "ahead of"), (-SKEW_SECONDS_MAX - 1, "behind")])
def test_a_clock_that_is_too_far_off_is_refused_in_words(seconds, way):
    clock = StoppedClock()
    metadata = dict(signer(clock=clock).sign(METHOD, "b:9000", CALLED))
    here = StoppedClock(clock.now_ms - seconds * 1000)
    with pytest.raises(Unauthentic) as refused:
        verifier(clock=here).verify(METHOD, metadata, handshake=False)
    assert str(refused.value) == (
        f"the clock of a:9000 is 901 s {way} the clock of b:9000; at most 900 s are tolerated"
    )


@pytest.mark.parametrize("seconds", [SKEW_SECONDS_MAX, -SKEW_SECONDS_MAX])
def test_a_clock_that_is_just_near_enough_is_not(seconds):
    here = StoppedClock(StoppedClock().now_ms - seconds * 1000)
    assert is_accepted(verifier(clock=here), signed(0))


def test_a_call_is_meant_for_one_node_and_one_process():
    with pytest.raises(Unauthentic, match="meant for b:9000, but this is c:9000"):
        verifier("c:9000").verify(METHOD, signed(0), handshake=False)
    with pytest.raises(Unauthentic, match="shake hands again"):
        verifier().verify(METHOD, signed(0, incarnation=b"other".hex()), handshake=False)
    with pytest.raises(Unauthentic, match="shake hands again"):
        verifier().verify(METHOD, signed(0, incarnation=""), handshake=False)


def test_only_a_handshake_may_leave_the_process_open():
    handshake = dict(signer().sign(METHOD, "b:9000", b""))
    assert verifier().verify(METHOD, handshake, handshake=True) == "a:9000"


def test_a_call_is_good_once():
    receiver = verifier()
    assert is_accepted(receiver, signed(7))
    with pytest.raises(Unauthentic, match="seen before"):
        receiver.verify(METHOD, signed(7), handshake=False)


def test_two_processes_of_a_node_do_not_use_up_each_others_numbers():
    receiver = verifier()
    assert is_accepted(receiver, signed(0))
    assert is_accepted(receiver, signed(0, nonce=f"{b'd'.hex()}-0"))
    assert not is_accepted(receiver, signed(0, nonce=f"{b'd'.hex()}-0"))


@settings(deadline=None)
@given(st.permutations(range(40)), st.integers(0, 2**40))
def test_calls_that_overtake_each_other_are_accepted_once_each(order, base):
    receiver = verifier()
    assert all(is_accepted(receiver, signed(base + number)) for number in order)
    assert not any(is_accepted(receiver, signed(base + number)) for number in order)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * WINDOW_CALLS), max_size=60))
def test_the_window_accepts_what_is_new_and_young_enough_and_nothing_else(numbers):
    receiver = verifier()
    accepted: set[int] = set()
    for number in numbers:
        young = number > max(accepted, default=-1) - WINDOW_CALLS
        assert is_accepted(receiver, signed(number)) == (young and number not in accepted)
        if young:
            accepted.add(number)


def test_the_edges_of_the_window():
    receiver = verifier()
    assert is_accepted(receiver, signed(WINDOW_CALLS))
    assert is_accepted(receiver, signed(1))
    assert not is_accepted(receiver, signed(1))
    assert not is_accepted(receiver, signed(0))
    assert is_accepted(receiver, signed(WINDOW_CALLS + 1))
    assert not is_accepted(receiver, signed(1))
    assert is_accepted(receiver, signed(2))


def test_a_window_costs_the_same_whatever_the_numbers_are():
    """A caller that names a number of its own choosing does not make the verifier shift gigabytes."""
    receiver = verifier()
    assert is_accepted(receiver, signed(10**30))
    assert not is_accepted(receiver, signed(0))
    assert is_accepted(receiver, signed(10**30 - 1))


def test_callers_that_are_remembered_are_bounded_and_the_last_heard_stay(monkeypatch):
    monkeypatch.setattr(authentication, "CALLERS_MAX", 3)
    receiver = verifier()
    for number in range(10):
        assert is_accepted(receiver, signed(0, nonce=f"{number:02x}-0"))
        assert is_accepted(receiver, signed(number))  # this one goes on talking
    assert len(receiver._windows) == 3
    assert not is_accepted(receiver, signed(3))


GARBAGE = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[0-9a-f]{0,8}-?-?[0-9]{0,400}", fullmatch=True),
    st.integers().map(str),
    st.sampled_from(["", "-", "--", "nan", "inf", "1e9", "9" * 400, "9" * 5000, "-1", "a--5", "b:9000", CALLED.hex()]),
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(METADATA_KEYS), GARBAGE), st.booleans())
def test_garbage_is_refused_and_raises_nothing_else(metadata, handshake):
    with pytest.raises((Unauthentic, ValueError)):
        verifier().verify(METHOD, metadata, handshake=handshake)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(["from", "to", "time", "nonce", "incarnation"]), GARBAGE), st.booleans())
def test_garbage_that_is_signed_raises_nothing_else_either(fields, handshake):
    receiver = verifier()
    for _ in range(2):
        try:
            receiver.verify(METHOD, signed(0, **fields), handshake=handshake)
        except (Unauthentic, ValueError):
            continue


@pytest.mark.parametrize(
    "fields",
    [{"time": "soon"}, {"time": ""}, {"time": "9" * 400}, {"nonce": "abc"}, {"nonce": "abc-"}, {"nonce": "abc--1"}],
)
def test_a_time_or_nonce_that_is_none_is_refused(fields):
    with pytest.raises((Unauthentic, ValueError)):
        verifier().verify(METHOD, signed(0, **fields), handshake=False)


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    real = hmac.compare_digest

    def compare_digest(a, b):
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(authentication.hmac, "compare_digest", compare_digest)
    metadata = signed(0)
    with pytest.raises(Unauthentic):
        verifier().verify(METHOD, metadata | {"rustfs-signature": "f" * 64}, handshake=False)
    assert compared == [(b"f" * 64, metadata["rustfs-signature"].encode())]


def test_numbers_of_a_signer_never_repeat():
    caller = signer()
    nonces = [nonce_of(dict(caller.sign(METHOD, "b:9000", CALLED))) for _ in range(50)]
    assert len(set(nonces)) == 50
    assert [nonce.rpartition("-")[2] for nonce in nonces] == list(map(str, range(50)))


def test_the_proof_of_an_answer_depends_on_all_that_it_is_made_from():
    proofs = [
        answer_proof(key, nonce, identity)
        for key, nonce, identity in itertools.product((KEY, mesh_key("x")), ("a-1", "a-2"), (b"i", b"j"))
    ]
    assert len(set(proofs)) == len(proofs)
