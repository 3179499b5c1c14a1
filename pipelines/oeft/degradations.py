"""What may have happened to a picture before it is inverted: eq. 12 compares behind the same operation ("down")."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601

Degradation = Callable[[Tensor], Tensor]  # pictures (B, 3, H, W) in [-1, 1] to what is compared


def area_to(size: tuple[int, int]) -> Degradation:
    """Reduction by the mean over areas to (height, width) in pixels: OEFT's `down`."""

    def reduce(image: Tensor) -> Tensor:
        return image if tuple(image.shape[-2:]) == tuple(size) else F.interpolate(image, size, mode="area")

    return reduce


def reduced_to(side: int, image: Tensor) -> Tensor:
    """An image (B, 3, H, W) with both sides at most `side` pixels; the aspect gives way, as the prior is square."""
    return area_to((min(side, image.shape[2]), min(side, image.shape[3])))(image)


def at_least(side: int, height: int, width: int) -> tuple[int, int]:
    """The size of a result: the image's own, or one of the same aspect whose longer side has `side` pixels."""
    scale = max(1.0, side / max(height, width))
    return round(height * scale), round(width * scale)


def to_gray(image: Tensor) -> Tensor:
    """The luma of pictures (B, 3, H, W), three times."""
    weights = torch.tensor(LUMA, device=image.device, dtype=image.dtype)
    return torch.einsum("bchw,c->bhw", image, weights)[:, None].expand(-1, 3, -1, -1)


def masked(missing: Tensor) -> Degradation:
    """Removal of what is missing; `missing` is (1, 1, H, W), 1 where a pixel is to be made up, 0 where it is known."""

    def remove(image: Tensor) -> Tensor:
        return image * (1 - missing)

    return remove


def with_luma_of(image: Tensor, colored: Tensor) -> Tensor:
    """The colors of one picture on the luma of another: what colorization returns.

    Args:
        image: (B, 3, H, W) in [-1, 1], gives the luma.
        colored: of the same shape, gives the colors.
    """
    return (colored - to_gray(colored) + to_gray(image)).clamp(-1, 1)
