"""The distance of eq. 12: squared and perceptual, behind the degradation that the target went through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.losses.perceptual import feature_distance
from pipelines.oeft.degradations import Degradation
from pipelines.oeft.features import feature_maps


class InversionDistance:
    """Mean squared difference plus weighted perceptual distance, for every picture of a batch.

    The target's features are computed once.

    Args:
        backbone: called as `backbone(image, taps=...)`; without gradients of its own.
        target: (1, 3, h, w) in [-1, 1], degraded already.
        degrade: brings pictures of the generator to the target's form.
        tap: layer of the backbone.
        weight: of the perceptual distance; 0 leaves the backbone out.
        size: side to which pictures are brought for the backbone, by nearest neighbors; None: as they are.
        precision: what the backbone computes in, fp32 or bfloat16.
    """

    def __init__(
        self,
        backbone: nn.Module,
        target: Tensor,
        degrade: Degradation,
        *,
        tap: str,
        weight: float,
        size: int | None,
        precision: torch.dtype,
    ):
        self.backbone, self.target, self.degrade = backbone, target, degrade
        self.tap, self.weight, self.size, self.precision = tap, weight, size, precision
        with torch.no_grad():
            self.target_features = self._features(target) if weight else None

    def __call__(self, images: Tensor) -> Tensor:
        """Distances (B,) of pictures (B, 3, R, R) in [-1, 1]."""
        degraded = self.degrade(images)
        distance = (degraded - self.target).square().mean(dim=(1, 2, 3))
        if self.target_features is None:
            return distance
        return distance + self.weight * feature_distance(self._features(degraded), self.target_features)

    def _features(self, images: Tensor) -> Tensor:
        if self.size is not None:
            images = F.interpolate(images, (self.size, self.size), mode="nearest")
        return feature_maps(self.backbone, images, (self.tap,), self.precision)[self.tap]
