"""Which node this is: by port and resolved address, waiting for names that resolve late, and never for long."""

import socket
import threading
import time

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.node import ownnode
from rustfs.node.ownnode import SystemResolver, find_own_node, local_addresses, only_loopback, own_node

NODES = ("n1:9000", "n2:9000", "n2:9001")
KNOWN = {"n1": frozenset({"192.0.2.1"}), "n2": frozenset({"192.0.2.2", "2001:db8::2"})}


@pytest.mark.parametrize(
    ("port", "addresses", "expected"),
    [
        (9000, {"192.0.2.1"}, "n1:9000"),
        (9000, {"2001:db8::2", "192.0.2.99"}, "n2:9000"),
        (9001, {"192.0.2.2"}, "n2:9001"),
        (9001, {"192.0.2.1"}, None),
        (9002, {"192.0.2.1", "192.0.2.2"}, None),
        (9000, set(), None),
    ],
)
def test_own_is_what_has_the_port_and_an_address_of_ours(port, addresses, expected):
    assert own_node(NODES, port, KNOWN, frozenset(addresses)) == expected


def test_names_that_do_not_resolve_are_other_nodes():
    assert own_node(("n0:9000", *NODES), 9000, KNOWN, frozenset({"192.0.2.1"})) == "n1:9000"


def test_two_names_for_one_node_are_refused():
    with pytest.raises(ConfigurationError, match="more than once: n1:9000, n2:9000 are all"):
        own_node(NODES, 9000, KNOWN, frozenset({"192.0.2.1", "192.0.2.2"}))


def nothing(hosts, seconds):
    raise AssertionError("addresses need no resolving")


def test_addresses_are_compared_without_asking_anybody():
    nodes = [f"127.0.0.{number}:9000" for number in (1, 2, 3)]
    assert find_own_node(nodes, "127.0.0.2", 9000, nothing, 60) == "127.0.0.2:9000"
    ports = ["127.0.0.1:9000", "127.0.0.1:9001"]
    assert find_own_node(ports, "0.0.0.0", 9001, nothing, 60) == "127.0.0.1:9001"
    assert find_own_node(["192.0.2.1:9000", "[::1]:9000"], "::", 9000, nothing, 60) == "[::1]:9000"


@pytest.mark.parametrize(
    ("nodes", "host", "port", "sentence"),
    [
        (["192.0.2.1:9000", "192.0.2.2:9000"], "127.0.0.1", 9000, "looked for 127.0.0.1, the host of --address, among"),
        (["192.0.2.1:9000"], "0.0.0.0", 9000, "looked for an address of this machine, among the nodes with port 9000"),
        (["n1:9000"], "127.0.0.1", 9001, "none has the port 9001 of --address 127.0.0.1:9001 (nodes: n1:9000)"),
    ],
)
def test_what_can_never_be_ours_is_refused_at_once(nodes, host, port, sentence):
    with pytest.raises(ConfigurationError) as raised:
        find_own_node(nodes, host, port, nothing, 3600)
    assert sentence in str(raised.value)


def test_a_name_that_resolves_late_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(ownnode, "_PAUSE_SECONDS", 0.001)
    answers = iter([{}, {"pod-0": frozenset({"192.0.2.9"})}, {"pod-0": frozenset({"127.0.0.5"})}])
    node = find_own_node(["pod-0:9000", "pod-1:9000"], "0.0.0.0", 9000, lambda *_: next(answers), 60)
    assert node == "pod-0:9000"
    (warning,) = caplog.messages
    assert "pod-0 does not resolve, pod-1 does not resolve; waiting up to 60 s" in warning


def test_waiting_ends_in_words(monkeypatch):
    monkeypatch.setattr(ownnode, "_PAUSE_SECONDS", 0.001)
    known = {"pod-1": frozenset({"192.0.2.9"})}
    with pytest.raises(ConfigurationError, match=r"pod-0 does not resolve, pod-1 is 192\.0\.2\.9"):
        find_own_node(["pod-0:9000", "pod-1:9000"], "0.0.0.0", 9000, lambda *_: known, 0.05)


def test_loopback_is_what_nobody_else_reaches():
    known = {"a": frozenset({"127.0.0.1", "::1"}), "b": frozenset({"127.0.0.1", "192.0.2.1"})}
    assert only_loopback(["a", "127.0.0.9", "::1"], lambda *_: known)
    assert not only_loopback(["a", "b"], lambda *_: known)
    assert not only_loopback(["a", "192.0.2.1"], lambda *_: known)
    assert not only_loopback(["a", "c"], lambda *_: known)  # does not resolve


def test_local_addresses_are_those_of_this_machine():
    assert local_addresses(["127.0.0.1", "127.9.9.9", "192.0.2.77"]) == {"127.0.0.1", "127.9.9.9"}


def test_a_machine_that_binds_anything_is_told_to_name_its_address(monkeypatch):
    monkeypatch.setattr(ownnode, "_can_bind", lambda _: True)
    with pytest.raises(ConfigurationError, match="give --address the address of this node"):
        local_addresses(["192.0.2.77"])


def test_hosts_are_asked_for_side_by_side_and_a_slow_one_holds_up_nobody(monkeypatch):
    released, asked = threading.Event(), []

    def getaddrinfo(host, *_args, **_options):
        asked.append(host)
        if host == "slow":
            released.wait(30)
        if host == "gone":
            raise socket.gaierror("unknown")
        return [
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", 0)),
            (socket.AF_INET6, 1, 6, "", ("::ffff:192.0.2.1", 0, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolve = SystemResolver()
    found = {"quick": frozenset({"192.0.2.1"})}
    began = time.monotonic()
    assert resolve(["gone", "quick", "slow"], 0.2) == found
    assert resolve(["gone", "quick", "slow"], 0.2) == found
    assert time.monotonic() - began < 10
    assert asked.count("slow") == 1  # still outstanding: not asked for again
    released.set()
    assert resolve(["slow"], 30) == {"slow": frozenset({"192.0.2.1"})}
