"""Correlation and warp: the exemplar's colors at the places of the source (OEFT eq. 3-6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.oeft.attention import block_attention

ROUTES = ("matrix", "blocks", "sdpa")


def correlation(query: Tensor, key: Tensor) -> Tensor:
    """The whole matrix M(u, v) of cosines (OEFT eq. 3), for inspection.

    Args:
        query: Unit descriptors of the source (B, N, C).
        key: Unit descriptors of the exemplar (B, M, C).

    Returns:
        (B, N, M), range [-1, 1].
    """
    return torch.bmm(query, key.transpose(1, 2))


def choose_route(device: torch.device) -> str:
    """The fastest way to warp: `sdpa` on CUDA, whose kernels are made for this, and blocks elsewhere.

    On a CPU torch's fused attention wants values as wide as the descriptors and is several times slower backwards
    (`benchmarks/oeft_routes.py`); a matrix, even a small one, has weights that are denormal numbers, which are slow.
    """
    return "sdpa" if device.type == "cuda" else "blocks"


def warp(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    alpha: float,
    route: str | None = None,
    gradient_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`r(u) = sum_v softmax_v(alpha M(u, v)) x_T(v)` (OEFT eq. 6): attention whose values are the exemplar's patches.

    Args:
        query: Unit descriptors of the source (B, N, C).
        key: Unit descriptors of the exemplar (B, M, C).
        value: Patches of the exemplar (B, M, D), see `to_patches`.
        alpha: Sharpness of the softmax, > 0.
        route: One of `ROUTES`; None chooses by device. They agree to 2e-4.
        gradient_dtype: See `block_attention`; the other two routes do not use it.

    Returns:
        Patches of the warp (B, N, D).

    Raises:
        ValueError: When `route` is not one of `ROUTES`.
    """
    route = route or choose_route(query.device)
    if route == "matrix":
        return torch.softmax(alpha * correlation(query, key), dim=2) @ value
    if route == "blocks":
        return block_attention(query, key, value, alpha, gradient_dtype)
    if route == "sdpa":
        return _fused_attention(query, key, value, alpha)
    raise ValueError(f"`route` is {route!r}; accepted are {', '.join(ROUTES)}, or None.")


def _fused_attention(query: Tensor, key: Tensor, value: Tensor, alpha: float) -> Tensor:
    """`warp` by torch's fused attention.

    The fused kernels want descriptors and values of one width; with narrow values torch would silently compute the
    whole matrix instead, so the values are padded with zeros that cost a little and change nothing.
    """
    width = max(query.shape[2], value.shape[2])
    width += -width % 8
    query, key, padded = (F.pad(each, (0, width - each.shape[2]))[:, None] for each in (query, key, value))
    warped = F.scaled_dot_product_attention(query, key, padded, scale=alpha)[:, 0]
    return warped[:, :, : value.shape[2]]


def to_patches(image: Tensor, side: int) -> Tensor:
    """Cut an image (B, 3, H, W) into its side x side patches (B, H/side * W/side, 3 * side**2)."""
    return F.pixel_unshuffle(image, side).flatten(2).transpose(1, 2)


def from_patches(patches: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Put patches (B, h * w, 3 * side**2) back together to an image (B, 3, h * side, w * side)."""
    return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, grid), side)
