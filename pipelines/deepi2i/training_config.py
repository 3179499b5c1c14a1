"""Settings of `train deepi2i`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from pipelines.deepi2i.level_factors import LEVELS
from pipelines.training.gan_config import KINDS, check_adversarial, check_names

PARTS = ("encoder", "generator", "discriminator")


@dataclass(frozen=True)
class DeepI2IConfig:
    """How DeepI2I is trained; "code" is a value of the authors' code that the paper does not give.

    Raises:
        ValueError: a value is out of its range, or the settings do not fit together.
    """

    steps: int = 5_000
    batch_size: int = 32  # appendix A
    accumulate: int = 1  # parts of the batch that pass one after the other; code: 8 of 4
    transfer: tuple[str, ...] = PARTS  # what begins as the pretrained GAN has it; the others at random (fig. 6)
    levels: tuple[int, ...] = LEVELS  # of the adaptor; any subset (fig. 3)
    level_weights: tuple[float, ...] = (0.1, 0.1, 0.1, 0.1)  # w_l of eq. 5, one a level
    reconstruction_weights: tuple[float, ...] = (0.01, 0.1, 0.1, 0.1)  # alpha_l of eq. 3, one a level; 0.01: code
    squared_reconstruction: bool = False  # code: True
    adversarial: str = "hinge"  # code; "log" is eq. 1, non-saturating
    adaptor_steps: int = 500  # code: phase 1, in which adaptor and discriminator alone are trained
    train_encoder: bool = False  # code: only from scratch
    freeze_statistics: bool = True  # a frozen network's batch and power-iteration statistics too; code: False
    lr_generator: float = 1e-4  # appendix A
    lr_discriminator: float = 4e-4  # appendix A; of encoder and adaptor as well
    beta1: float = 0.0  # appendix A
    beta2: float = 0.999  # appendix A
    adam_epsilon: float = 1e-6  # code
    augmentation: tuple[str, ...] = KINDS  # of the discriminator's pictures; not in the paper
    flip: bool = True  # not in the paper
    balanced: bool = True  # every class equally often; not in the paper
    ema_decay: float = 0.999  # of what is saved; not in the paper
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.adaptor_steps < 0:
            raise ValueError(f"adaptor_steps is {self.adaptor_steps}; it must be at least 0")
        for name in ("level_weights", "reconstruction_weights"):
            if len(getattr(self, name)) != len(self.levels):
                raise ValueError(f"{name} has {len(getattr(self, name))} values; levels has {len(self.levels)}")
        check_names("transfer", self.transfer, PARTS)
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"levels is {','.join(map(str, self.levels))}; each may be there once")
        if self.adversarial not in ("hinge", "log"):
            raise ValueError(f"adversarial is {self.adversarial!r}; it must be hinge or log")
        if self.adaptor_steps and "generator" not in self.transfer:
            raise ValueError(
                f"adaptor_steps is {self.adaptor_steps} and the generator begins at random; frozen like that it "
                "teaches the adaptor nothing: adaptor_steps must be 0"
            )
        if "encoder" not in self.transfer and not self.train_encoder:
            raise ValueError("the encoder begins at random and train_encoder is off; one of the two is needed")
        check_adversarial(self)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The settings of "transfer" or "scratch", with changes by name; weights follow the levels.

        Raises:
            ValueError: there is no such preset, or a value is not accepted.
        """
        return cls(**{**settings_of(name, changes.get("levels", LEVELS)), **changes})


def settings_of(
    preset: str, levels: Sequence[int] = LEVELS, level_weights: Mapping[int, float] = MappingProxyType({})
) -> dict[str, Any]:
    """A preset's settings with both lists of weights for the given levels.

    Args:
        preset: "transfer" or "scratch".
        levels: of the adaptor. One that the preset has no weight for has that of the preset's finest.
        level_weights: by level, instead of the preset's.

    Raises:
        ValueError: there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}; it must be one of {', '.join(PRESETS)}")
    settings: dict[str, Any] = dict(PRESETS[preset])
    for name, instead in (("level_weights", level_weights), ("reconstruction_weights", {})):
        numbers = settings.get(name, getattr(DeepI2IConfig, name))
        known = {**dict(zip(LEVELS, numbers, strict=True)), **instead}
        settings[name] = tuple(known.get(level, numbers[0]) for level in levels)
    return {**settings, "levels": tuple(levels)}


PRESETS = MappingProxyType(
    {
        "transfer": MappingProxyType({}),
        "scratch": MappingProxyType(  # code
            {
                "transfer": ("none",),
                "level_weights": (0.1, 1.0, 1.0, 1.0),
                "adaptor_steps": 0,
                "train_encoder": True,
            }
        ),
    }
)
