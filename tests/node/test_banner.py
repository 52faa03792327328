"""The banner: the truth about address, keys and layout, and lines that can be pasted."""

import shlex
from dataclasses import replace

import pytest

from rustfs.node.banner import banner
from tests.node.test_settings import OWN_KEYS, read


def field(text, name):
    (line,) = (line for line in text.splitlines() if line.startswith(f"  {name} "))
    return line[2 + len(name) :].strip()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        (":9001", "http://127.0.0.1:9001"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("[::]:9000", "http://127.0.0.1:9000"),
    ],
)
def test_the_url_can_be_opened_on_this_machine(address, url):
    text = banner(read(OWN_KEYS, address=address), "isa-l", [])
    assert field(text, "S3 endpoint") == url
    assert field(text, "Metrics") == f"{url}/rustfs/metrics"


def test_with_certificates_every_url_is_https():
    text = banner(read(OWN_KEYS, tls_dir="/etc/rustfs/tls"), "isa-l", [])
    assert field(text, "S3 endpoint") == "https://127.0.0.1:9000"
    assert "http://" not in text


def test_default_keys_are_shown_and_warned_of():
    text = banner(read(), "isa-l", [])
    assert (field(text, "Access key"), field(text, "Secret key")) == ("rustfsadmin", "rustfsadmin")
    assert "well-known defaults" in text


def test_keys_of_ones_own_stay_secret():
    text = banner(read(OWN_KEYS), "isa-l", [])
    assert field(text, "Access key") == "mine"
    assert "my-secret-key" not in text
    assert "well-known defaults" not in text


@pytest.mark.parametrize(
    ("volumes", "drives", "code", "efficiency"),
    [
        (["/d1"], "1 in 1 set(s) of 1", "1 data + 0 parity (portable): no drive may fail", "100 %"),
        (["/d{1...4}"], "4 in 1 set(s) of 4", "2 data + 2 parity (portable): any 2 of 4 drives may fail", "50 %"),
        (["/d{1...6}"], "6 in 1 set(s) of 6", "3 data + 3 parity (portable): any 3 of 6 drives may fail", "50 %"),
        (["/d{1...24}"], "24 in 2 set(s) of 12", "8 data + 4 parity (portable): any 4 of 12 drives may fail", "66 %"),
    ],
)
def test_the_layout(volumes, drives, code, efficiency):
    text = banner(read(volumes=volumes), "portable", [])
    assert field(text, "Drives") == drives
    assert field(text, "Erasure code") == code
    assert field(text, "Efficiency").startswith(efficiency)


def test_drives_that_are_not_well_are_named():
    text = banner(read(), "isa-l", ["/data3 is offline: no such directory", "/data4 is healing"])
    shown = [line.split("Attention")[1].strip() for line in text.splitlines() if "Attention" in line]
    assert shown == ["/data3 is offline: no such directory", "/data4 is healing"]


@pytest.mark.parametrize("environment", [{}, OWN_KEYS])
def test_the_lines_to_try_are_whole_commands(environment):
    settings = replace(read(environment), region="eu-west-1")
    lines = banner(settings, "isa-l", []).splitlines()
    aws, rclone = (shlex.split(line) for line in lines[lines.index("  Try it:") + 1 :] if line)
    assert aws[0] == f"AWS_ACCESS_KEY_ID={settings.access_key}"
    assert "AWS_DEFAULT_REGION=eu-west-1" in aws
    assert aws[aws.index("--endpoint-url") + 1] == "http://127.0.0.1:9000"
    assert rclone[:3] == ["rclone", "lsd", ":s3:"]
    assert rclone[rclone.index("--s3-endpoint") + 1] == "http://127.0.0.1:9000"
