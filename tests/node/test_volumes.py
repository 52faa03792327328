"""The volumes arguments: which drives they name, how these make pools and sets, and what is wrong with them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustfs.core.errors import ConfigurationError
from rustfs.node.volumes import expand, read_volumes


def names(volumes, **options):
    return [each.name for each in read_volumes(volumes, **options).endpoints]


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
        ("http://n{1...2}/d{01...02}", ["http://n1/d01", "http://n2/d01", "http://n1/d02", "http://n2/d02"]),
        (
            "http://n{1...2}:900{0...1}/d",
            ["http://n1:9000/d", "http://n2:9000/d", "http://n1:9001/d", "http://n2:9001/d"],
        ),
    ],
)
def test_ranges_expand(pattern, paths):
    assert expand(pattern) == paths


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=4))
def test_patterns_multiply_with_the_first_one_fastest(ranges):
    pattern = "".join(f"/x{{{low}...{low + count - 1}}}" for low, count in ranges)
    volumes = expand(pattern)
    expected = [""]
    for low, count in reversed(ranges):
        expected = [f"/x{number}{rest}" for rest in expected for number in range(low, low + count)]
    assert volumes == expected


def test_plain_words_are_one_pool_together_or_apart():
    expected = ["/a", "/b", os.path.abspath("c")]
    for volumes in (["/a", "/b", "c"], ["/a /b c"]):
        topology = read_volumes(volumes)
        assert [each.name for each in topology.endpoints] == expected
        assert [(pool.set_count, pool.set_size) for pool in topology.pools] == [(1, 3)]
    assert names(["/a1/../a1", "/a2/", "//a3"]) == ["/a1", "/a2", "/a3"]


def test_each_argument_with_ranges_is_a_pool():
    for volumes in (["/a{1...4}", "/b{1...32}"], ["/a{1...4} /b{1...32}"]):
        topology = read_volumes(volumes)
        assert [(pool.set_count, pool.set_size) for pool in topology.pools] == [(1, 4), (2, 16)]
        assert [each.path for each in topology.pools[0].endpoints] == ["/a1", "/a2", "/a3", "/a4"]
        assert [each.index for each in topology.endpoints] == list(range(36))
        assert not topology.distributed


def test_urls_name_drives_on_nodes():
    topology = read_volumes(["http://node{1...4}:9000/data{1...2}"])
    assert topology.distributed
    assert topology.nodes == ("node1:9000", "node2:9000", "node3:9000", "node4:9000")
    assert [each.path for each in topology.endpoints_of("node3:9000")] == ["/data1", "/data2"]
    assert (topology.pools[0].set_size, topology.endpoints[4].name) == (8, "http://node1:9000/data2")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://node1/data", "http://node1:9000/data"),
        ("HTTP://Node1.Example.COM.:80/Data//x/", "http://node1.example.com:80/Data/x"),
        ("https://192.0.2.7:9001/data", "https://192.0.2.7:9001/data"),
        ("http://[2001:DB8:0::1]:9000/data", "http://[2001:db8::1]:9000/data"),
        ("http://[::1]/data/../other", "http://[::1]:9000/other"),
        ("http://rustfs_1-a.svc:9000/data", "http://rustfs_1-a.svc:9000/data"),
    ],
)
def test_a_url_has_one_spelling(url, name):
    assert names([url]) == [name]


def test_the_port_of_the_address_is_that_of_urls_without_one():
    assert names(["http://n{1...2}/d"], default_port=9010) == ["http://n1:9010/d", "http://n2:9010/d"]


def test_equal_volumes_have_equal_digests_however_they_are_spelt():
    first = read_volumes(["http://node{1...2}:9000/d{1...2}"])
    assert first.digest() == read_volumes(["http://NODE{1...2}/d{1...2}/"]).digest()
    assert first.digest() != read_volumes(["http://node{1...2}:9001/d{1...2}"]).digest()


def test_drives_named_one_by_one_are_dealt_to_the_sets_by_node():
    volumes = [f"http://n{node}/d{drive}" for node in range(1, 5) for drive in range(1, 9)]  # node after node
    topology = read_volumes(volumes)
    (pool,) = topology.pools
    assert pool.set_size == 16
    for group in pool.sets:
        assert {node: sum(each.node == node for each in group) for node in topology.nodes} == dict.fromkeys(
            topology.nodes, 4
        )
    assert [each.index for each in topology.endpoints] == list(range(32))
    assert sorted(each.name for each in topology.endpoints) == sorted(names(volumes))


@pytest.mark.parametrize(
    ("volumes", "sentence"),
    [
        ([], "no volumes given"),
        (["  "], "no volumes given"),
        (["/data{1..4}"], "has a brace that is no range"),
        (["/data{a...d}"], "has a brace that is no range"),
        (["/data{1...4"], "has a brace that is no range"),
        (["/data1...4}"], "has a brace that is no range"),
        (["/data{{1...4}}"], "has a brace that is no range"),
        (["/data{4...1}"], "has a range that descends: {4...1}"),
        (["/data{1...1025}"], "names more than 1024 drives"),
        (["/h{1...100}/d{1...100}"], "names more than 1024 drives"),
        (["/data{1...999999999999}"], "names more than 1024 drives"),
        (["http://n{1...9999}/d{1...99}"], "names more than 65536 drives"),
        (["http://n{1...999}/d{1...64}", "http://m{1...999}/d{1...64}"], "name 127872 drives, more than 65536"),
        (["/data1", "/data1"], "the drive /data1 is named twice"),
        (["/data1", "/data1/"], "the drive /data1 is named twice"),
        (["/data1", "//data1"], "the drive /data1 is named twice"),
        (["/a{1...4}", "/a{4...8}"], "the drive /a4 is named twice"),
        (["http://n1/d", "http://N1:9000/d/"], "the drive http://n1:9000/d is named twice"),
        (["http://[::1]/d", "http://[0:0::1]/d"], "the drive http://[::1]:9000/d is named twice"),
        (["/data", "/data/inner"], "the drive /data/inner lies inside the drive /data"),
        (["/", "/data"], "the drive /data lies inside the drive /"),
        (["http://n/d/e/f", "http://n/d"], "the drive http://n:9000/d/e/f lies inside the drive http://n:9000/d"),
        (["/a{1...2}", "/b"], "/a{1...2} has a range and /b has none"),
        (["http://n1/d", "http://n{2...3}/d"], "http://n{2...3}/d has a range and http://n1/d has none"),
        (["/a", "http://n1/d"], "/a is a directory and http://n1/d a URL"),
        (["https://n{1...2}/d", "/a{1...2}"], "/a{1...2} is a directory and https://n{1...2}/d a URL"),
        (["http://n1/d", "https://n2/d"], "all URLs must have the same scheme"),
        (["ftp://n1/d"], "ftp://n1/d is neither a directory nor an http:// or https:// URL"),
        (["s3://bucket"], "is neither a directory nor"),
        (["http://n1:9000"], "http://n1:9000 names no directory"),
        (["http://n1:9000/"], "http://n1:9000/ names no directory"),
        (["http://n1:9000//.."], "names no directory"),
        (["http://n1/d?x=1"], "has a query or a fragment"),
        (["http://n1/d#x"], "has a query or a fragment"),
        (["http://n1?x/d"], "has a query or a fragment"),
        (["http://n1/d%20e"], "has a % or a backslash"),
        (["http:///d"], "has no good host"),
        (["http://:9000/d"], "has no good host"),
        (["http://n1:0/d"], "has no good host and port"),
        (["http://n1:65536/d"], "has no good host and port"),
        (["http://n1:/d"], "has no good host and port"),
        (["http://n1:x/d"], "has no good host and port"),
        (["http://::1/d"], "has no good host and port"),
        (["http://[n1]/d"], "has no good host and port"),
        (["http://-n1/d"], "has no good host: '-n1'"),
        (["http://a..b/d"], "has no good host: 'a..b'"),
        (["http://127.1/d"], "has no good host: '127.1'"),
        (["http://2130706433/d"], "has no good host"),
        ([f"http://{'a' * 64}/d"], "has no good host"),
        (["http://0.0.0.0:9000/d"], "0.0.0.0 stands for all addresses of a node"),
        (["http://[::]:9000/d"], ":: stands for all addresses of a node"),
        (["/a{1...4}", "/b{1...1}"], "/b{1...1} is a pool of one drive"),
        (["/a{1...17}"], "/a{1...17}: 17 drives cannot be cut into sets"),
        (["/a{1...4}", "http://n{1...17}/d"], "/a{1...4} is a directory"),
        (["http://m{1...4}/d", "http://n{1...19}/d"], "http://n{1...19}/d: 19 drives cannot be cut into sets"),
        ([f"/d{number}" for number in range(17)], "/d0 /d1 /d2 /d3 ...: 17 drives cannot be cut into sets"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(volumes, sentence):
    with pytest.raises(ConfigurationError) as raised:
        read_volumes(volumes)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError, match="has a user name") as raised:
        read_volumes(["http://user:pass-word@n1:9000/d"])
    assert "pass-word" not in str(raised.value)


def test_what_only_looks_like_the_same_drive_is_another():
    assert names(["/data", "/data2"]) == ["/data", "/data2"]
    assert len(names(["http://n1/d", "http://n2/d/inner", "http://n1:9001/d/inner"])) == 3


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
        ([f"/data{number}" for number in range(32)], 16),
        (["http://n{1...5}/d{1...7}"], 5),
        (["http://127.0.0.1:900{1...4}/d{1...8}"], 16),
        (["http://127.0.0.{1...4}/d{1...4}"], 16),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_sets_are_the_largest_that_divide_the_drives(volumes, size):
    (pool,) = read_volumes(volumes).pools
    assert pool.set_size == size
