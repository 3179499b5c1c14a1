"""Hierarchical features on one grid, and their centered, normalized form (OEFT fig. 3, eq. 1-5)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.networks.levels import equalize


def hierarchical_features(maps: dict[str, Tensor], grid: tuple[int, int]) -> Tensor:
    """Bring feature maps of several layers to one grid and one scale, and join them (OEFT fig. 3).

    Every level is centered over positions and scaled (`equalize`), so that each has the same say in the cosine.

    Args:
        maps: Maps (B, C_l, H_l, W_l) by layer.
        grid: Height and width of the common grid.

    Returns:
        (B, sum of C_l, *grid), centered, fp32.
    """
    levels = [equalize(_resampled(level, grid), channels=1, positions=(2, 3)) for level in maps.values()]
    return torch.cat(levels, dim=1)


def _resampled(level: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map (B, C, h, w) on another grid, bilinearly; antialiasing costs time and only matters where it shrinks."""
    if tuple(level.shape[2:]) == grid:
        return level
    shrinks = level.shape[2] > grid[0]
    return F.interpolate(level, grid, mode="bilinear", align_corners=False, antialias=shrinks)


def unit_vectors(features: Tensor) -> Tensor:
    """Centered features (B, C, h, w) as unit vectors of positions (B, h * w, C), ready for cosines (eq. 3)."""
    return F.normalize(features.flatten(2).transpose(1, 2), dim=2).contiguous()


def feature_maps(
    network: nn.Module, image: Tensor, taps: tuple[str, ...], precision: torch.dtype
) -> dict[str, Tensor]:
    """Feature maps of an image by layer, fp32, computed in `precision` (fp32 or bfloat16)."""
    # Without the cache: inside a caller's autocast it would keep the weights of the first step for all steps.
    low = precision == torch.bfloat16
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=low, cache_enabled=False):
        return {tap: features.float() for tap, features in network(image, taps=taps).items()}


def describe(
    network: nn.Module,
    image: Tensor,
    grid: tuple[int, int],
    taps: tuple[str, ...],
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Unit descriptors of every grid position of an image.

    Args:
        network: A backbone, called as `network(image, taps=taps)`.
        image: (B, 3, H, W), range [-1, 1].
        grid: Height and width of the grid.
        taps: Layers to join.
        precision: What the network computes in; the descriptors are fp32 always.

    Returns:
        (B, h * w, C), centered over positions, of unit length.
    """
    return unit_vectors(hierarchical_features(feature_maps(network, image, taps, precision), grid))
