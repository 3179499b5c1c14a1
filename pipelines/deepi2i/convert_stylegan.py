"""StyleGANs, and DeepI2I on them, that the authors' code saved, as networks of this library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.conversion.reader import read_networks
from pipelines.conversion.report import ConversionError, load_strictly
from pipelines.conversion.sizes import count_numbered, size
from pipelines.deepi2i.stylegan import LEVELS, StyleGANAdaptor, StyleGANEncoder
from pipelines.deepi2i.stylegan_file import (
    RESOLUTIONS,
    WIDTHS,
    DiscriminatorOfFile,
    GeneratorOfFile,
    adaptor_names,
    in_our_layout,
    stem_name,
)
from pipelines.networks.stylegan import StyleGANDiscriminator, StyleGANGenerator

_PARTS = ("generator", "g_running", "discriminator", "encoder", "align")


@dataclass(frozen=True)
class StyleGANNetworks:
    """What a file holds, on the CPU, in evaluation mode and fp32.

    Attributes:
        encoder: of DeepI2I; None in the file of a GAN.
        adaptor: of DeepI2I; None in the file of a GAN.
        generator: the running mean of it where the file has one.
        discriminator: the adversary, or None where the file has none.
    """

    encoder: StyleGANEncoder | None
    adaptor: StyleGANAdaptor | None
    generator: StyleGANGenerator
    discriminator: StyleGANDiscriminator | None


def convert_stylegan(path: str | Path, resolution: int = 256) -> StyleGANNetworks:
    """Read `train_step-NNNNNN.model` of DeepI2I, or a pretrained GAN such as `stylegan-256px-new.model`.

    Widths, the depth of the mapping and the activation behind RGB are recognized from names and shapes. The layers of
    higher resolutions, which the files have untrained, are checked and left out. The mean style, which the files lack,
    is estimated from latents of a fixed seed.

    Args:
        path: the file; no code of it is run.
        resolution: side of the pictures that the networks were trained on, which the file does not tell: 8 to 1024
            pixels, a power of two. The authors' are of 256; DeepI2I has at least 128.

    Returns:
        The networks.

    Raises:
        ConversionError: the file is damaged or holds something else, the resolution is none of these networks, or
            weights are missing, unexpected, misshapen or not finite; the message lists all of one network.
    """
    name = Path(path).name
    states = read_networks(path)
    _check_parts(states, name)
    _check_resolution(resolution, smallest=2 * LEVELS[0] if "align" in states else 8)
    steps = RESOLUTIONS.index(resolution) + 1
    sources = {part: f"`{part}` of {name}" for part in states}

    generator = "g_running" if "g_running" in states else "generator"
    networks: dict[str, nn.Module | None] = dict.fromkeys(("discriminator", "encoder", "adaptor"))
    networks["generator"] = _generator(states[generator], sources[generator], steps)
    for part in ("discriminator", "encoder"):
        if part in states:
            networks[part] = _discriminator(part, states[part], sources[part], steps)
    if "align" in states:
        networks["adaptor"] = _adaptor(states["align"], sources["align"])
    return StyleGANNetworks(**networks)


def _check_parts(states: Mapping[str, object], name: str) -> None:
    is_translator = "encoder" in states or "align" in states
    needed = {"encoder", "align"} if is_translator else set()
    has_generator = "generator" in states or "g_running" in states
    if not has_generator or not needed <= states.keys() <= set(_PARTS):
        raise ConversionError(
            f"{name} holds {', '.join(states) or 'no network'}; accepted are `generator` or `g_running` or both, with "
            "or without `discriminator`, and for DeepI2I `encoder` and `align`."
        )


def _check_resolution(resolution: int, smallest: int) -> None:
    accepted = [known for known in RESOLUTIONS if known >= smallest]
    if resolution not in accepted:
        raise ConversionError(
            f"`resolution` is {resolution}; these networks may have {', '.join(map(str, accepted))} pixels."
        )


def _generator(state: Mapping[str, Tensor], source_name: str, steps: int) -> StyleGANGenerator:
    widths = [size(state, (f"generator.to_rgb.{i}.conv.weight_orig", 1)) or width for i, width in enumerate(WIDTHS)]
    latent_dim = size(state, ("style.1.linear.weight_orig", 1)) or 512
    mapping_layers = count_numbered(state, r"style\.(\d{1,2})\.linear\.") // 2 or 8
    with torch.device("meta"):  # a file cannot make this allocate anything
        whole = GeneratorOfFile(widths, latent_dim, mapping_layers)
        generator = StyleGANGenerator(widths[:steps], latent_dim, mapping_layers)
    weights = {key: in_our_layout(key, value) for key, value in state.items()}
    load_strictly(whole, weights, source_name, names=whole.names(), constants=whole.filters())

    _take(generator, whole, {"head": f"heads.{steps - 1}"}, mean_style=torch.zeros(latent_dim))
    generator.mean_style.copy_(generator.estimate_mean_style(torch.Generator().manual_seed(0)))
    return generator.eval()


def _discriminator(
    part: str, state: Mapping[str, Tensor], source_name: str, steps: int
) -> StyleGANDiscriminator | StyleGANEncoder:
    """The discriminator, or the encoder, which is one without its end."""
    activate_rgb = f"{stem_name(0, activate_rgb=False)}.weight_orig" not in state
    stems = [f"{stem_name(index, activate_rgb)}.weight_orig" for index in range(len(WIDTHS))]
    widths = [size(state, (stem, 0)) or width for stem, width in zip(stems[::-1], WIDTHS, strict=True)]
    with torch.device("meta"):
        whole = DiscriminatorOfFile(widths, activate_rgb)
        network = (StyleGANEncoder if part == "encoder" else StyleGANDiscriminator)(widths[:steps], activate_rgb)
    load_strictly(whole, state, source_name, names=whole.names(), constants=whole.filters())

    above = len(WIDTHS) - steps  # resolutions that are left out
    places = {f"trunk.blocks.{index}": f"blocks.{above + index}" for index in range(steps - 1)}
    _take(network, whole, {"trunk.stem": f"stems.{above}", **places})
    return network.eval()


def _adaptor(state: Mapping[str, Tensor], source_name: str) -> StyleGANAdaptor:
    names = adaptor_names()
    widths = [size(state, (names[f"blocks.{level}.conv1.bias"], 0)) or 512 for level in LEVELS]
    with torch.device("meta"):
        adaptor = StyleGANAdaptor(LEVELS, widths)
    load_strictly(adaptor, state, source_name, names=names)
    return adaptor.eval()


def _take(network: nn.Module, whole: nn.Module, places: Mapping[str, str], **others: Tensor) -> None:
    """Fill a network with weights of the file's: of the same names, or from `places` by the network's part."""
    weights = whole.state_dict()
    taken = {}
    for key in network.state_dict().keys() - others.keys():
        part = next((part for part in places if key.startswith(f"{part}.")), "")
        taken[key] = weights[places.get(part, "") + key[len(part) :]]
    network.load_state_dict({**taken, **others}, assign=True)
