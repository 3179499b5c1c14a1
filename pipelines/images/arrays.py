"""numpy arrays and tensors, brought to (3, H, W) fp32 in [-1, 1]."""

import numpy as np
import torch
from torch import Tensor

from pipelines.images.limits import ImageError, check_size

ROUNDING = 1e-3  # how far a float image may leave [0, 1]: half precision and resizing do that


def array_to_pixels(array: np.ndarray, label: str, max_pixels: int | None = None) -> Tensor:
    """Read one numpy image.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); bool, uint8, uint16, or float in [0, 1]. The fourth channel
            is alpha (not premultiplied) and is laid on white.
        label: how errors name the image.
        max_pixels: pixels; see `limits.pixel_limit`.

    Returns:
        (3, H, W) fp32 in [-1, 1].

    Raises:
        ImageError: another shape or dtype, NaN or infinity, values outside the range, or a size out of bounds.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"{label} is a numpy array of shape {array.shape}; (height, width) or (height, width, channels) with "
            "1, 3 or 4 channels is accepted."
        )
    check_size(array.shape[0], array.shape[1], label, max_pixels)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        array = array.astype(np.float32) / 65535
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{label} is a numpy array of {array.dtype}; uint8, uint16, bool, or float in [0, 1] is accepted."
        )
    array = array.astype(np.uint8 if array.dtype == np.uint8 else np.float32)  # own, native-endian memory
    channels = torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)  # [C, H, W]
    return _to_rgb(channels, label)


def tensor_to_pixels(tensor: Tensor, label: str, max_pixels: int | None = None) -> Tensor:
    """Read one image tensor; the result lies on the CPU and carries no gradient.

    Args:
        tensor: (1, H, W), (3, H, W) or (4, H, W); uint8, or float in [0, 1].
        label: how errors name the image.
        max_pixels: pixels; see `limits.pixel_limit`.

    Returns:
        (3, H, W) fp32 in [-1, 1].

    Raises:
        ImageError: another shape or dtype, NaN or infinity, values outside the range, or a size out of bounds.
    """
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ImageError(
            f"{label} is a tensor of shape {tuple(tensor.shape)}; (channels, height, width) with 1, 3 or 4 channels "
            "is accepted."
        )
    check_size(tensor.shape[1], tensor.shape[2], label, max_pixels)
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        raise ImageError(f"{label} is a tensor of {tensor.dtype}; torch.uint8, or float in [0, 1], is accepted.")
    return _to_rgb(tensor.detach().cpu(), label)


def _to_rgb(channels: Tensor, label: str) -> Tensor:
    """(1 | 3 | 4, H, W), uint8 or float in [0, 1] -> (3, H, W) fp32 in [-1, 1], alpha on white."""
    if channels.dtype == torch.uint8:
        scale, pixels = 255.0, channels.to(torch.float32)
    else:
        scale, pixels = 1.0, channels.to(torch.float32)
        _check_range(pixels, label)
        pixels = pixels.clamp(0, 1)
    if pixels.shape[0] == 4:
        alpha = pixels[3:] / scale
        pixels = pixels[:3] * alpha + scale * (1 - alpha)
    pixels = pixels / (scale / 2) - 1
    return pixels.expand(3, -1, -1).contiguous()


def _check_range(pixels: Tensor, label: str) -> None:
    if not torch.isfinite(pixels).all():
        raise ImageError(f"{label} holds NaN or infinite values; finite values in [0, 1] are accepted.")
    low, high = pixels.min().item(), pixels.max().item()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ImageError(f"{label} has values from {low:.4g} to {high:.4g}; float images in [0, 1] are accepted.")
