"""Which drive is which: found out from the drives themselves; whatever does not fit is refused and left alone."""

import json
import os
import shutil
from dataclasses import asdict

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.drive.format import read_format, write_format
from rustfs.node.formatting import identify_drives


@pytest.fixture
def roots(tmp_path):
    return [str(tmp_path / f"drive{number}") for number in range(4)]


def change_format(root, **changes):
    path = os.path.join(root, ".rustfs", "format.json")
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(raw | changes, file)


def refusal(roots, size=4):
    before = {root: snapshot(root) for root in roots}
    with pytest.raises(ConfigurationError) as raised:
        identify_drives(roots, size)
    assert {root: snapshot(root) for root in roots} == before, "nothing may change where a start is refused"
    return str(raised.value)


def snapshot(root):
    return sorted(os.path.join(at, name) for at, _, names in os.walk(root) for name in names if name != "format.lock")


def test_fresh_drives_become_one_deployment(roots):
    identities = identify_drives(roots, 4)
    assert [read_format(root) for root in roots] == identities
    assert len({identity.drive_id for identity in identities}) == 4
    assert {identity.deployment_id for identity in identities} == {identities[0].deployment_id}
    assert identities[0].sets == (tuple(identity.drive_id for identity in identities),)
    assert [identity.place_of(identity.drive_id) for identity in identities] == [(0, n) for n in range(4)]
    assert identify_drives(roots, 4) == identities  # and stay it


def test_drives_are_cut_into_sets_in_order(roots):
    identities = identify_drives(roots, 2)
    assert [identity.place_of(identity.drive_id) for identity in identities] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_two_deployments_are_two(tmp_path, roots):
    assert identify_drives(roots[:2], 2)[0].deployment_id != identify_drives(roots[2:], 2)[0].deployment_id


def test_a_drive_of_another_deployment_is_refused(tmp_path, roots):
    identify_drives(roots, 4)
    others = [str(tmp_path / f"other{number}") for number in range(4)]
    theirs = identify_drives(others, 4)[0].deployment_id
    sentence = refusal([*roots[:2], others[2], roots[3]])
    assert others[2] in sentence
    assert f"found a drive of deployment {theirs}" in sentence
    assert f"expected deployment {read_format(roots[0]).deployment_id}" in sentence


def test_drives_in_another_order_are_refused(roots):
    identify_drives(roots, 4)
    sentence = refusal([roots[1], roots[0], *roots[2:]])
    assert "(set 0, position 1), expected" in sentence
    assert "same order" in sentence


@pytest.mark.parametrize("count", [3, 2, 1])
def test_fewer_drives_are_refused(roots, count):
    identify_drives(roots, 4)
    assert f"deployment of 4 drives, but {count} are given" in refusal(roots[:count], count)


def test_more_drives_are_refused(tmp_path, roots):
    identify_drives(roots, 4)
    assert "deployment of 4 drives, but 5 are given" in refusal([*roots, str(tmp_path / "fifth")], 5)
    assert not (tmp_path / "fifth").exists()


def test_other_sets_are_refused(roots):
    identify_drives(roots, 4)
    assert "formatted in sets of 4, but the volumes make sets of 2" in refusal(roots, 2)


@pytest.mark.parametrize("version", [2, 0, None, "1"])
def test_another_format_version_is_refused(roots, version):
    identify_drives(roots, 4)
    change_format(roots[1], version=version)
    sentence = refusal(roots)
    assert f"{roots[1]}: found drive format version {version}, this program knows version 1" in sentence


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "deployment_id": 1, "sets": 3}']
)
def test_a_damaged_format_is_refused(roots, content):
    identify_drives(roots, 4)
    with open(os.path.join(roots[2], ".rustfs", "format.json"), "w", encoding="utf-8") as file:
        file.write(content)
    assert refusal(roots).startswith(f"{roots[2]}: ")


def test_another_layout_of_the_same_deployment_is_refused(roots):
    identities = identify_drives(roots, 4)
    ids = identities[0].sets[0]
    change_format(roots[3], sets=[list(ids[:2]), list(ids[2:])])
    assert "another set layout" in refusal(roots)


@pytest.mark.parametrize("gone", [[0], [3], [0, 1, 2]])
def test_the_others_remember_a_drive_that_is_gone(roots, gone):
    identities = identify_drives(roots, 4)
    for number in gone:
        shutil.rmtree(roots[number])
    assert identify_drives(roots, 4) == identities
    assert [os.path.exists(root) for root in roots] == [number not in gone for number in range(4)]


def test_an_emptied_drive_is_left_for_healing(roots):
    identities = identify_drives(roots, 4)
    shutil.rmtree(roots[1])
    os.mkdir(roots[1])
    assert identify_drives(roots, 4) == identities
    assert os.listdir(roots[1]) == []


def test_a_directory_that_holds_something_else_is_no_drive(tmp_path, roots):
    os.mkdir(roots[2])
    (tmp_path / "drive2" / "thesis.txt").write_text("mine")
    sentence = refusal(roots)
    assert f"{roots[2]} is no drive but holds 'thesis.txt'" in sentence
    assert not any(os.path.exists(os.path.join(root, ".rustfs")) for root in roots)
    assert identify_drives([roots[0], roots[1], roots[3]], 3)  # nothing was begun that stands in the way


def test_a_file_is_no_drive(tmp_path, roots):
    (tmp_path / "drive1").write_text("a file")
    assert roots[1] in refusal(roots)


def test_what_a_new_file_system_brings_along_is_no_hindrance(roots):
    os.makedirs(os.path.join(roots[0], "lost+found"))
    assert len(identify_drives(roots, 4)) == 4


def test_a_format_survives_its_file(tmp_path, roots):
    identity = identify_drives(roots, 4)[1]
    os.makedirs(tmp_path / "copy" / ".rustfs")
    write_format(str(tmp_path / "copy"), identity)
    assert read_format(str(tmp_path / "copy")) == identity
    with open(tmp_path / "copy" / ".rustfs" / "format.json", encoding="utf-8") as file:
        assert json.load(file) == json.loads(json.dumps(asdict(identity)))
