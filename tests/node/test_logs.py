"""Log lines: one object per line for programs, one line per record for people."""

import io
import json
import logging
import re
import sys

import pytest

from rustfs.node.logs import JsonFormatter, TextFormatter, set_up_logging


def record_of(message, *arguments, level=logging.INFO, error=None):
    made = logging.LogRecord("rustfs.drive", level, __file__, 1, message, arguments, error)
    made.created, made.msecs = 1_700_000_000.123, 123.0
    return made


def failure():
    try:
        raise RuntimeError("drive lost\nfor good")
    except RuntimeError:
        return sys.exc_info()


def test_lines_for_people():
    line = TextFormatter().format(record_of("drive %s is %s", "/data1", "online"))
    assert line == "2023-11-14T22:13:20.123Z INFO rustfs.drive: drive /data1 is online"


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "\x1b[31mred", "a\x00b", "a\x85b"])
def test_a_name_cannot_pass_itself_off_as_a_log_line(name):
    line = TextFormatter().format(record_of("repaired %s", name))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_names_in_other_scripts_stay_readable():
    assert TextFormatter().format(record_of("repaired %s", "bucket/猫\té")).endswith("repaired bucket/猫\té")


def test_lines_for_programs():
    message = "repaired %s\n\x1b"
    lines = JsonFormatter().format(record_of(message, "猫", level=logging.WARNING)).splitlines()
    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert isinstance(entry.pop("process"), int)
    assert entry == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "warning",
        "logger": "rustfs.drive",
        "message": "repaired 猫\n\x1b",
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_failures_show_where(formatter):
    text = formatter.format(record_of("heal failed", level=logging.ERROR, error=failure()))
    if isinstance(formatter, JsonFormatter):
        assert len(text.splitlines()) == 1
        text = json.loads(text)["exception"]
    assert "Traceback" in text
    assert "RuntimeError: drive lost" in text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_everything_goes_to_standard_error(monkeypatch, log_format):
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root.handlers = []
    try:
        set_up_logging(log_format)
        logging.getLogger("rustfs.s3").info("hello")
        logging.getLogger("rustfs.s3").debug("too much")
    finally:
        root.handlers = kept
        root.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    if log_format == "json":
        assert json.loads(line)["message"] == "hello"
    else:
        assert re.fullmatch(r"\S+Z INFO rustfs\.s3: hello", line)
