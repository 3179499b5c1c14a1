"""InfoNCE over positions: the contrastive loss that CUT and OEFT share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(query: Tensor, key: Tensor, temperature: float, negatives: Tensor | None = None) -> Tensor:
    """Contrast every query with keys; the key at the same position is the positive.

    Source: CUT sec. 3.2; OEFT eq. 7-8 (all other positions are negatives of one denominator).

    Args:
        query: (B, N, C), each vector of unit length.
        key: (B, N, C), each vector of unit length.
        temperature: tau > 0; similarities are divided by it.
        negatives: (M, C) unit vectors to contrast with; None takes the other keys of the query's own image.

    Returns:
        The mean over images and positions, a scalar.
    """
    batch, positions, _ = query.shape
    if negatives is None:
        logits = torch.bmm(query, key.transpose(1, 2))  # (B, N, N)
        labels = torch.arange(positions, device=logits.device).repeat(batch)
    else:
        positive = (query * key).sum(dim=-1, keepdim=True)  # (B, N, 1)
        logits = torch.cat([positive, query @ negatives.T], dim=-1)  # (B, N, 1 + M)
        labels = torch.zeros(batch * positions, dtype=torch.int64, device=logits.device)
    return F.cross_entropy((logits / temperature).flatten(0, 1), labels)
