"""Buffers come from memory that is there already. In processes of their own: the settings hold for a process's life."""

import os
import platform
import subprocess
import sys

import pytest

BUFFERS = 900
PROGRAM = f"""
import resource, sys, threading
from rustfs.node.allocator import keep_buffers

assert keep_buffers() or sys.argv[1] == "default"

def work():
    for _ in range({BUFFERS // 3}):
        buffers = [b"x" * (1 << 20) for _ in range(3)]

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other settings")


def faults(**environment: str) -> int:
    """Pages that the program had to be given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "default" if environment else "ours"],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def test_memory_of_freed_buffers_is_used_again_unless_the_environment_says_otherwise():
    ours, glibcs = faults(), faults(MALLOC_MMAP_THRESHOLD_=str(128 << 10))
    assert ours < BUFFERS * 256 / 10  # pages of 4 KiB
    assert glibcs > 3 * ours


GIVING = """
from rustfs.node.allocator import KEPT_BYTES_MAX, give_back, keep_buffers
from rustfs.node.process_metrics import resident_bytes

assert keep_buffers()
kept = []
buffers = []
for number in range(240):
    buffers.append(b"x" * (1 << 20))
    if number % 8 == 7:
        kept.append(b"y" * 5_000)  # what is in use lies between what is free
del buffers
before = resident_bytes()
give_back(KEPT_BYTES_MAX)
small = resident_bytes()
give_back(before)
print(before, small, resident_bytes())
"""


def test_a_process_that_has_grown_large_gives_free_memory_back():
    done = subprocess.run([sys.executable, "-c", GIVING], capture_output=True, text=True, check=True, timeout=60)
    before, small, after = map(int, done.stdout.split())
    assert before > 240 << 20
    assert small > before - (20 << 20), "below the bound nothing is given back"
    assert after < before - (150 << 20)
