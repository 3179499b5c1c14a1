"""Seconds of one iteration of multi-code inversion, against the plain way.

    python benchmarks/inversion.py [--repeats 5] [--only 256-6-30 256-8-20 1024-6-30]

A case is resolution, composing layer and number of codes of a PGGAN of the paper's widths. The distance is that of
mGANprior: squares, and L1 on VGG-16's relu3_3 at 256 pixels; all weights are random. The plain way runs the same
iteration in fp32 and the default memory layout, one code after the other, with gradients of the generator's and the
backbone's weights that nobody needs. Every case runs in its own process with two threads, the allocator set in all of
them. What "authors" says is what their code took with the same allocator on two cores of an AMD EPYC, another machine
than yours: compare the ratio to "plain", not the seconds. Three hypotheses at once are given a hypothesis.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

AUTHORS = {"256-6-30": "1.765", "256-8-20": "2.658", "1024-6-30": "2.186"}
WAYS = ("plain", "ours fp32", "ours", "ours of three")


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=AUTHORS, default=list(AUTHORS))
    parser.add_argument("--case", nargs=2, metavar=("WHAT", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(*arguments.case, arguments.repeats)))
        return
    print(f"{'':10} {'authors':>9} " + " ".join(f"{way:>13}" for way in WAYS) + "   seconds an iteration, median")
    for what in arguments.only:
        seconds = [run_case(what, way, arguments.repeats) for way in WAYS]
        print(f"{what:10} {AUTHORS[what]:>9} " + " ".join(seconds), flush=True)


def run_case(what: str, way: str, repeats: int) -> str:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--case", what, way, "--repeats", str(repeats)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(finished.stderr, file=sys.stderr)
        return f"{'fails':>13}"
    return f"{json.loads(finished.stdout.splitlines()[-1]):13.3f}"


def measure(what: str, way: str, repeats: int) -> float:
    """Median seconds of `repeats` iterations, after two that are not counted."""
    import torch

    from pipelines.hub.allocator import tune_allocator

    tune_allocator()
    torch.set_num_threads(2)
    resolution, layer, num_codes = map(int, what.split("-"))
    torch.manual_seed(0)
    target = torch.rand(1, 3, resolution, resolution) * 2 - 1
    if way == "plain":
        step, count = plain(target, layer, num_codes), 1
    else:
        count = 3 if way == "ours of three" else 1
        step = ours(target, layer, num_codes, count, torch.float32 if way == "ours fp32" else None)
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:]) / count


def networks(resolution: int):
    """The generator and VGG-16 up to relu3_3."""
    from pipelines.networks.pggan import PGGANGenerator
    from pipelines.networks.vgg import VGGBackbone

    backbone = VGGBackbone(blocks=((64, 64), (128, 128), (256, 256, 256)), taps=("relu3_3",))
    return PGGANGenerator(resolution).eval(), backbone.eval()


def plain(target, layer: int, num_codes: int) -> Callable[[], object]:
    """The formulas one after the other."""
    import torch
    import torch.nn.functional as F

    generator, backbone = networks(target.shape[-1])
    codes = torch.randn(num_codes, 512, requires_grad=True)
    importance = torch.full((num_codes, generator.channels_at(layer)[0]), 1 / num_codes, requires_grad=True)
    optimizer = torch.optim.SGD([codes, importance], lr=1.0)

    def features(image):
        return backbone(F.interpolate(image, (256, 256), mode="nearest"), taps=("relu3_3",))["relu3_3"]

    def step() -> None:
        maps = [generator.run(code[None], stop=layer) for code in codes]
        hidden = sum(each * alpha[None, :, None, None] for each, alpha in zip(maps, importance, strict=True))
        image = generator.finish(generator.run(hidden / num_codes, start=layer))
        perceptual = (features(image) - features(target)).abs().mean()
        loss = (image - target).square().mean() + 0.001 * perceptual
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def ours(target, layer: int, num_codes: int, count: int, dtype) -> Callable[[], object]:
    """The inversion that the pipeline runs."""
    import torch

    from pipelines.hub.precision import fast_precision
    from pipelines.networks.working_copy import WorkingCopies
    from pipelines.oeft.distance import InversionDistance
    from pipelines.oeft.inversion import Inversion
    from pipelines.oeft.inversion_settings import InversionSettings
    from pipelines.oeft.priors import prior_of

    device = target.device
    dtype = dtype or fast_precision(device)
    generator, backbone = networks(target.shape[-1])
    distance = InversionDistance(
        WorkingCopies().get(backbone, device, torch.float32),
        target,
        lambda image: image,
        tap="relu3_3",
        weight=0.001,
        size=256,
        precision=dtype,
    )
    prior = prior_of(WorkingCopies().get(generator, device, dtype))
    settings = InversionSettings.preset("paper", hypotheses=((layer, num_codes),) * count)
    return Inversion(prior, distance, settings, torch.Generator().manual_seed(0)).step


if __name__ == "__main__":
    main()
