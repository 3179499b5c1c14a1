"""The distance of two pictures in the features of a network, as LPIPS without its calibration (arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def perceptual_distance(maps: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Tensor:
    """Squared distance of the unit feature vectors of a place, averaged over places and taps.

    LPIPS weights channels by people's judgments, for three networks; without these weights the value has another scale
    and can be compared with no published one.

    Args:
        maps: (B, C, h, w) by tap.
        others: maps of the same taps and shapes.

    Returns:
        (B,), from 0; at most 2 where features are never negative.
    """
    taps = [
        (F.normalize(features, dim=1) - F.normalize(others[tap], dim=1)).square().sum(dim=1).mean(dim=(1, 2))
        for tap, features in maps.items()
    ]
    return torch.stack(taps).mean(dim=0)
