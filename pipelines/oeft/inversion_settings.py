"""The settings of multi-code GAN inversion: mGANprior's and OEFT's values, and ours for a small machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

OPTIMIZERS = ("adam", "sgd")
DECISIONS = ("frechet", "loss")


@dataclass(frozen=True)
class InversionSettings:
    """Everything that decides an inversion, next to its target and the seed.

    Attributes:
        hypotheses: composing layer and number of codes of each. Layers that the generator does not have are left out.
        num_draws: codes that are drawn; every hypothesis begins from those whose own pictures are nearest to the
            target. 0: from the first that come, as mGANprior does.
        num_steps: updates of every hypothesis.
        optimizer: "adam", or "sgd" without momentum.
        learning_rate: of codes and channel importances.
        divide_by_codes: divide the sum over codes by their number once more, as the authors' code does.
        lambda_perceptual: weight of the perceptual distance beside the squared one.
        perceptual_tap: layer of the backbone that it compares; None: the first of the backbone's own.
        perceptual_size: pictures are brought to this side for it, by nearest neighbors; None: as they are.
        compare_size: side, in pixels, to which warp and pictures are brought by areas before they are compared: the
            `down` of eq. 12. A small one asks for the warp's colors and layout only, and leaves to the prior what a
            torn warp has lost; the perceptual distance wants larger ones. None: the prior's own. Of warps only;
            `invert` compares as its degradation says.
        lambda_structure: weight of the distance to the source's structure, see `StructureDistance`; not in the paper.
            Of warps only.
        drop_after: share of the steps before a hypothesis may be given up.
        drop_ratio: one whose lowest loss is above so many times that of the best is given up; 0: never.
        decide: what chooses among the hypotheses: "frechet", the distance to the domain, as in OEFT sec. 3.3; "loss",
            eq. 12 itself, which says more where the truth is known (benchmarks/inversion_quality.py); or the index in
            the output of the hypothesis that somebody chose, which is taken whatever its distance.
    """

    hypotheses: tuple[tuple[int, int], ...] = ((2, 30), (4, 30), (6, 20))
    num_draws: int = 256
    num_steps: int = 150
    optimizer: str = "adam"
    learning_rate: float = 0.02
    divide_by_codes: bool = False
    lambda_perceptual: float = 0.1
    perceptual_tap: str | None = None
    perceptual_size: int | None = None
    compare_size: int | None = None
    lambda_structure: float = 0.0
    drop_after: float = 0.5
    drop_ratio: float = 1.5
    decide: str | int = "loss"

    def __post_init__(self):
        """Refuse what no inversion can use, naming the field."""
        object.__setattr__(self, "hypotheses", _checked_hypotheses(self.hypotheses))
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` is {self.optimizer!r}; accepted are {', '.join(OPTIMIZERS)}.")
        by_hand = _is_number(self.decide, int) and self.decide in range(len(self.hypotheses))
        if self.decide not in DECISIONS and not by_hand:
            accepted = f"{', '.join(DECISIONS)}, and 0 to {len(self.hypotheses) - 1} for a hypothesis"
            raise ValueError(f"`decide` is {self.decide!r}; accepted are {accepted}.")
        for name in ("num_draws", "num_steps"):
            value = getattr(self, name)
            if not _is_number(value, int) or value < 0:
                raise ValueError(f"`{name}` is {value!r}; it must be a whole number, 0 or more.")
        for name in ("learning_rate", "lambda_perceptual", "lambda_structure", "drop_after", "drop_ratio"):
            value = getattr(self, name)
            if not _is_number(value, int | float) or value < 0 or (name == "learning_rate" and value == 0):
                raise ValueError(f"`{name}` is {value!r}; it must be a number, 0 or more.")
        for name, least in (("perceptual_size", 16), ("compare_size", 1)):
            value = getattr(self, name)
            if value is not None and (not _is_number(value, int) or value < least):
                raise ValueError(f"`{name}` is {value!r}; it must be {least} or more, or None.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> InversionSettings:
        """The preset of that name, with some settings changed.

        Args:
            name: one of `INVERSION_PRESETS`.
            **changes: settings by name.

        Raises:
            ValueError: the name or a setting is unknown, or a value is out of its range.
        """
        if name not in INVERSION_PRESETS:
            raise ValueError(f"the inversion preset is {name!r}; accepted are {', '.join(INVERSION_PRESETS)}.")
        known = {field.name for field in fields(cls)}
        for change in changes:
            if change not in known:
                raise ValueError(f"{change!r} is no setting of inversion; accepted are {', '.join(sorted(known))}.")
        return replace(INVERSION_PRESETS[name], **changes)


def _checked_hypotheses(value: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of whole numbers above 0 as tuples; JSON knows lists only."""
    good = isinstance(value, Sequence) and value and all(
        isinstance(pair, Sequence) and len(pair) == 2 and all(_is_number(n, int) and n > 0 for n in pair)
        for pair in value
    )  # fmt: skip
    if not good:
        raise ValueError(f"`hypotheses` is {value!r}; it must hold pairs of composing layer and number of codes.")
    return tuple((layer, codes) for layer, codes in value)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


INVERSION_PRESETS = {
    # Layers and codes of OEFT sec. 4.1; the rest is mGANprior's.
    "paper": InversionSettings(
        hypotheses=tuple(product(range(4, 9), (10, 20, 30, 40))),
        num_draws=0,
        num_steps=3000,
        optimizer="sgd",
        learning_rate=1.0,
        divide_by_codes=True,
        lambda_perceptual=0.001,
        perceptual_size=256,
        drop_ratio=0,
        decide="frechet",
    ),
    "balanced": InversionSettings(),
}
