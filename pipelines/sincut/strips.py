"""Translating a picture strip by strip, so that memory does not grow with it."""

import torch
from torch import Tensor

from pipelines.images.geometry import crop_padding, pad_to_multiple
from pipelines.sincut.networks import SinCUTGenerator

STRIP_PIXELS = 2**19


@torch.no_grad()
def translate_in_strips(generator: SinCUTGenerator, picture: Tensor, strip_pixels: int = STRIP_PIXELS) -> Tensor:
    """What `generator` makes of the whole picture, by strips that overlap by as much as its output depends on.

    The generator has no statistics over pixels, so this agrees with a single pass to rounding.

    Args:
        generator: in fp32; it decides the device.
        picture: (1, 3, H, W) in [-1, 1], any size.
        strip_pixels: area of a strip without its overlap; strips go across the longer side.

    Returns:
        (1, 3, H, W) in [-1, 1], on the CPU.
    """
    padded, padding = pad_to_multiple(picture, generator.multiple)
    dim = 2 if padded.shape[2] >= padded.shape[3] else 3
    size, breadth = padded.shape[dim], padded.shape[5 - dim]
    length = max(1, strip_pixels // breadth // generator.multiple) * generator.multiple
    result = torch.empty_like(padded, device="cpu")
    for start in range(0, size, length):
        end = min(start + length, size)
        low, high = max(0, start - generator.reach), min(size, end + generator.reach)
        with torch.autocast(generator.device.type, enabled=False):  # a caller's would change the precision
            strip = generator(padded.narrow(dim, low, high - low).to(generator.device))
        result.narrow(dim, start, end - start).copy_(strip.narrow(dim, start - low, end - start))
    return crop_padding(result, padding).clamp(-1, 1)
