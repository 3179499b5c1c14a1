"""Wasserstein loss with gradient penalty (Gulrajani et al., arXiv 1704.00028)."""

import torch
from torch import Tensor


def wasserstein(logits: Tensor, real: bool) -> Tensor:
    """Wasserstein loss of logits that ought to be high for real pictures, low for fakes.

    Args:
        logits: any shape.
        real: what they ought to say. A generator's loss is that of its fakes with `real=True`.

    Returns:
        The mean, a scalar.
    """
    return (-logits if real else logits).float().mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """How far a discriminator's gradient is from length one between real and fake pictures (eq. 3).

    Args:
        logits: (B, ...), computed from `images` with a graph.
        images: (B, C, H, W) that require gradients: reals and fakes mixed, each pair by its own share.

    Returns:
        Mean over pictures of the squared difference, a scalar that can be differentiated; the factor lambda is not in
        it.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()
