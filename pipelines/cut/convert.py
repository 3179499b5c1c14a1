"""Generators that the authors' code of CUT, FastCUT and CycleGAN saved, as generators of this library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.report import ConversionError, load_strictly, other_network
from pipelines.cut.networks import ResnetGenerator

_BLOCK = re.compile(r"model\.(\d{1,4})\.conv_block\.")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BLUR_DOWN = (1.0, 2.0, 1.0)
_BLUR_UP = (1.0, 3.0, 3.0, 1.0)
_MAX_BASE_CHANNELS = 1024
_OTHER_NETWORKS = {
    "mlp_": "CUT's patch sampler (F), which only training uses: give the generator's file, such as latest_net_G.pth",
    "model.model.": "a U-Net generator; only ResNet generators are supported",
    "encoder.convs.": "a generator of SinCUT: convert it with `convert sincut`",
    "stem.": "a generator of this library already: nothing is to be converted",
}
_DISCRIMINATORS = ("model.0.", "net.", "convs.", "final_linear.")


def read_generator(path: str | Path) -> ResnetGenerator:
    """Read a generator from a file such as `latest_net_G.pth`, without running any code of it.

    Args:
        path: a file of `torch.save`, of any version, or of safetensors.

    Returns:
        The generator on the CPU, in evaluation mode and fp32.

    Raises:
        ConversionError: the file is damaged, or holds anything but a generator that `convert_generator` takes.
    """
    return convert_generator(read_state_dict(path), Path(path).name)


def convert_generator(state: Mapping[str, Tensor], source_name: str = "The file") -> ResnetGenerator:
    """Build the generator that a state dict of the authors' code describes.

    Blocks, channels and both switches of anti-aliasing are recognized from names and shapes. Blur filters (`filt`)
    must be the known ones. Running statistics of instance norm, in files from before torch 0.4, are left out as the
    authors' loader leaves them out: the norm uses each picture's own.

    Args:
        state: tensors by the names of the authors' code.
        source_name: how the error names the file.

    Returns:
        The generator on the CPU, in evaluation mode and fp32. No random number is drawn.

    Raises:
        ConversionError: it is another network, or weights are missing, unexpected, misshapen or not finite; the
            message lists all of them.
    """
    _refuse_other_networks(state, source_name)
    config = _recognize(state, source_name)
    with torch.device("meta"):
        generator = ResnetGenerator(**config)
    places = _places(config)
    norms = {_beside(place, 1) for layer, place in places.items() if layer != "head"}
    load_strictly(
        generator,
        {key: value for key, value in state.items() if not _is_statistic(key, norms)},
        source_name,
        names={key: f"{places[layer]}.{kind}" for key in generator.state_dict() for layer, kind in [_split(key)]},
        constants=_filters(config, places),
    )
    return generator.eval()


def _refuse_other_networks(state: Mapping[str, Tensor], source_name: str) -> None:
    for beginning, description in _OTHER_NETWORKS.items():
        if any(key.startswith(beginning) for key in state):
            raise ConversionError(f"{source_name} is {description}.")
    if any(key.startswith(_DISCRIMINATORS) for key in state):
        raise ConversionError(
            f"{source_name} is a discriminator (D), which only training uses: give the generator's file, such as "
            "latest_net_G.pth."
        )
    if not any(_BLOCK.match(key) for key in state):
        raise ConversionError(other_network(source_name, "ResNet generator of CUT or CycleGAN", state))
    if "model.2.weight" in state:
        raise ConversionError(
            f"{source_name} was trained with batch norm, or with an instance norm that has weights: only instance "
            "norm without weights is supported."
        )
    if any(key.endswith(".conv_block.6.weight") for key in state):
        raise ConversionError(f"{source_name} was trained with dropout: only generators without it are supported.")


def _recognize(state: Mapping[str, Tensor], source_name: str) -> dict[str, int | bool]:
    """Read the configuration off names and shapes; where a tensor is missing, off one that is there."""
    numbers = {int(match[1]) for match in map(_BLOCK.match, state) if match}
    antialias_down = "model.7.filt" in state or "model.8.weight" in state
    first = 12 if antialias_down else 10
    num_blocks = min(max(numbers) + 1 - first, len(state)) if max(numbers) >= first else len(numbers)
    up = first + num_blocks
    antialias_up = f"model.{up}.filt" in state or f"model.{up + 1}.weight" in state
    head = f"model.{up + (9 if antialias_up else 7)}"
    base_channels = _size(state, ("model.1.weight", 0), ("model.1.bias", 0), ("model.4.weight", 1)) or 64
    if base_channels > _MAX_BASE_CHANNELS:
        raise ConversionError(
            f"{source_name} has {base_channels} base channels; at most {_MAX_BASE_CHANNELS} are supported."
        )
    return {
        "in_channels": _size(state, ("model.1.weight", 1)) or 3,
        "out_channels": _size(state, (f"{head}.weight", 0), (f"{head}.bias", 0)) or 3,
        "base_channels": base_channels,
        "num_blocks": num_blocks,
        "antialias_down": antialias_down,
        "antialias_up": antialias_up,
    }


def _size(state: Mapping[str, Tensor], *places: tuple[str, int]) -> int | None:
    """The first size that is there, of (name, dimension)."""
    for key, dim in places:
        if key in state and state[key].ndim > dim:
            return state[key].shape[dim]
    return None


def _places(config: Mapping[str, int | bool]) -> dict[str, str]:
    """The authors' name of every layer of the generator; theirs are numbered through all modules."""
    second_down, first = (8, 12) if config["antialias_down"] else (7, 10)
    up = first + config["num_blocks"]
    *ups, head = (up + 1, up + 5, up + 9) if config["antialias_up"] else (up, up + 3, up + 7)
    numbers = {"stem": 1, "down.0": 4, "down.1": second_down, "up.0": ups[0], "up.1": ups[1], "head": head}
    places = {layer: f"model.{number}" for layer, number in numbers.items()}
    for block in range(config["num_blocks"]):
        places[f"blocks.{block}.conv1"] = f"model.{first + block}.conv_block.1"
        places[f"blocks.{block}.conv2"] = f"model.{first + block}.conv_block.5"
    return places


def _filters(config: Mapping[str, int | bool], places: Mapping[str, str]) -> dict[str, Tensor]:
    """The blur filters that the authors' files hold: behind a stage's norm and rectifier, or in front of a stage."""
    base, filters = config["base_channels"], {}
    if config["antialias_down"]:
        for layer, channels in (("down.0", base * 2), ("down.1", base * 4)):
            filters[f"{_beside(places[layer], 3)}.filt"] = _blur(_BLUR_DOWN, channels)
    if config["antialias_up"]:
        for layer, channels in (("up.0", base * 4), ("up.1", base * 2)):
            filters[f"{_beside(places[layer], -1)}.filt"] = _blur(_BLUR_UP, channels) * 4  # one pixel becomes four
    return filters


def _blur(weights: tuple[float, ...], channels: int) -> Tensor:
    """The separable filter with these weights, (channels, 1, K, K); it sums to 1."""
    row = torch.tensor(weights) / sum(weights)
    return torch.outer(row, row).expand(channels, 1, -1, -1)


def _beside(place: str, offset: int) -> str:
    """The module `offset` places behind another one."""
    parent, number = _split(place)
    return f"{parent}.{int(number) + offset}"


def _is_statistic(key: str, norms: set[str]) -> bool:
    norm, kind = _split(key)
    return norm in norms and kind in _STATISTICS


def _split(key: str) -> tuple[str, str]:
    parent, _, name = key.rpartition(".")
    return parent, name
