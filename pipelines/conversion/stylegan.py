"""StyleGAN generators in the layout of mGANprior (`stylegan_bedroom256_generator.pth`), as networks of this library.

What the layout has and our network does not is multiplied into the weights: the slower learning rate of the mapping,
layers to styles and RGB that are scaled for no activation, style scales that are stored less one, the bias of the
constant. The place of the bias at an upsampling is an option of the network, because a blurred bias differs at the
borders, and no weights make up for that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.conversion.mganprior import recognize_widths, without_growing
from pipelines.conversion.report import ConversionError, load_strictly, other_network
from pipelines.conversion.sizes import count_numbered, size
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.networks.stylegan_blocks import blur_kernel

TRUNCATION, TRUNCATED_LAYERS = 0.7, 8  # of the authors
_MAPPING_RATE = 0.01  # learning rate of the mapping over that of the other layers
_LINEAR_GAIN = math.sqrt(1 / 2)  # a layer without an activation, scaled as one with it
_NORM_EPSILON = 1e-8
_PREFIX = "synthesis."


class GeneratorOfFile(nn.Module):
    """What the file holds: our generator, and what is merged into it.

    Args:
        config: of the generator.
        state: tensors by the file's names, which tell how the upsampling layers are stored.
    """

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, Tensor]):
        super().__init__()
        self.config = config
        self.generator = StyleGANGenerator(**config)
        self.constant_bias = nn.Parameter(torch.empty(config["widths"][0]))
        self.noise = nn.ParameterList(
            torch.empty(1, 1, side, side) for side in self.generator.channels() for _ in range(2)
        )
        self.fused = [f"synthesis.layer{2 * step}.weight" in state for step in range(len(config["widths"]))]

    def names(self) -> dict[str, str]:
        """The file's name of every weight, by ours."""
        found = {
            "generator.mean_style": "truncation.w_avg",
            "generator.constant": "synthesis.layer0.const",
            "constant_bias": "synthesis.layer0.epilogue.bias",
            "generator.head.weight": f"synthesis.output{len(self.fused) - 1}.conv.weight",
            "generator.head.bias": f"synthesis.output{len(self.fused) - 1}.bias",
        }
        for index in range(len(self.generator.mapping)):
            found[f"generator.mapping.{index}.weight"] = f"mapping.dense{index}.fc.weight"
            found[f"generator.mapping.{index}.bias"] = f"mapping.dense{index}.wscale.bias"
        for layer in range(2 * len(self.fused)):
            step, second = divmod(layer, 2)
            theirs = f"synthesis.layer{layer}"
            if layer:
                conv = f"generator.blocks.{step}.{'conv' if second else 'up'}"
                found[f"{conv}.weight"] = f"{theirs}.{'weight' if self.is_fused(layer) else 'conv.weight'}"
                found[f"{conv}.bias"] = f"{theirs}.epilogue.bias"
            style = f"generator.blocks.{step}.style{second + 1}"
            found[f"{style}.noise_strength"] = f"{theirs}.epilogue.apply_noise.weight"
            found[f"{style}.style.weight"] = f"{theirs}.epilogue.style_mod.dense.fc.weight"
            found[f"{style}.style.bias"] = f"{theirs}.epilogue.style_mod.dense.wscale.bias"
            found[f"noise.{layer}"] = f"{theirs}.epilogue.apply_noise.noise"
        return found

    def is_fused(self, layer: int) -> bool:
        """Whether upsampling and convolution are one layer, stored as (3, 3, in_channels, out_channels)."""
        return layer % 2 == 0 and self.fused[layer // 2]

    def filters(self) -> dict[str, Tensor]:
        """The blur behind every upsampling, by the file's names."""
        steps = enumerate(self.config["widths"])
        return {f"synthesis.layer{2 * step}.blur.kernel": blur_kernel(width) for step, width in steps if step}

    @torch.no_grad()
    def merge(self) -> StyleGANGenerator:
        """The generator that all of it amounts to."""
        weights = self.generator.state_dict()
        for key, value in weights.items():
            if key.startswith("mapping."):
                value *= _MAPPING_RATE
            elif key.endswith(".style.weight") or key == "head.weight":
                value *= _LINEAR_GAIN
            elif key.endswith(".style.bias"):
                value[: len(value) // 2] += 1
        weights["constant"] += self.constant_bias[:, None, None]
        pairs = zip(self.noise[::2], self.noise[1::2], strict=True)
        for side, pair in zip(self.generator.channels(), pairs, strict=True):
            weights[f"noise_{side}"] = torch.cat(pair, dim=1)
        with torch.device("meta"):
            generator = StyleGANGenerator(**self.config, fixed_noise=True)
        generator.load_state_dict(weights, assign=True)
        return generator.eval()


def convert_generator(state: Mapping[str, Tensor], source_name: str = "The file") -> StyleGANGenerator:
    """Build the generator that a file describes; sizes are recognized from names and shapes.

    It holds the file's noise, and its mean style. Only the highest resolution's layer to RGB is taken: those below it
    served the growing, as did `lod`. The authors truncate by `TRUNCATION` in the first `TRUNCATED_LAYERS` layers.

    Args:
        state: tensors by the authors' names.
        source_name: how the error names the file.

    Returns:
        The generator on the CPU, in evaluation mode and fp32. No random number is drawn.

    Raises:
        ConversionError: it is another network, or weights are missing, unexpected, misshapen or not finite; the
            message lists all of them.
    """
    config = recognize(state, source_name)
    with torch.device("meta"):  # a file cannot make this allocate anything
        whole = GeneratorOfFile(config, state)
    taken = without_growing(state, _PREFIX, len(whole.fused))
    given = {key: _in_our_layout(key, value) for key, value in taken.items() if key != "truncation.truncation"}
    load_strictly(whole, given, source_name, names=whole.names(), constants=whole.filters())
    return whole.merge()


def recognize(state: Mapping[str, Tensor], source_name: str) -> dict[str, Any]:
    """The configuration of the generator that a file describes.

    Raises:
        ConversionError: it is another network, or of a size that there is none of.
    """
    if not any(key.startswith("synthesis.layer0.epilogue.") for key in state):
        raise ConversionError(_other_network(state, source_name))
    latent_dim = size(state, ("truncation.w_avg", 0), ("mapping.dense0.fc.weight", 1)) or 512
    return {
        "widths": recognize_widths(state, _PREFIX, "epilogue.bias", source_name),
        "latent_dim": latent_dim,
        "mapping_layers": count_numbered(state, r"mapping\.dense(\d{1,2})\.") or 8,
        "mapping_dim": size(state, ("mapping.dense0.fc.weight", 0), ("mapping.dense0.wscale.bias", 0)) or latent_dim,
        "bias_after_blur": True,
        "norm_epsilon": _NORM_EPSILON,
    }


def _in_our_layout(key: str, value: Tensor) -> Tensor:
    """A fused upsampling layer as an upsampling and a convolution; one of an unexpected shape will be reported."""
    if re.fullmatch(r"synthesis\.layer\d{1,2}\.weight", key) and value.ndim == 4:
        return value.permute(3, 2, 0, 1).flip(2, 3)
    return value


def _other_network(state: Mapping[str, Tensor], source_name: str) -> str:
    if any(key.startswith("synthesis.early_layer.") for key in state):
        return f"{source_name} is a network of StyleGAN2: only those of StyleGAN are supported."
    if any(key.startswith("layer0.") for key in state):
        return f"{source_name} is a network of PGGAN: convert it with `convert pggan`."
    return other_network(source_name, "generator of StyleGAN", state)
