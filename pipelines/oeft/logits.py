"""Logits relative to an offset as one product of two factors, in fp32 or bfloat16.

A processor multiplies bfloat16 several times as fast as fp32, and sums up in fp32; but the result is rounded to
bfloat16, by up to 1/512 of itself. So an offset is subtracted within the product, and the difference is rounded. With
the log-sum-exp of a row as offset it is the logarithm of a softmax weight, which is near 0 where the weight is large.

`query_factor(query, offset, layout) @ key_factor(key, layout).T` is `query . key - offset`. A factor's first C
channels are the vectors themselves, in its precision.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SHARP_SCALE = 20.0  # from it on a softmax feels that unit vectors were rounded to bfloat16
OFFSET_CHANNELS = 3  # an fp32 number is the sum of three of bfloat16
WIDTH = 32  # products are fastest where the number of channels is a multiple of it


@dataclass(frozen=True)
class Layout:
    """What the channels of the factors hold.

    Attributes:
        dtype: float32 or bfloat16.
        split: Every vector is a large bfloat16 vector and a small one, what rounding left over. Three of the four
            products are summed up; the product of the small ones does not count.
    """

    dtype: torch.dtype
    split: bool

    @classmethod
    def of(cls, scale: float, dtype: torch.dtype) -> "Layout":
        """The layout that is exact enough for a softmax over cosines times `scale`."""
        return cls(dtype, split=dtype == torch.bfloat16 and scale >= SHARP_SCALE)


def query_factor(query: Tensor, offset: Tensor, layout: Layout) -> Tensor:
    """The factor of the queries (n, C), one offset for each (n,), both fp32 -> (n, W) in the layout's precision."""
    parts, rest = [], -offset
    for _ in range(OFFSET_CHANNELS):
        parts.append(rest.to(layout.dtype))
        rest = rest - parts[-1]
    return _factor(query, ("large", "large", "small"), torch.stack(parts, dim=1), layout)


def key_factor(key: Tensor, layout: Layout) -> Tensor:
    """The factor of the keys (m, C), fp32 -> (m, W) in the layout's precision."""
    return _factor(key, ("large", "small", "large"), key.new_ones(1, OFFSET_CHANNELS), layout)


def _factor(vectors: Tensor, parts: tuple[str, ...], extra: Tensor, layout: Layout) -> Tensor:
    """Vectors (n, C), further ones if the layout splits, then the extra channels, then zeros."""
    count, channels = vectors.shape
    parts = parts if layout.split else parts[:1]
    used = len(parts) * channels + OFFSET_CHANNELS
    factor = vectors.new_empty(count, used + -used % WIDTH, dtype=layout.dtype)
    large = factor[:, :channels].copy_(vectors)
    for number, part in enumerate(parts[1:], start=1):
        place = factor[:, number * channels : (number + 1) * channels]
        torch.sub(vectors, large, out=place) if part == "small" else place.copy_(large)
    factor[:, used - OFFSET_CHANNELS : used] = extra
    factor[:, used:] = 0
    return factor
