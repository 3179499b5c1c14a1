"""The projection of PatchNCE: features of sampled places, through a small MLP a layer, onto the unit sphere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.initialization import xavier_normal


class PatchSampler(ModelMixin, ConfigMixin):
    """Samples places of feature maps and embeds them (CUT sec. 3.2, the network H).

    Args:
        channels: of every feature map, in their order.
        embedding: dimensions of the embedding.
        gain: of the Xavier initialization.
    """

    @register_to_config
    def __init__(self, channels: tuple[int, ...] = (3, 128, 256, 256, 256), embedding: int = 256, gain: float = 0.02):
        super().__init__()
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, embedding), nn.ReLU(), nn.Linear(embedding, embedding))
            for width in channels
        )
        xavier_normal(self, gain)

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Embed the given places.

        Args:
            maps: one (B, C, H, W) a layer.
            places: one (N,) int64 a layer, row-major positions in H x W; the same for all images of the batch.

        Returns:
            One (B, N, embedding) a layer, of unit length, float32.
        """
        embedded = []
        for mlp, features, where in zip(self.mlps, maps, places, strict=True):
            width = features.shape[-1]
            sampled = features[:, :, where // width, where % width].mT  # [B, N, C]
            vectors = mlp(sampled).float()
            embedded.append(vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-7))
        return embedded


def sample_places(
    sizes: Sequence[tuple[int, int]], count: int, generator: torch.Generator, device: torch.device
) -> list[Tensor]:
    """Draw places for `PatchSampler`: `count` distinct ones a layer, or all where a map has fewer.

    Args:
        sizes: (H, W) of every feature map.
        count: places a layer.
        generator: a CPU generator.
        device: where the indices are needed.
    """
    return [torch.randperm(height * width, generator=generator)[:count].to(device) for height, width in sizes]
