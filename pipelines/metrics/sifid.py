"""The Frechet distance of two single pictures: SIFID (SinGAN, arXiv 1905.01164, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.metrics.features import MetricError
from pipelines.metrics.fid import frechet_distance, gaussian

INCEPTION_TAP = "Conv2d_4a_3x3"  # the layer just before the second pooling


def single_image_fid(maps: Tensor, others: Tensor) -> Tensor:
    """Frechet distance between the features of all places of one picture and those of another.

    Args:
        maps: (B, C, h, w), of one layer.
        others: (B, C, h', w'); another size is another number of places.

    Returns:
        (B,), from 0 but for rounding, on the CPU.

    Raises:
        MetricError: a map has a single place.
    """
    for features in (maps, others):
        if features.shape[2] * features.shape[3] < 2:
            raise MetricError(
                "sifid: the layer has one place for a whole picture; a shallower one, or larger pictures"
            )
    values = [
        frechet_distance(*(gaussian(features.flatten(1).T.cpu()) for features in pair))
        for pair in zip(maps, others, strict=True)
    ]
    return torch.tensor(values)
