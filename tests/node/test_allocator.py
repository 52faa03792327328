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
