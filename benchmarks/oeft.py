"""Seconds and memory of OEFT's fine-tuning, against the plain way.

    python benchmarks/oeft.py [--checkpoint oeft-starter] [--grids 64 128] [--iterations 5]

The plain way computes the same iteration with explicit N x N matrices, in fp32, in the default memory layout, under
the C library's default allocator. Every case runs in a process of its own, so that neither the allocator's setting nor
the peak of one reaches the next. "Memory" is what the warp and the matching losses add to the process at their peak,
forwards and backwards, for given descriptors, under the default allocator in both cases.
"""

import argparse
import json
import statistics
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.table import run_case


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="oeft-starter")
    parser.add_argument("--grids", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--case", nargs=3, metavar=("WAY", "WHAT", "GRID"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        way, what, grid = arguments.case
        measure = {"seconds": seconds_per_iteration, "memory": peak_memory}[what]
        with plain_way() if way == "plain" else our_way(what):
            print(json.dumps(measure(arguments.checkpoint, int(grid), arguments.iterations)))
        return
    print(f"{'grid':>9}  {'way':6} {'s / iteration':>14} {'memory, MiB':>12}")
    for grid in arguments.grids:
        for way in ("plain", "ours"):
            seconds, memory = (
                run_case(way, "seconds", str(grid), digits=2),
                run_case(way, "memory", str(grid), digits=0),
            )
            print(f"{grid:>4} x {grid:<4}  {way:6} {seconds:>14} {memory:>12}", flush=True)


def our_way(what: str) -> ExitStack:
    """The library as it is; memory is compared under the allocator that the plain way has, for it alone gives back."""
    stack = ExitStack()
    if what == "memory":
        stack.enter_context(patch.dict("os.environ", {"TRANSLATION_HUB_MALLOC": "0"}))
    return stack


def plain_way() -> ExitStack:
    """Everything that makes the iteration fast is taken away; the allocator is left alone."""
    import torch

    from pipelines.losses.contextual import contextual_loss
    from pipelines.losses.info_nce import info_nce
    from pipelines.oeft import fine_tuning, losses
    from pipelines.oeft.correspondence import warp

    def matrix_warp(query, key, value, alpha, gradient_dtype):
        return warp(query, key, value, alpha, route="matrix")

    def matrix_contrast(source, warped, temperature, precision):
        return info_nce(source, warped, temperature)

    stack = ExitStack()
    stack.enter_context(patch.dict("os.environ", {"TRANSLATION_HUB_MALLOC": "0"}))
    stack.enter_context(patch.object(fine_tuning, "warp", matrix_warp))
    stack.enter_context(patch.object(fine_tuning, "fast_precision", lambda _: torch.float32))
    stack.enter_context(patch.object(fine_tuning, "MEMORY_FORMAT", torch.contiguous_format))
    stack.enter_context(patch.object(fine_tuning, "contrastive_loss", matrix_contrast))
    stack.enter_context(patch.object(losses, "contextual_loss", partial(contextual_loss, blocks=False)))
    return stack


def start_run(checkpoint: str, grid: int):
    """A run on a random pair; what is in the pictures does not change the work."""
    import torch

    from pipelines import load_pipeline
    from pipelines.oeft.settings import OEFTSettings

    generator = torch.Generator().manual_seed(0)
    source, exemplar = torch.rand(2, 3, 256, 256, generator=generator)
    settings = OEFTSettings.preset("paper", grid=grid)
    return load_pipeline(checkpoint).start(source, exemplar, settings=settings, generator=generator)


def seconds_per_iteration(checkpoint: str, grid: int, iterations: int) -> float:
    """Median over iterations, original and augmented pair both, after one to warm up."""
    run = start_run(checkpoint, grid)
    run.step()
    return statistics.median(run.step().seconds for _ in range(iterations))


def peak_memory(checkpoint: str, grid: int, iterations: int) -> float:
    """MiB that the warp, the contrastive and the contextual loss need for one pair, forwards and backwards."""
    del iterations
    import torch

    from pipelines.oeft import fine_tuning

    tuning = start_run(checkpoint, grid)._fine_tuning
    descriptors = tuning.descriptors()
    query, key = descriptors.query.requires_grad_(), descriptors.key.requires_grad_()
    side = 256 // grid
    value = fine_tuning.to_patches(torch.rand(1, 3, 256, 256), side)
    maps = {"level": torch.rand(1, 64, grid, grid, requires_grad=True)}
    target = {"level": torch.rand(1, 64, grid, grid)}
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    warped = fine_tuning.warp(query, key, value, 100.0, gradient_dtype=tuning.precision)
    loss = warped.square().mean()
    loss = loss + fine_tuning.contrastive_loss(query, key, 0.07, tuning.precision)
    loss = loss + fine_tuning.context_loss(maps, target, ("level",), 0.5)
    loss.backward()
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """Resident memory of this process, MiB: `VmRSS` now, `VmHWM` at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
