"""The final picture: the warp at the source's own size, from the exemplar's own pixels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.images.geometry import resize
from pipelines.oeft.correspondence import warp
from pipelines.oeft.fine_tuning import Descriptors

MAX_CELL = 8  # pixels a cell; beyond, patches of the exemplar would fill the memory and time of a small machine


@torch.no_grad()
def render(descriptors: Descriptors, exemplar: Tensor, size: tuple[int, int], alpha: float) -> Tensor:
    """Warp the exemplar to the source's places (OEFT eq. 6), at the size that is wanted.

    Every place of the grid gets a patch of the exemplar that is as large as two cells; neighbors overlap by half and
    are blended with a window that sums to one, so that no edges of patches show.

    Args:
        descriptors: Of the pair, on any grid.
        exemplar: (1, 3, H', W'), range [-1, 1], at its own size.
        size: Height and width of the result, pixels.
        alpha: Sharpness of the softmax.

    Returns:
        (1, 3, *size), range [-1, 1].
    """
    rows, columns = descriptors.query_grid
    # A cell is a whole number of pixels, as many as the result needs; what is larger is enlarged at the end.
    side = min(MAX_CELL, math.ceil(max(size[0] / rows, size[1] / columns)))
    key_rows, key_columns = descriptors.key_grid
    exemplar = resize(exemplar.to(descriptors.key.device), (key_rows * side, key_columns * side))
    patches = _overlapping_patches(exemplar, side)
    with torch.autocast(patches.device.type, enabled=False):  # a caller's would blur the similarities
        warped = warp(descriptors.query, descriptors.key, patches, alpha)
    return resize(_blend(warped, descriptors.query_grid, side), size)


def _overlapping_patches(image: Tensor, side: int) -> Tensor:
    """Patches of two cells' side around every cell, (B, h * w, 3 * (2 * side)**2); the border is repeated."""
    before, after = side // 2, side - side // 2
    padded = F.pad(image, (before, after, before, after), mode="replicate")
    return F.unfold(padded, kernel_size=2 * side, stride=side).transpose(1, 2)


def _blend(patches: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Overlapping patches back to an image (B, 3, h * side, w * side), each weighted by a triangular window."""
    ramp = (torch.arange(2 * side, device=patches.device) + 0.5) / side  # 0 .. 2
    ramp = torch.minimum(ramp, 2 - ramp)
    window = (ramp[:, None] * ramp).flatten().repeat(3)  # (3 * (2 * side)**2,)
    before, after = side // 2, side - side // 2
    padded = (grid[0] * side + before + after, grid[1] * side + before + after)
    image = F.fold((patches * window).transpose(1, 2), padded, kernel_size=2 * side, stride=side)
    weight = F.fold(window.expand_as(patches[:1]).transpose(1, 2), padded, kernel_size=2 * side, stride=side)
    return (image / weight)[:, :, before : before + grid[0] * side, before : before + grid[1] * side]
