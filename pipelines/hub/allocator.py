"""Keep large tensors on glibc's heap, so that their memory is reused instead of mapped and faulted in anew.

By default glibc serves every block above 32 MB by `mmap` and unmaps it when it is freed: each large activation then
pays a page fault for every 4 KiB, which makes training and fine-tuning steps on a CPU up to ten times slower.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys

# Parameter numbers of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
M_MMAP_MAX = -4
M_ARENA_MAX = -8

LARGEST = 2**31 - 1  # mallopt takes a C int
TOP_PAD = 256 * 2**20  # bytes by which the heap grows beyond what was asked for


def tune_allocator() -> bool:
    """Tell glibc to keep blocks of up to 2 GiB on its heap, in worker threads too.

    Call it before the first worker thread starts: a thread that already has an arena of its own keeps it, and arenas
    other than the main one cannot hold large blocks. Freed memory stays with the process (up to 2 GiB at the top of
    the heap). Reuse is complete after about seven tensors of a size, when glibc's small cache of alignment remainders
    is full. Calling it again changes nothing.

    Returns:
        True where the setting is in force. False on other C libraries (musl, macOS, Windows), and where the
        environment says `TRANSLATION_HUB_MALLOC=0`; then nothing was changed.
    """
    if os.environ.get("TRANSLATION_HUB_MALLOC") == "0":
        return False
    return _tune_glibc()


@functools.cache
def _tune_glibc() -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # Older glibc refuses a threshold above 32 MB; forbidding mmap altogether has the same effect on large blocks.
    on_heap = libc.mallopt(M_MMAP_THRESHOLD, LARGEST) or libc.mallopt(M_MMAP_MAX, 0)
    kept = libc.mallopt(M_TRIM_THRESHOLD, LARGEST) and libc.mallopt(M_TOP_PAD, TOP_PAD)
    one_arena = libc.mallopt(M_ARENA_MAX, 1)
    return bool(on_heap and kept and one_arena)
