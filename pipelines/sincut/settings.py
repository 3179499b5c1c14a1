"""The settings of SinCUT: the authors' value where their code gives one, ours where it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

BUDGETS = (5, 20, 60)  # minutes of training to offer; what is shorter than the first is called a preview

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "cpu": {
        "num_steps": 2000,
        "base_channels": 32,
        "discriminator_channels": 16,
        "batch_size": 8,
        "r1_every": 16,
        "ema_decay": 0.995,
    },
}

_WHOLE_NUMBERS = {
    "num_steps": 1,
    "stop_after": 0,
    "base_channels": 1,
    "num_blocks": 2,
    "discriminator_channels": 1,
    "embedding": 1,
    "crop_size": 8,
    "tile_size": 8,
    "batch_size": 2,
    "r1_every": 1,
}  # the least that is accepted
_ABOVE_ZERO = {"minutes", "lr", "temperature", "smallest_zoom"}
_OPTIONAL = {"num_steps", "minutes", "stop_after"}
_CHOICES = {"zoom": ("each", "width"), "precision": ("auto", "fp32", "bf16")}


@dataclass(frozen=True)
class SinCUTSettings:
    """Everything that decides a run, next to the two pictures and the seed.

    Attributes:
        num_steps: Length of the schedule (authors: 16 epochs of 100,000 crops, 16 crops a step). None: by `minutes`.
        minutes: Length by the clock instead: the run measures its first steps and then fixes `num_steps`.
        stop_after: End after so many of the `num_steps` steps, as Stop does. None: do them all.
        base_channels: Of the generator (authors: 80).
        num_blocks: Of the generator, an even number (CUT appendix B: 6).
        inject_noise: Learned noise in training (authors: yes). A picture is always translated without.
        discriminator_channels: Of its first layer (authors: 32).
        embedding: Dimensions of the embedded features (authors: 256).
        crop_size: Sides of a training crop, pixels (authors: 64; CUT appendix B: 128); a multiple of `tile_size`.
        tile_size: The discriminator sees crops cut into tiles of it; a power of two (64).
        batch_size: Crops of each picture a step, over all processes (16).
        zoom: "each" scales the picture for every crop, width and height apart, by a factor between `smallest_zoom`
            and 1 (authors). "width" scales it once a step to a width of 384 to 1024 pixels (CUT appendix B).
        smallest_zoom: See `zoom` (authors: 1/3).
        lr: Of Adam; it falls linearly in the second half (0.002).
        beta1: Of Adam (0).
        beta2: Of Adam (0.99).
        lambda_gan: Weight of the adversarial loss (1).
        lambda_nce: Weight of PatchNCE (authors: 4).
        lambda_identity: Weight of the L1 distance of the exemplar's crops to their translation (authors: 1).
        lambda_r1: Weight of half of the R1 penalty (authors: 1).
        r1_every: Steps between R1 penalties, which then weigh as many times as much (authors: 1; StyleGAN2: 16).
        nce_layers: Compared features, see `SinCUTGenerator.encode` (authors: these).
        temperature: Of PatchNCE (0.07).
        ema_decay: Of the averaged generator, which is the result; 0 takes the trained one (authors: none).
        precision: "fp32", "bf16", or "auto": bf16 where the device computes faster in it. R1 is always in fp32.
    """

    num_steps: int | None = 100_000
    minutes: float | None = None
    stop_after: int | None = None
    base_channels: int = 80
    num_blocks: int = 6
    inject_noise: bool = True
    discriminator_channels: int = 32
    embedding: int = 256
    crop_size: int = 64
    tile_size: int = 64
    batch_size: int = 16
    zoom: str = "each"
    smallest_zoom: float = 1 / 3
    lr: float = 0.002
    beta1: float = 0.0
    beta2: float = 0.99
    lambda_gan: float = 1.0
    lambda_nce: float = 4.0
    lambda_identity: float = 1.0
    lambda_r1: float = 1.0
    r1_every: int = 1
    nce_layers: tuple[str, ...] = ("input", "down", "block2")
    temperature: float = 0.07
    ema_decay: float = 0.999
    precision: str = "auto"

    def __post_init__(self):
        """Refuse what cannot be trained, naming the field.

        Raises:
            ValueError: names the field, the value and what is accepted.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value is None and field.name in _OPTIONAL):
                _check(field.name, value, field.default)
        object.__setattr__(self, "nce_layers", tuple(self.nce_layers))  # JSON knows lists only
        if (self.num_steps is None) == (self.minutes is None):
            raise ValueError(
                f"`num_steps` is {self.num_steps} and `minutes` is {self.minutes}; one of them decides the length, "
                "the other must be None."
            )
        if self.num_blocks % 2:
            raise ValueError(f"`num_blocks` is {self.num_blocks}; it must be even.")
        if self.tile_size & (self.tile_size - 1):
            raise ValueError(f"`tile_size` is {self.tile_size}; it must be a power of two.")
        if self.crop_size % self.tile_size:
            raise ValueError(
                f"`crop_size` is {self.crop_size}; it must be a multiple of `tile_size`, {self.tile_size}."
            )
        if self.smallest_zoom > 1:
            raise ValueError(f"`smallest_zoom` is {self.smallest_zoom:g}; it must be at most 1.")
        for name in ("beta1", "beta2", "ema_decay"):
            if getattr(self, name) >= 1:
                raise ValueError(f"`{name}` is {getattr(self, name):g}; it must be below 1.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The settings of "paper" or "cpu", with changes by name; a change of `minutes` replaces `num_steps`.

        "paper" is what the authors' code does. "cpu" is smaller, and learns less in a step: a sixth of the generator's
        parameters, half of the crops, R1 at every 16th step. Its steps take an eighth of the time (measured on one
        processor thread with bf16: 0.32 s against 2.5 s).

        Raises:
            ValueError: the name or a setting is unknown, or a value is not accepted.
        """
        if name not in PRESETS:
            raise ValueError(f"`preset` is {name!r}; accepted are {', '.join(PRESETS)}.")
        known = [field.name for field in fields(cls)]
        for change in changes:
            if change not in known:
                raise ValueError(f"{change!r} is no setting of SinCUT; accepted are {', '.join(sorted(known))}.")
        return cls(**{**PRESETS[name], **with_length(changes)})


def with_length(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of settings, in which a new length replaces the old one: `minutes` unsets `num_steps` and vice versa."""
    if changes.get("minutes") is not None:
        return {"num_steps": None, **changes}
    return {"minutes": None, **changes} if changes.get("num_steps") is not None else dict(changes)


def learning_rate_factor(step: int, num_steps: int | None) -> float:
    """Share of the learning rate in a step, counted from 1: constant for one half, then linear, never quite zero.

    While the length is not known yet (None), the first half is still running.
    """
    if num_steps is None:
        return 1.0
    constant = num_steps // 2
    return 1 - max(0, step - constant) / (num_steps - constant + 1)


def _check(name: str, value: Any, default: Any) -> None:
    """Refuse a value of the wrong type, or out of its range."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "nce_layers":
        good = isinstance(value, list | tuple) and value and all(isinstance(layer, str) for layer in value)
        accepted = "a list of names of layers"
    elif name in _CHOICES:
        good, accepted = value in _CHOICES[name], f"one of {', '.join(_CHOICES[name])}"
    elif isinstance(default, bool):
        good, accepted = isinstance(value, bool), "true or false"
    elif name in _WHOLE_NUMBERS:
        least = _WHOLE_NUMBERS[name]
        good, accepted = is_number and isinstance(value, int) and value >= least, f"a whole number, {least} or more"
    elif name in _ABOVE_ZERO:
        good, accepted = is_number and 0 < value < math.inf, "a number above 0"
    else:
        good, accepted = is_number and 0 <= value < math.inf, "a number, 0 or more"
    if not good:
        raise ValueError(f"`{name}` is {value!r}; it must be {accepted}.")
