"""Settings of `train biggan`, and the sizes of its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("color", "translation", "cutout")  # of differentiable augmentation, see `pipelines.training.diff_augment`


SLOTS = {32: 4, 64: 5, 128: 6}  # parts of the latent by resolution: the stem's, and one a block


@dataclass(frozen=True)
class GANSizes:
    """How large BigGAN's networks are. Where BigGAN names a value, the comment does; the others are ours.

    Raises:
        ValueError: a value is out of its range.
    """

    resolution: int = 64
    base_channels: int = 16  # BigGAN at 128 pixels: 96
    discriminator_channels: int = 32  # BigGAN: as the generator
    max_channels: int = 128  # BigGAN: no limit
    latent_dim: int = 120  # BigGAN
    embedding_dim: int = 64  # BigGAN: 128
    attention_resolution: int = 16  # BigGAN at 128 pixels: 64

    def __post_init__(self):
        check_at_least_one(self, ("base_channels", "discriminator_channels", "max_channels", "latent_dim"))
        if self.resolution not in SLOTS:
            raise ValueError(f"resolution is {self.resolution}; it must be one of {', '.join(map(str, SLOTS))}")
        if self.latent_dim % SLOTS[self.resolution]:
            raise ValueError(
                f"latent_dim is {self.latent_dim}; at {self.resolution} pixels it must be a multiple of "
                f"{SLOTS[self.resolution]}"
            )


@dataclass(frozen=True)
class BigGANConfig(GANSizes):
    """How a class-conditional GAN is trained. Where BigGAN names a value, the comment does.

    Raises:
        ValueError: a value is out of its range.
    """

    steps: int = 20_000
    batch_size: int = 48  # BigGAN: 2048; DeepI2I trains on from it with 32
    lr_generator: float = 1e-4  # BigGAN at 128 pixels: 1e-4 (batch 256 in the reference implementation)
    lr_discriminator: float = 4e-4  # the same: 4e-4
    embedding_rate: float = 1.0  # times lr_generator, for the class embedding; more where new classes begin alike
    discriminator_warmup: int = 0  # steps of the discriminators alone; for a generator that has learned something
    beta1: float = 0.0
    beta2: float = 0.999
    adam_epsilon: float = 1e-6
    augmentation: tuple[str, ...] = KINDS  # of the discriminator's pictures; not in the paper
    flip: bool = True
    balanced: bool = True  # every class equally often, however many pictures it has
    ema_decay: float = 0.999  # BigGAN: 0.9999, for 150,000 steps
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        check_at_least_one(self, ("steps", "batch_size"))
        super().__post_init__()
        check_adversarial(self)
        if not self.embedding_rate > 0:
            raise ValueError(f"embedding_rate is {self.embedding_rate:g}; it must be above 0")
        if self.discriminator_warmup < 0:
            raise ValueError(f"discriminator_warmup is {self.discriminator_warmup}; it must be at least 0")


def check_at_least_one(config, names: Sequence[str]) -> None:
    """Refuse numbers below one.

    Raises:
        ValueError: with the field and its value.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be at least 1")


def check_adversarial(config) -> None:
    """Refuse values that BigGAN's and DeepI2I's trainers share.

    Raises:
        ValueError: with the field, its value and what is accepted.
    """
    check_optimization(config, ("lr_generator", "lr_discriminator"))
    check_names("augmentation", config.augmentation, KINDS)


def check_optimization(config, rates: Sequence[str]) -> None:
    """Refuse learning rates, Adam's betas, an average or a precision that are out of range.

    Raises:
        ValueError: with the field, its value and what is accepted.
    """
    for name in rates:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} is {getattr(config, name):g}; it must be above 0")
    for name in ("beta1", "beta2", "ema_decay"):
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name):g}; it must be at least 0 and below 1")
    if config.precision not in ("bf16", "fp32"):
        raise ValueError(f"precision is {config.precision!r}; it must be bf16 or fp32")


def check_names(field: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a list that is neither some of the known names nor "none" alone.

    Raises:
        ValueError: with the field and the first name that does not belong there.
    """
    if tuple(given) == ("none",):
        return
    for name in given:
        if name not in known:
            raise ValueError(f"{field} names {name!r}; it must be some of {', '.join(known)}, or none alone")
