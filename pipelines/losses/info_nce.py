"""InfoNCE over positions: the contrastive loss that CUT and OEFT share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Contrast every query with all keys of its own image; the key at the same position is the positive.

    Source: CUT sec. 3.2; OEFT eq. 7-8 (all other positions are negatives of one denominator).

    Args:
        query: (B, N, C), each vector of unit length.
        key: (B, N, C), each vector of unit length.
        temperature: tau > 0; similarities are divided by it.

    Returns:
        The mean over images and positions, a scalar.
    """
    logits = torch.bmm(query, key.transpose(1, 2)) / temperature  # (B, N, N)
    batch, positions, _ = logits.shape
    labels = torch.arange(positions, device=logits.device).repeat(batch)
    return F.cross_entropy(logits.flatten(0, 1), labels)
