"""Sizes: resize, fit to an area, pad to a multiple and crop back."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Padding(NamedTuple):
    """Rows and columns, in pixels, that `pad_to_multiple` added."""

    bottom: int
    right: int


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize with antialiased bilinear interpolation; never leaves the range of the input.

    Args:
        pixels: (..., C, H, W), any range.
        size: (height, width) in pixels.

    Returns:
        (..., C, height, width); the input itself when it has that size already.
    """
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    batch = pixels.reshape(-1, *pixels.shape[-3:])  # [N, C, H, W]
    resized = F.interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
    return resized.reshape(*pixels.shape[:-2], *size)


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge with bicubic interpolation; what overshoots the range [-1, 1] is cut off.

    Args:
        pixels: (B, C, H, W) in [-1, 1].
        size: (height, width) in pixels.
    """
    return F.interpolate(pixels, size=tuple(size), mode="bicubic", align_corners=False).clamp(-1, 1)


def fit_to_area(height: int, width: int, area: int, multiple: int) -> tuple[int, int]:
    """Return a working size of about `area` pixels with the aspect of the image.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        area: pixels wanted; at least `multiple` squared.
        multiple: pixels; both sides are multiples of it. An image so narrow that a side would fall below it gets that
            side and a shorter long one: the area, and so the memory, stays bounded and the aspect gives way.

    Returns:
        (height, width) in pixels.
    """
    scale = math.sqrt(area / (height * width))
    longest = max(1, area // multiple**2)
    steps = (min(max(1, round(side * scale / multiple)), longest) for side in (height, width))
    rows, columns = (count * multiple for count in steps)
    return rows, columns


def pad_to_multiple(pixels: Tensor, multiple: int) -> tuple[Tensor, Padding]:
    """Pad by reflection until both sides are multiples; crop back with `crop_padding`.

    The padding goes to the bottom and the right, so that a pixel keeps its coordinates. It may be larger than the
    image: the reflection then bounces at both ends (torch's own refuses that).

    Args:
        pixels: (..., H, W), any range.
        multiple: pixels.

    Returns:
        (..., H', W') with H' and W' the next multiples, and what was added.
    """
    height, width = pixels.shape[-2:]
    padding = Padding(bottom=-height % multiple, right=-width % multiple)
    rows = _reflected(height, height + padding.bottom, pixels.device)
    columns = _reflected(width, width + padding.right, pixels.device)
    return pixels.index_select(-2, rows).index_select(-1, columns), padding


def crop_padding(pixels: Tensor, padding: Padding) -> Tensor:
    """Undo `pad_to_multiple` on a tensor of the padded size.

    Args:
        pixels: (..., H', W').
        padding: what `pad_to_multiple` returned.

    Returns:
        (..., H, W).
    """
    height, width = pixels.shape[-2:]
    return pixels[..., : height - padding.bottom, : width - padding.right]


def _reflected(size: int, length: int, device: torch.device) -> Tensor:
    """Indices 0 1 .. size-1 size-2 .. 1 0 1 ..., `length` of them."""
    period = max(1, 2 * (size - 1))
    position = torch.arange(length, device=device) % period
    return torch.minimum(position, period - position) if size > 1 else position
