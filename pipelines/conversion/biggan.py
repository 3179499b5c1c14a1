"""Networks that BigGAN-PyTorch saved (`G_ema.pth`, `G.pth`, `D.pth`), as networks of this library.

The files of DeepI2I's authors name their layers in the same way: their generator and discriminator are these networks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipelines.conversion.report import ConversionError, load_strictly, other_network
from pipelines.conversion.sizes import count_numbered, size
from pipelines.networks.biggan import START, BigGANDiscriminator, BigGANGenerator

_Network = TypeVar("_Network", bound=nn.Module)

MAX_BASE_CHANNELS = 1024
JUDGMENT = {"linear": "linear", "embedding": "embed"}  # of a discriminator: our layers and theirs

# Of a layer's name: our parts and theirs.
_PARTS = {
    "shortcut": "conv_sc",
    "norm1": "bn1",
    "norm2": "bn2",
    "query": "theta",
    "key": "phi",
    "value": "g",
    "output": "o",
    "running_mean": "stored_mean",
    "running_var": "stored_var",
    "u": "u0",
}
_BLOCK = r"blocks\.(\d{1,2})\.0\."
_GENERATOR_RESOLUTIONS = {4: 64, 5: 128}  # by number of blocks
_DISCRIMINATOR_RESOLUTIONS = {5: 64, 6: 128}


def convert_generator(state: Mapping[str, Tensor], source_name: str = "The file") -> BigGANGenerator:
    """Build the generator that a `G.pth` or `G_ema.pth` describes; sizes are recognized from names and shapes.

    Args:
        state: tensors by the authors' names.
        source_name: how the error names the file.

    Returns:
        The generator on the CPU, in evaluation mode and fp32. No random number is drawn.

    Raises:
        ConversionError: it is another network, or weights are missing, unexpected, misshapen or not finite; the
            message lists all of them.
    """
    check_kind(state, source_name, "generator")
    num_blocks = count_blocks(state)
    resolution = _resolution(num_blocks, _GENERATOR_RESOLUTIONS, source_name)
    condition = size(state, ("blocks.0.0.bn1.gain.weight", 1), ("blocks.0.0.bn1.bias.weight", 1)) or 148
    chunk = size(state, ("linear.weight", 1)) or condition - (size(state, ("shared.weight", 1)) or 128)
    embedding_dim = size(state, ("shared.weight", 1)) or condition - chunk
    if condition != embedding_dim + chunk or chunk < 1 or embedding_dim < 1:
        raise ConversionError(
            f"{source_name} was not trained with --G_shared --hier: its blocks see {condition} numbers, not the class "
            f"embedding's {embedding_dim} and a latent chunk's {chunk}. Only such generators are supported."
        )
    last = num_blocks - 1
    base_channels = size(state, *((f"blocks.{last}.0.{layer}", 0) for layer in ("conv1.weight", "conv2.weight"))) or 0
    attention = _attention_block(state)
    with torch.device("meta"):  # a file cannot make this allocate anything
        generator = BigGANGenerator(
            resolution=resolution,
            base_channels=_base_channels(base_channels // {64: 2, 128: 1}[resolution], source_name),
            num_classes=size(state, ("shared.weight", 0)) or 1000,
            latent_dim=chunk * (num_blocks + 1),
            embedding_dim=embedding_dim,
            attention_resolution=0 if attention is None else START << attention + 1,
        )
    places = {f"blocks.{index}": f"blocks.{index}.0" for index in range(num_blocks)}
    places |= {"embedding": "shared", "stem": "linear", "attention": f"blocks.{attention}.1"}
    places |= {"head_norm.weight": "output_layer.0.gain", "head_norm": "output_layer.0", "head": "output_layer.2"}
    batches = {"head_norm.num_batches_tracked": torch.zeros((), dtype=torch.int64)}  # with a momentum it plays no part
    return load_renamed(generator, state, source_name, places, own=batches)


def convert_discriminator(state: Mapping[str, Tensor], source_name: str = "The file") -> BigGANDiscriminator:
    """Build the discriminator that a `D.pth` describes; sizes are recognized from names and shapes.

    Args, returns and errors as of `convert_generator`.
    """
    check_kind(state, source_name, "discriminator")
    config = recognize_trunk(state, source_name)
    with torch.device("meta"):
        discriminator = BigGANDiscriminator(**config, num_classes=size(state, ("embed.weight", 0)) or 1000)
    return load_renamed(discriminator, state, source_name, trunk_places(state) | JUDGMENT)


def find_gan(source: Path) -> dict[str, Path]:
    """The files of a BigGAN.

    Args:
        source: the generator's file, such as `G_ema_best0.pth`, or a folder that has `G_ema.pth` or else `G.pth`.

    Returns:
        "generator", and where it lies beside, under the same name but for the first letters, "discriminator".

    Raises:
        ConversionError: there is no generator.
    """
    if source.is_dir():
        generator = next((source / name for name in ("G_ema.pth", "G.pth") if (source / name).is_file()), None)
        if generator is None:
            raise ConversionError(f"{source} has neither G_ema.pth nor G.pth: give the generator's file.")
    elif source.is_file():
        generator = source
    else:
        raise ConversionError(f"There is no file or folder {source}.")
    discriminator = generator.with_name(re.sub("^G(_ema)?", "D", generator.name))
    found = {"generator": generator, "discriminator": discriminator}
    return found if discriminator != generator and discriminator.is_file() else {"generator": generator}


def recognize_trunk(state: Mapping[str, Tensor], source_name: str) -> dict[str, int]:
    """Resolution, base channels and place of the attention of a discriminator's trunk.

    Raises:
        ConversionError: there is no network here of that size.
    """
    resolution = _resolution(count_blocks(state), _DISCRIMINATOR_RESOLUTIONS, source_name)
    base_channels = size(state, ("blocks.0.0.conv1.weight", 0), ("blocks.0.0.conv1.bias", 0)) or 0
    attention = _attention_block(state)
    return {
        "resolution": resolution,
        "base_channels": _base_channels(base_channels, source_name),
        "attention_resolution": 0 if attention is None else max(resolution >> attention + 1, START),
    }


def trunk_places(state: Mapping[str, Tensor]) -> dict[str, str]:
    """The authors' name of every part of a discriminator's trunk."""
    places = {f"trunk.blocks.{index}": f"blocks.{index}.0" for index in range(count_blocks(state))}
    return places | {"trunk.attention": f"blocks.{_attention_block(state)}.1"}


def load_renamed(
    module: _Network,
    state: Mapping[str, Tensor],
    source_name: str,
    places: Mapping[str, str],
    *,
    unused: Collection[str] = (),
    own: Mapping[str, Tensor] | None = None,
) -> _Network:
    """Load a file of the authors into a network, all of it or nothing.

    Largest singular values (`sv0`) are left out: they are computed from the weights.

    Args:
        module: the network; it may be on the meta device.
        state: tensors by the authors' names.
        source_name: how the error names the file.
        places: the authors' name of every part of the network.
        unused: the authors' layers that the network does without; whether they are there or not.
        own: see `load_strictly`.

    Returns:
        The network, in evaluation mode.

    Raises:
        ConversionError: see `load_strictly`.
    """
    names = {key: _authors_name(key, places) for key in module.state_dict()}
    values = {name.removesuffix(".u0") + ".sv0" for name in names.values() if name.endswith(".u0")}
    ignored = values | {f"{layer}.{kind}" for layer in unused for kind in ("weight", "bias", "u0", "sv0")}
    given = {key: value for key, value in state.items() if key not in ignored}
    load_strictly(module, given, source_name, names=names, own=own or {})
    return module.eval()


def count_blocks(state: Mapping[str, Tensor]) -> int:
    """Number of residual blocks: one more than the last one's number."""
    return count_numbered(state, _BLOCK)


def kind_of(state: Mapping[str, Tensor]) -> str:
    """What the names describe: "generator", "discriminator" (an encoder is one), "adaptor", or "" for neither."""
    if not any(re.match(_BLOCK, key) for key in state):
        return ""
    if any(key.startswith(("shared.", "output_layer.")) or ".bn1." in key for key in state):
        return "generator"
    channels = size(state, ("blocks.0.0.conv1.weight", 1), ("blocks.0.0.conv_sc.weight", 1))
    return "discriminator" if channels == 3 else "adaptor"


def check_kind(state: Mapping[str, Tensor], source_name: str, wanted: str) -> None:
    """Refuse another network than the wanted one.

    Raises:
        ConversionError: with what the file is, where that is known.
    """
    found = kind_of(state)
    if any(".conv4." in key for key in state):
        raise ConversionError(f"{source_name} is a network of BigGAN-deep: only those of BigGAN are supported.")
    if not found:
        raise ConversionError(other_network(source_name, f"{wanted} of BigGAN or DeepI2I", state))
    if found != wanted:
        article = "an" if found == "adaptor" else "a"
        raise ConversionError(f"{source_name} is {article} {found}; in its place the file of the {wanted} is needed.")


def _authors_name(key: str, places: Mapping[str, str]) -> str:
    """The authors' name of one weight."""
    ours = max((place for place in places if f"{key}.".startswith(f"{place}.")), key=len)
    parts = key[len(ours) :].split(".")
    return places[ours] + ".".join(_PARTS.get(part, part) for part in parts)


def _attention_block(state: Mapping[str, Tensor]) -> int | None:
    """Number of the first block that attention comes behind."""
    numbers = [int(key.split(".")[1]) for key in state if re.match(r"blocks\.\d{1,2}\.1\.", key)]
    return min(numbers, default=None)


def _resolution(num_blocks: int, known: Mapping[int, int], source_name: str) -> int:
    if num_blocks not in known:
        accepted = " or ".join(f"{blocks} for {resolution} pixels" for blocks, resolution in known.items())
        raise ConversionError(f"{source_name} has {num_blocks} blocks; {accepted} are supported.")
    return known[num_blocks]


def _base_channels(found: int, source_name: str) -> int:
    if not 0 < found <= MAX_BASE_CHANNELS:
        raise ConversionError(f"{source_name} has {found} base channels; 1 to {MAX_BASE_CHANNELS} are supported.")
    return found
