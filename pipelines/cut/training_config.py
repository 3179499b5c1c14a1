"""Every setting of a CUT or CycleGAN run: the paper's value, or the authors' where it gives none; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

NCE_LAYERS = ("input", "down1", "down2", "block1", "block5")
PRESETS: dict[str, dict[str, Any]] = {
    "cut": {},
    "fastcut": {
        "lambda_nce": 10.0,
        "nce_identity": False,
        "flip_equivariance": True,
        "epochs": 150,
        "decay_epochs": 50,
    },
    "cyclegan": {
        "method": "cyclegan",
        "antialias": False,
        "init": "normal",
        "epochs": 100,
        "decay_epochs": 100,
    },
}
_CUT_ONLY = (
    "lambda_gan",
    "lambda_nce",
    "nce_identity",
    "flip_equivariance",
    "nce_layers",
    "num_patches",
    "temperature",
) + ("embedding", "negatives", "bank_size", "bank_momentum", "share_encoder", "nce_to_decoder")
_CYCLEGAN_ONLY = ("lambda_cycle", "lambda_identity", "pool_size")
_CHOICES = {
    "method": ("cut", "cyclegan"),
    "init": ("xavier", "normal"),
    "resize": ("square", "short_side"),
    "negatives": ("internal", "external"),
    "precision": ("fp32", "bf16"),
}
_AT_LEAST = {
    **dict.fromkeys(("base_channels", "num_blocks", "discriminator_channels", "batch_size"), 1),
    **dict.fromkeys(("num_patches", "embedding", "bank_size"), 1),
    **dict.fromkeys(("lambda_gan", "lambda_nce", "lambda_cycle", "lambda_identity", "pool_size"), 0),
    **dict.fromkeys(("epochs", "decay_epochs"), 0),
    "crop_size": 24,  # smaller pictures leave the discriminator a single place, which cannot be normalized
}


@dataclass(frozen=True)
class CUTConfig:
    """Settings of `CUTTrainer` and `CycleGANTrainer`; the defaults are CUT's.

    Attributes:
        method: "cut" or "cyclegan".
        base_channels: of the generator (CUT appendix C.1: 64).
        num_blocks: residual blocks (CUT: 9; 6 for 128 pixels).
        discriminator_channels: of its first layer (64).
        antialias: blurred down- and bilinear upsampling, in both networks (authors: on).
        init: weights to begin with: "xavier" (authors of CUT) or "normal" (authors of CycleGAN); biases are zero.
        init_gain: gain of the former, standard deviation of the latter (authors: 0.02).
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
        negatives: "internal": other places of the same picture. "external": places of other pictures, from a memory
            bank that a momentum encoder fills (the ablation of CUT sec. 4.2).
        bank_size: keys in that bank, a layer and side (appendix C.1: 16384).
        bank_momentum: share of itself that the momentum encoder keeps in a step (appendix C.1: 0.999).
        share_encoder: one encoder and sampler embed input and output; no: the input has its own, which are trained
            too (appendix C.5).
        nce_to_decoder: PatchNCE trains the decoder too; no: its gradient ends at the translated picture, and reaches
            the encoder as the one that reads that picture only (appendix C.5).
        lambda_cycle: weight of the cycle loss (CycleGAN: 10).
        lambda_identity: weight of the identity loss, relative to the cycle loss (CycleGAN: 0.5).
        pool_size: earlier translations that CycleGAN's discriminators see again (50); 0 shows them the newest.
        ema_decay: of the averaged generator that is saved and previewed; 0 saves the trained one (authors: none).
        precision: "fp32" or "bf16".
        compile: compile the networks first; about a minute, then faster steps.
        seed: of weights, order and augmentation.
    """

    method: str = "cut"
    base_channels: int = 64
    num_blocks: int = 9
    discriminator_channels: int = 64
    antialias: bool = True
    init: str = "xavier"
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
    negatives: str = "internal"
    bank_size: int = 16384
    bank_momentum: float = 0.999
    share_encoder: bool = True
    nce_to_decoder: bool = True
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5
    pool_size: int = 50
    ema_decay: float = 0.999
    precision: str = "fp32"
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        """Refuse what cannot be trained.

        Raises:
            ValueError: names the field, the value and what is accepted.
        """
        for name, accepted in _CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(accepted)}")
        for name, least in _AT_LEAST.items():
            if not getattr(self, name) >= least:  # NaN is refused too
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be at least {least}")
        for name in ("lr", "temperature", "init_gain"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be above 0")
        for name in ("beta1", "beta2", "ema_decay", "bank_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be at least 0 and below 1")
        if self.epochs + self.decay_epochs < 1:
            raise ValueError("epochs and decay_epochs are both 0; together they must be at least 1")
        if self.crop_size % 4:
            raise ValueError(f"crop_size is {self.crop_size}; it must be a multiple of 4")
        if self.load_size < self.crop_size:
            raise ValueError(f"load_size is {self.load_size}; it must be at least crop_size, {self.crop_size}")
        if self.negatives == "external" and not self.share_encoder:
            raise ValueError(
                "negatives is 'external' and share_encoder off; a momentum encoder is a copy of the shared one"
            )
        self._check_layers()
        self._check_method()

    def _check_layers(self) -> None:
        known = ("input", "down1", "down2", *(f"block{number}" for number in range(1, self.num_blocks + 1)))
        unknown = [name for name in self.nce_layers if name not in known]
        if self.method == "cut" and (unknown or not self.nce_layers):
            raise ValueError(f"nce_layers is {','.join(self.nce_layers)}; they must be some of {', '.join(known)}")

    def _check_method(self) -> None:
        """Refuse a setting that the method does not read: it would seem to have an effect."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in _CUT_ONLY if self.method == "cyclegan" else _CYCLEGAN_ONLY:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"{name} is {getattr(self, name)!r}; {self.method} has no such setting")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The settings of "cut", "fastcut" or "cyclegan", with changes by name.

        Raises:
            ValueError: there is no such preset, or a value is not accepted.
        """
        if name not in PRESETS:
            raise ValueError(f"preset is {name!r}; it must be one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})


def learning_rate_factor(epoch: int, epochs: int, decay_epochs: int) -> float:
    """Share of the learning rate in an epoch, counted from 1: constant, then linear, never quite zero."""
    return 1 - max(0, epoch - epochs) / (decay_epochs + 1)
