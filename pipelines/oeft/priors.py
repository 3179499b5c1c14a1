"""Generators as frozen priors: one small interface to leave and enter them at a composing layer (mGANprior sec. 3.1).

A composing layer is counted as mGANprior counts it: the convolution layers in front of the split, two a resolution. So
2 is the map at 4 pixels, 4 at 8, 6 at 16, 8 at 32.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.pggan import PGGANGenerator
from pipelines.networks.split import START
from pipelines.networks.stylegan import StyleGANGenerator

SPACES = ("z", "w", "w+")
TRUNCATION = 0.7, 8  # of the first codes: by how much, and in how many layers; StyleGAN appendix B
GENERATORS: dict[str, type] = {cls.__name__: cls for cls in (BigGANGenerator, PGGANGenerator, StyleGANGenerator)}


class Prior(Protocol):
    """What inversion needs of a generator. Nothing of it is ever trained.

    Attributes:
        generator: the network.
        resolution: side of its pictures, pixels.
        layers: channels and side of the map at every composing layer.
        tail_has_codes: whether the layers behind a split read a code, too.
    """

    resolution: int
    layers: dict[int, tuple[int, int]]
    tail_has_codes: ClassVar[bool]

    @property
    def generator(self) -> nn.Module:
        """See above."""
        ...

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` codes, (count, *shape of a code), fp32, where `generator` lives."""
        ...

    def head(self, codes: Tensor, layer: int) -> Tensor:
        """The map of every code at a composing layer, (N, *code) to (N, C, side, side)."""
        ...

    def tail(self, hidden: Tensor, codes: Tensor, layer: int) -> Tensor:
        """From maps at a composing layer, (B, C, side, side), and codes, (B, *code), to pictures in [-1, 1]."""
        ...


class BigGANPrior:
    """A BigGAN as a prior for one of its classes; a code is a latent, whose chunks enter every block.

    Args:
        generator: the network.
        label: the class.
    """

    tail_has_codes: ClassVar[bool] = True

    def __init__(self, generator: BigGANGenerator, label: int = 0):
        self.generator, self.label = generator, label
        self.resolution = generator.config["resolution"]
        self.layers = by_layer(generator.channels())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Prior.draw`."""
        return torch.randn(count, self.generator.config["latent_dim"], generator=generator, device=generator.device)

    def head(self, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.head`."""
        hidden, conditions = self.generator.start(codes, self._embedding(len(codes)))
        return self.generator.run(hidden, conditions, stop=self.layers[layer][1])

    def tail(self, hidden: Tensor, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.tail`."""
        conditions = self.generator.conditions(codes, self._embedding(len(codes)))
        return self.generator.finish(self.generator.run(hidden, conditions, start=self.layers[layer][1]))

    def _embedding(self, count: int) -> Tensor:
        return self.generator.embedding.weight[self.label].expand(count, -1)


class PGGANPrior:
    """A PGGAN as a prior; a code is a latent. No layer behind the first reads it.

    Args:
        generator: the network.
    """

    tail_has_codes: ClassVar[bool] = False

    def __init__(self, generator: PGGANGenerator):
        self.generator = generator
        self.resolution = generator.config["resolution"]
        self.layers = {layer: generator.channels_at(layer) for layer in range(1, len(generator.layers) + 1)}

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Prior.draw`."""
        return torch.randn(count, self.generator.config["latent_dim"], generator=generator, device=generator.device)

    def head(self, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.head`."""
        return self.generator.run(codes, stop=layer)

    def tail(self, hidden: Tensor, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.tail`."""
        del codes
        return self.generator.finish(self.generator.run(hidden, start=layer))


class StyleGANPrior:
    """A StyleGAN as a prior; a code is a latent, a style for all layers, or one for each.

    Args:
        generator: the network.
        space: "z", "w" or "w+" (Abdal et al., arXiv 1904.03189).

    Raises:
        ValueError: another space.
    """

    tail_has_codes: ClassVar[bool] = True

    def __init__(self, generator: StyleGANGenerator, space: str = "w+"):
        if space not in SPACES:
            raise ValueError(f"`space` is {space!r}; accepted are {', '.join(SPACES)}.")
        self.generator, self.space = generator, space
        self.layers = by_layer(generator.channels())
        self.resolution = max(generator.channels())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Prior.draw`."""
        width = self.generator.config["latent_dim"]
        latents = torch.randn(count, width, generator=generator, device=generator.device)
        if self.space == "z":
            return latents
        with torch.no_grad():
            styles = self.generator.style(latents.to(self.generator.constant), *TRUNCATION).float()
        return styles.contiguous() if self.space == "w+" else styles[:, 0].contiguous()

    def head(self, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.head`."""
        hidden, conditions = self.generator.start(self._styles(codes))
        return self.generator.run(hidden, conditions, stop=self.layers[layer][1])

    def tail(self, hidden: Tensor, codes: Tensor, layer: int) -> Tensor:
        """See `Prior.tail`."""
        conditions = self.generator.conditions(self._styles(codes))
        return self.generator.finish(self.generator.run(hidden, conditions, start=self.layers[layer][1]))

    def _styles(self, codes: Tensor) -> Tensor:
        """One style for every layer, (B, num_styles, latent_dim)."""
        if self.space == "z":
            return self.generator.style(codes)
        return codes if self.space == "w+" else codes[:, None].expand(-1, self.generator.num_styles, -1)


def by_layer(channels: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Composing layers of a generator that can be split behind both convolutions of a resolution.

    Args:
        channels: of the map at every resolution.

    Returns:
        Channels and side by composing layer.
    """
    return {2 * (side // START).bit_length(): (width, side) for side, width in channels.items()}


def prior_of(generator: nn.Module, label: int = 0) -> Prior:
    """The generator behind the interface.

    Args:
        generator: one of `GENERATORS`.
        label: class of a generator that has classes.

    Raises:
        ValueError: the generator is none of them, or has no such class.
    """
    if isinstance(generator, BigGANGenerator):
        count = generator.config["num_classes"]
        if not 0 <= label < count:
            raise ValueError(f"`prior_class` is {label}; the generator has the classes 0 to {count - 1}.")
        return BigGANPrior(generator, label)
    if isinstance(generator, PGGANGenerator):
        return PGGANPrior(generator)
    if isinstance(generator, StyleGANGenerator):
        return StyleGANPrior(generator)
    raise ValueError(f"`prior` is a {type(generator).__name__}; accepted are {', '.join(GENERATORS)}.")
