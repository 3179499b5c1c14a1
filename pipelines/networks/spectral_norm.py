"""Spectral normalization: every weight matrix divided by its largest singular value (Miyato et al., arXiv 1802.05957).

The singular value is estimated by one step of power iteration from a stored vector `u`. Training moves `u` with every
forward pass; evaluation takes the step without storing it, so that a saved layer computes what it computed before.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6  # of the normalization of `u` and `v`


class _SpectralNorm(nn.Module):
    """What the three layers share; `weight` is (out, ...), `u` is (1, out), or None once the layer is folded."""

    weight: nn.Parameter
    u: Tensor | None

    def _add_u(self) -> None:
        self.register_buffer("u", torch.randn(1, len(self.weight)))

    def normalized_weight(self) -> Tensor:
        """The weight divided by its largest singular value."""
        if self.u is None:
            return self.weight
        weight = self.weight.float()
        # Its columns in the order of memory: no copy of channels-last weights.
        matrix = weight.permute(0, 2, 3, 1).flatten(1) if weight.dim() == 4 else weight
        with torch.autocast(weight.device.type, enabled=False):  # bf16 is half a per cent off
            with torch.no_grad():
                v = F.normalize(self.u.float() @ matrix, eps=EPSILON)  # [1, in]
                u = F.normalize(v @ matrix.T, eps=EPSILON)  # [1, out]
                if self.training:
                    self.u.copy_(u)
            singular_value = (v @ matrix.T @ u.T).squeeze()
        return (weight / singular_value).to(self.weight.dtype)


class SNConv2d(_SpectralNorm, nn.Conv2d):
    """A convolution whose weight is spectrally normalized; arguments as `torch.nn.Conv2d`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._add_u()

    def forward(self, hidden: Tensor) -> Tensor:
        """As `torch.nn.Conv2d`."""
        return self._conv_forward(hidden, self.normalized_weight(), self.bias)


class SNLinear(_SpectralNorm, nn.Linear):
    """A linear layer whose weight is spectrally normalized; arguments as `torch.nn.Linear`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._add_u()

    def forward(self, hidden: Tensor) -> Tensor:
        """As `torch.nn.Linear`."""
        return F.linear(hidden, self.normalized_weight(), self.bias)


class SNEmbedding(_SpectralNorm, nn.Embedding):
    """An embedding whose table is spectrally normalized; arguments as `torch.nn.Embedding`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._add_u()

    def forward(self, indices: Tensor) -> Tensor:
        """As `torch.nn.Embedding`."""
        return F.embedding(indices, self.normalized_weight())


@torch.no_grad()
def power_iterate(layer: _SpectralNorm, steps: int = 30) -> None:
    """Bring a layer's `u` up to date with weights that were put there, not trained."""
    training = layer.training
    layer.train()
    for _ in range(steps):
        layer.normalized_weight()
    layer.train(training)


@torch.no_grad()
def fold_spectral_norm(module: nn.Module) -> None:
    """Divide all weights once and for all, in place: the layers are plain ones from then on, for inference.

    The result is what evaluation computes, bit for bit; it cannot be trained on or saved as the network it was.
    """
    for layer in module.modules():
        if isinstance(layer, _SpectralNorm) and layer.u is not None:
            training = layer.training
            layer.eval()
            layer.weight.copy_(layer.normalized_weight())
            layer.train(training)
            layer.u = None
