"""The networks of CUT, FastCUT and CycleGAN: ResNet generator and PatchGAN discriminator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.checks import check_input, check_layers
from pipelines.networks.initialization import xavier_normal


class ResnetGenerator(ModelMixin, ConfigMixin):
    """Image-to-image network of residual blocks at a quarter of the resolution (CUT sec. 4 and appendix C.1).

    Without anti-aliasing it is CycleGAN's generator: strided convolutions down, transposed convolutions up. With
    it, both stages resample with a fixed filter instead. The two switches are independent.

    Args:
        in_channels: of the picture.
        out_channels: of the result.
        base_channels: of the first stage; twice and four times as many follow.
        num_blocks: residual blocks; the paper has 9, and 6 for 128 pixels.
        antialias_down: blur before dropping pixels.
        antialias_up: bilinear enlargement followed by a convolution.
        gain: of the Xavier initialization.
    """

    multiple = 4  # both sides of an input are multiples of it

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        base_channels: int = 64,
        num_blocks: int = 9,
        antialias_down: bool = True,
        antialias_up: bool = True,
        gain: float = 0.02,
    ):
        super().__init__()
        full, half, quarter = base_channels, base_channels * 2, base_channels * 4
        self.stem = nn.Conv2d(in_channels, full, 7)
        self.down = nn.ModuleList([_down_conv(full, half, antialias_down), _down_conv(half, quarter, antialias_down)])
        self.blocks = nn.ModuleList(ResidualBlock(quarter) for _ in range(num_blocks))
        self.up = nn.ModuleList([_up_conv(quarter, half, antialias_up), _up_conv(half, full, antialias_up)])
        self.head = nn.Conv2d(full, out_channels, 7)
        xavier_normal(self, gain)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, in_channels, H, W) in [-1, 1]; H and W are multiples of 4.

        Returns:
            (B, out_channels, H, W) in [-1, 1].
        """
        return self.decode(self.encode(image)[0])

    def encode(self, image: Tensor, layers: Sequence[str] = (), *, stop: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The first half: stem, two stages down, all residual blocks.

        Args:
            image: as for `forward`.
            layers: which features to return: "input" (the padded picture), "down1" and "down2" (the convolutions of
                the two stages, before norm and blur), "block1" ... (residual blocks).
            stop: end at the deepest of `layers`; nothing behind it is computed.

        Returns:
            The output of the last block that was computed, (B, 4 * base, H/4, W/4), and the features in the order of
            `layers`.

        Raises:
            ValueError: a side of the picture is not a multiple of 4, or there is no such layer.
        """
        check_input(image, self.multiple)
        check_layers(layers, self.layer_channels())
        found: dict[str, Tensor] = {}

        hidden = reflect_pad(image, 3)  # [B, 3, H+6, W+6]
        found["input"] = hidden
        hidden = norm_relu(self.stem(hidden))  # [B, C, H, W]
        for number, conv in enumerate(self.down, start=1):
            hidden = conv(hidden)
            found[f"down{number}"] = hidden
            hidden = norm_relu(hidden)
            if self.config["antialias_down"]:
                hidden = blur_down(hidden)  # [B, 2C, H/2, W/2], then [B, 4C, H/4, W/4]
        for number, block in enumerate(self.blocks, start=1):
            if stop and found.keys() >= set(layers):
                break
            hidden = found[f"block{number}"] = block(hidden)
        return hidden, [found[name] for name in layers]

    def decode(self, hidden: Tensor) -> Tensor:
        """The second half: two stages up and the head; (B, 4 * base, H/4, W/4) to (B, out_channels, H, W)."""
        for conv in self.up:
            if self.config["antialias_up"]:
                hidden = upsample(hidden)
            hidden = norm_relu(conv(hidden))  # [B, 2C, H/2, W/2], then [B, C, H, W]
        return torch.tanh(self.head(reflect_pad(hidden, 3)))

    def layer_channels(self) -> dict[str, int]:
        """Channels of every layer that `encode` can return, by its name."""
        base = self.config["base_channels"]
        blocks = {f"block{number}": base * 4 for number in range(1, len(self.blocks) + 1)}
        return {"input": self.config["in_channels"], "down1": base * 2, "down2": base * 4, **blocks}


class ResidualBlock(nn.Module):
    """Two padded 3x3 convolutions with instance norm, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        inner = norm_relu(self.conv1(reflect_pad(hidden, 1)))
        return hidden + instance_norm(self.conv2(reflect_pad(inner, 1)))


class PatchDiscriminator(ModelMixin, ConfigMixin):
    """PatchGAN: judges overlapping patches of 70 x 70 pixels, each with a logit of its own (CUT appendix C.1).

    Args:
        in_channels: of the picture.
        base_channels: of the first layer.
        num_layers: stages that halve the resolution; 3 gives patches of 70 pixels.
        antialias: blur before dropping pixels.
        gain: of the Xavier initialization.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_layers: int = 3,
        antialias: bool = True,
        gain: float = 0.02,
    ):
        super().__init__()
        widths = [in_channels, *(base_channels * min(2**stage, 8) for stage in range(num_layers + 1))]
        strides = [*[1 if antialias else 2] * num_layers, 1]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride, padding=1)
            for before, after, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.convs.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        xavier_normal(self, gain)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H', W') of (B, in_channels, H, W) pictures in [-1, 1]; 256 x 256 pixels give 30 x 30."""
        hidden = image
        *convs, last = self.convs
        for number, conv in enumerate(convs):
            hidden = conv(hidden)
            if number:
                hidden = instance_norm(hidden)
            hidden = F.leaky_relu(hidden, 0.2)
            if self.config["antialias"] and number < self.config["num_layers"]:
                hidden = blur_down(hidden)
        return last(hidden)


def instance_norm(hidden: Tensor) -> Tensor:
    """Zero mean and unit variance of every channel of every picture; (B, C, H, W) to the same shape.

    For a single picture torch's gradient is wrong where the result's gradient arrives with its channels last (seen
    with 2.15 on a CPU; compiled code is right), so it is brought into plain order.
    """
    normalized = F.instance_norm(hidden)
    if normalized.requires_grad and not torch.compiler.is_compiling():
        normalized.register_hook(torch.Tensor.contiguous)
    return normalized


def norm_relu(hidden: Tensor) -> Tensor:
    """Instance norm without learned scale or statistics, then ReLU; (B, C, H, W) to the same shape."""
    return F.relu(instance_norm(hidden))


def reflect_pad(hidden: Tensor, width: int) -> Tensor:
    """Reflect `width` pixels at every border, without the border pixel itself; (B, C, H, W) to (B, C, H+2w, W+2w).

    Written with slices, which a compiler fuses into their neighbors, gradients included.
    """
    for dim in (3, 2):
        first, last = hidden.narrow(dim, 1, width), hidden.narrow(dim, hidden.shape[dim] - width - 1, width)
        hidden = torch.cat([first.flip(dim), hidden, last.flip(dim)], dim)
    return hidden


def blur_down(hidden: Tensor) -> Tensor:
    """Halve the resolution behind a [1, 2, 1] x [1, 2, 1] / 16 filter with reflected borders; odd sides round up.

    Written with slices: a depthwise convolution's gradient took a quarter of a training step on a CPU.
    """
    return _halve(_halve(hidden, dim=3), dim=2)


def _halve(hidden: Tensor, dim: int) -> Tensor:
    """[1, 2, 1] / 4 along `dim` at the even positions; the reflected neighbour of the first is the second."""
    even, odd = hidden[_every_second(dim, 0)], hidden[_every_second(dim, 1)]
    before = torch.cat([odd.narrow(dim, 0, 1), odd.narrow(dim, 0, even.shape[dim] - 1)], dim)
    after = odd if odd.shape == even.shape else torch.cat([odd, odd.narrow(dim, -1, 1)], dim)
    return (before + after) * 0.25 + even * 0.5


def _every_second(dim: int, start: int) -> tuple[slice, ...]:
    return (slice(None),) * dim + (slice(start, None, 2),)


def upsample(hidden: Tensor) -> Tensor:
    """Double the resolution by bilinear interpolation: the [1, 3, 3, 1] filter of anti-aliased upsampling."""
    return F.interpolate(hidden, scale_factor=2, mode="bilinear", align_corners=False)


def _down_conv(before: int, after: int, antialias: bool) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=1 if antialias else 2, padding=1)


def _up_conv(before: int, after: int, antialias: bool) -> nn.Module:
    if antialias:
        return nn.Conv2d(before, after, 3, padding=1)
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
