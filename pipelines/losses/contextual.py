"""The contextual loss (Mechrez et al., arXiv 1803.02077), as OEFT eq. 10 uses it."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_ELEMENTS = 1 << 19  # similarities held at a time
EPSILON = 1e-5  # keeps the smallest distance above 0
SMALLEST_EXPONENT = -60.0  # weights below e^-60 would end as denormal numbers, which processors are slow with


def contextual_loss(features: Tensor, target: Tensor, bandwidth: float = 0.5, blocks: bool = True) -> Tensor:
    """`-log mean_u max_l CX(u, l)`: does every place u of the target find a counterpart l in the image?

    The cosine distances of a place l are divided by the smallest of them, turned into affinities and normalized over
    the places u of the target. Features are centered by the target's mean.

    Args:
        features: Map (B, C, h, w) of the image that is judged.
        target: Map (B, C, h', w') of the image whose content it should show.
        bandwidth: h in the source, > 0.
        blocks: Compute block by block, and in the backward pass only the places l again that are a counterpart, so
            that the matrix of (h w) x (h' w') distances is never held. False holds it, and is slower. Both agree to
            1e-4, but where several places are the counterpart alike, blocks give the gradient to the first of them.

    Returns:
        The mean over images, a scalar >= 0.
    """
    center = target.mean(dim=(2, 3), keepdim=True)
    places = F.normalize((features - center).flatten(2).transpose(1, 2), dim=2)  # (B, L, C)
    wanted = F.normalize((target - center).flatten(2).transpose(1, 2), dim=2)  # (B, U, C)
    if blocks:
        images = zip(places, wanted, strict=True)
        best = torch.stack([_BestAffinity.apply(of_image, of_target, bandwidth) for of_image, of_target in images])
    else:
        similarity = torch.bmm(places, wanted.transpose(1, 2))
        nearest = similarity.amax(dim=2, keepdim=True)
        best = torch.softmax((similarity - nearest) * _sharpness(nearest, bandwidth), dim=2).amax(dim=1)
    return -best.mean(dim=1).log().mean()


def _sharpness(nearest: Tensor, bandwidth: float) -> Tensor:
    """What similarities are multiplied by: distances are divided by the smallest of a place and by the bandwidth."""
    return 1 / (bandwidth * (1 - nearest + EPSILON))


def _row_blocks(num_rows: int, num_columns: int) -> list[slice]:
    size = max(1, BLOCK_ELEMENTS // num_columns)
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def _affinities(similarity: Tensor, sharpness: Tensor) -> Tensor:
    """CX (l, U) of similarities relative to the largest of each row (l, U), and of `_sharpness` (l, 1)."""
    weights = (similarity * sharpness).clamp_min_(SMALLEST_EXPONENT).exp_()
    return weights.div_(weights.sum(dim=1, keepdim=True))


class _BestAffinity(torch.autograd.Function):
    """Largest CX(u, l) over all l for every u of one image: (L, C), (U, C) -> (U,)."""

    @staticmethod
    def forward(ctx, places: Tensor, wanted: Tensor, bandwidth: float) -> Tensor:
        best = places.new_zeros(wanted.shape[0])
        counterpart = torch.zeros_like(best, dtype=torch.int64)  # the l of the largest, (U,)
        for rows in _row_blocks(places.shape[0], wanted.shape[0]):
            similarity = places[rows] @ wanted.T  # (l, U)
            nearest = similarity.amax(dim=1, keepdim=True)
            largest, row = _affinities(similarity.sub_(nearest), _sharpness(nearest, bandwidth)).max(dim=0)
            counterpart = torch.where(largest > best, row + rows.start, counterpart)
            best = torch.maximum(best, largest)
        ctx.save_for_backward(places, wanted, best, counterpart)
        ctx.bandwidth = bandwidth
        return best

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        places, wanted, best, counterpart = ctx.saved_tensors
        # The softmax over u of a place l: d logits = G * CX - CX * sum_u G * CX, where G is the gradient of CX.
        direct = gradients[0] * best  # G * CX is not 0 only where l is the counterpart of u; (U,)
        chosen, row = counterpart.unique(return_inverse=True)  # other places have no gradient; (K,), (U,)
        sums = torch.zeros_like(chosen, dtype=direct.dtype).index_add_(0, row, direct)
        grad_places = torch.zeros_like(places)
        grad_wanted = torch.zeros_like(wanted) if ctx.needs_input_grad[1] else None
        for rows in _row_blocks(chosen.shape[0], wanted.shape[0]):
            similarity = places[chosen[rows]] @ wanted.T  # (k, U)
            nearest, nearest_column = similarity.max(dim=1, keepdim=True)
            sharpness = _sharpness(nearest, ctx.bandwidth)
            grad_logits = _affinities(similarity.sub_(nearest), sharpness).mul_(-sums[rows, None])
            columns = ((row >= rows.start) & (row < rows.stop)).nonzero()[:, 0]
            grad_logits[row[columns] - rows.start, columns] += direct[columns]
            # A row of grad_logits sums up to 0, so `nearest` has a gradient through the sharpness only.
            grad_sharpness = similarity.mul_(grad_logits).sum(dim=1, keepdim=True)
            grad_similarity = grad_logits.mul_(sharpness)
            grad_similarity.scatter_add_(1, nearest_column, grad_sharpness * ctx.bandwidth * sharpness**2)
            grad_places[chosen[rows]] = grad_similarity @ wanted
            if grad_wanted is not None:
                grad_wanted.addmm_(grad_similarity.T, places[chosen[rows]])
        return grad_places, grad_wanted, None
