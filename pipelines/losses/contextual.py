"""The contextual loss (Mechrez et al., arXiv 1803.02077), as OEFT eq. 10 uses it."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

ROW_ELEMENTS = 1 << 19  # similarities held at a time when the rows are cut into blocks


def contextual_loss(features: Tensor, target: Tensor, bandwidth: float = 0.5, blocks: bool | None = None) -> Tensor:
    """`-log mean_u max_l CX(u, l)`: does every place u of the target find a counterpart l in the image?

    The cosine distances of a place l are divided by the smallest of them, turned into affinities and normalized over
    the places u of the target. Features are centered by the target's mean.

    Args:
        features: Map (B, C, h, w) of the image that is judged.
        target: Map (B, C, h', w') of the image whose content it should show.
        bandwidth: h in the source, > 0.
        blocks: Compute block by block and again in the backward pass, so that the matrix of (h w) x (h' w')
            distances is never held; None does so for large maps. Both agree to 1e-4.

    Returns:
        The mean over images, a scalar >= 0.
    """
    center = target.mean(dim=(2, 3), keepdim=True)
    rows = torch.nn.functional.normalize((features - center).flatten(2).transpose(1, 2), dim=2)  # (B, L, C)
    columns = torch.nn.functional.normalize((target - center).flatten(2), dim=1)  # (B, C, U)
    size = max(1, ROW_ELEMENTS // columns.shape[2])
    if blocks is None:
        blocks = rows.shape[1] > 2 * size  # a matrix of two blocks is quicker whole
    if not blocks:
        best = _best_affinity(rows, columns, bandwidth)
    else:
        parts = [
            checkpoint(_best_affinity, part, columns, bandwidth, use_reentrant=False, preserve_rng_state=False)
            for part in rows.split(size, dim=1)
        ]
        best = torch.stack(parts).amax(dim=0)
    return -best.mean(dim=1).log().mean()


def _best_affinity(rows: Tensor, columns: Tensor, bandwidth: float) -> Tensor:
    """Largest CX(u, l) over the given l for every u: (B, l, C), (B, C, U) -> (B, U)."""
    distance = 1 - torch.bmm(rows, columns)  # (B, l, U)
    relative = distance / (distance.amin(dim=2, keepdim=True) + 1e-5)
    return torch.softmax((1 - relative) / bandwidth, dim=2).amax(dim=1)
