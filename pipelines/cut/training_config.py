"""Every setting of a CUT training run, with the paper's value or the authors' where the paper gives none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pipelines.cut.networks import NCE_LAYERS

PRESETS: dict[str, dict[str, Any]] = {
    "cut": {},
    "fastcut": {
        "lambda_nce": 10.0,
        "nce_identity": False,
        "flip_equivariance": True,
        "epochs": 150,
        "decay_epochs": 50,
    },
}


@dataclass(frozen=True)
class CUTConfig:
    """Settings of `CUTTrainer`; the defaults are CUT's.

    Attributes:
        base_channels: of the generator (CUT appendix C.1: 64).
        num_blocks: residual blocks (CUT: 9; 6 for 128 pixels).
        discriminator_channels: of its first layer (64).
        antialias: blurred down- and bilinear upsampling, in both networks (authors: on).
        init_gain: of the Xavier initialization (authors: 0.02).
        crop_size: side of a training crop in pixels, a multiple of 4 (256).
        load_size: the pictures are resized to it before the crop (286); `crop_size` from the first decaying epoch on.
        resize: "square" loses the aspect (authors); "short_side" keeps it.
        batch_size: pictures of each side a step, over all processes (1).
        epochs: with constant learning rate (200); one epoch sees every picture of the larger side once.
        decay_epochs: further epochs in which it falls linearly (200).
        lr: of Adam (authors: 0.0002; the paper's 0.002 is a slip).
        beta1: of Adam (0.5).
        beta2: of Adam (0.999).
        lambda_gan: weight of the adversarial loss (1).
        lambda_nce: weight of PatchNCE (CUT: 1, FastCUT: 10).
        nce_identity: average PatchNCE with that of translated target pictures (CUT: yes, FastCUT: no).
        flip_equivariance: mirror half of the inputs and mirror their features back (FastCUT appendix C.1).
        nce_layers: compared features, see `ResnetGenerator.encode`.
        num_patches: places sampled a layer (256).
        temperature: of PatchNCE (0.07).
        embedding: dimensions of the embedded features (256).
        ema_decay: of the averaged generator that is saved and previewed; 0 saves the trained one (authors: none).
        precision: "fp32" or "bf16".
        compile: compile the networks first; about a minute, then faster steps.
        seed: of weights, order and augmentation.
    """

    base_channels: int = 64
    num_blocks: int = 9
    discriminator_channels: int = 64
    antialias: bool = True
    init_gain: float = 0.02
    crop_size: int = 256
    load_size: int = 286
    resize: str = "square"
    batch_size: int = 1
    epochs: int = 200
    decay_epochs: int = 200
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    lambda_gan: float = 1.0
    lambda_nce: float = 1.0
    nce_identity: bool = True
    flip_equivariance: bool = False
    nce_layers: tuple[str, ...] = NCE_LAYERS
    num_patches: int = 256
    temperature: float = 0.07
    embedding: int = 256
    ema_decay: float = 0.999
    precision: str = "fp32"
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        """Refuse what cannot be trained.

        Raises:
            ValueError: names the field, the value and what is accepted.
        """
        for name in ("base_channels", "num_blocks", "discriminator_channels", "batch_size", "num_patches", "embedding"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("lr", "temperature", "init_gain"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be above 0")
        for name in ("lambda_gan", "lambda_nce"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must not be negative")
        if self.epochs < 0 or self.decay_epochs < 0 or self.epochs + self.decay_epochs < 1:
            raise ValueError(f"epochs is {self.epochs} and decay_epochs {self.decay_epochs}; together at least 1")
        if self.crop_size < 16 or self.crop_size % 4:
            raise ValueError(f"crop_size is {self.crop_size}; it must be a multiple of 4, at least 16")
        if self.load_size < self.crop_size:
            raise ValueError(f"load_size is {self.load_size}; it must be at least crop_size, {self.crop_size}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay:g}; it must be at least 0 and below 1")
        for name, accepted in (("resize", ("square", "short_side")), ("precision", ("fp32", "bf16"))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(accepted)}")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The settings of "cut" or "fastcut", with changes by name.

        Raises:
            ValueError: there is no such preset, or a value is not accepted.
        """
        if name not in PRESETS:
            raise ValueError(f"preset is {name!r}; it must be one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})


def learning_rate_factor(epoch: int, epochs: int, decay_epochs: int) -> float:
    """Share of the learning rate in an epoch, counted from 1: constant, then linear, never quite zero."""
    return 1 - max(0, epoch - epochs) / (decay_epochs + 1)
