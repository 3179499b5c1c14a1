"""BigGAN: class-conditional generator and projection discriminator (Brock et al., arXiv 1809.11096)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.biggan_blocks import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    DiscriminatorBlock,
    GeneratorBlock,
    SelfAttention,
)
from pipelines.networks.spectral_norm import SNConv2d, SNEmbedding, SNLinear
from pipelines.networks.split import START, run_blocks

# Channels over base channels: of the generator's maps from 4 pixels up; of the discriminator's blocks.
GENERATOR_WIDTHS = {32: (16, 8, 4, 2), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
DISCRIMINATOR_WIDTHS = {32: (2, 4, 8, 16), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16)}


class BigGANGenerator(ModelMixin, ConfigMixin):
    """Latent and class embedding to picture; the latent enters every block beside the class ("hierarchical").

    It can be left and entered at every resolution: `start`, `run` and `finish` make up `forward`.

    Args:
        resolution: side of the picture: 32, 64 or 128.
        base_channels: channels are multiples of it; the paper has 96.
        num_classes: rows of the class embedding.
        latent_dim: divided into one chunk for the stem and one for every block.
        embedding_dim: of a class.
        attention_resolution: map behind which self-attention comes; 0 for none.
        max_channels: no map has more; None for no limit, as the paper.

    Raises:
        ValueError: the resolution is another one, or the latent cannot be divided.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        base_channels: int = 96,
        num_classes: int = 1000,
        latent_dim: int = 120,
        embedding_dim: int = 128,
        attention_resolution: int = 64,
        max_channels: int | None = None,
    ):
        super().__init__()
        check_resolution(resolution, GENERATOR_WIDTHS)
        widths = list(self.channels().values())
        self.num_slots = len(widths)
        if latent_dim % self.num_slots:
            raise ValueError(
                f"`latent_dim` is {latent_dim}; at {resolution} pixels it must be a multiple of {self.num_slots}."
            )
        chunk = latent_dim // self.num_slots
        self.embedding = nn.Embedding(num_classes, embedding_dim)
        self.stem = SNLinear(chunk, widths[0] * START**2)
        self.blocks = nn.ModuleList(
            GeneratorBlock(before, after, embedding_dim + chunk)
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self.attention = _attention(self.channels(), attention_resolution)
        self.head_norm = nn.BatchNorm2d(widths[-1], eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
        self.head = SNConv2d(widths[-1], 3, 3, padding=1)
        initialize_orthogonal(self)

    def channels(self) -> dict[int, int]:
        """Channels of the hidden map at every resolution from 4 up."""
        config = self.config
        widths = limited(GENERATOR_WIDTHS[config["resolution"]], config["base_channels"], config["max_channels"])
        return {START << step: width for step, width in enumerate(widths)}

    def forward(self, latent: Tensor, embedding: Tensor, features: Mapping[int, Tensor] | None = None) -> Tensor:
        """A picture of every latent and class.

        Args:
            latent: (B, latent_dim).
            embedding: (B, embedding_dim), rows of `self.embedding` or anything between them.
            features: added to the hidden map of their resolution: (B, channels, resolution, resolution).

        Returns:
            (B, 3, resolution, resolution) in [-1, 1].
        """
        hidden, conditions = self.start(latent, embedding)
        return self.finish(self.run(hidden, conditions, features=features))

    def start(self, latent: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The map at 4 pixels, (B, C, 4, 4), and the condition of every block, (B, embedding_dim + chunk) each."""
        hidden = self.stem(latent.chunk(self.num_slots, dim=1)[0]).unflatten(1, (-1, START, START))
        return hidden.contiguous(memory_format=torch.channels_last), self.conditions(latent, embedding)

    def conditions(self, latent: Tensor, embedding: Tensor) -> list[Tensor]:
        """What `start` returns beside the map, for a `run` that begins with another map."""
        chunks = latent.chunk(self.num_slots, dim=1)[1:]
        return [torch.cat([embedding, chunk], dim=1) for chunk in chunks]

    def run(
        self,
        hidden: Tensor,
        conditions: list[Tensor],
        start: int = START,
        stop: int | None = None,
        features: Mapping[int, Tensor] | None = None,
    ) -> Tensor:
        """From the map at one resolution to the map at another.

        Args:
            hidden: (B, channels, start, start).
            conditions: all of them, as `start` returns them.
            start: resolution of `hidden`.
            stop: resolution to end at; None: the picture's.
            features: see `forward`; those above `start` and up to `stop` are added, and at `start` when that is 4.

        Returns:
            (B, channels, stop, stop).
        """

        def block(index: int, hidden: Tensor) -> Tensor:
            hidden = self.blocks[index](hidden, conditions[index])
            if self.attention is not None and hidden.shape[-1] == self.config["attention_resolution"]:
                hidden = self.attention(hidden)
            return hidden

        return run_blocks(block, len(self.blocks), hidden, start, stop, features)

    def finish(self, hidden: Tensor) -> Tensor:
        """The map at the picture's resolution to the picture, (B, 3, resolution, resolution) in [-1, 1]."""
        return torch.tanh(self.head(F.relu(self.head_norm(hidden))))


def trunk_resolutions(resolution: int) -> list[int]:
    """Side of the map behind each block of a discriminator's trunk; the last two are the same.

    Raises:
        ValueError: there is no trunk for pictures of that side.
    """
    check_resolution(resolution, DISCRIMINATOR_WIDTHS)
    return [max(resolution >> step, START) for step in range(1, len(DISCRIMINATOR_WIDTHS[resolution]) + 1)]


class DiscriminatorTrunk(nn.Module):
    """The discriminator's blocks, read out at every resolution from half the picture's down to 4 pixels.

    Args:
        resolution: side of the picture: 32, 64 or 128.
        base_channels: channels are multiples of it.
        attention_resolution: map behind which self-attention comes; 0 for none.
        max_channels: no map has more; None for no limit, as the paper.
        smallest: resolution behind which nothing is computed any more; blocks behind it are left out.

    Raises:
        ValueError: the resolution is another one.
    """

    def __init__(
        self,
        resolution: int,
        base_channels: int,
        attention_resolution: int,
        max_channels: int | None,
        smallest: int = START,
    ):
        super().__init__()
        check_resolution(resolution, DISCRIMINATOR_WIDTHS)
        self.resolution, self.attention_resolution = resolution, attention_resolution
        widths = limited(DISCRIMINATOR_WIDTHS[resolution], base_channels, max_channels)
        halvings = (resolution // START).bit_length() - 1
        # The last block works on the smallest map and does not halve it.
        self.widths = widths if smallest <= START else widths[: (resolution // smallest).bit_length() - 1]
        widths = [3, *self.widths]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(before, after, activate=index > 0, down=index < halvings)
            for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.attention = _attention(self.channels(), attention_resolution)

    def channels(self) -> dict[int, int]:
        """Channels of the features at every resolution that `forward` returns."""
        return dict(zip(trunk_resolutions(self.resolution), self.widths, strict=False))

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Features of a picture.

        Args:
            image: (B, 3, resolution, resolution) in [-1, 1].

        Returns:
            By resolution, (B, channels, resolution, resolution); those at 4 pixels are behind the last ReLU.
        """
        features: dict[int, Tensor] = {}
        hidden = image
        for block in self.blocks:
            hidden = block(hidden)
            side = hidden.shape[-1]
            if self.attention is not None and side == self.attention_resolution:
                hidden = self.attention(hidden)
            features[side] = hidden
        if START in features:
            features[START] = F.relu(hidden)
        return features


class BigGANDiscriminator(ModelMixin, ConfigMixin):
    """Whether a picture is a real one of its class (projection discriminator: Miyato & Koyama, arXiv 1802.05637).

    Args:
        resolution: side of the picture: 32, 64 or 128.
        base_channels: channels are multiples of it; the paper has 96.
        num_classes: rows of the class embedding.
        attention_resolution: map behind which self-attention comes; 0 for none.
        max_channels: no map has more; None for no limit, as the paper.

    Raises:
        ValueError: the resolution is another one.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        base_channels: int = 96,
        num_classes: int = 1000,
        attention_resolution: int = 64,
        max_channels: int | None = None,
    ):
        super().__init__()
        self.trunk = DiscriminatorTrunk(resolution, base_channels, attention_resolution, max_channels)
        channels = self.trunk.channels()[START]
        self.linear = SNLinear(channels, 1)
        self.embedding = SNEmbedding(num_classes, channels)
        initialize_orthogonal(self)

    def forward(self, image: Tensor, labels: Tensor) -> Tensor:
        """Logits, (B,), of pictures (B, 3, resolution, resolution) in [-1, 1] and classes (B,)."""
        return self.judge(self.trunk(image), labels)

    def judge(self, features: Mapping[int, Tensor], labels: Tensor) -> Tensor:
        """Logits, (B,), from the trunk's features."""
        pooled = features[START].sum(dim=(2, 3))  # [B, C]
        return (self.linear(pooled) + (self.embedding(labels) * pooled).sum(dim=1, keepdim=True)).squeeze(1)


def check_resolution(resolution: int, known: Mapping[int, object]) -> None:
    """Refuse a resolution that the architecture is not defined for.

    Raises:
        ValueError: with the resolution and what is accepted.
    """
    if resolution not in known:
        raise ValueError(f"`resolution` is {resolution}; one of {', '.join(map(str, known))} is accepted.")


def limited(widths: Sequence[int], base_channels: int, max_channels: int | None) -> list[int]:
    """Channels: multiples of `base_channels`, none above `max_channels`."""
    return [min(base_channels * width, max_channels or base_channels * width) for width in widths]


@torch.no_grad()
def initialize_orthogonal(module: nn.Module) -> None:
    """Orthogonal weights and zero biases for every convolution, linear layer and embedding, as BigGAN begins."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.orthogonal_(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)


def _attention(channels: Mapping[int, int], resolution: int) -> SelfAttention | None:
    known = (0, 8, 16, 32, 64, 128)
    if resolution not in known:
        raise ValueError(f"`attention_resolution` is {resolution}; one of {', '.join(map(str, known))} is accepted.")
    return SelfAttention(channels[resolution]) if resolution in channels else None
