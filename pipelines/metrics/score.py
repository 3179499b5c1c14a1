"""A measured value with what is known about its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

FEW = 1000  # pictures: below it a value carries an interval and a warning
RESAMPLES = 100


@dataclass(frozen=True)
class Score:
    """The value of a metric.

    Attributes:
        value: the metric.
        error: bootstrap standard error; None where both sets have 1,000 pictures or more.
        std: of a metric that averages over random subsets, their standard deviation.
        per_class: the metric of every class, for a mean over classes.
    """

    value: float
    error: float | None = None
    std: float | None = None
    per_class: dict[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %: the value and 1.96 standard errors to both sides.

        Not the percentiles of the bootstrap: a resampled set holds fewer different pictures, which shifts an FID up.
        """
        if self.error is None:
            return None
        return self.value - 1.96 * self.error, self.value + 1.96 * self.error


def mean_score(values: Tensor, seed: int = 0, per_class: dict[str, float] | None = None) -> Score:
    """The mean of (N,) values, with its bootstrap error where there are fewer than 1,000 and at least 2."""
    values = values.double()
    error = None
    if len(values) > 1:
        error = standard_error(
            lambda drawn, _: float(values.mean() if drawn is None else values[drawn].mean()), len(values), FEW, seed
        )
    return Score(float(values.mean()), error, per_class=per_class or {})


def standard_error(
    statistic: Callable[[Tensor | None, Tensor | None], float], real: int, generated: int, seed: int
) -> float | None:
    """The bootstrap standard error of a statistic of two sets, over 100 resamplings of those that are small.

    Args:
        statistic: is given the positions of the drawn pictures of either set, with repetitions; None for all of a set
            of 1,000 pictures or more, which is not resampled.
        real: pictures of the first set, at least 2.
        generated: pictures of the second set, at least 2.
        seed: of the draws.

    Returns:
        The error; None where both sets have 1,000 pictures or more.
    """
    if min(real, generated) >= FEW:
        return None
    generator = torch.Generator().manual_seed(seed)
    values = [statistic(_draw(real, generator), _draw(generated, generator)) for _ in range(RESAMPLES)]
    return float(torch.tensor(values, dtype=torch.float64).std())


def _draw(count: int, generator: torch.Generator) -> Tensor | None:
    """`count` positions with repetition; again if all are the same one, which has no spread to measure."""
    if count >= FEW:
        return None
    while True:
        drawn = torch.randint(count, (count,), generator=generator)
        if (drawn != drawn[0]).any():
            return drawn
