"""The lock table that the workers of a node share."""

import signal
import subprocess
import sys

from rustfs.node.keylocks import FileKeyLocks

HOLDER = """
import sys, time
from rustfs.node.keylocks import FileKeyLocks
locks = FileKeyLocks(sys.argv[1])
assert locks.try_lock(b"key")
print("held", flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time_and_other_keys_are_free(tmp_path):
    first, second = FileKeyLocks(str(tmp_path / "locks")), FileKeyLocks(str(tmp_path / "locks"))
    assert first.try_lock(b"key")
    assert not second.try_lock(b"key")
    assert second.try_lock(b"another")
    first.unlock(b"key")
    assert second.try_lock(b"key")
    assert not first.try_lock(b"key")
    second.close()
    assert first.try_lock(b"key")
    assert first.try_lock(b"another")
    first.close()


def test_a_killed_process_holds_nothing(tmp_path):
    path = str(tmp_path / "locks")
    locks = FileKeyLocks(path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert not locks.try_lock(b"key")
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=10)
    assert locks.try_lock(b"key")
    locks.close()
