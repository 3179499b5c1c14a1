"""Adversarial losses: least squares (CUT), non-saturating with R1 (SinCUT), hinge (BigGAN, DeepI2I)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def lsgan(logits: Tensor, real: bool) -> Tensor:
    """Least-squares loss of logits that ought to say real or fake (Mao et al., arXiv 1611.04076).

    Args:
        logits: any shape; one a patch.
        real: what they ought to say. A generator's loss is that of its fakes with `real=True`.

    Returns:
        The mean, a scalar.
    """
    return (logits.float() - float(real)).square().mean()


def nonsaturating(logits: Tensor, real: bool) -> Tensor:
    """Non-saturating logistic loss of logits that ought to say real or fake (Goodfellow et al., arXiv 1406.2661).

    Args:
        logits: any shape.
        real: what they ought to say. A generator's loss is that of its fakes with `real=True`.

    Returns:
        The mean, a scalar.
    """
    logits = logits.float()
    return F.softplus(-logits if real else logits).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared gradient of a discriminator at real pictures (Mescheder et al., arXiv 1801.04406).

    Args:
        logits: (B, ...), computed from `images` with a graph.
        images: (B, C, H, W) that require gradients.

    Returns:
        Mean over pictures of the sum of squares, a scalar that can be differentiated; the factor gamma / 2 is not
        in it.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def hinge_discriminator(logits: Tensor, real: bool) -> Tensor:
    """Hinge loss of a discriminator (Lim & Ye, arXiv 1705.02894).

    Args:
        logits: any shape.
        real: what they ought to say.

    Returns:
        The mean, a scalar: 0 for logits beyond 1 on the right side.
    """
    logits = logits.float()
    return F.relu(1 - logits if real else 1 + logits).mean()


def hinge_generator(logits: Tensor) -> Tensor:
    """The generator's side of the hinge loss: the negative mean of its fakes' logits, a scalar."""
    return -logits.float().mean()
