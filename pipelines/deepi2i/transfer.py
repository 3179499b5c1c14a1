"""From a pretrained GAN to DeepI2I's networks (DeepI2I sec. 3.2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.class_names import read_class_names
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator
from pipelines.networks.spectral_norm import power_iterate
from pipelines.training.checkpoint import TrainingError
from pipelines.training.gan_config import BigGANConfig


@dataclass
class PretrainedGAN:
    """What DeepI2I begins from.

    Attributes:
        generator: of the GAN.
        discriminator: of the GAN.
        class_names: one for each of the first rows of both embeddings.
        encoder: of a DeepI2I pipeline that is trained on; None: the discriminator's trunk.
        adaptor: of the same; None: a new one.
    """

    generator: BigGANGenerator
    discriminator: BigGANDiscriminator
    class_names: list[str]
    encoder: DeepI2IEncoder | None = None
    adaptor: DeepI2IAdaptor | None = None


@dataclass
class DeepI2INetworks:
    """The four networks that are trained."""

    encoder: DeepI2IEncoder
    adaptor: DeepI2IAdaptor
    generator: BigGANGenerator
    discriminator: BigGANDiscriminator


def begin(config: DeepI2IConfig, pretrained: PretrainedGAN, class_names: Sequence[str]) -> DeepI2INetworks:
    """Networks for the given classes: parts of a pretrained GAN, the others at random from torch's global generator.

    Args:
        config: `transfer` and `levels` are read.
        pretrained: gives the architecture, and the weights of what is transferred; not changed.
        class_names: of the pictures to train on.
    """
    rows = embedding_rows(pretrained.class_names, class_names, pretrained.generator.config["num_classes"])
    generator = _rebuilt(pretrained.generator, num_classes=len(class_names))
    discriminator = _rebuilt(pretrained.discriminator, num_classes=len(class_names))
    shape = (pretrained.encoder or discriminator).config
    encoder = DeepI2IEncoder(
        shape["resolution"],
        shape["base_channels"],
        shape["attention_resolution"],
        config.levels,
        shape["max_channels"],
    )
    adaptor = DeepI2IAdaptor(
        config.levels,
        [encoder.channels()[level] for level in config.levels],
        [generator.channels()[level] for level in config.levels],
    )
    if "encoder" in config.transfer:
        encoder.trunk.load_state_dict((pretrained.encoder or pretrained.discriminator).trunk.state_dict())
        if pretrained.adaptor is not None and tuple(pretrained.adaptor.config["levels"]) == tuple(config.levels):
            adaptor.load_state_dict(pretrained.adaptor.state_dict())
    if "generator" in config.transfer:
        _transfer(pretrained.generator, generator, rows)
    if "discriminator" in config.transfer:
        _transfer(pretrained.discriminator, discriminator, rows)
    return DeepI2INetworks(encoder, adaptor, generator, discriminator)


def read_pretrained(folder: Path) -> PretrainedGAN:
    """Read what training may begin from.

    Args:
        folder: of `train biggan` or `convert biggan` (generator, discriminator and classes.json), or a DeepI2I
            pipeline, with or without its discriminator beside it. Without, the discriminator has the encoder's trunk
            and a new head.

    Raises:
        TrainingError: it is neither, or its networks do not fit what they say of themselves.
    """
    is_pipeline = (folder / "model_index.json").is_file()
    names = folder / ("model_index.json" if is_pipeline else "classes.json")
    if not names.is_file():
        raise TrainingError(
            f"init: {folder} is neither a GAN (generator, discriminator, classes.json) nor a DeepI2I pipeline"
        )
    try:
        content = json.loads(names.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"init: {names} is not JSON: {error}") from error
    generator = _load(BigGANGenerator, folder / "generator")
    if not is_pipeline:
        return PretrainedGAN(generator, _load(BigGANDiscriminator, folder / "discriminator"), content)
    encoder, adaptor = _load(DeepI2IEncoder, folder / "encoder"), _load(DeepI2IAdaptor, folder / "adaptor")
    beside = [place for place in (folder / "discriminator", folder.parent / "discriminator") if place.is_dir()]
    if beside:
        discriminator = _load(BigGANDiscriminator, beside[0])
    else:
        shape = encoder.config
        discriminator = BigGANDiscriminator(
            shape["resolution"],
            shape["base_channels"],
            generator.config["num_classes"],
            shape["attention_resolution"],
            shape["max_channels"],
        )
        discriminator.trunk.load_state_dict(encoder.trunk.state_dict())
    class_names = read_class_names(content.get("class_names"), generator.config["num_classes"])
    return PretrainedGAN(generator, discriminator, class_names, encoder, adaptor)


def random_gan(config: BigGANConfig) -> PretrainedGAN:
    """Networks of the given sizes with random weights, for training from scratch."""
    shape = (config.attention_resolution, config.max_channels)
    return PretrainedGAN(
        BigGANGenerator(config.resolution, config.base_channels, 1, config.latent_dim, config.embedding_dim, *shape),
        BigGANDiscriminator(config.resolution, config.discriminator_channels, 1, *shape),
        [],
    )


def embedding_rows(before: Sequence[str], after: Sequence[str], num_rows: int) -> list[int | None]:
    """Which row of a pretrained embedding each class begins from.

    A class of the same name keeps its row. The others take the rows that are left, in their order, as DeepI2I's
    authors re-use those of ImageNet; once there are none left, None: the mean of all.

    Args:
        before: names of the first rows.
        after: names of the classes that are wanted.
        num_rows: of the pretrained embedding.
    """
    known = {name: row for row, name in enumerate(before)}
    left = iter([row for row in range(num_rows) if row >= len(before) or before[row] not in after])
    return [known[name] if name in known else next(left, None) for name in after]


def describe_rows(before: Sequence[str], after: Sequence[str], num_rows: int) -> str:
    """One sentence on what became of a pretrained GAN's classes."""
    rows = embedding_rows(before, after, num_rows)
    kept = sum(name in before for name in after)
    mean = sum(row is None for row in rows)
    reused, dropped = len(after) - kept - mean, num_rows - len({row for row in rows if row is not None})
    return (
        f"{kept} of {len(after)} classes keep the pretrained GAN's embedding of the same name, {reused} begin from "
        f"that of another class, {mean} from the mean of all; {dropped} of its {num_rows} are dropped."
    )


def _load(network_class: Any, folder: Path) -> Any:
    try:
        network, report = network_class.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, torch_dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(f"init: {folder} cannot be loaded: {error}") from error
    if wrong := [name for names in report.values() for name in names]:
        raise TrainingError(f"init: {folder} does not fit {network_class.__name__}: {', '.join(map(str, wrong[:5]))}")
    return network


@torch.no_grad()
def _transfer(source: nn.Module, target: nn.Module, rows: Sequence[int | None]) -> None:
    """Load all weights, those of the class embedding by rows."""
    state = source.state_dict()
    state["embedding.weight"] = _rows(state["embedding.weight"], rows)
    if "embedding.u" in state:
        state["embedding.u"] = target.get_buffer("embedding.u").clone()
    target.load_state_dict(state)
    if "embedding.u" in state:  # another matrix has another largest singular value
        power_iterate(target.get_submodule("embedding"))


def _rows(table: Tensor, rows: Sequence[int | None]) -> Tensor:
    return torch.stack([table.mean(dim=0) if row is None else table[row] for row in rows])


def _rebuilt(network: Any, **changes: Any) -> Any:
    """A new network of the same architecture but for some arguments, with initial weights."""
    config = {name: value for name, value in network.config.items() if not name.startswith("_")}
    return type(network)(**{**config, **changes})
