"""DeepI2I's reconstruction loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor


def reconstruction(
    source: Mapping[int, Tensor], result: Mapping[int, Tensor], weights: Mapping[int, float], *, squared: bool = False
) -> Tensor:
    """How far the discriminator's features of a result are from those of its source (DeepI2I eq. 3).

    Args:
        source: features of the sources by resolution, (B, C, H, W).
        result: features of their translations.
        weights: alpha of every resolution that counts.
        squared: the mean squared difference, as the authors' code has it, instead of the mean absolute one.

    Returns:
        The weighted sum over resolutions of the mean over everything else, a scalar.
    """
    distance = F.mse_loss if squared else F.l1_loss
    return sum(weight * distance(result[level].float(), source[level].float()) for level, weight in weights.items())
