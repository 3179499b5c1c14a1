"""The networks of SinCUT: StyleGAN2 blocks without style, as generator and as discriminator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.checks import check_input, check_layers
from pipelines.networks.stylegan2_blocks import EqualizedConv2d, EqualizedLinear, ResidualBlock, UpConv

NCE_LAYERS = ("input", "down", "block2")


class SinCUTGenerator(ModelMixin, ConfigMixin):
    """Image-to-image network at half the resolution: one block down, residual blocks, one up (CUT appendix B).

    It has no normalization over pixels, so a picture can be translated in tiles that overlap by `reach`.

    Args:
        in_channels: of the picture.
        out_channels: of the result.
        base_channels: at full resolution; twice as many at half of it.
        num_blocks: residual blocks, an even number; one half of them encodes, the other decodes.
        inject_noise: add noise of a learned strength behind the upsampling.
    """

    multiple = 2  # both sides of an input are multiples of it

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        base_channels: int = 80,
        num_blocks: int = 6,
        inject_noise: bool = True,
    ):
        if num_blocks % 2:
            raise ValueError(f"`num_blocks` is {num_blocks}; it must be even: one half encodes, the other decodes.")
        super().__init__()
        full, half = base_channels, base_channels * 2
        self.stem = EqualizedConv2d(in_channels, full, 1)
        self.down = ResidualBlock(full, half, down=True)
        self.blocks = nn.ModuleList(ResidualBlock(half, half, down=False) for _ in range(num_blocks))
        self.up = UpConv(half, full, noise=inject_noise)
        self.head = EqualizedConv2d(full, out_channels, 1)

    @property
    def reach(self) -> int:
        """Pixels in every direction that an output pixel depends on."""
        return 6 + 4 * len(self.blocks)

    def forward(self, image: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Translate.

        Args:
            image: (B, in_channels, H, W) in [-1, 1]; H and W are even.
            noise: see `decode`.
            generator: see `decode`.

        Returns:
            (B, out_channels, H, W); nothing keeps it within [-1, 1].
        """
        return self.decode(self.encode(image)[0], noise, generator)

    def encode(self, image: Tensor, layers: Sequence[str] = (), *, stop: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The first half: 1x1 convolution, block down, half of the residual blocks.

        Args:
            image: as for `forward`.
            layers: which features to return: "input" (the picture), "conv" (the 1x1 convolution), "down", "block1" ...
            stop: end at the deepest of `layers`; nothing behind it is computed.

        Returns:
            The output of the last block that was computed, (B, 2 * base_channels, H/2, W/2) at the end, and the
            features in the order of `layers`.

        Raises:
            ValueError: a side of the picture is odd, or there is no such layer.
        """
        check_input(image, self.multiple)
        check_layers(layers, self.layer_channels())
        stages = {"conv": self.stem, "down": self.down}
        stages |= {f"block{number}": block for number, block in enumerate(self.blocks[: self._encoding], start=1)}

        hidden = image.contiguous(memory_format=torch.channels_last)
        found = {"input": hidden}
        for name, stage in stages.items():
            if stop and found.keys() >= set(layers):
                break
            hidden = stage(hidden)
            if name in layers:
                found[name] = hidden
        return hidden, [found[name] for name in layers]

    def decode(self, hidden: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The second half: the other residual blocks, upsampling, 1x1 convolution with activation.

        The authors draw noise at every call, also when they test. Here there is none unless it is given, so that the
        same picture gives the same pixels.

        Args:
            hidden: (B, 2 * base_channels, H/2, W/2).
            noise: (B, 1, H, W), normally distributed.
            generator: draws the noise where `noise` is None.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ValueError: `noise` is given to a network without noise.
        """
        if noise is not None and self.up.noise_weight is None:
            raise ValueError("`noise` is given; this network has none (`inject_noise` is false).")
        for block in self.blocks[self._encoding :]:
            hidden = block(hidden)
        if noise is None and generator is not None and self.up.noise_weight is not None:
            noise = _draw_noise(hidden, generator)
        return self.head(self.up(hidden, noise))

    def layer_channels(self) -> dict[str, int]:
        """Channels of every layer that `encode` can return, by its name."""
        base = self.config["base_channels"]
        blocks = {f"block{number}": base * 2 for number in range(1, self._encoding + 1)}
        return {"input": self.config["in_channels"], "conv": base, "down": base * 2, **blocks}

    @property
    def _encoding(self) -> int:
        return len(self.blocks) // 2


class SinCUTDiscriminator(ModelMixin, ConfigMixin):
    """StyleGAN2's discriminator without minibatch statistics: one logit for a tile (CUT appendix B).

    Args:
        in_channels: of the picture.
        base_channels: at full resolution; they double with every halving of the resolution.
        size: sides of the tile in pixels, 8 or a higher power of two.
        max_channels: where the doubling ends.
    """

    @register_to_config
    def __init__(self, in_channels: int = 3, base_channels: int = 32, size: int = 64, max_channels: int = 384):
        if size < 8 or size & (size - 1):
            raise ValueError(f"`size` is {size}; it must be 8 or a higher power of two.")
        super().__init__()
        halvings = size.bit_length() - 3  # from `size` to 4 x 4
        widths = [min(base_channels * 2**stage, max_channels) for stage in range(halvings + 1)]
        self.stem = EqualizedConv2d(in_channels, widths[0], 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, down=True) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.last = EqualizedConv2d(widths[-1], widths[-1], 3)
        self.linear = EqualizedLinear(widths[-1] * 4 * 4, widths[-1], activate=True)
        self.logit = EqualizedLinear(widths[-1], 1, activate=False)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1) of (B, in_channels, size, size) tiles in [-1, 1].

        Raises:
            ValueError: the tiles have another size.
        """
        size = self.config["size"]
        if image.shape[-2:] != (size, size):
            height, width = image.shape[-2:]
            raise ValueError(f"`image` is {width} x {height} pixels; this discriminator takes {size} x {size}.")
        hidden = self.stem(image.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            hidden = block(hidden)
        return self.logit(self.linear(self.last(hidden).flatten(1)))


def _draw_noise(hidden: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1, 2H, 2W) on the device of `hidden`, the same for the same generator on any device."""
    batch, _, height, width = hidden.shape
    noise = torch.randn(batch, 1, height * 2, width * 2, generator=generator, device=generator.device)
    return noise.to(hidden.device)
