"""The memory bank of CUT's external negatives: keys of the pictures that were seen last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class MemoryBank:
    """The newest keys of one layer, first in first out (MoCo; CUT appendix C.1: 16384 a layer).

    It begins empty: a query that has no negatives yet has no loss.

    Args:
        size: keys that it holds.
        channels: of a key.
        device: where they lie.
    """

    def __init__(self, size: int, channels: int, device: torch.device):
        self._ring = torch.zeros(size, channels, device=device)
        self._added = 0

    @property
    def keys(self) -> Tensor:
        """The keys so far, (count, channels), count <= size; the next `add` overwrites the oldest in place."""
        return self._ring[: min(self._added, len(self._ring))]

    @torch.no_grad()
    def add(self, keys: Tensor) -> None:
        """Take in (..., channels) keys; of more than `size` the last ones stay."""
        keys = keys.flatten(0, -2)[-len(self._ring) :]
        places = torch.arange(self._added, self._added + len(keys), device=keys.device) % len(self._ring)
        self._ring[places] = keys
        self._added += len(keys)

    def state_dict(self) -> dict[str, Any]:
        """The keys, and where the next ones go."""
        return {"ring": self._ring, "added": self._added}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._ring.copy_(state["ring"])
        self._added = state["added"]
