"""From one class or latent to another: the steps between, and the frames that come of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

FORMATS = {".gif": {}, ".webp": {"quality": 90, "method": 6}}  # options of Pillow's writers
PARALLEL = 1e-6  # sine of an angle below which a direction between two vectors cannot be told


@dataclass
class DeepI2IAnimation:
    """What `DeepI2IPipeline.interpolate` returns.

    Attributes:
        images: the frames, PIL images, from the start to the end.
        notes: sentences on how they were made.
        arguments: of the call, as they were decided: the same pixels come out when they are passed again.
    """

    images: list[Image.Image]
    notes: tuple[str, ...]
    arguments: dict[str, Any]

    def save(self, path: str | Path, frames_per_second: float = 12.0, bounce: bool = True) -> None:
        """Write the frames as an animation that repeats.

        Args:
            path: ends in .gif (256 colors a frame) or .webp; an existing file is replaced.
            frames_per_second: above 0, at most 100.
            bounce: go back to the start through the same frames, instead of jumping there.

        Raises:
            ValueError: another format, or a rate out of its range.
            OSError: the file cannot be written.
        """
        options = FORMATS.get(Path(path).suffix.lower())
        if options is None:
            raise ValueError(f"`path` is {str(path)!r}; a name that ends in {' or '.join(FORMATS)} is accepted.")
        if not 0 < frames_per_second <= 100:
            raise ValueError(f"`frames_per_second` is {frames_per_second!r}; above 0 and at most 100 is accepted.")
        frames = self.images + (self.images[-2:0:-1] if bounce else [])
        duration = round(1000 / frames_per_second)  # milliseconds
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, loop=0, **options)


def linear_steps(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` vectors from `start` to `end`, both included exactly, (count, D)."""
    position = _positions(start, count)
    return (1 - position) * start + position * end


def spherical_steps(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` vectors from `start` to `end` along the arc between them, both included exactly, (count, D).

    On a straight line between two Gaussian latents the middle is shorter than a latent ever is; on the arc it is not.
    """
    first, last = start.double(), end.double()  # in fp32 the ends would be off in the last bit
    angle = torch.arccos(torch.cosine_similarity(first, last, dim=0).clamp(-1, 1))
    if angle.sin() < PARALLEL:
        return linear_steps(start, end, count)
    position = _positions(first, count)
    return ((((1 - position) * angle).sin() * first + (position * angle).sin() * last) / angle.sin()).to(start.dtype)


def _positions(like: Tensor, count: int) -> Tensor:
    return torch.linspace(0, 1, count, device=like.device, dtype=like.dtype)[:, None]  # [count, 1]
