"""The kernel distance between two sets of features: KID (Binkowski et al., arXiv 1801.01401)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.metrics.features import MetricError
from pipelines.metrics.score import FEW, Score, standard_error

SUBSETS = 100
SUBSET_SIZE = 1000


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """`(x . y / C + 1)^3` of all pairs: (N, C) and (M, C) to (N, M), fp64."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy; around 0, also below, for equal distributions.

    Args:
        x: (N, C), N at least 2.
        y: (M, C), M at least 2.

    Raises:
        MetricError: a set has fewer.
    """
    for features in (x, y):
        if len(features) < 2:
            raise MetricError(f"a set has {len(features)} pictures; a kernel distance needs at least 2")
    return _mmd(_kernels(x, y), None, None)


def kid(
    real: Tensor, generated: Tensor, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = 0
) -> tuple[float, float | None]:
    """Mean and standard deviation of `polynomial_mmd` over random subsets.

    Args:
        real: (N, C), N at least 2.
        generated: (M, C), M at least 2.
        subsets: how many.
        subset_size: pictures drawn of either set, without repetition; never more than the smaller set has.
        seed: of the draws.

    Returns:
        Mean and standard deviation; where a subset would hold all pictures of both sets it is measured once, and the
        deviation is None.

    Raises:
        MetricError: a set has fewer than 2 pictures.
    """
    size = min(subset_size, len(real), len(generated))
    if size == max(len(real), len(generated)):
        return polynomial_mmd(real, generated), None
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor(
        [
            polynomial_mmd(
                real[torch.randperm(len(real), generator=generator)[:size]],
                generated[torch.randperm(len(generated), generator=generator)[:size]],
            )
            for _ in range(subsets)
        ],
        dtype=torch.float64,
    )
    return float(values.mean()), float(values.std(unbiased=False))


def kid_score(real: Tensor, generated: Tensor, seed: int = 0) -> Score:
    """`kid`, with a bootstrap error where a set has fewer than 1,000 pictures.

    All pictures are used at once where both sets have at most 1,000: their subsets would be the same ones again.
    """
    if max(len(real), len(generated)) <= SUBSET_SIZE:
        value, std = polynomial_mmd(real, generated), None
    else:
        value, std = kid(real, generated, seed=seed)
    return Score(value, _error(real, generated, seed), std)


def _error(real: Tensor, generated: Tensor, seed: int) -> float | None:
    """The bootstrap error, on at most 2,000 pictures a set: kernels are square."""
    if min(len(real), len(generated)) >= FEW:
        return None
    generator = torch.Generator().manual_seed(seed)
    x, y = (
        features[torch.randperm(len(features), generator=generator)[: 2 * SUBSET_SIZE]]
        for features in (real, generated)
    )
    kernels = _kernels(x, y)
    return standard_error(lambda i, j: _mmd(kernels, i, j), len(x), len(y), seed)


def _kernels(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)


def _mmd(kernels: tuple[Tensor, Tensor, Tensor], x: Tensor | None, y: Tensor | None) -> float:
    """Of the drawn pictures, all for None; a picture is never compared with itself, drawn twice or not."""
    within_x, within_y, across = kernels
    times_x, times_y = _times_drawn(x, len(within_x)), _times_drawn(y, len(within_y))
    between = times_x @ across @ times_y / (times_x.sum() * times_y.sum())
    return float(_mean_of_pairs(within_x, times_x) + _mean_of_pairs(within_y, times_y) - 2 * between)


def _times_drawn(drawn: Tensor | None, count: int) -> Tensor:
    """How often each of `count` pictures was drawn, fp64."""
    positions = torch.arange(count) if drawn is None else drawn
    return torch.bincount(positions, minlength=count).double()


def _mean_of_pairs(kernel: Tensor, times: Tensor) -> Tensor:
    itself = times.square()
    return (times @ kernel @ times - itself @ kernel.diagonal()) / (times.sum().square() - itself.sum())
