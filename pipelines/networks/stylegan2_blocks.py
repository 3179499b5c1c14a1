"""Parts of StyleGAN2 without style (Karras et al., arXiv 1912.04958): equalized layers, blur, residual blocks.

Every activation is a leaky ReLU of slope 0.2 times sqrt(2), which keeps the variance. It is homogeneous, so the
factor is multiplied into the weights and biases in front of it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATION_GAIN = math.sqrt(2)
SUM_GAIN = math.sqrt(0.5)  # keeps the variance of a sum of two


class EqualizedConv2d(nn.Module):
    """Convolution with equalized learning rate (Karras et al., arXiv 1710.10196, sec. 4.1).

    The weights are stored with variance one and scaled by 1 / sqrt(fan-in) when they are used, so that Adam moves the
    weights of all layers at the same relative speed.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: 1 or 3.
        stride: 1 pads by half a kernel; 2 does not pad, because a blur in front of it has.
        activate: add a bias and apply the leaky ReLU.
        gain: factor of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        activate: bool = True,
        gain: float = 1.0,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.gain = gain * ACTIVATION_GAIN if activate else gain
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride = stride
        self.padding = kernel_size // 2 if stride == 1 else 0

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H', W')."""
        weight = self.weight * (self.scale * self.gain)
        if self.bias is None:
            return F.conv2d(hidden, weight, None, self.stride, self.padding)
        return leaky_relu(F.conv2d(hidden, weight, self.bias * self.gain, self.stride, self.padding))


class EqualizedLinear(nn.Module):
    """Linear layer with equalized learning rate, see `EqualizedConv2d`.

    Args:
        in_features: of the input.
        out_features: of the output.
        activate: apply the leaky ReLU.
    """

    def __init__(self, in_features: int, out_features: int, *, activate: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.gain = ACTIVATION_GAIN if activate else 1.0
        self.scale = 1 / math.sqrt(in_features)
        self.activate = activate

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_features) to (B, out_features)."""
        hidden = F.linear(hidden, self.weight * (self.scale * self.gain), self.bias * self.gain)
        return leaky_relu(hidden) if self.activate else hidden


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip, their sum divided by sqrt(2): StyleGAN2's discriminator block (sec. 4.1).

    Args:
        in_channels: of the input.
        out_channels: of the output; the same as `in_channels` without `down`.
        down: halve the resolution; the skip is then a 1x1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, down: bool):
        super().__init__()
        self.conv1 = EqualizedConv2d(in_channels, in_channels, 3)
        self.conv2 = EqualizedConv2d(in_channels, out_channels, 3, stride=2 if down else 1, gain=SUM_GAIN)
        self.skip = None
        if down:
            self.skip = EqualizedConv2d(in_channels, out_channels, 1, stride=2, activate=False, gain=SUM_GAIN)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W), or H / 2 and W / 2 with `down`."""
        inner = self.conv1(hidden)
        if self.skip is None:
            return torch.add(self.conv2(inner), hidden, alpha=SUM_GAIN)
        return self.conv2(blur(inner, 2)) + self.skip(blur(hidden, 1))


class UpConv(nn.Module):
    """Doubles the resolution: transposed 3x3 convolution, blur, noise, bias and leaky ReLU (StyleGAN2 fig. 2).

    Without a style, demodulation is what is left of the modulated convolution: the weights of every output channel are
    divided by their norm.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        noise: have a learned weight of noise, which starts at zero.
    """

    def __init__(self, in_channels: int, out_channels: int, *, noise: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.noise_weight: nn.Parameter | None = nn.Parameter(torch.zeros(1)) if noise else None
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, hidden: Tensor, noise: Tensor | None = None) -> Tensor:
        """Upsample.

        Args:
            hidden: (B, in_channels, H, W).
            noise: (B, 1, 2H, 2W) of unit variance, or None for none.

        Returns:
            (B, out_channels, 2H, 2W).
        """
        # The factor 4 makes up for the zeros that a transposed convolution of stride 2 puts between pixels.
        weight = self.demodulated() * (4 * ACTIVATION_GAIN)
        hidden = blur(F.conv_transpose2d(hidden, weight.transpose(0, 1), stride=2), 1)
        hidden = hidden + (self.bias * ACTIVATION_GAIN).to(hidden.dtype).view(1, -1, 1, 1)
        if noise is not None and self.noise_weight is not None:
            hidden = hidden + (self.noise_weight * noise * ACTIVATION_GAIN).to(hidden.dtype)
        return leaky_relu(hidden)

    def demodulated(self) -> Tensor:
        """The weights at run time, (out_channels, in_channels, 3, 3), of unit norm for every output channel."""
        weight = self.weight / math.sqrt(self.weight[0].numel())
        return weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)


def leaky_relu(hidden: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, in place."""
    return F.leaky_relu(hidden, 0.2, inplace=True)


def blur_filter(device: torch.device | None = None) -> Tensor:
    """What `blur` filters with: [1, 3, 3, 1] x [1, 3, 3, 1] / 64, (4, 4)."""
    taps = (4 - 2 * (torch.arange(4, device=device) - 1.5).abs()) / 8  # counted on the device: nothing waits for a GPU
    return torch.outer(taps, taps)


def blur(hidden: Tensor, padding: int) -> Tensor:
    """Filter with `blur_filter` behind zero padding (StyleGAN2's low-pass filter at resampling).

    Args:
        hidden: (B, C, H, W).
        padding: zeros at every border, 1 or 2.

    Returns:
        (B, C, H + 2 * padding - 3, W + 2 * padding - 3).
    """
    return _Blur.apply(hidden, padding)


class _Blur(torch.autograd.Function):
    """The filter is its own mirror image, so its gradient is the same filter with the padding that is left of 3.

    Torch's own gradients of a depthwise convolution, the second above all, take longer on a CPU than the convolution.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, padding: int) -> Tensor:
        ctx.padding = padding
        channels = hidden.shape[1]
        kernel = blur_filter(hidden.device).to(hidden.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(hidden, kernel, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Blur.apply(gradient, 3 - ctx.padding), None
