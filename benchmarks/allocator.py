"""Seconds to fill a 100 MB tensor, in the main thread and in a worker, with and without the allocator setting.

Run: python benchmarks/allocator.py
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def median_seconds() -> float:
    """Median seconds to allocate, fill and free 100 MB, after 16 unmeasured rounds."""
    import torch

    seconds = []
    for round_number in range(48):
        start = time.perf_counter()
        torch.full((25_000_000,), 1.0)
        if round_number >= 16:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure() -> None:
    """Print the seconds of the main thread and of a worker thread of this process."""
    sys.path.insert(0, str(ROOT))
    from pipelines.hub.allocator import tune_allocator

    tuned = tune_allocator()
    measured = {"main": median_seconds()}
    worker = threading.Thread(target=lambda: measured.update(worker=median_seconds()))
    worker.start()
    worker.join()
    name = "tuned" if tuned else "default"
    print(f"{name:8} {measured['main'] * 1000:10.2f} ms {measured['worker'] * 1000:10.2f} ms")


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        measure()
    else:
        print(f"{'malloc':8} {'main thread':>13} {'worker thread':>13}", flush=True)
        for setting in ("0", "1"):  # a fresh process each: the setting cannot be taken back
            environment = os.environ | {"TRANSLATION_HUB_MALLOC": setting}
            subprocess.run([sys.executable, __file__, "--measure"], env=environment, check=True)
