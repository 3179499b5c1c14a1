"""Generators of the SinCUT authors' code as networks of this library."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.conversion.report import ConversionError, load_strictly
from pipelines.networks.stylegan2_blocks import blur_filter
from pipelines.sincut.networks import SinCUTGenerator

# Our names within a part of the network, and the authors'.
_CONV = {"weight": "0.weight", "bias": "1.bias"}
_BLOCK = {
    "conv1.weight": "conv1.0.weight",
    "conv1.bias": "conv1.1.bias",
    "conv2.weight": "conv2.0.weight",
    "conv2.bias": "conv2.1.bias",
}
_DOWN = {
    "conv1.weight": "conv1.0.weight",
    "conv1.bias": "conv1.1.bias",
    "conv2.weight": "conv2.1.weight",
    "conv2.bias": "conv2.2.bias",
    "skip.weight": "skip.1.weight",
}
_UP = {"weight": "conv.weight", "noise_weight": "noise.weight", "bias": "activate.bias"}


def convert_generator(state: Mapping[str, Tensor], source_name: str = "The file") -> SinCUTGenerator:
    """The network of a `latest_net_G.pth` that was trained with `--netG stylegan2` or `smallstylegan2`.

    Widths and blocks are read off the tensors. A network of two blocks is the authors' `smallstylegan2`, which stores
    a weight for noise and injects none.

    Args:
        state: tensors by the file's names.
        source_name: how errors name the file.

    Returns:
        The generator on the CPU, in evaluation mode.

    Raises:
        ConversionError: it is no such generator, or not all of one; the message lists what does not fit.
    """
    encoding = len({_index(key) for key in state if key.startswith("encoder.convs.")}) - 2
    stem, head = state.get("encoder.convs.1.0.weight"), state.get(f"decoder.convs.{encoding + 1}.0.weight")
    if encoding < 1 or any(weight is None or weight.ndim != 4 for weight in (stem, head)):
        raise ConversionError(
            f"{source_name} is no generator of SinCUT: that begins with encoder.convs.1.0.weight and has as many "
            "residual blocks in decoder.convs as in encoder.convs."
        )
    num_blocks = 2 * encoding
    with torch.device("meta"):  # a file cannot make this allocate anything
        generator = SinCUTGenerator(
            in_channels=stem.shape[1],
            out_channels=head.shape[0],
            base_channels=stem.shape[0],
            num_blocks=num_blocks,
            inject_noise=num_blocks != 2,
        )
    unused = () if generator.config["inject_noise"] else (f"decoder.convs.{encoding}.noise.weight",)
    weights = {key: _plain(key, value) for key, value in state.items() if key not in unused}
    load_strictly(generator, weights, source_name, names=_names(num_blocks), constants=_filters(num_blocks))
    return generator.eval()


def _names(num_blocks: int) -> dict[str, str]:
    """The authors' name of every weight, by ours."""
    encoding = num_blocks // 2
    parts = [("stem", "encoder.convs.1", _CONV), ("down", "encoder.convs.2", _DOWN)]
    parts += [(f"blocks.{index}", f"encoder.convs.{3 + index}", _BLOCK) for index in range(encoding)]
    parts += [(f"blocks.{encoding + index}", f"decoder.convs.{index}", _BLOCK) for index in range(encoding)]
    parts += [("up", f"decoder.convs.{encoding}", _UP), ("head", f"decoder.convs.{encoding + 1}", _CONV)]
    return {f"{ours}.{name}": f"{theirs}.{names[name]}" for ours, theirs, names in parts for name in names}


def _filters(num_blocks: int) -> dict[str, Tensor]:
    """The blur filters that the authors store, by their names."""
    down = blur_filter()
    return {
        "encoder.convs.2.conv2.0.kernel": down,
        "encoder.convs.2.skip.0.kernel": down,
        f"decoder.convs.{num_blocks // 2}.conv.blur.kernel": down * 4,
    }


def _plain(key: str, value: Tensor) -> Tensor:
    """Without the authors' axes of length one: biases are (1, C, 1, 1), the modulated weight has one in front."""
    if key.endswith(".bias") and value.ndim == 4 and value.numel() == value.shape[1]:
        return value.flatten()
    return value.squeeze(0) if key.endswith(".conv.weight") and value.ndim == 5 else value


def _index(key: str) -> str:
    return key.split(".")[2]
