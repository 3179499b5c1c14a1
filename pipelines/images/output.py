"""From (3, H, W) pixels in [-1, 1] to what a pipeline returns."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.images.limits import ImageError

OUTPUT_TYPES = ("pil", "np", "pt")


def check_output_type(output_type: str) -> None:
    """Refuse an unknown output type, before any work is done.

    Raises:
        ImageError: it is not one of `OUTPUT_TYPES`.
    """
    if output_type not in OUTPUT_TYPES:
        raise ImageError(f"`output_type` is {output_type!r}; one of {', '.join(OUTPUT_TYPES)} is accepted.")


def to_output(
    images: Sequence[Tensor], output_type: str = "pil"
) -> list[Image.Image] | np.ndarray | list[np.ndarray] | Tensor | list[Tensor]:
    """Convert the images of one call.

    Args:
        images: each (3, H, W) in [-1, 1], any floating dtype and device; values outside are clamped.
        output_type: "pil", "np" or "pt".

    Returns:
        "pil": a list of RGB images. "np": (B, H, W, 3) fp32 in [0, 1]. "pt": (B, 3, H, W) fp32 in [0, 1] on the device
        of the images. Where sizes differ, "np" and "pt" give a list of single arrays or tensors instead.

    Raises:
        ImageError: another output_type.
    """
    check_output_type(output_type)
    unit = [((image.detach().float() + 1) / 2).clamp(0, 1) for image in images]
    if output_type == "pil":
        return [_to_pil(image) for image in unit]
    same_size = len({image.shape for image in unit}) == 1
    if output_type == "pt":
        return torch.stack(unit) if same_size else unit
    arrays = [image.permute(1, 2, 0).cpu().numpy() for image in unit]  # [H, W, 3]
    return np.stack(arrays) if same_size else arrays


def _to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())
