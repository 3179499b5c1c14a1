"""Tiny CUT and CycleGAN runs on pictures made here, for the tests of their trainers."""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from pipelines.cut.cyclegan_trainer import CycleGANTrainer
from pipelines.cut.trainer import CUTTrainer
from pipelines.cut.training_config import CUTConfig
from pipelines.training.loop import train
from pipelines.training.unpaired import UnpairedBatches, read_side

TINY = {
    "base_channels": 4,
    "num_blocks": 1,
    "discriminator_channels": 4,
    "init_gain": 0.2,  # the gradients of smaller weights are large, and their rounding with them
    "crop_size": 24,
    "load_size": 28,
    "epochs": 1,
    "decay_epochs": 2,
}
TINY_NCE = {"nce_layers": ("input", "down2", "block1"), "num_patches": 8, "embedding": 8}
LR = 1e-6  # of `take_steps`: Adam makes a whole step of a gradient that is mere rounding
VARIANTS = {
    "cut": ("cut", {}),
    "fastcut": ("fastcut", {}),
    "external": ("cut", {"negatives": "external", "bank_size": 20, "bank_momentum": 0.9}),
    "separate": ("cut", {"share_encoder": False}),
    "no_decoder": ("cut", {"nce_to_decoder": False}),
    "cyclegan": ("cyclegan", {"pool_size": 2}),
}


def tiny_config(variant: str, **changes) -> CUTConfig:
    """The smallest networks of a variant."""
    preset, settings = VARIANTS[variant]
    nce = {} if preset == "cyclegan" else TINY_NCE
    return CUTConfig.preset(preset, **{**TINY, **nce, **settings, **changes})


def tiny_trainer(config: CUTConfig, steps_per_epoch: int = 5) -> CUTTrainer | CycleGANTrainer:
    """The trainer of a config, on the CPU."""
    trainer = CycleGANTrainer if config.method == "cyclegan" else CUTTrainer
    return trainer(config, Accelerator(cpu=True), steps_per_epoch)


def write_pictures(folder: Path, count: int, seed: int, size: tuple[int, int] = (34, 30)) -> None:
    """Noise of `count` pictures."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def write_data(root: Path) -> Path:
    """A data folder: five pictures in trainA, three in trainB; an epoch of single pictures has five steps."""
    write_pictures(root / "trainA", 5, seed=1)
    write_pictures(root / "trainB", 3, seed=2)
    return root


def run_tiny(data: Path, output: Path, config: CUTConfig, steps: int, **options) -> int:
    """Train to `steps` finished steps, through the loop and from the folder."""
    accelerator = Accelerator(cpu=True)
    sides = [read_side(data / name, config.load_size, config.resize) for name in ("trainA", "trainB")]
    batches = UnpairedBatches(
        *sides, config.batch_size, config.seed, accelerator.process_index, accelerator.num_processes
    )
    return train(
        tiny_trainer(config, batches.steps_per_epoch),
        batches,
        accelerator,
        output=output,
        config={"lr": config.lr},
        steps=steps,
        seed=config.seed,
        **options,
    )


def take_steps(variant: str, steps: int = 2) -> dict[str, torch.Tensor]:
    """Steps on a fixed batch of two pictures a side, of which each of two processes takes one.

    Returns:
        The gradients of the last step and the weights after it, by name.
    """
    pool = {"pool_size": 50} if variant == "cyclegan" else {}  # not full yet: nothing is left to chance
    trainer = tiny_trainer(tiny_config(variant, batch_size=2, lr=LR, **pool))
    share = slice(trainer.accelerator.process_index, None, trainer.accelerator.num_processes)
    places = [[torch.arange(8), torch.arange(8) * 3, torch.arange(8)]] * 2
    for number in range(steps):
        source = torch.Generator().manual_seed(number)
        real_a, real_b = (torch.rand(2, 3, 24, 24, generator=source) * 2 - 1 for _ in range(2))
        if variant == "cyclegan":
            trainer.optimize(real_a[share], real_b[share], torch.Generator().manual_seed(0))
        else:
            trainer.optimize(real_a[share], real_b[share], flipped=variant == "fastcut", places=places)
    found = {}
    for name, network in trainer.networks.items():
        for key, parameter in network.named_parameters():
            found[f"{name}.{key}"] = parameter.detach()
            if parameter.grad is not None:
                found[f"{name}.{key}.grad"] = parameter.grad
    return found


if __name__ == "__main__":  # one of several processes
    try:
        for variant in sys.argv[2:]:
            result = take_steps(variant)
            torch.save(result, Path(sys.argv[1]) / f"{variant}-{Accelerator(cpu=True).process_index}.pt")
    finally:
        torch.distributed.destroy_process_group()
