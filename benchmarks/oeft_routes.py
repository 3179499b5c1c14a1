"""The three routes of the warp (OEFT eq. 6), forwards and backwards.

python benchmarks/oeft_routes.py
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F

from pipelines.hub.allocator import tune_allocator
from pipelines.hub.devices import pick_device
from pipelines.oeft.correspondence import ROUTES, choose_route, warp

CHANNELS, PATCH = 640, 48


def seconds(route: str, places: int, device: torch.device) -> float:
    """Median of three, after one to warm up."""
    generator = torch.Generator().manual_seed(0)
    pair = torch.randn(2, 1, places, CHANNELS, generator=generator).to(device)
    query, key = (F.normalize(each, dim=2).requires_grad_() for each in pair)
    value = torch.randn(1, places, PATCH, generator=generator).to(device)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        warp(query, key, value, 100.0, route).square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> None:
    """Print a line for every grid; the route that is chosen is marked."""
    tune_allocator()
    device = pick_device()
    print(
        f"{device}, {torch.get_num_threads()} threads, seconds forwards and backwards\n   grid",
        *(f"{r:>9}" for r in ROUTES),
    )
    for side in (16, 32, 64):
        probe = torch.empty(1, side**2, CHANNELS, device=device)
        cells = [
            f"{seconds(r, side**2, device):8.3f}{'*' if r == choose_route(probe, probe) else ' '}" for r in ROUTES
        ]
        print(f"{side:>3} x {side:<3}", *cells, flush=True)


if __name__ == "__main__":
    main()
