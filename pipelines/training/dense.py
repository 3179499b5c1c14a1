"""Dense correspondence as a training signal: the same place in two views of one picture must look alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.losses.info_nce import info_nce
from pipelines.networks.levels import equalize
from pipelines.training.augmentation import map_points


def matching_points(motion: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random places of a first view and where they lie in a second one.

    Args:
        motion: (B, 3, 3) affine maps from coordinates of view one to coordinates of view two, in [-1, 1].
        count: N, places a picture; a place that leaves view two is replaced by one that does not (so a few may
            repeat where the views hardly overlap).
        generator: CPU generator.

    Returns:
        Two (B, N, 2) tensors of (x, y) in [-1, 1], on the CPU.
    """
    candidates = torch.rand(len(motion), 4 * count, 2, generator=generator) * 2 - 1
    moved = map_points(candidates, motion)
    inside = (moved.abs().amax(dim=-1) <= 1).float()  # [B, 4N]
    order = inside.argsort(dim=1, descending=True, stable=True)  # those inside first, in random order
    slot = torch.arange(count) % inside.sum(dim=1, keepdim=True).clamp(min=1)
    chosen = order.gather(1, slot.long()).unsqueeze(-1).expand(-1, -1, 2)  # [B, N, 2]
    return candidates.gather(1, chosen), moved.gather(1, chosen)


def point_features(maps: Mapping[str, Tensor], points: Tensor) -> Tensor:
    """Hierarchical features at given places, centered over the places and L2 normalized (OEFT sec. 3.2, eq. 3-5).

    Every level is scaled over the picture's places (`equalize`), so that all levels have a say.

    Args:
        maps: feature maps (B, C_i, H_i, W_i) by tap name.
        points: (B, N, 2), (x, y) in [-1, 1].

    Returns:
        (B, N, sum of C_i) fp32.
    """
    grid = points.unsqueeze(2)  # [B, N, 1, 2]
    levels = []
    for level in maps.values():
        values = F.grid_sample(level.float(), grid, padding_mode="border", align_corners=False)
        values = values.squeeze(3).transpose(1, 2)  # [B, N, C_i]
        levels.append(equalize(values, channels=2, positions=(1,)))
    return F.normalize(torch.cat(levels, dim=-1), dim=-1)


def dense_contrast(query: Tensor, key: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """InfoNCE over the places of each picture, and how often the right place wins.

    Args:
        query: (B, N, C), centered and L2 normalized.
        key: (B, N, C), likewise; the positive of a place has the same index.
        temperature: tau.

    Returns:
        The loss, and the share of places whose best match is the right one, 0..1; both scalars.
    """
    with torch.no_grad():
        hits = (query @ key.mT).argmax(dim=-1) == torch.arange(query.shape[1], device=query.device)
    return info_nce(query, key, temperature), hits.float().mean()
