"""Seconds of CUT's generator, of CUT's and FastCUT's training steps and of SinCUT's, against the plain way.

    python benchmarks/cut.py [--repeats 5] [--only generator-256 ...]

The plain way is the same network in fp32 and the default memory layout, without compiling. Every case runs in its own
process with two threads, the allocator set in all of them. "Authors" is what their code took with the same allocator
on two cores of an AMD EPYC, another machine than yours: compare the ratio to "plain", not the seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.table import median_seconds, prepare, print_table

AUTHORS = {
    "generator-256": 0.309,
    "generator-512": 1.261,
    "cut-step": 3.608,
    "fastcut-step": 1.949,
    "sincut-step": 5.488,
}
WAYS = ("plain", "ours", "compiled")


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    print_table(parser, AUTHORS, WAYS, measure, "seconds, median")


def measure(what: str, way: str, options: argparse.Namespace) -> float | None:
    """Median seconds of a case."""
    if what == "sincut-step" and way == "compiled":
        return None  # SinCUT is not compiled: a run is over before that pays
    prepare()
    name, _, size = what.partition("-")
    if name == "generator":
        run = generator(int(size), way)
    else:
        run = sincut_step(way) if name == "sincut" else step(name, way)
    return median_seconds(run, options.repeats)


def generator(size: int, way: str) -> Callable[[], object]:
    """The generator with the paper's widths, one picture."""
    import torch

    from pipelines.cut.networks import ResnetGenerator

    network, image = ResnetGenerator().eval(), torch.rand(1, 3, size, size) * 2 - 1
    if way != "plain":
        network = network.to(torch.bfloat16, memory_format=torch.channels_last)
        image = image.to(torch.bfloat16, memory_format=torch.channels_last)
    if way == "compiled":
        network = torch.compile(network)
    return torch.inference_mode()(lambda: network(image))


def step(preset: str, way: str) -> Callable[[], object]:
    """A training step with the paper's settings: 256 pixels, batch 1."""
    import torch
    from accelerate import Accelerator

    from pipelines.cut.trainer import CUTTrainer
    from pipelines.cut.training_config import CUTConfig

    config = CUTConfig.preset(preset, compile=way == "compiled", precision="fp32" if way == "plain" else "bf16")
    trainer = CUTTrainer(config, Accelerator(cpu=True), steps_per_epoch=1000)
    layout = torch.contiguous_format if way == "plain" else torch.channels_last
    if way == "plain":
        for network in trainer.networks.values():
            network.to(memory_format=layout)
    pictures = [(torch.rand(1, 3, 256, 256) * 2 - 1).contiguous(memory_format=layout) for _ in range(2)]
    random = torch.Generator().manual_seed(0)
    return lambda: trainer.optimize(*pictures, flipped=False, generator=random)


def sincut_step(way: str) -> Callable[[], object]:
    """A training step with the authors' settings: 16 crops of 64 pixels of each picture, R1 at every step."""
    import torch

    from pipelines.sincut.settings import SinCUTSettings
    from pipelines.sincut.trainer import SinCUTTrainer

    settings = SinCUTSettings.preset("paper", precision="fp32" if way == "plain" else "auto")
    random = torch.Generator().manual_seed(0)
    trainer = SinCUTTrainer(settings, random, torch.device("cpu"))
    if way == "plain":
        for network in trainer.networks.values():
            network.to(memory_format=torch.contiguous_format)
    crops = [torch.rand(16, 3, 64, 64) * 2 - 1 for _ in range(2)]
    return lambda: trainer.optimize(*crops, random)


if __name__ == "__main__":
    main()
