"""Metrics of sets that are divided into classes: over all pictures, and the mean over classes (mFID, mKID)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pipelines.metrics.features import MetricError
from pipelines.metrics.score import Score

Sets = Mapping[str, Tensor]  # features (N, C) by class
Metric = Callable[[Tensor, Tensor, int], Score]


def over_all(metric: Metric, real: Sets, generated: Sets, seed: int) -> Score:
    """The metric of all real against all generated pictures, whatever their class."""
    return metric(torch.cat(list(real.values())), torch.cat(list(generated.values())), seed)


def mean_over_classes(metric: Metric, real: Sets, generated: Sets, seed: int) -> Score:
    """The mean of the metric of each class's real against its generated pictures (DeepI2I section 4).

    Args:
        metric: such as `fid_score`.
        real: (N, C) features by class, N at least 2.
        generated: (M, C) features by class, M at least 2; the same classes.
        seed: of the draws in every class.

    Returns:
        The mean and the values by class. The error takes the classes as independent.

    Raises:
        MetricError: the classes are not the same, or a class has fewer than 2 pictures; the message names it.
    """
    same_classes(real, generated)
    scores = {}
    for name, features in real.items():
        try:
            scores[name] = metric(features, generated[name], seed)
        except MetricError as error:
            raise MetricError(f"class {name!r}: {error}") from error
    errors = [score.error for score in scores.values() if score.error is not None]
    return Score(
        value=sum(score.value for score in scores.values()) / len(scores),
        error=math.sqrt(sum(error**2 for error in errors)) / len(scores) if errors else None,
        per_class={name: score.value for name, score in scores.items()},
    )


def same_classes(real: Sets, generated: Sets) -> None:
    """Check that both sides have the same classes.

    Raises:
        MetricError: they do not; the message names one.
    """
    if real.keys() != generated.keys():
        first = sorted(real.keys() ^ generated.keys())[0]
        raise MetricError(f"the classes are not the same: only one side has pictures of {first!r}")
