"""Differentiable augmentation: what a discriminator sees of real and generated pictures alike.

Zhao et al., arXiv 2006.10738: without it a discriminator learns a small set by heart; because the generator is trained
through the same changes, it does not learn to make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

COLOR_RANGES = torch.tensor([(-0.5, 1.0), (0.0, 2.0), (0.5, 1.0)])  # brightness, saturation, contrast: lowest, range
LARGEST_SHIFT = 1 / 8  # of the side
CUTOUT = 1 / 2  # of the side


@dataclass(frozen=True)
class DiffAugment:
    """Changes that were drawn for a batch; call it on the batch, or on several that shall be changed alike.

    Attributes:
        color: brightness, saturation and contrast, (3, B, 1, 1, 1), or None.
        rows: row that every row of the result is taken from, (B, H), in a picture with a border of zeros; or None.
        columns: the same of columns, (B, W).
        mask: what is kept, (B, 1, H, W) of 0 and 1, or None.
    """

    color: Tensor | None
    rows: Tensor | None
    columns: Tensor | None
    mask: Tensor | None

    @classmethod
    def draw(
        cls, kinds: Sequence[str], count: int, size: int, generator: torch.Generator, device: torch.device
    ) -> Self:
        """Draw changes.

        Args:
            kinds: some of `pipelines.training.gan_config.KINDS`; none changes nothing.
            count: pictures of the batch.
            size: their side in pixels.
            generator: a CPU generator.
            device: of the pictures.
        """
        color = rows = columns = mask = None
        if "color" in kinds:
            lowest, range_ = COLOR_RANGES.T[:, :, None, None, None, None]  # [3, 1, 1, 1, 1] each
            color = (lowest + range_ * torch.rand(3, count, 1, 1, 1, generator=generator)).to(device)
        if "translation" in kinds:
            shift = round(size * LARGEST_SHIFT)
            moves = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
            rows, columns = (torch.arange(size) + moves + 1).clamp(0, size + 1).to(device)  # 0 and size + 1 are zeros
        if "cutout" in kinds:
            side = round(size * CUTOUT)
            starts = torch.randint(-(side // 2), size - side // 2, (2, count, 1), generator=generator)
            places = torch.arange(size)
            inside = (places >= starts) & (places < starts + side)  # [2, B, size]
            mask = (~(inside[0][:, :, None] & inside[1][:, None, :]))[:, None].float().to(device)
        return cls(color, rows, columns, mask)

    def __call__(self, images: Tensor) -> Tensor:
        """Change (B, 3, H, W) pictures in [-1, 1]; colors may leave that range."""
        if self.color is not None:
            brightness, saturation, contrast = self.color
            images = images + brightness
            grey = images.mean(dim=1, keepdim=True)
            images = torch.lerp(grey, images, saturation)
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = torch.lerp(mean, images, contrast)
        if self.rows is not None and self.columns is not None:
            batch = torch.arange(len(images), device=images.device)[:, None, None]
            bordered = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # [B, H+2, W+2, 3]
            images = bordered[batch, self.rows[:, :, None], self.columns[:, None, :]].permute(0, 3, 1, 2)
        return images if self.mask is None else images * self.mask
