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
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.table import median_seconds, prepare, print_table

AUTHORS = {"256-6-30": 1.765, "256-8-20": 2.658, "1024-6-30": 2.186}
WAYS = ("plain", "ours fp32", "ours", "ours of three")


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    print_table(parser, AUTHORS, WAYS, measure, "seconds an iteration, median")


def measure(what: str, way: str, options: argparse.Namespace) -> float:
    """Median seconds of an iteration; of three hypotheses at once, a hypothesis."""
    import torch

    prepare()
    resolution, layer, num_codes = map(int, what.split("-"))
    torch.manual_seed(0)
    target = torch.rand(1, 3, resolution, resolution) * 2 - 1
    if way == "plain":
        step, count = plain(target, layer, num_codes), 1
    else:
        count = 3 if way == "ours of three" else 1
        step = ours(target, layer, num_codes, count, torch.float32 if way == "ours fp32" else None)
    return median_seconds(step, options.repeats) / count


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
