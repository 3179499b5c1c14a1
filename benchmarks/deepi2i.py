"""Seconds of DeepI2I's translation into one class and into all, against the plain way.

    python benchmarks/deepi2i.py [--repeats 5] [--classes 16] [--only one all ...]

The networks are those of the paper: 128 pixels, 96 channels, random weights. The plain way is the same in fp32 and the
default memory layout, with spectral norms divided out in every call, and for all classes the whole of encoder, adaptor
and generator for each. Every case runs in its own process with two threads, the allocator set in all of them. What
"authors" says is what their code took with the same allocator on two cores of an AMD EPYC, another machine than yours:
compare the ratio to "plain", not the seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.table import median_seconds, prepare, print_table

AUTHORS = {"one": 0.387, "all": 0.387}  # they run every network for every class
WAYS = ("plain", "ours fp32", "ours")
RESOLUTION, LATENT = 128, 120  # the paper's, and defaults of the networks


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=16, help="of the case `all`; the result is seconds a class")
    print_table(parser, AUTHORS, WAYS, measure, "seconds a class, median")


def measure(what: str, way: str, options: argparse.Namespace) -> float:
    """Median seconds a class of a case."""
    prepare()
    classes = 1 if what == "one" else options.classes
    run = plain(classes) if way == "plain" else ours(classes, "fp32" if way == "ours fp32" else None)
    return median_seconds(run, options.repeats) / classes


def pipeline():
    """The paper's networks with random weights, but not orthogonal ones: making those takes minutes."""
    from functools import partial
    from unittest.mock import patch

    import torch

    from pipelines import DeepI2IPipeline
    from pipelines.deepi2i.adaptor import DeepI2IAdaptor
    from pipelines.deepi2i.encoder import DeepI2IEncoder
    from pipelines.networks.biggan import BigGANGenerator

    torch.manual_seed(0)
    with patch.object(torch.nn.init, "orthogonal_", partial(torch.nn.init.normal_, std=0.02)):
        networks = DeepI2IEncoder(), DeepI2IAdaptor(), BigGANGenerator()
    pipe = DeepI2IPipeline(*(network.eval() for network in networks))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def plain(classes: int) -> Callable[[], object]:
    """The networks as they are, all of them for every class."""
    import torch

    pipe = pipeline()
    image = torch.rand(1, 3, RESOLUTION, RESOLUTION) * 2 - 1
    latent = torch.randn(1, LATENT)

    @torch.no_grad()
    def run() -> None:
        for label in range(classes):
            added = {level: 0.1 * each for level, each in pipe.adaptor(pipe.encoder(image)).items()}
            pipe.generator(latent, pipe.generator.embedding(torch.tensor([label])), added)

    return run


def ours(classes: int, precision: str | None) -> Callable[[], object]:
    """The pipeline, from a tensor to a tensor."""
    import torch

    pipe = pipeline()
    image = torch.rand(1, 3, RESOLUTION, RESOLUTION)

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        pipe(image, list(range(classes)), precision=precision, generator=generator, output_type="pt")

    return run


if __name__ == "__main__":
    main()
