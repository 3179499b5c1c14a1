"""DeepI2I checkpoints of the authors (`G.pth`, `D.pth`, `E1.pth`, `A1.pth`) as networks of this library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipelines.conversion.biggan import (
    JUDGMENT,
    check_kind,
    convert_discriminator,
    convert_generator,
    count_blocks,
    load_renamed,
    recognize_trunk,
    trunk_places,
)
from pipelines.conversion.files import find_folder
from pipelines.conversion.report import ConversionError
from pipelines.conversion.sizes import size
from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.deepi2i.level_factors import LEVELS

FILES = {"encoder": "E1.pth", "adaptor": "A1.pth", "generator": "G.pth", "discriminator": "D.pth"}
_UNUSED = tuple(JUDGMENT.values())  # layers that the authors' encoder and adaptor carry along


def find_checkpoint(source: Path) -> dict[str, Path]:
    """The files of a checkpoint by network: in a folder, or in the only one below it that has all four.

    Raises:
        ConversionError: there is none, or more than one.
    """
    folder = find_folder(source, FILES)
    return {network: folder / name for network, name in FILES.items()}


def convert_encoder(state: Mapping[str, Tensor], source_name: str = "The file") -> DeepI2IEncoder:
    """Build the encoder that an `E1.pth` describes; the discriminator's last layers in it are left out.

    Args:
        state: tensors by the authors' names.
        source_name: how the error names the file.

    Returns:
        The encoder on the CPU, in evaluation mode and fp32. No random number is drawn.

    Raises:
        ConversionError: it is another network, or weights are missing, unexpected, misshapen or not finite; the
            message lists all of them.
    """
    check_kind(state, source_name, "discriminator")
    with torch.device("meta"):
        encoder = DeepI2IEncoder(**recognize_trunk(state, source_name), levels=LEVELS)
    return load_renamed(encoder, state, source_name, trunk_places(state), unused=_UNUSED)


def convert_adaptor(state: Mapping[str, Tensor], source_name: str = "The file") -> DeepI2IAdaptor:
    """Build the adaptor that an `A1.pth` describes; the last layers of a discriminator in it are left out.

    Args, returns and errors as of `convert_encoder`.
    """
    check_kind(state, source_name, "adaptor")
    if count_blocks(state) != len(LEVELS):
        raise ConversionError(f"{source_name} has {count_blocks(state)} blocks; {len(LEVELS)} are supported.")
    weights = [f"blocks.{index}.0.conv1.weight" for index in range(len(LEVELS))]
    with torch.device("meta"):
        adaptor = DeepI2IAdaptor(
            levels=LEVELS,
            in_channels=[size(state, (weight, 1)) or 1 for weight in weights],
            out_channels=[size(state, (weight, 0)) or 1 for weight in weights],
        )
    places = {f"blocks.{level}": f"blocks.{index}.0" for index, level in enumerate(LEVELS)}
    return load_renamed(adaptor, state, source_name, places, unused=_UNUSED)


CONVERSIONS = {
    "encoder": convert_encoder,
    "adaptor": convert_adaptor,
    "generator": convert_generator,
    "discriminator": convert_discriminator,
}
