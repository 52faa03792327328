"""What certificates say: pure decisions."""

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.node.certificates import (
    SECONDS_PER_DAY,
    Leaf,
    check_validity,
    expiry_warning,
    leaf_of,
    mesh_roots,
    mode_warning,
    split_certificates,
)

NOW_SECONDS = 1_800_000_000.0  # 2027-01-15
LEAF = Leaf(("node1",), NOW_SECONDS - 10, NOW_SECONDS + 60 * SECONDS_PER_DAY)


def block(content: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n"


def test_a_chain_is_split_in_order_without_what_stands_between():
    pem = b"subject=one\r\n" + block(b"AA\nBB") + b"\n# two\n" + block(b"CC") + b"-----BEGIN PRIVATE KEY-----\nX\n"
    assert split_certificates(pem) == [block(b"AA\nBB"), block(b"CC")]
    assert split_certificates(b"nothing here") == []


def test_the_mesh_trusts_the_ca_files_else_the_rest_of_the_chain_else_the_certificate_itself():
    leaf, intermediate, root, ca = (block(name) for name in (b"leaf", b"intermediate", b"root", b"ca"))
    assert mesh_roots([leaf, intermediate, root], [ca, root]) == ca + root
    assert mesh_roots([leaf, intermediate, root], []) == intermediate + root
    assert mesh_roots([leaf], []) == leaf


def test_a_certificate_as_openssl_shows_it():
    shown = {
        "notBefore": "Jan 15 08:00:00 2027 GMT",
        "notAfter": "Jan 16 08:00:00 2027 GMT",
        "subjectAltName": (("DNS", "node1"), ("IP Address", "10.0.0.1"), ("URI", "spiffe://x")),
    }
    assert leaf_of(shown) == Leaf(("node1", "10.0.0.1"), NOW_SECONDS, NOW_SECONDS + SECONDS_PER_DAY)
    assert leaf_of({**shown, "subjectAltName": ()}).names == ()


def test_validity():
    check_validity(LEAF, "/c", NOW_SECONDS)
    with pytest.raises(ConfigurationError, match=r"the certificate in /c expired on 2027-03-16 08:00 UTC$"):
        check_validity(LEAF, "/c", LEAF.not_after_seconds)
    with pytest.raises(ConfigurationError, match=r"valid from 2027-01-15 07:59 UTC only; is this machine's clock"):
        check_validity(LEAF, "/c", LEAF.not_before_seconds - 1)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (60, ""),
        (30, ""),
        (29.4, "expires in 29 days, on 2027-02-13"),
        (0.2, "expires in 0 days"),
        (-1, "expired on 2027-01-14"),
    ],
)
def test_the_end_is_announced_a_month_ahead(days, said):
    leaf = Leaf((), 0.0, NOW_SECONDS + days * SECONDS_PER_DAY)
    warning = expiry_warning(leaf, "/c", NOW_SECONDS)
    assert said in warning
    assert bool(warning) == bool(said)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_key_that_all_can_read_is_warned_of(mode, warned):
    assert bool(mode_warning("/k", 0o100000 | mode)) == warned
