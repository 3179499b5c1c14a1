"""From a picture to what is added to the generator's maps, and from there to pictures in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

MEMORY = 512 * 2**20  # bytes for the maps of a batch
MAPS = 6  # largest maps that a picture takes at once: 37 MiB at 128 pixels and 96 channels in bf16
CPU_BATCH = 8  # more is not faster: 24, 12, 14, 13 ms a picture for 1, 4, 8, 16 at 64 pixels and 32 channels in bf16
MAX_BATCH = 64

Make = Callable[[Tensor, Mapping[int, Tensor]], Tensor]  # see `render`


def adapt(encoder: Any, adaptor: Any, pixels: Tensor, factors: Mapping[int, float]) -> dict[int, Tensor]:
    """What is added to the generator's maps (DeepI2I eq. 5).

    Args:
        encoder: a working copy.
        adaptor: likewise.
        pixels: (B, 3, resolution, resolution) in [-1, 1].
        factors: by level; where it is 0, or there is none, nothing is computed.

    Returns:
        By level, weighted, (B, C, level, level).
    """
    pixels = pixels.to(encoder.device, encoder.dtype).contiguous(memory_format=torch.channels_last)
    with torch.autocast(encoder.device.type, enabled=False):  # a caller's would change the precision
        features = {level: feature for level, feature in encoder(pixels).items() if factors.get(level)}
        return {level: factors[level] * feature for level, feature in adaptor(features).items()}


def render(
    make: Make, features: Mapping[int, Tensor], num_images: int, batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """Pictures of all conditions, such as a latent and a class.

    The last batch is filled up: the kernels round alike for all pictures, and a picture does not depend on how many
    others there are.

    Args:
        make: the numbers of conditions, (B,), and `features` to pictures, (B, 3, resolution, resolution).
        features: of one picture, weighted, (1, C, level, level) by level: they are added to every map of a batch.
        num_images: how many conditions there are.
        batch_size: pictures at a time.
        device: where `make` computes.

    Yields:
        What `make` returns, fp32 on the CPU; B is `batch_size`, or the rest.
    """
    for first in range(0, num_images, batch_size):
        chosen = torch.arange(first, first + batch_size, device=device).clamp_(max=num_images - 1)
        with torch.autocast(device.type, enabled=False):  # a caller's would change the precision
            images = make(chosen, features)
        yield images[: num_images - first].float().cpu()


def choose_batch_size(network: Any, device: torch.device, dtype: torch.dtype, num_images: int) -> int:
    """Pictures at a time for `num_images` of them: batches of about the same size, in bounded memory.

    Args:
        network: the generator.
        device: where it computes.
        dtype: precision of its maps.
        num_images: how many pictures are to be made.
    """
    channels = network.channels()
    resolution = max(channels)
    largest = channels[resolution // 2] * resolution**2 * dtype.itemsize  # in front of the last block
    limit = max(1, min(CPU_BATCH if device.type == "cpu" else MAX_BATCH, MEMORY // (MAPS * largest)))
    return math.ceil(num_images / math.ceil(num_images / limit))
