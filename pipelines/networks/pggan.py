"""PGGAN: generator of progressively grown GANs (Karras et al., arXiv 1710.10196, table 2), at its full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.split import START
from pipelines.networks.stylegan2_blocks import leaky_relu
from pipelines.networks.stylegan_blocks import NearestUpConv, ScaledConv2d, pixel_norm

WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)  # of the paper, from 4 to 1024 pixels
RESOLUTIONS = tuple(START << step for step in range(len(WIDTHS)))


class PGGANLayer(nn.Module):
    """Pixel norm, convolution and leaky ReLU.

    The paper's pixel norm ends a layer; here it begins the next one, which is the same from latent to picture. So a
    split lies in front of it, and the scale of a hidden map does not matter.

    Args:
        conv: may change the resolution.
    """

    def __init__(self, conv: ScaledConv2d):
        super().__init__()
        self.conv = conv

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H', W')."""
        return leaky_relu(self.conv(pixel_norm(hidden)))


class PGGANGenerator(ModelMixin, ConfigMixin):
    """Latent to picture, through two convolution layers a resolution.

    It can be left and entered in front of every layer: `run` and `finish` make up `forward`.

    Args:
        resolution: side of the picture: 4 to 1024 pixels, a power of two.
        latent_dim: of latents.
        widths: channels at 4, 8, 16 ... pixels up to `resolution`; None: the paper's.

    Raises:
        ValueError: the resolution is another one, or the widths are not as many.
    """

    @register_to_config
    def __init__(self, resolution: int = 1024, latent_dim: int = 512, widths: Sequence[int] | None = None):
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(f"`resolution` is {resolution}; one of {', '.join(map(str, RESOLUTIONS))} is accepted.")
        num_resolutions = RESOLUTIONS.index(resolution) + 1
        widths = widths or WIDTHS[:num_resolutions]
        if len(widths) != num_resolutions:
            raise ValueError(f"`widths` has {len(widths)} entries; {resolution} pixels need {num_resolutions}.")
        convs: list[ScaledConv2d] = []
        for before, width in zip([None, *widths], widths, strict=False):
            if before is None:
                convs.append(ScaledConv2d(latent_dim, width, START, padding=START - 1))  # one pixel to 4x4
            else:
                convs.append(NearestUpConv(before, width))
            convs.append(ScaledConv2d(width, width, 3, padding=1))
        self.layers = nn.ModuleList(map(PGGANLayer, convs))
        self.head = ScaledConv2d(widths[-1], 3, 1)

    def channels_at(self, layer: int) -> tuple[int, int]:
        """Channels and side of the map in front of a layer; the last number is that of `finish`.

        Layers are counted as mGANprior does: 1 and 2 are at 4 pixels, 3 and 4 at 8.
        """
        if layer == 0:
            return self.config["latent_dim"], 1
        step = (layer - 1) // 2
        return (self.config["widths"] or WIDTHS)[step], RESOLUTIONS[step]

    def forward(self, latent: Tensor) -> Tensor:
        """Pictures of latents.

        Args:
            latent: (B, latent_dim), normally distributed; its length does not matter.

        Returns:
            (B, 3, resolution, resolution); trained towards [-1, 1], but nothing keeps it there.
        """
        return self.finish(self.run(latent))

    def run(self, hidden: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """From the map in front of one layer to the map in front of another.

        Args:
            hidden: (B, channels, side, side) as of `channels_at(start)`; when `start` is 0, latents (B, latent_dim).
            start: first layer to apply.
            stop: layer to end in front of; None: behind the last.

        Returns:
            (B, channels, side, side) as of `channels_at(stop)`, also of latents that no layer is applied to.
        """
        if hidden.ndim == 2:
            hidden = hidden[:, :, None, None]
        for layer in list(self.layers)[start:stop]:
            hidden = layer(hidden.contiguous(memory_format=torch.channels_last))
        return hidden

    def finish(self, hidden: Tensor) -> Tensor:
        """The map behind the last layer to the picture, (B, 3, resolution, resolution)."""
        return self.head(pixel_norm(hidden))
