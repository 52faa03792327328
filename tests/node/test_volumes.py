"""The volumes argument: which directories it names, how they are cut into sets, and what is wrong with it."""

import os

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.node.volumes import drives_of, expand, set_size


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("/data", ["/data"]),
        ("/data{1...4}", ["/data1", "/data2", "/data3", "/data4"]),
        ("/data{3...3}", ["/data3"]),
        ("/data{8...11}", ["/data8", "/data9", "/data10", "/data11"]),
        ("/data{08...11}", ["/data08", "/data09", "/data10", "/data11"]),
        ("/data{0...1}/disk", ["/data0/disk", "/data1/disk"]),
        ("/h{1...2}/d{1...3}", ["/h1/d1", "/h2/d1", "/h1/d2", "/h2/d2", "/h1/d3", "/h2/d3"]),  # the first one fastest
        ("{1...2}{1...2}", ["11", "21", "12", "22"]),
    ],
)
def test_ranges_expand(pattern, paths):
    assert expand(pattern) == paths


def test_words_may_come_apart_or_together():
    expected = ["/a1", "/a2", "/b", os.path.abspath("c")]
    assert drives_of(["/a{1...2}", "/b", "c"]) == expected
    assert drives_of(["/a{1...2} /b c"]) == expected
    assert drives_of(["/a1/../a1", "/a2/"]) == ["/a1", "/a2"]


@pytest.mark.parametrize(
    ("volumes", "sentence"),
    [
        ([], "no volumes given"),
        (["  "], "no volumes given"),
        (["http://node{1...4}:9000/data"], "names another host"),
        (["https://node/data"], "names another host"),
        (["/data{1..4}"], "has a brace that is no range"),
        (["/data{a...d}"], "has a brace that is no range"),
        (["/data{1...4"], "has a brace that is no range"),
        (["/data{{1...4}}"], "has a brace that is no range"),
        (["/data{4...1}"], "has a range that descends: {4...1}"),
        (["/data{1...1025}"], "names more than 1024 drives"),
        (["/h{1...100}/d{1...100}"], "names more than 1024 drives"),
        (["/data{1...999999999999}"], "names more than 1024 drives"),
        (["/data1", "/data{1...2}"], "the drive /data1 is named twice"),
        (["/data1", "/data1/"], "the drive /data1 is named twice"),
        (["/data", "/data/inner"], "the drive /data/inner lies inside the drive /data"),
        (["/", "/data"], "the drive /data lies inside the drive /"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(volumes, sentence):
    with pytest.raises(ConfigurationError) as raised:
        drives_of(volumes)
    assert sentence in str(raised.value)


def test_a_name_that_begins_like_another_is_not_inside_it():
    assert drives_of(["/data", "/data2"]) == ["/data", "/data2"]


@pytest.mark.parametrize(
    ("volumes", "size"),
    [
        *(([f"/data{{1...{count}}}"], count) for count in range(1, 17)),
        (["/data{1...18}"], 9),
        (["/data{1...20}"], 10),
        (["/data{1...24}"], 12),
        (["/data{1...32}"], 16),
        (["/data{1...34}"], 2),
        (["/h{1...4}/d{1...12}"], 16),
        (["/h{1...5}/d{1...7}"], 7),
        (["/a{1...6} /b{1...12}"], 6),
        (["/a{1...6}", "/b{1...12}"], 6),
        (["/a{1...4} /b{1...12} /c{1...4}"], 4),
        ([f"/data{number}" for number in range(32)], 16),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_sets_are_the_largest_that_divide_the_drives(volumes, size):
    count = len(drives_of(volumes))
    assert set_size(volumes, count) == size
    assert count % size == 0


@pytest.mark.parametrize("count", [17, 19, 37, 289])
def test_numbers_that_no_set_divides(count):
    volumes = [f"/data{{1...{count}}}"]
    with pytest.raises(ConfigurationError, match=f"{count} drives cannot be cut into sets"):
        set_size(volumes, count)
