"""From a picture to what is added to the generator's maps, and from there to pictures in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.networks.biggan import BigGANGenerator

MEMORY = 512 * 2**20  # bytes for the maps of a batch
MAPS = 6  # largest maps that a picture takes at once: 37 MiB at 128 pixels and 96 channels in bf16
CPU_BATCH = 8  # more is not faster: 24, 12, 14, 13 ms a picture for 1, 4, 8, 16 at 64 pixels and 32 channels in bf16
MAX_BATCH = 64


def adapt(
    encoder: DeepI2IEncoder, adaptor: DeepI2IAdaptor, pixels: Tensor, factors: Mapping[int, float]
) -> dict[int, Tensor]:
    """What is added to the generator's maps (DeepI2I eq. 5).

    Args:
        encoder: a working copy.
        adaptor: likewise.
        pixels: (B, 3, resolution, resolution) in [-1, 1].
        factors: by level; where it is 0 nothing is added.

    Returns:
        By level, weighted, (B, C, level, level).
    """
    pixels = pixels.to(encoder.device, encoder.dtype).contiguous(memory_format=torch.channels_last)
    with torch.autocast(encoder.device.type, enabled=False):  # a caller's would change the precision
        features = adaptor(encoder(pixels))
    return {level: feature * factors[level] for level, feature in features.items() if factors[level]}


def render(
    network: BigGANGenerator, latents: Tensor, embeddings: Tensor, features: Mapping[int, Tensor], batch_size: int
) -> Iterator[Tensor]:
    """Pictures of all latents and embeddings.

    The last batch is filled up: the kernels round alike for all pictures, and a picture does not depend on how many
    others there are.

    Args:
        network: a working copy.
        latents: (N, latent_dim), on the network's device and in its precision.
        embeddings: (N, embedding_dim), likewise.
        features: of one picture, weighted, (1, C, level, level) by level: they are added to every map of a batch.
        batch_size: pictures at a time.

    Yields:
        (B, 3, resolution, resolution) in [-1, 1], fp32 on the CPU; B is `batch_size`, or the rest.
    """
    for first in range(0, len(latents), batch_size):
        chosen = torch.arange(first, first + batch_size, device=latents.device).clamp_(max=len(latents) - 1)
        with torch.autocast(network.device.type, enabled=False):  # a caller's would change the precision
            images = network(latents[chosen], embeddings[chosen], features)
        yield images[: len(latents) - first].float().cpu()


def choose_batch_size(network: BigGANGenerator, device: torch.device, dtype: torch.dtype, num_images: int) -> int:
    """Pictures at a time for `num_images` of them: batches of about the same size, in bounded memory.

    Args:
        network: the generator.
        device: where it computes.
        dtype: precision of its maps.
        num_images: how many pictures are to be made.
    """
    resolution = network.config["resolution"]
    largest = network.channels()[resolution // 2] * resolution**2 * dtype.itemsize  # in front of the last block
    limit = max(1, min(CPU_BATCH if device.type == "cpu" else MAX_BATCH, MEMORY // (MAPS * largest)))
    return math.ceil(num_images / math.ceil(num_images / limit))
