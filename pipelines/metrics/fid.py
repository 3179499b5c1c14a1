"""The Frechet distance between the Gaussians of two sets of features: FID (Heusel et al., arXiv 1706.08500)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.metrics.features import MetricError
from pipelines.metrics.score import Score, standard_error

_CHUNK = 4096


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of features.

    Attributes:
        mean: (C,) fp64.
        root: (R, C) fp64 with `root.T @ root` the covariance; R is the smaller of C and the number of features.
    """

    mean: Tensor
    root: Tensor


def gaussian(features: Tensor) -> Gaussian:
    """Fit a Gaussian, in fp64 and in chunks; the covariance is the unbiased one.

    Args:
        features: (N, C), N at least 2.

    Raises:
        MetricError: there are fewer.
    """
    count, channels = features.shape
    if count < 2:
        raise MetricError(f"a set has {count} pictures; a covariance needs at least 2")
    mean = features.mean(dim=0, dtype=torch.float64)
    if count <= channels:
        return Gaussian(mean, (features.double() - mean) / math.sqrt(count - 1))
    covariance = features.new_zeros(channels, channels, dtype=torch.float64)
    for chunk in features.split(_CHUNK):
        centered = chunk.double() - mean
        covariance += centered.T @ centered / (count - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return Gaussian(mean, values.clamp(min=0).sqrt()[:, None] * vectors.T)


def frechet_distance(real: Gaussian, generated: Gaussian) -> float:
    """`|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`.

    With `S = A^T A` the last trace is the sum of the singular values of `A1 A2^T`. That needs no square root of a
    matrix that rounding has made indefinite, and is small where there are few pictures.
    """
    cross = torch.linalg.svdvals(real.root @ generated.root.T).sum()
    spread = real.root.square().sum() + generated.root.square().sum() - 2 * cross
    return float((real.mean - generated.mean).square().sum() + spread)


def fid(real: Tensor, generated: Tensor) -> float:
    """FID of two sets of features.

    It is biased upwards, the more the fewer pictures there are: only values of equal counts can be compared.

    Args:
        real: (N, C), N at least 2.
        generated: (M, C), M at least 2.

    Raises:
        MetricError: a set has fewer.
    """
    return frechet_distance(gaussian(real), gaussian(generated))


def fid_score(real: Tensor, generated: Tensor, seed: int = 0) -> Score:
    """`fid`, with a bootstrap error where a set has fewer than 1,000 pictures."""
    fits = gaussian(real), gaussian(generated)

    def resampled(i: Tensor | None, j: Tensor | None) -> float:
        return frechet_distance(
            fits[0] if i is None else gaussian(real[i]), fits[1] if j is None else gaussian(generated[j])
        )

    return Score(frechet_distance(*fits), standard_error(resampled, len(real), len(generated), seed))
