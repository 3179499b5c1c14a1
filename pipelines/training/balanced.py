"""Batches in which every class is equally frequent."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.training.datasets import ImageBatches, ImageSet, IndexStream


class BalancedStream(IndexStream):
    """Endless indices of a set: every class once a round, and all pictures of a class before one comes again.

    Args:
        labels: class of every picture, (N,).
        seed: another seed, another order.
    """

    def __init__(self, labels: Tensor, seed: int):
        super().__init__(len(labels), seed)
        self._members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
        self._classes = IndexStream(len(self._members), seed)
        self._orders: dict[tuple[int, int], Tensor] = {}

    def take(self, count: int) -> Tensor:
        """The next `count` indices, (count,) int64."""
        self._classes.position = self.position
        indices = torch.empty(count, dtype=torch.int64)
        for slot, label in enumerate(self._classes.take(count).tolist()):
            members = self._members[label]
            epoch, offset = divmod((self.position + slot) // len(self._members), len(members))
            indices[slot] = members[self._order_of(label, len(members), epoch)[offset]]
        self.position += count
        return indices

    def _order_of(self, label: int, length: int, epoch: int) -> Tensor:
        if (label, epoch) not in self._orders:
            self._orders.pop((label, epoch - 1), None)
            seed = ((self.seed * 1_000_003 + epoch) * 4099 + label) % 2**63
            self._orders[label, epoch] = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
        return self._orders[label, epoch]


class BalancedBatches(ImageBatches):
    """`ImageBatches` in which every class is equally frequent, however many pictures it has."""

    def __init__(self, dataset: ImageSet, batch_size: int, seed: int, process: int = 0, processes: int = 1):
        super().__init__(dataset, batch_size, seed, process, processes)
        self.stream = BalancedStream(dataset.labels, seed)
