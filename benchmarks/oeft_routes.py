"""The three routes of the warp (OEFT eq. 6), forwards and backwards, on the descriptors of two photographs.

    python benchmarks/oeft_routes.py

Photographs, because the matrix of two of them has similarities that are far apart: its softmax has weights so small
that they are denormal numbers, which random descriptors would not show.
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from pipelines import load_pipeline
from pipelines.hub.allocator import tune_allocator
from pipelines.hub.devices import pick_device
from pipelines.oeft.correspondence import ROUTES, choose_route, warp
from pipelines.oeft.settings import OEFTSettings

PATCH = 48  # 4 x 4 pixels of three channels
PAIR = [
    Path(__file__).parents[1] / "demo" / "examples" / "1-pagoda" / f"{name}.jpg" for name in ("source", "exemplar")
]


def descriptors(side: int) -> tuple[Tensor, Tensor]:
    """Unit descriptors of both photographs on a grid, before the first iteration, (1, side * side, C) each."""
    run = load_pipeline("oeft-starter").start(*PAIR, settings=OEFTSettings.preset("paper", grid=side))
    found = run._fine_tuning.descriptors()
    return found.query.detach(), found.key.detach()


def seconds(route: str, query: Tensor, key: Tensor) -> float:
    """Median of three, after one to warm up."""
    query, key = query.clone().requires_grad_(), key.clone().requires_grad_()
    value = torch.randn(1, key.shape[1], PATCH, generator=torch.Generator().manual_seed(0)).to(key.device)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        warp(query, key, value, 100.0, route).square().mean().backward()
        if key.device.type == "cuda":
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
        pair = [each.to(device) for each in descriptors(side)]
        cells = [f"{seconds(r, *pair):8.3f}{'*' if r == choose_route(device) else ' '}" for r in ROUTES]
        print(f"{side:>3} x {side:<3}", *cells, flush=True)


if __name__ == "__main__":
    main()
