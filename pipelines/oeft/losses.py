"""The losses of correspondence fine-tuning, each under its own name (OEFT eq. 7-11)."""

import torch
from torch import Tensor

from pipelines.losses.contextual import contextual_loss
from pipelines.losses.perceptual import gram_distance
from pipelines.oeft.attention import block_log_sum_exp


def contrastive_loss(
    source: Tensor, warped: Tensor, temperature: float, precision: torch.dtype = torch.float32
) -> Tensor:
    """InfoNCE between a place of the source and the same place of the warp, against all other places (eq. 7-8).

    Args:
        source: Unit descriptors of the source (B, N, C).
        warped: Unit descriptors of the warp (B, N, C).
        temperature: tau > 0.
        precision: Of the matrix products; with bfloat16 the loss agrees to 1e-3, its gradients to 2e-2.

    Returns:
        The mean over places, a scalar: `info_nce` of the two, whose matrix is never held.
    """
    positive = (source * warped).sum(dim=2) / temperature  # (B, N)
    return (block_log_sum_exp(source, warped, 1 / temperature, positive, precision) - positive).mean()


def perceptual_loss(maps: dict[str, Tensor], exemplar_maps: dict[str, Tensor], taps: tuple[str, ...]) -> Tensor:
    """Sum over layers of the distance of Gram matrices between warp and exemplar (eq. 9).

    Args:
        maps: Frozen features of the warp by layer, (B, C, h, w).
        exemplar_maps: Those of the exemplar.
        taps: The layers that count.
    """
    return torch.stack([gram_distance(maps[tap], exemplar_maps[tap]) for tap in taps]).sum()


def context_loss(
    maps: dict[str, Tensor], exemplar_maps: dict[str, Tensor], taps: tuple[str, ...], bandwidth: float
) -> Tensor:
    """Sum over layers of the contextual loss between warp and exemplar (eq. 10); arguments as in `perceptual_loss`."""
    return torch.stack([contextual_loss(maps[tap], exemplar_maps[tap], bandwidth) for tap in taps]).sum()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighboring pixels of an image (B, 3, H, W).

    The "regularization" that the paper's introduction names and never defines; its weight is 0 by default.
    """
    return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()
