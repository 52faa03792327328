"""How the C library hands memory out: what shards and bodies were read into is kept for the next ones.

By default glibc gives buffers of a megabyte back to the kernel when they are freed, and every new one is zeroed pages
that fault in one by one: that cost more than all else that a shard's bytes meet between two nodes
(docs/performance.md). A variable of the environment (MALLOC_ARENA_MAX and its like) has precedence.

What is kept lies between what is in use, so an arena that has been large once stays so. `give_back` ends that, a few
times a minute at the most: it costs a page fault for every page that is used again.
"""

import ctypes
import os

# As in malloc.h. Where mapping or trimming has a fixed limit, glibc no longer adapts either by itself, so both are set.
_SETTINGS = (
    ("MALLOC_MMAP_THRESHOLD_", -3, 32 << 20),  # glibc's maximum: every buffer of ours comes out of an arena
    ("MALLOC_TRIM_THRESHOLD_", -1, 32 << 20),  # free bytes at an arena's end that are kept
    ("MALLOC_TOP_PAD_", -2, 4 << 20),  # an arena grows by so much more than was asked for
    ("MALLOC_ARENA_MAX", -8, 4),  # threads share arenas, and with them what is kept
)

KEPT_BYTES_MAX = 160 << 20  # of resident memory; beyond it, what is free goes back to the kernel now and then


def keep_buffers() -> bool:
    """Set the allocator up; before there are threads. Whether it is one that can be (glibc's)."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    set_option.argtypes = (ctypes.c_int, ctypes.c_int)
    taken = [set_option(option, value) for name, option, value in _SETTINGS if name not in os.environ]
    return all(taken)


def give_back(resident_bytes: int) -> None:
    """Where the process has grown large: let the kernel have what is free. Takes milliseconds; off the event loop."""
    if resident_bytes > KEPT_BYTES_MAX:
        try:
            trim = ctypes.CDLL(None).malloc_trim
        except (OSError, AttributeError):
            return
        trim.argtypes = (ctypes.c_size_t,)
        trim(0)
