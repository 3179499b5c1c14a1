"""Random views of a batch: affine crops with a known map, and photometric changes. Every number has one generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crops(count: int, generator: torch.Generator, scale: tuple[float, float], flip: bool = True) -> Tensor:
    """Random resized crops as affine maps, (count, 3, 3).

    A map takes homogeneous output coordinates in [-1, 1] to input coordinates in [-1, 1], as `affine_grid` does.

    Args:
        count: number of maps.
        generator: CPU generator.
        scale: share of the area that a crop keeps, lowest and highest, 0..1; aspect 3/4..4/3.
        flip: mirror every second crop, by chance.
    """
    area = _uniform(count, generator, *scale)
    aspect = _uniform(count, generator, -math.log(4 / 3), math.log(4 / 3)).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    x = _uniform(count, generator, -1, 1) * (1 - width)
    y = _uniform(count, generator, -1, 1) * (1 - height)
    sign = 1 - 2 * (torch.rand(count, generator=generator) < 0.5).float() if flip else torch.ones(count)
    zero = torch.zeros(count)
    return _matrices([width * sign, zero, x, zero, height, y])


def random_motions(count: int, generator: torch.Generator, degrees: float, zoom: float, shift: float) -> Tensor:
    """Random rotations, zooms, stretches and shifts as affine maps, (count, 3, 3); see `random_crops`.

    Args:
        count: number of maps.
        generator: CPU generator.
        degrees: largest rotation either way.
        zoom: largest factor of enlargement or reduction, above 1.
        shift: largest shift either way, in units of half the picture's side.
    """
    angle = _uniform(count, generator, -math.radians(degrees), math.radians(degrees))
    size = _uniform(count, generator, -math.log(zoom), math.log(zoom)).exp()
    stretch = _uniform(count, generator, -0.15, 0.15).exp()
    cos, sin = angle.cos() * size, angle.sin() * size
    x, y = _uniform(count, generator, -shift, shift), _uniform(count, generator, -shift, shift)
    return _matrices([cos * stretch, -sin / stretch, x, sin * stretch, cos / stretch, y])


def warp_images(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Resample (B, 3, H, W) by (B, 3, 3) maps to (B, 3, size, size); mirrored beyond the border."""
    grid = F.affine_grid(maps[:, :2], [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def map_points(points: Tensor, maps: Tensor) -> Tensor:
    """Take (B, N, 2) points in [-1, 1] through (B, 3, 3) affine maps."""
    return points @ maps[:, :2, :2].mT + maps[:, None, :2, 2]


def jitter_colors(images: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Change brightness, contrast, saturation and channel balance of each picture; some go grey.

    Args:
        images: (B, 3, H, W), range [-1, 1].
        generator: CPU generator.
        strength: 0..1; 0 changes nothing.

    Returns:
        (B, 3, H, W), clamped to [-1, 1].
    """
    if strength == 0:
        return images
    count, device = len(images), images.device

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        values = torch.rand(count, channels, 1, 1, generator=generator) * (high - low) + low
        return (values * strength).to(device)

    grey = images.mean(dim=1, keepdim=True)
    go_grey = (torch.rand(count, 1, 1, 1, generator=generator) < 0.2 * strength).to(device)
    saturation = torch.where(go_grey, -1.0, draw(-0.6, 0.6))
    images = torch.addcmul(images, saturation, images - grey)
    gain = draw(-0.5, 0.5) + draw(-0.15, 0.15, channels=3)
    bias = draw(-0.3, 0.3) + draw(-0.1, 0.1, channels=3)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    images = (images - mean) * (1 + gain) + mean + bias
    return images.clamp(-1, 1)


def _uniform(count: int, generator: torch.Generator, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _matrices(rows: list[Tensor]) -> Tensor:
    count = len(rows[0])
    top = torch.stack(rows, dim=1).view(count, 2, 3)
    return torch.cat([top, torch.tensor([0.0, 0.0, 1.0]).expand(count, 1, 3)], dim=1)  # [B, 3, 3]
