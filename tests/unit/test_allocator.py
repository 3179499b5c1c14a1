"""The allocator setting, seen from a worker thread of a fresh process (the setting cannot be taken back)."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.hub import allocator

ROOT = Path(__file__).parents[2]
TENSORS = 8
SCRIPT = f"""
import resource, threading
from pipelines.hub.allocator import tune_allocator
print(tune_allocator(), tune_allocator())
import torch
torch.set_num_threads(1)

def count():
    fill = lambda: torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
    for _ in range(16):
        fill()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({TENSORS}):
        fill()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

worker = threading.Thread(target=count)
worker.start()
worker.join()
"""


def measure(setting: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment |= {"TRANSLATION_HUB_MALLOC": setting, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    answers, faults = finished.stdout.splitlines()
    return answers, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_a_worker_thread_reuses_the_memory_of_large_tensors():
    answers, faults = measure("1")
    assert answers == "True True"
    assert faults < TENSORS  # not even one page of each tensor is new

    answers, faults = measure("0")
    assert answers == "False False"
    assert faults > 16 * TENSORS  # the plain allocator maps every tensor anew, in pages of 2 MiB at most


def test_nothing_is_done_where_the_c_library_is_not_glibc(monkeypatch):
    class Musl:
        """A C library without `gnu_get_libc_version` and `mallopt`."""

    monkeypatch.delenv("TRANSLATION_HUB_MALLOC", raising=False)
    for platform_name in ("linux", "darwin", "win32"):
        monkeypatch.setattr(allocator.sys, "platform", platform_name)
        monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: Musl())
        assert allocator._tune_glibc.__wrapped__() is False
