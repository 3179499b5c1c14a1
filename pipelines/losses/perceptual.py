"""Perceptual losses on feature maps of a frozen network."""

import torch
from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Second moments of the channels of a map (B, C, h, w), divided by C * h * w: (B, C, C)."""
    flat = features.flatten(2)  # (B, C, hw)
    return torch.bmm(flat, flat.transpose(1, 2)) / (flat.shape[1] * flat.shape[2])


def gram_distance(features: Tensor, target: Tensor) -> Tensor:
    """Squared Frobenius distance of two Gram matrices (OEFT eq. 9; Johnson et al., arXiv 1603.08155).

    Args:
        features: Map (B, C, h, w).
        target: Map (B, C, h', w'); its size may differ.

    Returns:
        The mean over images, a scalar.
    """
    return (gram_matrix(features) - gram_matrix(target)).square().sum(dim=(1, 2)).mean()


def feature_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two maps, for each picture: mGANprior's perceptual distance.

    Args:
        features: Map (B, C, h, w).
        target: Map (B or 1, C, h, w).

    Returns:
        (B,).
    """
    return (features - target).abs().mean(dim=(1, 2, 3))
