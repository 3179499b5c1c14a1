"""From a pretrained GAN to DeepI2I's networks (DeepI2I sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.class_names import read_class_names
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator, DiscriminatorTrunk
from pipelines.training.checkpoint import TrainingError
from pipelines.training.class_rows import embedding_rows, load_by_rows
from pipelines.training.pretrained_gan import GAN, load_network, read_gan, read_json


@dataclass
class PretrainedGAN(GAN):
    """What DeepI2I begins from.

    Attributes:
        encoder: of a DeepI2I pipeline that is trained on; None: the discriminator's trunk.
        adaptor: of the same; None: a new one.
        has_discriminator: False: none was beside the pipeline, and this one has the encoder's blocks alone.
    """

    encoder: DeepI2IEncoder | None = None
    adaptor: DeepI2IAdaptor | None = None
    has_discriminator: bool = True


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
        load_shared((pretrained.encoder or pretrained.discriminator).trunk, encoder.trunk)
    if pretrained.adaptor is not None:
        for level in kept_levels(config, pretrained):
            adaptor.blocks[str(level)].load_state_dict(pretrained.adaptor.blocks[str(level)].state_dict())
    if "generator" in config.transfer:
        load_by_rows(pretrained.generator.state_dict(), generator, rows)
    if "discriminator" in config.transfer:
        load_by_rows(pretrained.discriminator.state_dict(), discriminator, rows)
    return DeepI2INetworks(encoder, adaptor, generator, discriminator)


def load_shared(source: DiscriminatorTrunk, target: DiscriminatorTrunk) -> None:
    """Load the blocks that both trunks have; an encoder's may lack the last ones, which then stay as they are."""
    known = target.state_dict()
    target.load_state_dict({**known, **{name: each for name, each in source.state_dict().items() if name in known}})


def kept_levels(config: DeepI2IConfig, pretrained: PretrainedGAN) -> list[int]:
    """Levels of the adaptor that are those of a pipeline that is trained on; without its encoder none is."""
    if pretrained.adaptor is None or "encoder" not in config.transfer:
        return []
    return [level for level in config.levels if level in pretrained.adaptor.config["levels"]]


def describe_adaptor(config: DeepI2IConfig, pretrained: PretrainedGAN) -> str:
    """One sentence on what became of the adaptor of a pipeline that is trained on; empty for a GAN, which has none."""
    if pretrained.adaptor is None:
        return ""
    kept, before = kept_levels(config, pretrained), pretrained.adaptor.config["levels"]
    new = [level for level in config.levels if level not in kept]
    dropped = [level for level in before if level not in kept]
    return (
        f"The pipeline's adaptor: levels kept {_listed(kept)}, dropped {_listed(dropped)}; "
        f"levels that begin at random: {_listed(new)}."
    )


def describe_discriminator(config: DeepI2IConfig, pretrained: PretrainedGAN) -> str:
    """One sentence on the discriminator of a pipeline that has none beside it; empty where it has, or it is unused."""
    if pretrained.encoder is None or pretrained.has_discriminator or "discriminator" not in config.transfer:
        return ""
    known, whole = len(pretrained.encoder.trunk.blocks), len(pretrained.discriminator.trunk.blocks)
    blocks = "its blocks are" if known == whole else f"the first {known} of its {whole} blocks are"
    return (
        f"There is no discriminator beside the pipeline: {blocks} the encoder's, and the rest of it begins at random."
    )


def read_level_weights(folder: Path) -> dict[int, float]:
    """The level weights of a DeepI2I pipeline from fine to coarse; empty for a GAN, which has none.

    Raises:
        TrainingError: the pipeline's model_index.json is not JSON.
    """
    index = folder / "model_index.json"
    weights = read_json(index).get("level_weights") if index.is_file() else None
    return {int(level): weights[level] for level in sorted(weights or {}, key=int, reverse=True)}


def read_pretrained(folder: Path) -> PretrainedGAN:
    """Read what training may begin from.

    Args:
        folder: of `train biggan` or `convert biggan` (generator, discriminator and classes.json), or a DeepI2I
            pipeline, with or without its discriminator beside it. Without, the discriminator has the encoder's
            blocks; those behind them and the head are new.

    Raises:
        TrainingError: it is neither, or its networks do not fit what they say of themselves.
    """
    is_pipeline = (folder / "model_index.json").is_file()
    names = folder / ("model_index.json" if is_pipeline else "classes.json")
    if not names.is_file():
        raise TrainingError(
            f"init: {folder} is neither a GAN (generator, discriminator, classes.json) nor a DeepI2I pipeline"
        )
    if not is_pipeline:
        return PretrainedGAN(**vars(read_gan(folder)))
    content = read_json(names)
    generator = load_network(BigGANGenerator, folder / "generator")
    encoder, adaptor = (
        load_network(DeepI2IEncoder, folder / "encoder"),
        load_network(DeepI2IAdaptor, folder / "adaptor"),
    )
    beside = [place for place in (folder / "discriminator", folder.parent / "discriminator") if place.is_dir()]
    if beside:
        discriminator = load_network(BigGANDiscriminator, beside[0])
    else:
        shape = encoder.config
        discriminator = BigGANDiscriminator(
            shape["resolution"],
            shape["base_channels"],
            generator.config["num_classes"],
            shape["attention_resolution"],
            shape["max_channels"],
        )
        load_shared(encoder.trunk, discriminator.trunk)
    class_names = read_class_names(content.get("class_names"), generator.config["num_classes"])
    return PretrainedGAN(generator, discriminator, class_names, encoder, adaptor, bool(beside))


def _rebuilt(network: Any, **changes: Any) -> Any:
    """A new network of the same architecture but for some arguments, with initial weights."""
    config = {name: value for name, value in network.config.items() if not name.startswith("_")}
    return type(network)(**{**config, **changes})


def _listed(levels: Sequence[int]) -> str:
    return ", ".join(map(str, levels)) or "none"
