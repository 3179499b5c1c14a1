"""What the trainers of CUT and CycleGAN are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from pipelines.cut.networks import PatchDiscriminator, ResnetGenerator
from pipelines.cut.training_config import CUTConfig, learning_rate_factor
from pipelines.networks.initialization import normal
from pipelines.training.unpaired import as_batch, crop_and_flip, resize_tensor


def build_generator(config: CUTConfig) -> ResnetGenerator:
    """A generator with initial weights, drawn from torch's global generator."""
    generator = ResnetGenerator(
        base_channels=config.base_channels,
        num_blocks=config.num_blocks,
        antialias_down=config.antialias,
        antialias_up=config.antialias,
        gain=config.init_gain,
    )
    return _initialized(generator, config)


def build_discriminator(config: CUTConfig) -> PatchDiscriminator:
    """A discriminator with initial weights, drawn from torch's global generator."""
    discriminator = PatchDiscriminator(
        base_channels=config.discriminator_channels, antialias=config.antialias, gain=config.init_gain
    )
    return _initialized(discriminator, config)


def build_optimizer(network: nn.Module, config: CUTConfig) -> Adam:
    """Adam for all weights of a network."""
    return Adam(network.parameters(), config.lr, (config.beta1, config.beta2), fused=True)


def set_learning_rate(optimizers: Iterable[Optimizer], config: CUTConfig, epoch: int) -> None:
    """Give all optimizers the learning rate of an epoch, counted from 1."""
    factor = learning_rate_factor(epoch, config.epochs, config.decay_epochs)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = config.lr * factor


def training_crops(
    pictures: Sequence[Tensor], config: CUTConfig, epoch: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Random mirrored crops, (B, 3, crop_size, crop_size) in [-1, 1], of (3, H, W) uint8 pictures.

    From the first decaying epoch on the pictures are resized to the crop before: the authors end the jitter of sizes
    with the constant phase.
    """
    if epoch > config.epochs:
        pictures = [resize_tensor(picture, config.crop_size, config.resize) for picture in pictures]
    return as_batch([crop_and_flip(picture, config.crop_size, generator) for picture in pictures], device)


def _initialized(network: nn.Module, config: CUTConfig) -> Any:
    if config.init == "normal":
        normal(network, config.init_gain)
    return network
