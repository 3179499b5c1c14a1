"""What of a BigGAN fits into one of a higher resolution (low resolution first: Karras et al., arXiv 1710.10196)."""

from __future__ import annotations

from torch import Tensor

from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator
from pipelines.training.checkpoint import TrainingError


def generator_that_fits(source: BigGANGenerator, target: BigGANGenerator) -> dict[str, Tensor]:
    """The weights of a generator that a larger one begins with: all but those behind its last block.

    Args:
        source: the smaller one.
        target: has the same maps up to the smaller one's resolution, and one chunk more of the latent for every block
            more.

    Returns:
        By name in the larger one.

    Raises:
        TrainingError: their maps have different channels.
    """
    larger = target.channels()
    for resolution, channels in source.channels().items():
        if channels != larger[resolution]:
            raise TrainingError(
                f"init: the generator cannot grow from {source.config['resolution']} to "
                f"{target.config['resolution']} px: it has {channels} channels at {resolution} px, the larger one has "
                f"{larger[resolution]}"
            )
    return {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("head")}


def discriminator_that_fits(source: BigGANDiscriminator, target: BigGANDiscriminator) -> dict[str, Tensor]:
    """The weights of a discriminator that a larger one begins with.

    A block is the one that sees maps of the same resolution; it and the attention fit where their channels agree. The
    block that sees the picture never does.

    Args:
        source: the smaller one.
        target: the larger one.

    Returns:
        By name in the larger one.
    """
    state, wanted = source.state_dict(), target.state_dict()
    more = len(target.trunk.blocks) - len(source.trunk.blocks)
    fitting = {name: tensor for name, tensor in state.items() if not name.startswith("trunk.")}
    parts = {f"trunk.blocks.{index}.": f"trunk.blocks.{index + more}." for index in range(1, len(source.trunk.blocks))}
    for before, after in {**parts, "trunk.attention.": "trunk.attention."}.items():
        part = {after + name.removeprefix(before): each for name, each in state.items() if name.startswith(before)}
        if _shapes(part) == _shapes({name: each for name, each in wanted.items() if name.startswith(after)}):
            fitting |= part
    return fitting


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
