"""Settings of a cluster: which values are taken, what a change makes, and what counts on a node."""

import pytest

from rustfs.core.configuration import CHANGES_KEPT, SETTINGS, Configuration, SettingRefused, check

DEFAULTS = {"compression": "off", "heal-share": "50", "log-level": "info"}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("compression", ["auto", "off"], ["on", "", "AUTO"]),
        ("heal-share", ["1", "50", "100"], ["0", "101", "-1", "07", "1.5", "", "²"]),
        ("log-level", ["debug", "info", "warning", "error"], ["INFO", "trace", ""]),
    ],
)
def test_values_are_checked(name, good, bad):
    for value in good:
        check(name, value)
    for value in bad:
        with pytest.raises(SettingRefused, match=f"{name} must be"):
            check(name, value)


def test_every_setting_has_a_default_here():
    assert DEFAULTS.keys() == SETTINGS.keys()


def test_what_does_not_exist_cannot_be_set_or_unset():
    for value in ("x", None):
        with pytest.raises(SettingRefused, match="there is no setting 'heal_share'"):
            Configuration().with_change("heal_share", value, b"1")


def test_a_setting_of_the_cluster_overrides_the_node_until_it_is_unset():
    one = Configuration().with_change("compression", "auto", b"a")
    two = one.with_change("heal-share", "10", b"b")
    three = two.with_change("compression", None, b"c")
    assert [each.version for each in (one, two, three)] == [1, 2, 3]
    assert two.in_force(DEFAULTS) == {"compression": "auto", "heal-share": "10", "log-level": "info"}
    assert three.in_force(DEFAULTS) == {"compression": "off", "heal-share": "10", "log-level": "info"}
    assert three.changes == (b"a", b"b", b"c")


def test_it_comes_back_from_its_encoding_and_remembers_a_bounded_number_of_changes():
    made = Configuration()
    for number in range(CHANGES_KEPT + 5):
        made = made.with_change("heal-share", str(number % 100 + 1), number.to_bytes(2))
    assert Configuration.of(made.encoded()) == made
    assert made.changes == tuple(number.to_bytes(2) for number in range(5, CHANGES_KEPT + 5))


def test_what_a_newer_node_has_set_is_kept_and_has_no_effect():
    newer = Configuration(4, {"unheard-of": "1", "heal-share": "auto"}, ())
    assert newer.in_force(DEFAULTS) == DEFAULTS
    assert newer.with_change("log-level", "error", b"x").values == {
        "unheard-of": "1", "heal-share": "auto", "log-level": "error",
    }  # fmt: skip
