"""All dot products of two sets of descriptors: torch's matrix product against `products`, which asks oneDNN.

python benchmarks/oeft_products.py
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from pipelines.hub.allocator import tune_allocator
from pipelines.oeft.attention import products


def milliseconds(work: Callable[[], torch.Tensor]) -> float:
    """Median of nine calls, after one to warm up."""
    times = []
    for _ in range(10):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[1:])


def main() -> None:
    """Print a line for every number of rows and channels."""
    tune_allocator()
    generator = torch.Generator().manual_seed(0)
    print(f"{torch.get_num_threads()} threads\n{'rows x columns x channels':>26} {'@, ms':>8} {'products, ms':>13}")
    for rows, columns, channels in ((256, 4096, 640), (256, 4096, 1280), (64, 16384, 640)):
        left = torch.randn(rows, channels, generator=generator)
        right = torch.randn(columns, channels, generator=generator)
        plain, ours = (
            milliseconds(lambda a=left, b=right: a @ b.T),
            milliseconds(lambda a=left, b=right: products(a, b)),
        )
        print(f"{f'{rows} x {columns} x {channels}':>26} {plain:>8.2f} {ours:>13.2f}")


if __name__ == "__main__":
    main()
