"""StyleGAN: generator of styled blocks, and discriminator (Karras et al., arXiv 1812.04948).

Both work at their full resolution: the fading-in of progressive growing is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.split import START, run_blocks
from pipelines.networks.stylegan2_blocks import leaky_relu
from pipelines.networks.stylegan_blocks import (
    NORM_EPSILON,
    DownBlock,
    ScaledConv2d,
    ScaledLinear,
    StyledBlock,
    append_deviation,
    pixel_norm,
)

WIDTHS = (512, 512, 512, 512, 256, 128, 64)  # of the paper, from 4 to 256 pixels

Condition = tuple[Tensor, Tensor | None]  # of one block: its two styles, (B, 2, latent_dim), and its noise


class StyleGANGenerator(ModelMixin, ConfigMixin):
    """Latent to picture: a mapping to styles, which modulate every layer of a synthesis that begins with a constant.

    It can be left and entered at every resolution: `start`, `run` and `finish` turn styles into a picture.

    Args:
        widths: channels at 4, 8, 16 ... pixels; the last is the picture's resolution.
        latent_dim: of latents and styles.
        mapping_layers: fully connected layers between the two.
        mapping_dim: what all but the last of them return; None: as many as `latent_dim`.
        bias_after_blur: upsampling layers blur before they add their bias, as the paper's authors do.
        norm_epsilon: added to variances; the paper's authors have 1e-8.
        fixed_noise: the network holds noise, which is used where none is given.

    Attributes:
        mean_style: (latent_dim,), what truncation pulls towards; see `estimate_mean_style`.
        noise_4, noise_8, ...: (1, 2, resolution, resolution), with `fixed_noise`; see `start`.
    """

    mean_style: Tensor

    @register_to_config
    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        latent_dim: int = 512,
        mapping_layers: int = 8,
        mapping_dim: int | None = None,
        bias_after_blur: bool = False,
        norm_epsilon: float = NORM_EPSILON,
        fixed_noise: bool = False,
    ):
        super().__init__()
        sizes = [latent_dim, *[mapping_dim or latent_dim] * (mapping_layers - 1), latent_dim]
        self.mapping = nn.ModuleList(
            ScaledLinear(before, after) for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.register_buffer("mean_style", torch.zeros(latent_dim))
        self.constant = nn.Parameter(torch.ones(1, widths[0], START, START))
        self.blocks = nn.ModuleList(
            StyledBlock(before, after, latent_dim, bias_after_blur, norm_epsilon)
            for before, after in zip([None, *widths], widths, strict=False)
        )
        self.head = ScaledConv2d(widths[-1], 3, 1)
        for size in self.channels() if fixed_noise else ():
            self.register_buffer(f"noise_{size}", torch.randn(1, 2, size, size))

    @property
    def num_styles(self) -> int:
        """Two for every resolution: 14 at 256 pixels."""
        return 2 * len(self.blocks)

    def channels(self) -> dict[int, int]:
        """Channels of the hidden map at every resolution from 4 up."""
        return _by_resolution(self.config["widths"])

    def forward(
        self,
        latent: Tensor,
        features: Mapping[int, Tensor] | None = None,
        noise: Mapping[int, Tensor] | None = None,
        truncation: float = 1.0,
        truncated_layers: int | None = None,
    ) -> Tensor:
        """A picture of every latent.

        Args:
            latent: (B, latent_dim), normally distributed.
            features: see `synthesize`.
            noise: see `start`.
            truncation: see `style`.
            truncated_layers: see `style`.

        Returns:
            (B, 3, resolution, resolution); trained towards [-1, 1], but nothing keeps it there.
        """
        return self.synthesize(self.style(latent, truncation, truncated_layers), features, noise)

    def style(self, latent: Tensor, truncation: float = 1.0, truncated_layers: int | None = None) -> Tensor:
        """The styles of latents, the same for every layer that is truncated alike.

        Args:
            latent: (B, latent_dim).
            truncation: how far to go from the mean style towards the latent's, 0 to 1 (appendix B, psi).
            truncated_layers: so many layers are truncated, from the coarsest on; None: all. The paper has the 8 up to
                32 pixels.

        Returns:
            (B, num_styles, latent_dim). Layers may be replaced by those of other latents, see `mix_styles`.
        """
        style = pixel_norm(latent)
        for layer in self.mapping:
            style = leaky_relu(layer(style))
        styles = style[:, None].expand(-1, self.num_styles, -1)
        if truncation == 1:
            return styles
        crossover = self.num_styles if truncated_layers is None else truncated_layers
        return mix_styles(torch.lerp(self.mean_style, styles, truncation), styles, crossover)

    def synthesize(
        self, styles: Tensor, features: Mapping[int, Tensor] | None = None, noise: Mapping[int, Tensor] | None = None
    ) -> Tensor:
        """Styles to pictures.

        Args:
            styles: (B, num_styles, latent_dim).
            features: added to the hidden map of their resolution: (B, channels, resolution, resolution).
            noise: see `start`.

        Returns:
            As `forward`.
        """
        hidden, conditions = self.start(styles, noise)
        return self.finish(self.run(hidden, conditions, features=features))

    def start(self, styles: Tensor, noise: Mapping[int, Tensor] | None = None) -> tuple[Tensor, list[Condition]]:
        """The map at 4 pixels, and what the blocks behind it need.

        Args:
            styles: (B, num_styles, latent_dim).
            noise: by resolution from 4 up: (B, 1, resolution, resolution) for both layers of it, or (B, 2, ...) for
                each its own; resolutions that are left out have none. See `draw_noise`. None: the noise that the
                network holds, if it does.

        Returns:
            (B, C, 4, 4), and styles and noise of every block behind the first.
        """
        first, *others = self._conditions(styles, noise)
        constant = self.constant.repeat(len(styles), 1, 1, 1)
        return self.blocks[0](constant.contiguous(memory_format=torch.channels_last), *first), others

    def conditions(self, styles: Tensor, noise: Mapping[int, Tensor] | None = None) -> list[Condition]:
        """What `start` returns beside the map, for a `run` that begins with another map."""
        return self._conditions(styles, noise)[1:]

    def _conditions(self, styles: Tensor, noise: Mapping[int, Tensor] | None) -> list[Condition]:
        """Styles and noise of every block."""
        resolutions = self.channels()
        if noise is None:
            noise = {size: getattr(self, f"noise_{size}") for size in resolutions if self.config["fixed_noise"]}
        pairs = styles.unflatten(1, (-1, 2)).unbind(1)
        return [(pair, noise.get(size)) for pair, size in zip(pairs, resolutions, strict=True)]

    def run(
        self,
        hidden: Tensor,
        conditions: Sequence[Condition],
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
            features: see `synthesize`; those above `start` and up to `stop` are added, and at `start` when that is 4.

        Returns:
            (B, channels, stop, stop).
        """

        def block(index: int, hidden: Tensor) -> Tensor:
            return self.blocks[index + 1](hidden, *conditions[index])

        return run_blocks(block, len(conditions), hidden, start, stop, features)

    def finish(self, hidden: Tensor) -> Tensor:
        """The map at the picture's resolution to the picture, (B, 3, resolution, resolution)."""
        return self.head(hidden)

    def draw_noise(self, batch_size: int, generator: torch.Generator) -> dict[int, Tensor]:
        """Noise for `start`: one normally distributed map for both layers of every resolution.

        It is drawn where `generator` lives and then moved, so that it is the same on any device.
        """
        weight = self.constant
        return {
            size: torch.randn(batch_size, 1, size, size, generator=generator, device=generator.device).to(weight)
            for size in self.channels()
        }

    @torch.no_grad()
    def estimate_mean_style(self, generator: torch.Generator, num_draws: int = 10_000) -> Tensor:
        """The mean style of so many latents, (latent_dim,); files without `mean_style` are completed with it."""
        shape = num_draws, self.config["latent_dim"]
        latent = torch.randn(shape, generator=generator, device=generator.device).to(self.mean_style)
        return self.style(latent)[:, 0].mean(dim=0)


class StyleGANTrunk(nn.Module):
    """The discriminator's blocks, read out at every resolution from half the picture's down to 4 pixels.

    Args:
        widths: channels at 4, 8, 16 ... pixels; the last is the picture's resolution.
        activate_rgb: leaky ReLU behind the 1x1 convolution that reads the picture.
    """

    def __init__(self, widths: Sequence[int], activate_rgb: bool):
        super().__init__()
        self.widths = tuple(widths)
        self.activate_rgb = activate_rgb
        self.stem = ScaledConv2d(3, widths[-1], 1)
        descending = widths[::-1]
        self.blocks = nn.ModuleList(
            DownBlock(before, after) for before, after in zip(descending, descending[1:], strict=False)
        )

    def channels(self) -> dict[int, int]:
        """Channels of the features at every resolution from 4 up to half the picture's."""
        return _by_resolution(self.widths[:-1])

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Features by resolution.

        Args:
            image: (B, 3, resolution, resolution) in [-1, 1].

        Returns:
            {resolution: (B, channels, resolution, resolution)}, from fine to coarse.

        Raises:
            ValueError: the picture has another size.
        """
        resolution = START << len(self.blocks)
        if image.shape[-2:] != (resolution, resolution):
            height, width = image.shape[-2:]
            raise ValueError(f"`image` is {width} x {height} pixels; this network takes {resolution} x {resolution}.")
        hidden = self.stem(image.contiguous(memory_format=torch.channels_last))
        if self.activate_rgb:
            hidden = leaky_relu(hidden)
        features = {}
        for block in self.blocks:
            hidden = block(hidden)
            features[hidden.shape[-1]] = hidden
        return features


class StyleGANDiscriminator(ModelMixin, ConfigMixin):
    """Picture to logit, with the deviation over the batch as one more channel at 4 pixels.

    Args:
        widths: channels at 4, 8, 16 ... pixels; the last is the picture's resolution.
        activate_rgb: leaky ReLU behind the 1x1 convolution that reads the picture.
    """

    @register_to_config
    def __init__(self, widths: Sequence[int] = WIDTHS, activate_rgb: bool = True):
        super().__init__()
        deepest = widths[0]
        self.trunk = StyleGANTrunk(widths, activate_rgb)
        self.conv = ScaledConv2d(deepest + 1, deepest, 3, padding=1)
        self.dense = ScaledConv2d(deepest, deepest, START)
        self.logit = ScaledLinear(deepest, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B,) of (B, 3, resolution, resolution) pictures in [-1, 1]."""
        return self.judge(self.trunk(image))

    def judge(self, features: Mapping[int, Tensor]) -> Tensor:
        """Logits (B,) of the trunk's features; only those at 4 pixels are used."""
        hidden = leaky_relu(self.conv(append_deviation(features[START])))
        return self.logit(leaky_relu(self.dense(hidden)).flatten(1)).squeeze(1)


def mix_styles(first: Tensor, second: Tensor, crossover: int) -> Tensor:
    """Style mixing (sec. 3.1): the layers before `crossover` from one latent, the others from a second.

    Args:
        first: (B, num_styles, latent_dim).
        second: of the same shape.
        crossover: layers that `first` has; two layers make up a resolution, so that 4 is up to 8 pixels.

    Returns:
        (B, num_styles, latent_dim).
    """
    return torch.cat([first[:, :crossover], second[:, crossover:]], dim=1)


def _by_resolution(widths: Sequence[int]) -> dict[int, int]:
    return {START << step: width for step, width in enumerate(widths)}
