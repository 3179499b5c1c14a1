"""The networks in files of the StyleGAN that DeepI2I's authors built on: parts, names and layout.

They have all resolutions up to 1024 pixels, with a layer to or from RGB at each, whatever the resolution they were
trained at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pipelines.deepi2i.stylegan import LEVELS
from pipelines.networks.stylegan import START
from pipelines.networks.stylegan_blocks import DownBlock, ScaledConv2d, ScaledLinear, StyledBlock, blur_kernel

WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)  # of the full size, from 4 to 1024 pixels
RESOLUTIONS = tuple(START << step for step in range(len(WIDTHS)))
_FUSED = 128  # pixels: from here on the file has resampling and convolution as one layer

_SCALED = {"weight": "weight_orig", "bias": "bias"}
_PLAIN = {"weight": "weight", "bias": "bias"}

Part = tuple[str, str, Mapping[str, str]]  # our name of a part, the file's, and the names within it


class GeneratorOfFile(nn.Module):
    """All parts of the generator, called as in `StyleGANGenerator`.

    Args:
        widths: channels at 4, 8, 16 ... pixels.
        latent_dim: of latents and styles.
        mapping_layers: between the two.
    """

    def __init__(self, widths: Sequence[int], latent_dim: int, mapping_layers: int):
        super().__init__()
        self.mapping = nn.ModuleList(ScaledLinear(latent_dim, latent_dim) for _ in range(mapping_layers))
        self.constant = nn.Parameter(torch.empty(1, widths[0], START, START))
        self.blocks = nn.ModuleList(
            StyledBlock(before, after, latent_dim) for before, after in zip([None, *widths], widths, strict=False)
        )
        self.heads = nn.ModuleList(ScaledConv2d(width, 3, 1) for width in widths)

    def names(self) -> dict[str, str]:
        """The file's name of every weight, by ours."""
        parts: list[Part] = [
            (f"mapping.{index}", f"style.{2 * index + 1}.linear", _SCALED) for index in range(len(self.mapping))
        ]
        for step, resolution in enumerate(RESOLUTIONS):
            own, theirs = f"blocks.{step}", f"generator.progression.{step}"
            if step:
                up = ("conv1.0", _PLAIN) if resolution >= _FUSED else ("conv1.1.conv", _SCALED)
                parts.append((f"{own}.up", f"{theirs}.{up[0]}", up[1]))
            parts.append((f"{own}.conv", f"{theirs}.conv2.conv", _SCALED))
            for layer in (1, 2):
                parts.append((f"{own}.style{layer}", f"{theirs}.noise{layer}", {"noise_strength": "weight_orig"}))
                parts.append((f"{own}.style{layer}.style", f"{theirs}.adain{layer}.style.linear", _SCALED))
            parts.append((f"heads.{step}", f"generator.to_rgb.{step}.conv", _SCALED))
        return {"constant": "generator.progression.0.conv1.input", **_names(parts)}

    def filters(self) -> dict[str, Tensor]:
        """The blur behind every upsampling, which the file stores twice, by the file's names."""
        channels = {
            f"generator.progression.{step}.conv1.{1 if resolution >= _FUSED else 2}": len(self.blocks[step].conv.bias)
            for step, resolution in enumerate(RESOLUTIONS)
            if step
        }
        return _filters(channels)


class DiscriminatorOfFile(nn.Module):
    """All parts of the discriminator, called as in `StyleGANDiscriminator`; stems and blocks begin with the finest.

    Args:
        widths: channels at 4, 8, 16 ... pixels.
        activate_rgb: leaky ReLU behind the stems.
    """

    def __init__(self, widths: Sequence[int], activate_rgb: bool):
        super().__init__()
        self.activate_rgb = activate_rgb
        descending = widths[::-1]
        self.stems = nn.ModuleList(ScaledConv2d(3, width, 1) for width in descending)
        self.blocks = nn.ModuleList(
            DownBlock(before, after) for before, after in zip(descending, descending[1:], strict=False)
        )
        self.conv = ScaledConv2d(widths[0] + 1, widths[0], 3)
        self.dense = ScaledConv2d(widths[0], widths[0], START)
        self.logit = ScaledLinear(widths[0], 1)

    def names(self) -> dict[str, str]:
        """The file's name of every weight, by ours."""
        last = f"progression.{len(self.blocks)}"
        parts: list[Part] = [
            ("conv", f"{last}.conv1.0.conv", _SCALED),
            ("dense", f"{last}.conv2.0.conv", _SCALED),
            ("logit", "linear.linear", _SCALED),
        ]
        for index in range(len(self.stems)):
            parts.append((f"stems.{index}", stem_name(index, self.activate_rgb), _SCALED))
        for index, resolution in enumerate(RESOLUTIONS[:0:-1]):
            down = ("conv2.1", _PLAIN) if resolution >= _FUSED else ("conv2.1.conv", _SCALED)
            parts.append((f"blocks.{index}.conv", f"progression.{index}.conv1.0.conv", _SCALED))
            parts.append((f"blocks.{index}.down", f"progression.{index}.{down[0]}", down[1]))
        return _names(parts)

    def filters(self) -> dict[str, Tensor]:
        """The blur in front of every downsampling, which the file stores twice, by the file's names."""
        return _filters({f"progression.{i}.conv2.0": len(block.conv.bias) for i, block in enumerate(self.blocks)})


def stem_name(index: int, activate_rgb: bool) -> str:
    """The file's name of a layer from RGB; the activation makes it the first of two."""
    return f"from_rgb.{index}.0.conv" if activate_rgb else f"from_rgb.{index}.conv"


def adaptor_names() -> dict[str, str]:
    """The file's name of every weight of `StyleGANAdaptor`, by ours."""
    return _names(
        (f"blocks.{level}.conv{number}", f"progression.{index}.conv{number}.0.conv", _SCALED)
        for index, level in enumerate(LEVELS)
        for number in (1, 2)
    )


def in_our_layout(key: str, value: Tensor) -> Tensor:
    """A tensor of the generator as our layers have it; one of an unexpected shape stays, and will be reported.

    Noise has an equalized strength in the file. Fused upsampling stores the kernel of the transposed convolution, and
    takes a mean where nearest upsampling and convolution come to a sum.
    """
    if value.ndim != 4 or not value.is_floating_point():
        return value
    if ".noise" in key and value.numel() == value.shape[1]:
        return value.flatten() * math.sqrt(2 / value.numel())
    if key.endswith(".conv1.0.weight"):
        return value.transpose(0, 1).flip(2, 3) / 4
    return value


def _names(parts: Iterable[Part]) -> dict[str, str]:
    return {f"{own}.{name}": f"{theirs}.{names[name]}" for own, theirs, names in parts for name in names}


def _filters(channels: Mapping[str, int]) -> dict[str, Tensor]:
    return {
        f"{place}.{name}": blur_kernel(width)
        for place, width in channels.items()
        for name in ("weight", "weight_flip")
    }
