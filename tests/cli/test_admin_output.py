"""What `rustfs admin` prints of a cluster's facts, and with which exit code it ends."""

import json
import re

import pytest
from typer.testing import CliRunner

from rustfs.cli import client, drives, heal, health, info, locks, trace
from rustfs.cli.main import app
from rustfs.cli.progress import Screen, bar
from rustfs.core.errors import ConfigurationError


def drive(number, **fields):
    return {
        "set": 0, "position": number, "endpoint": f"http://node{number}:9000/data", "node": f"node{number}:9000",
        "state": "online", "reason": "", "total_bytes": 8 << 30, "free_bytes": 6 << 30, "versions": 12,
        "repair_queue": 0, "reclaim_queue": 3, "healing": False, **fields,
    }  # fmt: skip


def lost(number):
    unknown = dict.fromkeys(("total_bytes", "free_bytes", "versions", "repair_queue", "reclaim_queue"), 0)
    return drive(number, state="offline", reason=f"node{number}:9000 does not answer", **unknown)


DRIVES = [drive(1), drive(2, healing=True, repair_queue=7), drive(3), lost(4)]
INFO = {
    "deployment_id": "d-1", "region": "us-east-1", "codec": "isa-l", "drives": DRIVES,
    "nodes": [
        {"address": "node1:9000", "state": "online", "version": "0.1.0", "workers": 2, "uptime_seconds": 3_700},
        {"address": "node4:9000", "state": "offline", "reason": "node4:9000 does not answer"},
    ],
    "sets": [{"set": 0, "drives": 4, "online": 3, "write_quorum": 3, "parity": {"STANDARD": 2}}],
}  # fmt: skip


def whole_health():
    quorums = {"writes": {"drives": 1, "nodes": 1}, "reads": {"drives": 2, "nodes": 2}}
    one = {"set": 0, "drives": 4, "online": 4, "healing": 0, "write_quorum": 3, "read_quorum": 2, "may_fail": quorums}
    return {
        "node": "node1:9000", "nodes": ["node1:9000", "node2:9000"], "nodes_offline": {}, "pings": {}, "sets": [one],
        "sets_without_write_quorum": [], "sets_without_read_quorum": [], "this_node_may_stop": True,
        "nodes_may_fail": {"writes": 1, "reads": 2}, "drives_offline": [], "drives_healing": [],
    }  # fmt: skip


class Answers:
    """A node that answers as a test says, in the place of the client."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def get(self, name):
        self.asked.append(("GET", name, {}))
        return self.answers[name]

    def post(self, name, parameters):
        self.asked.append(("POST", name, parameters))
        return self.answers[name]

    def stream(self, method, name, parameters):
        self.asked.append((method, name, parameters))
        for line in self.answers[name]:
            if isinstance(line, type):
                raise line
            yield line


@pytest.fixture
def cli(monkeypatch):
    """Run a command of `rustfs admin` against canned answers: its result, and what was asked."""

    def invoke(*arguments, **answers):
        node = Answers({name.replace("__", "/"): answer for name, answer in answers.items()})
        for module in (info, drives, health, heal, locks, trace):
            monkeypatch.setattr(module, "node_at", lambda address: node)
        result = CliRunner().invoke(app, ["admin", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result, node.asked

    return invoke


def columns(text):
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_info_names_who_is_away_and_why(cli):
    shown = cli("info", info=INFO)[0].stdout
    assert "Node node1:9000  online  up 1h 1m  2 workers  rustfs 0.1.0" in shown
    assert "Node node4:9000  offline: node4:9000 does not answer" in shown
    assert "Set 0: 3 of 4 drives online, 2 data + 2 parity, write quorum 3" in shown
    assert "Capacity 24.0 GiB, 6.0 GiB used; room for about 12.0 GiB of objects" in shown
    assert "! node4:9000 does not answer" in shown
    assert json.loads(cli("info", "--json", info=INFO)[0].stdout) == INFO


def test_drives_are_listed_by_node_with_what_is_known_of_them(cli):
    rows = columns(cli("drives", drives=DRIVES)[0].stdout)
    assert ["0/2", "http://node2:9000/data", "healing", "2.0 GiB", "6.0 GiB", "12", "7", "3"] in rows
    assert ["0/4", "http://node4:9000/data", "offline", "-", "-", "-", "-", "-"] in rows
    assert rows.index(["Node node1:9000"]) < rows.index(["Node node4:9000"])
    assert json.loads(cli("drives", "--json", drives=DRIVES)[0].stdout) == DRIVES


def test_health_says_what_may_fail(cli):
    result, _ = cli("health", health=whole_health())
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Every set can be written and read (1 set)",
        "Any 1 more drive of each set, or 1 whole node, may fail, and all objects can still be written",
        "Any 2 more drives of each set, or 2 whole nodes, may fail, and all objects can still be read",
        "Node node1:9000 may be stopped now",
    ]


def test_health_fails_when_a_set_cannot_be_written(cli):
    facts = whole_health()
    facts["sets"][0] |= {"online": 2, "may_fail": {mode: {"drives": 0, "nodes": 0} for mode in ("writes", "reads")}}
    facts |= {
        "sets_without_write_quorum": [0], "this_node_may_stop": False, "nodes_offline": {"node2:9000": "it is gone"},
        "pings": {
            "node3:9000": {"round_trip_ms": 0.5, "clock_ahead_ms": -2500},
            "node4:9000": {"round_trip_ms": 0.5, "clock_ahead_ms": 999},
        },
        "drives_offline": ["http://node2:9000/data"], "drives_healing": ["http://node1:9000/data"],
        "nodes_may_fail": {"writes": 0, "reads": 0},
    }  # fmt: skip
    result, _ = cli("health", health=facts)
    assert result.exit_code == 1
    assert "NOT WRITABLE: set 0 without write quorum" in result.stdout
    assert "NOT READABLE" not in result.stdout
    assert "Not one drive more may fail if all objects are to be read" in result.stdout
    assert "Node node1:9000 must not be stopped" in result.stdout
    assert "! node node2:9000 is offline: it is gone" in result.stdout
    assert "! the clock of node node3:9000 is 2.5 s behind this node's" in result.stdout
    assert "node4:9000" not in result.stdout
    assert "! set 0: 2 of 4 drives online, 0 healing; writes need 3, reads 2" in result.stdout
    assert "! drive http://node2:9000/data is offline" in result.stdout
    result, _ = cli("health", "--json", health=facts)
    assert (result.exit_code, json.loads(result.stdout)) == (1, facts)


STATUS = {
    "sets": [
        {
            "node": "node1:9000", "set": 0, "state": "healing", "drives": ["/data1"], "started_ms": 1,
            "keys_checked": 400, "keys_total": 1000, "keys_healed": 30, "keys_failed": 2, "repair_queue": 1,
            "keys_per_second": 100.0, "bytes_per_second": 2048.0, "seconds_left": 66.0,
        }
    ],
    "runs": [
        {
            "node": "node1:9000", "run": "abc", "bucket": "bkt", "prefix": "p/", "deep": True, "seconds": 2.0,
            "keys_checked": 10, "keys_healed": 1, "keys_failed": 0, "keys_waiting": 3, "bytes_healed": 1024,
        }
    ],
    "nodes_without_answer": {"node2:9000": "it is gone"},
}  # fmt: skip


def test_heal_status_tells_progress_rate_and_estimate(cli):
    lines = cli("heal", "status", heal=STATUS)[0].stdout.splitlines()
    assert lines == [
        "Node node1:9000  set 0: healing, rebuilding /data1",
        "  400 of about 1000 keys compared, 30 healed, 2 not yet; 100 keys/s, 2.0 KiB/s, about 1m 6s to go",
        "  repair queue: 1 key",
        "Node node1:9000  deep run abc over bkt/p/: 10 keys checked, 1 healed, 0 not, 3 waiting for drives out of "
        "reach; 5 keys/s, 1.0 KiB rebuilt",
        "! node node2:9000 did not answer: it is gone",
    ]
    assert json.loads(cli("heal", "status", "--json", heal=STATUS)[0].stdout) == STATUS


def test_on_a_terminal_progress_is_a_bar():
    (first, *_) = heal.status_lines(STATUS, bars=True)
    assert first == "Node node1:9000  set 0  [#########...............]  40%  healing, rebuilding /data1"
    assert [bar(0, 0), bar(0, 5), bar(9, 5)] == [
        f"[{'#' * 24}] 100%",
        f"[{'.' * 24}]   0%",
        f"[{'#' * 24}] 100%",
    ]


def test_a_live_screen_overwrites_itself_and_a_plain_one_repeats_nothing(capsys):
    live, plain = Screen(live=True), Screen(live=False)
    live.show(["a", "b"])
    live.show(["c"])
    assert capsys.readouterr().out == "a\x1b[K\nb\x1b[K\n\x1b[J" + "\x1b[2F" + "c\x1b[K\n\x1b[J"
    for lines in (["a"], ["a"], ["b"]):
        plain.show(lines)
    assert capsys.readouterr().out == "a\nb\n"


def progress(**fields):
    return {
        "keys_checked": 4, "keys_healed": 1, "keys_failed": 0, "keys_waiting": 0, "bytes_healed": 0, "last_key": "k",
        "seconds": 2.0, **fields,
    }  # fmt: skip


def done(**fields):
    over = {"done": True, "stopped": False, "sets_checked": [0, 1], "sets_not_checked": [], "errors": {}}
    return progress(**over, **fields) if not fields.keys() & over.keys() else progress(**{**over, **fields})


BEGUN = {"run": "abc", "nodes": ["node1:9000"]}


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ((), {}),
        (("--deep",), {"deep": "true"}),
        (("bkt",), {"bucket": "bkt"}),
        (("bkt/a/b", "--deep"), {"bucket": "bkt", "prefix": "a/b", "deep": "true"}),
        (("--deep", "bkt/"), {"bucket": "bkt", "deep": "true"}),
        (("start", "status"), {"bucket": "status"}),
    ],
)
def test_heal_without_a_command_starts_a_run(cli, arguments, parameters):
    result, asked = cli("heal", *arguments, heal__start=[BEGUN, progress(), done()])
    assert asked == [("POST", "heal/start", parameters)]
    assert result.exit_code == 0
    assert "Done after 2s, 2 sets: 4 keys checked, 1 healed, 0 not; 2 keys/s" in result.stdout


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"errors": {"node2:9000": "it is gone"}}, "! node2:9000: it is gone"),
        ({"keys_failed": 1}, "1 not"),
        ({"keys_waiting": 1}, "1 waiting for drives out of reach"),
        ({"sets_not_checked": [1, 3]}, "! not checked from end to end: sets 1, 3"),
        ({"stopped": True}, "Stopped after 2s"),
    ],
)
def test_heal_fails_when_not_all_is_whole(cli, fields, text):
    result, _ = cli("heal", heal__start=[BEGUN, done(**fields)])
    assert result.exit_code == 1
    assert text in result.stdout


def test_heal_as_json_is_the_lines_of_the_stream(cli):
    lines = [BEGUN, progress(), done()]
    result, _ = cli("heal", "--json", heal__start=lines)
    assert [json.loads(line) for line in result.stdout.splitlines()] == lines


def test_an_interrupted_heal_tells_how_far_it_came(cli):
    result, _ = cli("heal", heal__start=[BEGUN, progress(), KeyboardInterrupt])
    assert result.exit_code == 130
    assert "Interrupted; so far 4 keys checked" in result.stdout


def test_a_heal_without_a_summary_is_an_error(cli):
    with pytest.raises(ConfigurationError, match="without a summary"):
        cli("heal", heal__start=[BEGUN, progress()])


def test_heal_stop_names_who_stopped(cli):
    stopped = {"stopped_on": ["node1:9000"], "nodes_without_answer": {}}
    result, asked = cli("heal", "stop", "abc", heal__stop=stopped)
    assert (result.stdout, asked) == ("Stopped on node1:9000\n", [("POST", "heal/stop", {"run": "abc"})])
    nothing = {"stopped_on": [], "nodes_without_answer": {}}
    assert cli("heal", "stop", heal__stop=nothing)[0].exit_code == 0
    assert cli("heal", "stop", "abc", heal__stop=nothing)[0].exit_code == 1


LOCK = {
    "resource": "key:a%20b", "owner": "0123456789abcdef", "node": "node1:9000", "purpose": "conditional write",
    "shared": False, "waiting": False, "age_seconds": 1.26, "expires_in_seconds": 3.0, "granted_by": ["a", "b"],
}  # fmt: skip


def test_locks_lists_them(cli):
    facts = {"locks": [LOCK, {**LOCK, "waiting": True, "granted_by": []}], "nodes_without_answer": {"n": "gone"}}
    rows = columns(cli("locks", locks=facts)[0].stdout)
    assert rows[1:] == [
        ["key:a%20b", "held", "node1:9000 01234567", "conditional write", "1.3 s", "3.0 s", "2 nodes"],
        ["key:a%20b", "waits", "node1:9000 01234567", "conditional write", "1.3 s", "3.0 s", "0 nodes"],
        ["! node n did not answer: gone"],
    ]
    assert cli("locks", locks={"locks": [], "nodes_without_answer": {}})[0].stdout == "No locks\n"
    assert json.loads(cli("locks", "--json", locks=facts)[0].stdout) == facts


def test_locks_release_says_whether_there_was_one(cli):
    released = {"released_on": ["node1:9000"], "nodes_without_answer": {}}
    result, asked = cli("locks", "release", "key:a%20b", locks__release=released)
    assert (result.exit_code, result.stdout) == (0, "Released on node1:9000\n")
    assert asked == [("POST", "locks/release", {"resource": "key:a%20b"})]
    result, _ = cli("locks", "release", "x", locks__release={"released_on": [], "nodes_without_answer": {}})
    assert result.exit_code == 1
    assert "nobody holds the lock 'x'" in result.stderr


EVENT = {
    "time_ms": 1_700_000_000_042, "node": "node1:9000", "operation": "PutObject", "method": "PUT",
    "path": "/bkt/a\x1b[2Jb", "status": 200, "duration_ms": 12.34, "received_bytes": 2048, "sent_bytes": 0,
    "client": "10.0.0.1", "request_id": "ABC", "dropped": 0,
}  # fmt: skip


def test_trace_prints_requests_and_keeps_control_characters_off_the_terminal(cli):
    events = [{"following": ["node1:9000"]}, EVENT, {"node": "n2", "notice": "gone"}, {**EVENT, "dropped": 7}]
    result, asked = cli("trace", trace=[*events, KeyboardInterrupt])
    assert (result.exit_code, asked) == (0, [("GET", "trace", {})])
    row = columns(result.stdout)[1]
    assert row[0].endswith(".042")
    assert row[1:] == ["node1:9000", "PutObject", "200", "12.3 ms", "2.0 KiB", "0 B", "10.0.0.1", "/bkt/a\\x1b[2Jb"]
    assert result.stderr.splitlines() == [
        "Following node1:9000; Ctrl-C ends",
        "! n2: gone",
        "! node1:9000: 7 requests not shown",
    ]


def test_trace_passes_its_filters_on(cli):
    arguments = ("--operation", "GetObject", "--path", "/b", "--errors", "--slower-than", "20", "--json")
    result, asked = cli("trace", *arguments, trace=[EVENT])
    wanted = {"operation": "GetObject", "path": "/b", "errors": "true", "slower_than_ms": "20"}
    assert asked == [("GET", "trace", wanted)]
    assert [json.loads(line) for line in result.stdout.splitlines()] == [EVENT]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "refused the keys"),
        (403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", "differ by more than 15 minutes"),
        (400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>", "another region; set RUSTFS_REGION"),
        (503, b'{"error": "the node is starting"}', "n:1 says: the node is starting"),
        (404, b"nothing here", "is it a RustFS node of this version?"),
        (502, b"<html>", "answered with status 502"),
        (500, b"[]", "answered with status 500"),
    ],
)
def test_what_a_refusal_means(status, body, sentence):
    assert sentence in client._refusal("n:1", status, body)
