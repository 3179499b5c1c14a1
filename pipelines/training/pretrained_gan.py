"""A trained GAN for another training to begin from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator
from pipelines.training.checkpoint import TrainingError
from pipelines.training.class_rows import describe_rows, embedding_rows, load_by_rows
from pipelines.training.gan_config import SLOTS, GANSizes
from pipelines.training.gan_growth import discriminator_that_fits, generator_that_fits


@dataclass
class GAN:
    """A class-conditional GAN.

    Attributes:
        generator: of pictures of a class.
        discriminator: of the same classes.
        class_names: one for each of the first rows of both embeddings.
    """

    generator: BigGANGenerator
    discriminator: BigGANDiscriminator
    class_names: list[str]


def random_gan(config: GANSizes, num_classes: int) -> GAN:
    """Networks of the config's sizes; random weights from torch's global generator, classes without names."""
    shape = (config.attention_resolution, config.max_channels)
    return GAN(
        BigGANGenerator(
            config.resolution, config.base_channels, num_classes, config.latent_dim, config.embedding_dim, *shape
        ),
        BigGANDiscriminator(config.resolution, config.discriminator_channels, num_classes, *shape),
        [],
    )


def read_gan(folder: Path) -> GAN:
    """Read what `train biggan` or `convert biggan` wrote: generator, discriminator and classes.json.

    Raises:
        TrainingError: it is no such folder, or its networks do not fit what they say of themselves.
    """
    names = folder / "classes.json"
    if not names.is_file():
        raise TrainingError(f"init: {folder} is no GAN (generator, discriminator, classes.json)")
    class_names = read_json(names)
    generator = load_network(BigGANGenerator, folder / "generator")
    return GAN(generator, load_network(BigGANDiscriminator, folder / "discriminator"), class_names)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        TrainingError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"init: {path} is not JSON: {error}") from error


def load_network(network_class: Any, folder: Path) -> Any:
    """A saved network in fp32.

    Raises:
        TrainingError: it cannot be read, or its weights do not fit what it says of itself.
    """
    try:
        network, report = network_class.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, torch_dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(f"init: {folder} cannot be loaded: {error}") from error
    if wrong := [name for names in report.values() for name in names]:
        raise TrainingError(f"init: {folder} does not fit {network_class.__name__}: {', '.join(map(str, wrong[:5]))}")
    return network


def sizes_of(gan: GAN, resolution: int | None = None) -> dict[str, int]:
    """The sizes of a GAN as fields of `GANSizes`.

    Args:
        gan: a trained one.
        resolution: a higher one than its own: the sizes of the GAN that it grows into. Others count for nothing.

    Raises:
        TrainingError: generator and discriminator do not belong together.
    """
    generator, discriminator = gan.generator.config, gan.discriminator.config
    for name in ("resolution", "attention_resolution", "max_channels"):
        if generator[name] != discriminator[name]:
            raise TrainingError(
                f"init: the generator has {name} {generator[name]}, the discriminator {discriminator[name]}; they "
                "are the same in one GAN"
            )
    names = ("resolution", "base_channels", "latent_dim", "embedding_dim", "attention_resolution", "max_channels")
    sizes = {name: generator[name] for name in names}
    sizes["discriminator_channels"] = discriminator["base_channels"]
    if sizes["max_channels"] is None:  # the same networks: no map has more than 16 times the base channels
        sizes["max_channels"] = 16 * max(sizes["base_channels"], sizes["discriminator_channels"])
    own = sizes["resolution"]
    if resolution in SLOTS and resolution > own:
        sizes |= {"resolution": resolution, "latent_dim": sizes["latent_dim"] // SLOTS[own] * SLOTS[resolution]}
    return sizes


def begin(source: GAN, target: GAN, class_names: Sequence[str]) -> str:
    """Put a trained GAN's weights into one of the same sizes, or of a higher resolution, and other classes.

    Args:
        source: the trained one; not changed.
        target: has a row for each of the classes; what does not begin from the source keeps its weights.
        class_names: of the target.

    Returns:
        What was taken, for whoever trains.

    Raises:
        TrainingError: the generator's maps have other channels than the source's.
    """
    num_rows = source.generator.config["num_classes"]
    rows = embedding_rows(source.class_names, class_names, num_rows)
    before, after = (gan.generator.config["resolution"] for gan in (source, target))
    pairs = [(source.generator, target.generator), (source.discriminator, target.discriminator)]
    if before == after:
        taken = [smaller.state_dict() for smaller, _ in pairs]
    else:
        taken = [generator_that_fits(*pairs[0]), discriminator_that_fits(*pairs[1])]
    for tensors, (_, network) in zip(taken, pairs, strict=True):
        load_by_rows(tensors, network, rows)
    generator, discriminator = (
        f"{len(tensors)} of {len(network.state_dict())}" for tensors, (_, network) in zip(taken, pairs, strict=True)
    )
    grown = "" if before == after else f", grown from {before} to {after} px"
    return (
        f"{generator} tensors of the generator and {discriminator} of the discriminator are those of the pretrained "
        f"GAN{grown}; the others are new. {describe_rows(source.class_names, class_names, num_rows)}"
    )
