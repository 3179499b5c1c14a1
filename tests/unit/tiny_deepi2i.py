"""Pictures of three classes, and networks of BigGAN and DeepI2I that train on them in no time."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image

from pipelines.deepi2i.trainer import DeepI2ITrainer
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.deepi2i.transfer import PretrainedGAN, begin
from pipelines.training.balanced import BalancedBatches
from pipelines.training.datasets import ImageSet
from pipelines.training.gan import BigGANTrainer
from pipelines.training.gan_config import BigGANConfig
from pipelines.training.loop import train

SIZES = {
    "resolution": 32,
    "base_channels": 4,
    "discriminator_channels": 4,
    "max_channels": 16,
    "latent_dim": 8,
    "embedding_dim": 4,
    "attention_resolution": 16,
}
NAMES = ["apple", "lemon", "plum"]
LEVELS = (16, 8, 4)


def gan_config(**changes) -> BigGANConfig:
    return BigGANConfig(**{**SIZES, "batch_size": 4, "precision": "fp32", **changes})


def deepi2i_config(preset="transfer", **changes) -> DeepI2IConfig:
    weights = {"levels": LEVELS, "level_weights": (0.1,) * 3, "reconstruction_weights": (0.01, 0.1, 0.1)}
    adaptor_steps = 0 if preset == "scratch" else 3
    given = {**weights, "batch_size": 4, "precision": "fp32", "adaptor_steps": adaptor_steps, **changes}
    return DeepI2IConfig.preset(preset, **given)


def pictures(count=12) -> ImageSet:
    source = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=source, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % len(NAMES), ())


def pretrained(seed=1):
    """A GAN of random weights that knows all three classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        gan = BigGANTrainer(gan_config(seed=seed), len(NAMES), Accelerator(cpu=True))
    return PretrainedGAN(gan.generator, gan.discriminator, list(NAMES))


def gan_trainer(**changes) -> BigGANTrainer:
    return BigGANTrainer(gan_config(**changes), len(NAMES), Accelerator(cpu=True))


def deepi2i_trainer(preset="transfer", **changes) -> DeepI2ITrainer:
    config = deepi2i_config(preset, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        networks = begin(config, pretrained(), NAMES)
    return DeepI2ITrainer(config, networks, pictures(), Accelerator(cpu=True))


def batch(seed=0, count=4):
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=source, dtype=torch.uint8)
    return {"image": images, "label": torch.arange(count) % len(NAMES), "generator": source}


def as_floats(count):
    return batch(count=count)["image"].float() / 127.5 - 1


def part_of(draw, indices):
    """Some of a draw whose pictures are not augmented."""
    values = {name: value[indices] if torch.is_tensor(value) else value for name, value in vars(draw).items()}
    return type(draw)(**values)


def run(trainer, output: Path, steps: int, **options) -> int:
    accelerator = trainer.accelerator
    data = BalancedBatches(pictures(), 4, 7, accelerator.process_index, accelerator.num_processes)
    options = {"checkpoint_every": 5, "preview_every": 1000, **options}
    return train(trainer, data, accelerator, output=output, config={}, steps=steps, seed=5, **options)


def write_folders(root: Path) -> Path:
    """The same pictures as files, one folder a class."""
    found = pictures(30)
    for number, (image, label) in enumerate(zip(found.images, found.labels.tolist(), strict=True)):
        folder = root / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return root


def main() -> None:
    """As one of two processes: three steps of each trainer; every process writes what its networks became."""
    folder, accelerator = Path(sys.argv[1]), Accelerator(cpu=True)
    for name, trainer in (("gan", gan_trainer()), ("deepi2i", deepi2i_trainer(adaptor_steps=1))):
        trainer.accelerator = accelerator
        data = BalancedBatches(pictures(), 4, 7, accelerator.process_index, accelerator.num_processes)
        for step in range(3):
            generator = torch.Generator().manual_seed(step * 2 + accelerator.process_index)
            trainer.step({**data.next_batch(), "generator": generator})
        weights = {
            f"{network}.{key}": value
            for network, module in trainer.networks.items()
            for key, value in module.named_parameters()
        }
        torch.save({"weights": weights}, folder / f"{name}-{os.environ['RANK']}.pt")
    (folder / f"done-{os.environ['RANK']}.json").write_text(json.dumps(accelerator.num_processes))


if __name__ == "__main__":
    main()
