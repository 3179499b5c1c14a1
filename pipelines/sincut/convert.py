"""Generators of the SinCUT authors' code as networks of this library."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.conversion.report import ConversionError, load_strictly
from pipelines.networks.stylegan2_blocks import blur_filter
from pipelines.sincut.networks import SinCUTGenerator

_BLOCK_KEY = re.compile(r"encoder\.convs\.([3-9]|[1-9]\d{1,3})\.").match
_OTHER_NETWORKS = {
    "mlp_": "the patch sampler (F), which only training uses: give the generator's file, such as latest_net_G.pth",
    "convs.": "a discriminator (D), which only training uses: give the generator's file, such as latest_net_G.pth",
    "model.": "a network of CUT, FastCUT or CycleGAN: convert it with `convert cut`",
    "stem.": "a generator of this library already: nothing is to be converted",
}

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
    _refuse_other_networks(state, source_name)
    encoding = _encoder_blocks(state)
    num_blocks = 2 * encoding
    with torch.device("meta"):  # a file cannot make this allocate anything
        generator = SinCUTGenerator(
            in_channels=_size(state, "encoder.convs.1.0.weight", 1, 3),
            out_channels=_size(state, f"decoder.convs.{encoding + 1}.0.weight", 0, 3),
            base_channels=_size(state, "encoder.convs.1.0.weight", 0, 80),
            num_blocks=num_blocks,
            inject_noise=num_blocks != 2,
        )
    unused = () if generator.config["inject_noise"] else (f"decoder.convs.{encoding}.noise.weight",)
    weights = {key: _plain(key, value) for key, value in state.items() if key not in unused}
    load_strictly(generator, weights, source_name, names=_names(num_blocks), constants=_filters(num_blocks))
    return generator.eval()


def _refuse_other_networks(state: Mapping[str, Tensor], source_name: str) -> None:
    for beginning, description in _OTHER_NETWORKS.items():
        if any(key.startswith(beginning) for key in state):
            raise ConversionError(f"{source_name} is {description}.")
    if not any(map(_BLOCK_KEY, state)):
        raise ConversionError(
            f"{source_name} is no generator of SinCUT: that has residual blocks named encoder.convs.3 and so on."
        )


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


def _encoder_blocks(state: Mapping[str, Tensor]) -> int:
    """How many residual blocks the encoder has: the numbers from 3 on."""
    numbers = [int(match[1]) for match in map(_BLOCK_KEY, state) if match]
    return min(max(numbers) - 2, len(state))


def _size(state: Mapping[str, Tensor], key: str, dim: int, default: int) -> int:
    """A size of a tensor; where the tensor is missing, the authors' size, and the report will say so."""
    return state[key].shape[dim] if key in state and state[key].ndim > dim else default
