"""Generators whose blocks double the resolution, left and entered at any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

START = 4  # pixels: where generators begin


def run_blocks(
    block: Callable[[int, Tensor], Tensor],
    num_blocks: int,
    hidden: Tensor,
    start: int,
    stop: int | None,
    features: Mapping[int, Tensor] | None,
) -> Tensor:
    """From the map at one resolution to the map at another.

    Args:
        block: number of a block, counted from the one that ends at 8 pixels, and its input to its output.
        num_blocks: up to the picture's resolution.
        hidden: (B, channels, start, start).
        start: resolution of `hidden`.
        stop: resolution to end at; None: the picture's.
        features: by resolution; those above `start` and up to `stop` are added to the map there, and at `start` when
            that is 4: (B, channels, resolution, resolution).

    Returns:
        (B, channels, stop, stop).
    """
    features = features or {}
    if start == START and START in features:
        hidden = hidden + features[START]
    for index in range(num_blocks):
        resolution = START << index + 1
        if resolution <= start:
            continue
        if stop is not None and resolution > stop:
            break
        hidden = block(index, hidden)
        if resolution in features:
            hidden = hidden + features[resolution]
    return hidden
