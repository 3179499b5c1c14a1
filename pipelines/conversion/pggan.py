"""PGGAN generators in the layout of mGANprior (`pggan_bedroom256_generator.pth`), as networks of this library."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.conversion.mganprior import recognize_widths, without_growing
from pipelines.conversion.report import ConversionError, load_strictly, other_network
from pipelines.conversion.sizes import size
from pipelines.networks.pggan import RESOLUTIONS, PGGANGenerator

_RGB_GAIN = math.sqrt(1 / 2)  # the file's layers to RGB are scaled for no activation, ours as all others


def convert_generator(state: Mapping[str, Tensor], source_name: str = "The file") -> PGGANGenerator:
    """Build the generator that a file describes; resolution and widths are recognized from names and shapes.

    Only the highest resolution's layer to RGB is taken: those below it served the growing, as did `lod`.

    Args:
        state: tensors by the authors' names.
        source_name: how the error names the file.

    Returns:
        The generator on the CPU, in evaluation mode and fp32. No random number is drawn.

    Raises:
        ConversionError: it is another network, or weights are missing, unexpected, misshapen or not finite; the
            message lists all of them.
    """
    if not any(key.startswith("layer0.") for key in state):
        raise ConversionError(_other_network(state, source_name))
    widths = recognize_widths(state, "", "wscale.bias", source_name)
    with torch.device("meta"):  # a file cannot make this allocate anything
        generator = PGGANGenerator(
            resolution=RESOLUTIONS[len(widths) - 1],
            latent_dim=size(state, ("layer0.conv.weight", 1)) or 512,
            widths=widths,
        )
    given = without_growing(state, "", len(widths))
    load_strictly(generator, given, source_name, names=names(generator))
    with torch.no_grad():
        generator.head.weight.mul_(_RGB_GAIN)
    return generator.eval()


def names(generator: PGGANGenerator) -> dict[str, str]:
    """The file's name of every weight, by ours."""
    parts = {f"layers.{index}.conv": f"layer{index}" for index in range(len(generator.layers))}
    parts["head"] = f"output{len(generator.layers) // 2 - 1}"
    inner = {"weight": "conv.weight", "bias": "wscale.bias"}
    return {f"{ours}.{name}": f"{theirs}.{inner[name]}" for ours, theirs in parts.items() for name in inner}


def _other_network(state: Mapping[str, Tensor], source_name: str) -> str:
    if any(key.startswith("synthesis.") for key in state):
        return f"{source_name} is a network of the StyleGAN type: convert it with `convert stylegan`."
    return other_network(source_name, "generator of PGGAN", state)
