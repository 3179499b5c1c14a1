"""Discriminators on the features of a frozen backbone: projected GANs (Sauer et al., arXiv 2111.01007).

What the backbone has learned of pictures need not be learned again from the few that a GAN is trained on. The paper
mixes channels and layers by random projections first; here every layer is judged as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.networks.spectral_norm import SNConv2d

COARSEST = 4  # pixels: the map that every head ends with
FINEST = 32  # pixels: finer maps are averaged first, as their heads would take most of the time
AVERAGED_TO = 16
SLOPE = 0.2


def block_ends(backbone: Any) -> tuple[str, ...]:
    """The last layer of every block of a backbone, by its name: of `relu3_1` and `relu3_2` the second."""
    return tuple({name.partition("_")[0]: name for name in backbone.layers}.values())


class FeatureHead(nn.Module):
    """Logits of every place of a 4 x 4 map, from one layer's features.

    Args:
        channels: of the layer.
        side: of the layer's map.
        width: channels inside.
    """

    def __init__(self, channels: int, side: int, width: int):
        super().__init__()
        self.side = AVERAGED_TO if side > FINEST else side
        halvings = max(0, (self.side // COARSEST).bit_length() - 1)
        self.convs = nn.ModuleList(
            [
                SNConv2d(channels, width, 1),
                *(SNConv2d(width, width, 4, stride=2, padding=1) for _ in range(halvings)),
                SNConv2d(width, width, 3, padding=1),
            ]
        )
        self.logits = SNConv2d(width, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, side, side) to (B, 1, 4, 4)."""
        hidden = features if features.shape[-1] == self.side else F.adaptive_avg_pool2d(features, self.side)
        for conv in self.convs:
            hidden = F.leaky_relu(conv(hidden), SLOPE)
        return self.logits(hidden)


class FeatureDiscriminator(nn.Module):
    """A head for every layer of a backbone. The backbone is frozen and no part of the state.

    Args:
        backbone: called as `backbone(image, taps=...)`, with `layers` that name its layers; it is copied.
        taps: layers that are judged.
        resolution: side of the pictures.
        width: channels of a head.
    """

    scale: Tensor

    def __init__(self, backbone: nn.Module, taps: Sequence[str], resolution: int, width: int = 96):
        super().__init__()
        self.taps = tuple(taps)
        # In a list it is no submodule: its weights are neither saved nor trained.
        self._backbone = [copy.deepcopy(backbone).float().eval().requires_grad_(False)]
        with torch.no_grad():
            maps = self._features(torch.zeros(1, 3, resolution, resolution))
        self.heads = nn.ModuleDict({tap: FeatureHead(maps[tap].shape[1], maps[tap].shape[2], width) for tap in maps})
        self.register_buffer("scale", torch.zeros(len(self.taps)))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits (B, 1, 4, 4) by layer, of pictures (B, 3, resolution, resolution) in [-1, 1]."""
        maps = self._features(image)
        if self.training and not self.scale.any():  # of the first batch; spectral norms want features of one size
            self.scale.copy_(torch.stack([maps[tap].detach().float().std() for tap in self.taps]))
        return [self.heads[tap](maps[tap] / scale) for tap, scale in zip(self.taps, self.scale, strict=True)]

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        backbone = self._backbone[0]
        if next(backbone.parameters()).device != image.device:
            backbone.to(image.device)
        return backbone(image, taps=self.taps)
