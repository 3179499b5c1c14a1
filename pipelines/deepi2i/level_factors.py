"""One number for every level of the adaptor, however it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

LEVELS = (32, 16, 8, 4)  # resolutions of the adaptor's features (DeepI2I appendix A)
LEVEL_WEIGHT = 0.1  # w_l of DeepI2I eq. 5
Factors = float | Mapping[int, float] | Mapping[str, float] | Sequence[float]


def per_level(value: Factors | None, levels: Sequence[int], *, name: str, default: float) -> dict[str, float]:
    """The number of every level, by its resolution as a text, as JSON keeps it.

    Args:
        value: one number for all; by resolution, with the default for those left out; one a level in the order of
            `levels`; or None, the default for all.
        levels: resolutions, from fine to coarse.
        name: the argument's name in errors.
        default: for what is not given.

    Raises:
        ValueError: a level that is not there, another count, or a number that is negative or not finite.
    """
    if isinstance(value, Mapping):
        given = {str(level): factor for level, factor in value.items()}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != len(levels):
            raise ValueError(f"`{name}` has {len(value)} numbers; there are {len(levels)} levels: {_listed(levels)}.")
        given = dict(zip(map(str, levels), value, strict=True))
    else:
        given = dict.fromkeys(map(str, levels), default if value is None else value)
    for level, factor in given.items():
        if level not in map(str, levels):
            raise ValueError(f"`{name}` names level {level}; the levels of this checkpoint are {_listed(levels)}.")
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not math.isfinite(factor) or factor < 0:
            raise ValueError(f"`{name}` has {factor!r}; finite numbers from 0 up are accepted.")
    return {str(level): float(given.get(str(level), default)) for level in levels}


def _listed(levels: Sequence[int]) -> str:
    return ", ".join(map(str, levels))
