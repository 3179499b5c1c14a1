"""SinCUT small enough for a test."""

import torch

from pipelines.sincut.settings import SinCUTSettings
from pipelines.sincut.trainer import SinCUTTrainer
from tests.tiny import picture, seeded

TINY = {
    "num_steps": 4,
    "base_channels": 4,
    "num_blocks": 2,
    "discriminator_channels": 4,
    "embedding": 8,
    "crop_size": 16,
    "tile_size": 16,
    "batch_size": 3,
    "nce_layers": ("input", "down", "block1"),
    "precision": "fp32",
}


def tiny_settings(**changes) -> SinCUTSettings:
    """Settings of a network of 4 channels on crops of 16 pixels."""
    return SinCUTSettings(**{**TINY, **changes})


def tiny_trainer(seed: int = 0, accelerator=None, **changes) -> SinCUTTrainer:
    """A trainer with these settings; `seed` decides its weights."""
    return SinCUTTrainer(tiny_settings(**changes), seeded(seed), torch.device("cpu"), accelerator)


def pair() -> dict:
    """Two pictures as a trainer takes them."""
    return {"a": picture(40, 30, seed=1), "b": picture(36, 44, seed=2)}
