"""Parts of BigGAN (Brock et al., arXiv 1809.11096, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.networks.spectral_norm import SNConv2d, SNLinear

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.1


class ConditionalBatchNorm(nn.Module):
    """Batch normalization whose gain and bias are linear in a condition.

    Args:
        channels: of the maps.
        condition_channels: of the condition.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, condition_channels: int):
        super().__init__()
        self.gain = SNLinear(condition_channels, channels, bias=False)  # what is added to a gain of 1
        self.bias = SNLinear(condition_channels, channels, bias=False)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """Normalize (B, channels, H, W) by the batch in training, by the running statistics in evaluation.

        Args:
            hidden: (B, channels, H, W).
            condition: (B, condition_channels).
        """
        gain = (1 + self.gain(condition))[:, :, None, None]
        bias = self.bias(condition)[:, :, None, None]
        if not self.training:  # one multiplication and one addition for normalization and condition together
            scale = (self.running_var + BATCH_NORM_EPSILON).rsqrt()[:, None, None]
            gain = gain * scale
            bias = bias - self.running_mean[:, None, None] * gain
            return torch.addcmul(bias.to(hidden.dtype), hidden, gain.to(hidden.dtype))
        normalized = F.batch_norm(
            hidden,
            self.running_mean,
            self.running_var,
            training=True,
            momentum=BATCH_NORM_MOMENTUM,
            eps=BATCH_NORM_EPSILON,
        )
        return torch.addcmul(bias.to(hidden.dtype), normalized, gain.to(hidden.dtype))


class GeneratorBlock(nn.Module):
    """Residual block that doubles the resolution (arXiv 1809.11096, fig. 15b).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        condition_channels: of the condition of both normalizations.
    """

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int):
        super().__init__()
        self.norm1 = ConditionalBatchNorm(in_channels, condition_channels)
        self.conv1 = SNConv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = ConditionalBatchNorm(out_channels, condition_channels)
        self.conv2 = SNConv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = SNConv2d(in_channels, out_channels, 1)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """(B, in_channels, H, W) and (B, condition_channels) to (B, out_channels, 2H, 2W)."""
        inner = self.conv1(upsample(F.relu(self.norm1(hidden, condition))))
        inner = self.conv2(F.relu(self.norm2(inner, condition)))
        return inner + upsample(self.shortcut(hidden))  # a 1x1 convolution may as well come before the enlargement


class DiscriminatorBlock(nn.Module):
    """Residual block of the discriminator (arXiv 1809.11096, fig. 15c).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        activate: ReLU in front of the first convolution; the block that sees the picture has none.
        down: halve the resolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, activate: bool = True, down: bool = True):
        super().__init__()
        self.activate, self.down = activate, down
        self.conv1 = SNConv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = SNConv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = SNConv2d(in_channels, out_channels, 1) if down or in_channels != out_channels else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W), or H / 2 and W / 2 with `down`."""
        inner = self.conv2(F.relu(self.conv1(F.relu(hidden) if self.activate else hidden)))
        if self.down:  # a 1x1 convolution may as well come behind the reduction
            inner, hidden = F.avg_pool2d(inner, 2), F.avg_pool2d(hidden, 2)
        return inner + (hidden if self.shortcut is None else self.shortcut(hidden))


class SelfAttention(nn.Module):
    """Attention over positions, keys and values at half the resolution (Zhang et al., arXiv 1805.08318).

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = SNConv2d(channels, channels // 8, 1, bias=False)
        self.key = SNConv2d(channels, channels // 8, 1, bias=False)
        self.value = SNConv2d(channels, channels // 2, 1, bias=False)
        self.output = SNConv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape; H and W even."""
        query = _places(self.query(hidden))  # [B, HW, C/8]
        key = _places(F.max_pool2d(self.key(hidden), 2))  # [B, HW/4, C/8]
        value = _places(F.max_pool2d(self.value(hidden), 2))  # [B, HW/4, C/2]
        weights = torch.softmax(query @ key.mT, dim=-1)  # [B, HW, HW/4]
        attended = (weights @ value).mT.unflatten(2, hidden.shape[2:])  # [B, C/2, H, W]
        return hidden + self.gamma * self.output(attended)


def upsample(hidden: Tensor) -> Tensor:
    """Double the resolution by repeating pixels."""
    return F.interpolate(hidden, scale_factor=2, mode="nearest")


def _places(maps: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H * W, C)."""
    return maps.flatten(2).mT
