"""Preview sheets of a training run."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor


def sheet(rows: Sequence[Tensor]) -> Image.Image:
    """One picture of several rows of pictures.

    Args:
        rows: (N, 3, H, W) in [-1, 1] each, of one size.
    """
    strips = [torch.cat(list(row.float().cpu()), dim=2) for row in rows]  # [3, H, N * W]
    pixels = torch.cat(strips, dim=1).add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
