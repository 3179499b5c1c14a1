"""PatchNCE: what stands at a place of the input should be recognizable at the same place of the output."""

from collections.abc import Sequence

from torch import Tensor

from pipelines.losses.info_nce import info_nce


def patch_nce(
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    temperature: float,
    *,
    negatives: Sequence[Tensor] | None = None,
    across_batch: bool = False,
    train_keys: bool = False,
) -> Tensor:
    """InfoNCE of sampled places, averaged over the layers (CUT eq. 2-4).

    Args:
        queries: one (B, N, C) a layer, unit vectors of the output's places.
        keys: the same of the input's places; no gradient flows into them by default.
        temperature: tau > 0.
        negatives: one (M, C) a layer of other pictures' places, which then stand in the place of the internal
            negatives (CUT's external variant).
        across_batch: the other pictures of the batch give negatives too (SinCUT).
        train_keys: let the gradient flow into the keys, where they have networks of their own.

    Returns:
        A scalar.
    """
    losses = []
    for layer, (query, key) in enumerate(zip(queries, keys, strict=True)):
        if across_batch:
            query, key = query.flatten(0, 1).unsqueeze(0), key.flatten(0, 1).unsqueeze(0)  # [1, B * N, C]
        others = None if negatives is None else negatives[layer]
        losses.append(info_nce(query, key if train_keys else key.detach(), temperature, negatives=others))
    return sum(losses[1:], losses[0]) / len(losses)
