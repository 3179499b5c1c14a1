"""Settings of `train autoencoder`."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.training.gan_config import GANSizes, check_at_least_one, check_optimization

SHALLOW = ("shallow",)  # the last layer of every block of the backbone, but for the deepest block


@dataclass(frozen=True)
class AutoencoderConfig(GANSizes):
    """How BigGAN's generator is trained as the decoder of a variational autoencoder. The values are ours.

    Raises:
        ValueError: a value is out of its range.
    """

    steps: int = 1000  # the learning rate falls until the last one
    batch_size: int = 32
    encoder_channels: int = 24  # of its first map; every further one has twice as many, up to max_channels
    lr: float = 1e-3
    warmup_steps: int = 50
    beta1: float = 0.9
    beta2: float = 0.99
    adam_epsilon: float = 1e-8
    kl_weight: float = 1e-3
    feature_weight: float = 0.5
    feature_taps: tuple[str, ...] = SHALLOW
    flip: bool = True
    balanced: bool = True  # every class equally often, however many pictures it has
    ema_decay: float = 0.998
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        check_at_least_one(self, ("steps", "batch_size", "encoder_channels"))
        super().__post_init__()
        check_optimization(self, ("lr",))
        for name in ("warmup_steps", "kl_weight", "feature_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be at least 0")


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Share of the learning rate at a step, counted from 0: a warm-up, then down to 5 % at the last step."""
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warm * max(0.05, 1 - step / steps)
