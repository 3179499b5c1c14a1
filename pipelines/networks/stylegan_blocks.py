"""Parts of StyleGAN (Karras et al., arXiv 1812.04948): equalized layers, blur, resampling, styled blocks.

Unlike in StyleGAN2, the gain of the leaky ReLU (slope 0.2) stands at the weights alone: biases are used as stored.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.networks.stylegan2_blocks import leaky_relu

NORM_EPSILON = 1e-5
PIXEL_NORM_EPSILON = 1e-8


class ScaledConv2d(nn.Module):
    """Convolution with equalized learning rate (arXiv 1710.10196, sec. 4.1) and He's gain, sqrt(2 / fan-in).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: 1, 3 or 4.
        padding: zeros at every border.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = math.sqrt(2 / (in_channels * kernel_size**2))
        self.padding = padding

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H', W')."""
        return F.conv2d(hidden, self.weight * self.scale, self.bias, padding=self.padding)


class NearestUpConv(ScaledConv2d):
    """Nearest upsampling and 3x3 convolution, (B, in_channels, H, W) to (B, out_channels, 2H, 2W).

    The two are one transposed convolution with the kernel of 4x4 that they amount to.

    Args:
        in_channels: of the input.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=3)

    def forward(self, hidden: Tensor) -> Tensor:
        """Upsample, convolve."""
        return self.upsample(hidden, self.bias)

    def upsample(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """As `forward`, with a bias (out_channels,) or none."""
        kernel = _mean_of_shifts(self.weight.flip(2, 3).transpose(0, 1) * (self.scale * 4))
        return F.conv_transpose2d(hidden, kernel, bias, stride=2, padding=1)


class UpConv(NearestUpConv):
    """`NearestUpConv` and blur.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        bias_after_blur: the bias is not blurred, which shows at the borders, where the blur mixes in zeros.
    """

    def __init__(self, in_channels: int, out_channels: int, bias_after_blur: bool = False):
        super().__init__(in_channels, out_channels)
        self.bias_after_blur = bias_after_blur

    def forward(self, hidden: Tensor) -> Tensor:
        """Upsample, convolve, blur."""
        if self.bias_after_blur:
            return blur(self.upsample(hidden, None)) + self.bias[:, None, None]
        return blur(self.upsample(hidden, self.bias))


class DownConv(ScaledConv2d):
    """Blur, 3x3 convolution and mean of 2x2 pixels, (B, in_channels, H, W) to (B, out_channels, H / 2, W / 2).

    The last two are one convolution of stride 2 with the kernel of 4x4 that they amount to.

    Args:
        in_channels: of the input.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, kernel_size=3)

    def forward(self, hidden: Tensor) -> Tensor:
        """Blur, convolve, downsample."""
        return F.conv2d(blur(hidden), _mean_of_shifts(self.weight * self.scale), self.bias, stride=2, padding=1)


class ScaledLinear(nn.Module):
    """Linear layer with equalized learning rate, see `ScaledConv2d`.

    Args:
        in_features: of the input.
        out_features: of the output.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = math.sqrt(2 / in_features)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_features) to (B, out_features)."""
        return F.linear(hidden, self.weight * self.scale, self.bias)


class StyledActivation(nn.Module):
    """Noise of a learned strength per channel, leaky ReLU, and adaptive instance normalization (eq. 1).

    Args:
        channels: of the hidden map.
        style_dim: of a style.
        norm_epsilon: added to variances.
    """

    def __init__(self, channels: int, style_dim: int, norm_epsilon: float = NORM_EPSILON):
        super().__init__()
        self.norm_epsilon = norm_epsilon
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.style = ScaledLinear(style_dim, 2 * channels)  # scales, then shifts
        nn.init.ones_(self.style.bias[:channels])

    def forward(self, hidden: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """(B, C, H, W), a style (B, style_dim) and noise (B, 1, H, W) or None to (B, C, H, W)."""
        if noise is not None:
            hidden = hidden + (self.noise_strength.view(-1, 1, 1) * noise).to(hidden.dtype)
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        return scale * F.instance_norm(leaky_relu(hidden), eps=self.norm_epsilon) + shift


class StyledBlock(nn.Module):
    """Two layers of one resolution, each with a `StyledActivation` (fig. 1b).

    Args:
        in_channels: of the input, which is upsampled; None for the first block, which activates its input as it is.
        out_channels: of the output.
        style_dim: of a style.
        bias_after_blur: see `UpConv`.
        norm_epsilon: see `StyledActivation`.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        style_dim: int,
        bias_after_blur: bool = False,
        norm_epsilon: float = NORM_EPSILON,
    ):
        super().__init__()
        self.up = None if in_channels is None else UpConv(in_channels, out_channels, bias_after_blur)
        self.style1 = StyledActivation(out_channels, style_dim, norm_epsilon)
        self.conv = ScaledConv2d(out_channels, out_channels, 3, padding=1)
        self.style2 = StyledActivation(out_channels, style_dim, norm_epsilon)

    def forward(self, hidden: Tensor, styles: Tensor, noise: Tensor | None) -> Tensor:
        """One resolution on.

        Args:
            hidden: (B, in_channels, H, W).
            styles: (B, 2, style_dim), one for each activation.
            noise: (B, 1, 2H, 2W) for both activations, (B, 2, 2H, 2W) for each its own, or None for none.

        Returns:
            (B, out_channels, 2H, 2W); H and W in the first block.
        """
        noise1, noise2 = (None, None) if noise is None else (noise[:, :1], noise[:, -1:])
        hidden = hidden if self.up is None else self.up(hidden)
        hidden = self.style1(hidden, styles[:, 0], noise1)
        return self.style2(self.conv(hidden), styles[:, 1], noise2)


class DownBlock(nn.Module):
    """Two convolutions with leaky ReLU, the second halves the resolution (arXiv 1710.10196, table 2).

    Args:
        in_channels: of the input.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = ScaledConv2d(in_channels, out_channels, 3, padding=1)
        self.down = DownConv(out_channels, out_channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H / 2, W / 2)."""
        return leaky_relu(self.down(leaky_relu(self.conv(hidden))))


def pixel_norm(hidden: Tensor) -> Tensor:
    """Divide by the root mean square over dimension 1 (arXiv 1710.10196, sec. 4.2)."""
    return hidden * torch.rsqrt(hidden.square().mean(dim=1, keepdim=True) + PIXEL_NORM_EPSILON)


def blur(hidden: Tensor) -> Tensor:
    """Filter every channel with [1, 2, 1] x [1, 2, 1] / 16 behind zero padding; the shape stays.

    Two means over 2x2 pixels are that filter, and have faster gradients than a depthwise convolution.
    """
    return F.avg_pool2d(F.avg_pool2d(hidden, 2, stride=1, padding=1), 2, stride=1)


def blur_kernel(channels: int) -> Tensor:
    """The filter of `blur` as a depthwise convolution has it, (channels, 1, 3, 3)."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    return torch.outer(taps, taps).expand(channels, 1, 3, 3)


def append_deviation(hidden: Tensor) -> Tensor:
    """Append one channel: the mean deviation over the batch (arXiv 1710.10196, sec. 3), one number everywhere.

    Args:
        hidden: (B, C, H, W); the batch is one group.

    Returns:
        (B, C + 1, H, W).
    """
    variance = hidden.float().var(dim=0, unbiased=False)
    deviation = (variance + PIXEL_NORM_EPSILON).sqrt().mean().to(hidden.dtype)
    return torch.cat([hidden, deviation.expand(len(hidden), 1, *hidden.shape[-2:])], dim=1)


def _mean_of_shifts(kernel: Tensor) -> Tensor:
    """(O, I, 3, 3) to (O, I, 4, 4): the mean of the kernel at the four places in a field of 4x4."""
    return F.avg_pool2d(F.pad(kernel, (1, 1, 1, 1)), 2, stride=1)
