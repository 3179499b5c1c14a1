"""What PGGAN and StyleGAN generators in files of mGANprior have in common: two numbered layers a resolution."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pipelines.conversion.report import ConversionError
from pipelines.conversion.sizes import count_numbered, size
from pipelines.networks.pggan import WIDTHS


def recognize_widths(state: Mapping[str, Tensor], prefix: str, bias: str, source_name: str) -> list[int]:
    """Channels at 4, 8, 16 ... pixels; where both biases of a resolution are missing, those of the paper.

    Args:
        state: tensors by the file's names.
        prefix: what all names of the synthesis begin with.
        bias: name of the bias within a layer.
        source_name: how the error names the file.

    Raises:
        ConversionError: there are more resolutions than up to 1024 pixels.
    """
    count = (count_numbered(state, re.escape(prefix) + r"layer(\d{1,2})\.") + 1) // 2
    if count > len(WIDTHS):
        raise ConversionError(f"{source_name} has {count} resolutions; at most {len(WIDTHS)} are supported.")
    layers = [f"{prefix}layer{index}.{bias}" for index in range(2 * count)]
    pairs = zip(layers[::2], layers[1::2], strict=True)
    return [
        size(state, (first, 0), (second, 0)) or width for (first, second), width in zip(pairs, WIDTHS, strict=False)
    ]


def without_growing(state: Mapping[str, Tensor], prefix: str, num_resolutions: int) -> dict[str, Tensor]:
    """The tensors without `lod` and the layers to RGB below the highest resolution: they served the growing."""
    lower = re.compile(re.escape(prefix) + r"output(\d{1,2})\.")
    left_out = {
        key
        for key in state
        if key == f"{prefix}lod" or (match := lower.match(key)) and int(match[1]) < num_resolutions - 1
    }
    return {key: value for key, value in state.items() if key not in left_out}
