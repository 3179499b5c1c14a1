"""What inversion minimizes: the distance of eq. 12, behind the degradation of the target, and one of structure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.images.geometry import resize
from pipelines.losses.perceptual import feature_distance
from pipelines.oeft.degradations import Degradation
from pipelines.oeft.features import feature_maps

EPSILON = 1e-5  # of a channel that is the same everywhere
STRUCTURE_SIZE = 128  # pixels on a side: of smaller pictures the backbone sees too little


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


class StructureDistance:
    """How far apart two pictures are in what they show, whatever its colors; not in the paper.

    A torn warp has lost the source's structure, and the source still has it. Features, every channel normalized over
    the places of a picture, know where things are and hardly which colors they have. The mean over places of one minus
    the cosine.

    Args:
        backbone: called as `backbone(image, taps=...)`; without gradients of its own.
        source: (1, 3, h, w) in [-1, 1].
        tap: layer of the backbone.
        precision: what the backbone computes in, fp32 or bfloat16.
    """

    def __init__(self, backbone: nn.Module, source: Tensor, *, tap: str, precision: torch.dtype):
        self.backbone, self.tap, self.precision = backbone, tap, precision
        with torch.no_grad():
            self.source = self._structure(source)

    def __call__(self, images: Tensor) -> Tensor:
        """Distances (B,), range [0, 2], of pictures (B, 3, R, R) in [-1, 1]."""
        return 1 - (self._structure(images) * self.source).sum(dim=1).mean(dim=(1, 2))

    def _structure(self, images: Tensor) -> Tensor:
        """Unit vectors (B, C, h, w)."""
        pixels = resize(images, (STRUCTURE_SIZE, STRUCTURE_SIZE))
        maps = feature_maps(self.backbone, pixels, (self.tap,), self.precision)[self.tap].float()
        centered = maps - maps.mean(dim=(2, 3), keepdim=True)
        scale = centered.square().mean(dim=(2, 3), keepdim=True).add(EPSILON).sqrt()
        return F.normalize(centered / scale, dim=1)
