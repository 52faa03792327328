"""The runtime directory: one's own while one lives, and swept by the next when one was killed."""

import os
import signal
import subprocess
import sys
import time

from rustfs.node.runtime import PREFIX, runtime_directory, sweep


def test_it_goes_with_its_owner(tmp_path):
    with runtime_directory(str(tmp_path)) as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        assert sweep(str(tmp_path)) == []
        assert os.path.isdir(path)
    assert os.listdir(tmp_path) == []


def test_what_a_killed_node_left_is_swept(tmp_path):
    script = (
        "import sys, time; from rustfs.node.runtime import runtime_directory\n"
        "with runtime_directory(sys.argv[1]) as path: print(path, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        left = process.stdout.readline().strip()
        os.utime(left, (0, time.time() - 3600))
        assert sweep(str(tmp_path)) == []
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    finally:
        process.kill()
        process.stdout.close()
    with runtime_directory(str(tmp_path)) as path:
        assert not os.path.exists(left)
        assert os.path.isdir(path)


def test_what_is_being_made_or_is_not_ours_is_left_alone(tmp_path):
    young, old, other = (tmp_path / name for name in (f"{PREFIX}young", f"{PREFIX}old", "another"))
    for directory in (young, old, other):
        directory.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    os.utime(old, (0, time.time() - 3600))
    os.utime(other, (0, time.time() - 3600))
    assert sweep(str(tmp_path)) == [str(old)]
    assert young.exists()
    assert other.exists()
