"""The image pool of CycleGAN: discriminators see earlier translations too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Translations of earlier steps (Zhu et al., arXiv 1703.10593, sec. 4: 50 of them).

    Args:
        size: pictures that it holds; 0 holds none and gives back what it gets.
    """

    def __init__(self, size: int):
        self.size = size
        self._pictures: list[Tensor] = []

    def swap(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pass pictures through the pool.

        Until the pool is full every picture is kept and given back. Then half of them, by chance, are kept in the
        place of a random earlier one, which is given back instead.

        Args:
            pictures: (B, C, H, W).
            generator: a CPU generator.

        Returns:
            (B, C, H, W), without gradients.
        """
        return torch.stack([self._swap_one(picture, generator) for picture in pictures.detach().clone()])

    def _swap_one(self, picture: Tensor, generator: torch.Generator | None) -> Tensor:
        if len(self._pictures) < self.size:
            self._pictures.append(picture)
            return picture
        if self.size == 0 or torch.rand((), generator=generator) < 0.5:
            return picture
        place = int(torch.randint(self.size, (), generator=generator))
        earlier, self._pictures[place] = self._pictures[place], picture
        return earlier

    def state_dict(self) -> dict[str, Any]:
        """The pictures."""
        return {"pictures": list(self._pictures)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Put back what `state_dict` returned."""
        self._pictures = [picture.to(device) for picture in state["pictures"]]
