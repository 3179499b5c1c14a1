"""Inversion of a given picture: super-resolution, colorization and inpainting are eq. 12 with another `down`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.base import TranslationOutput
from pipelines.images.formats import read_image
from pipelines.images.geometry import enlarge
from pipelines.oeft.degradations import Degradation, area_to, at_least, masked, reduced_to, to_gray, with_luma_of
from pipelines.oeft.output import Hypothesis, join_images
from pipelines.oeft.refinement import Refinement, as_batch, as_hypothesis

DEGRADATIONS = ("none", "super-resolution", "colorization", "inpainting")
FOREIGN = "This does not look like what the checkpoint's generator knows: do not expect much of the result."
DEFAULT_FACTOR = 4  # of super-resolution: OEFT sec. 4.1


@dataclass
class InversionOutput(TranslationOutput):
    """What `OEFTPipeline.invert` returns.

    Attributes:
        images: The results, one an image; format by `output_type`.
        hypotheses: Every hypothesis, one tuple an image.
        chosen: Which of them is the result, one index an image.
        notes: Sentences on what was done, one tuple an image.
    """

    hypotheses: list[tuple[Hypothesis, ...]]
    chosen: list[int]
    notes: list[tuple[str, ...]]

    @classmethod
    def join(cls, outputs: list[Self]) -> Self:
        """The outputs of single images as one; arrays of one size become a batch."""
        return cls(
            images=join_images([output.images for output in outputs]),
            hypotheses=[hypotheses for output in outputs for hypotheses in output.hypotheses],
            chosen=[chosen for output in outputs for chosen in output.chosen],
            notes=[notes for output in outputs for notes in output.notes],
        )


@dataclass(frozen=True)
class Task:
    """What is inverted, and what becomes of it.

    Attributes:
        target: (1, 3, h, w) in [-1, 1], what the degraded picture is compared with.
        degrade: brings a picture of the prior to the target's form.
        finish: brings a picture of the prior, (1, 3, R, R), to the result's size and puts back what was known.
    """

    target: Tensor
    degrade: Degradation
    finish: Callable[[Tensor], Tensor]


def make_task(image: Tensor, resolution: int, degradation: str, mask: Tensor | None, factor: int | None) -> Task:
    """Set up a task.

    Args:
        image: (1, 3, H, W) in [-1, 1]: the degraded picture itself, or for colorization also a colored one, whose
            colors are not looked at.
        resolution: of the prior, pixels.
        degradation: one of `DEGRADATIONS`.
        mask: (1, 1, H, W), 1 where pixels are missing; for inpainting.
        factor: of super-resolution: the image is taken as `resolution` / `factor` pixels on a side.

    Raises:
        ValueError: an argument is out of its range, or does not belong to the degradation.
    """
    _check(degradation, mask, factor, resolution)
    size = image.shape[2], image.shape[3]

    def enlarged(picture: Tensor) -> Tensor:
        return enlarge(picture, at_least(resolution, *size))

    if degradation == "super-resolution":
        target = reduced_to(resolution // (factor or DEFAULT_FACTOR), image)
        return Task(target, area_to(_size(target)), enlarged)
    small = reduced_to(resolution, image)
    reduce = area_to(_size(small))
    if degradation == "colorization":
        return Task(
            to_gray(small),
            lambda picture: to_gray(reduce(picture)),
            lambda picture: with_luma_of(image, enlarge(picture, size)),
        )
    if mask is not None:
        # A place counts as missing when any of its pixels is.
        missing = (reduced_to(resolution, mask) > 0).to(image)
        remove = masked(missing)
        return Task(
            remove(small),
            lambda picture: remove(reduce(picture)),
            lambda picture: torch.where(mask > 0, enlarge(picture, size), image),
        )
    return Task(small, reduce, enlarged)


def inverted(run: Refinement, task: Task, notes: tuple[str, ...], output_type: str) -> InversionOutput:
    """The output of one image: every hypothesis, finished, and which of them is the result."""
    candidates = run.candidates()
    chosen = run.choose(candidates)
    hypotheses = tuple(as_hypothesis(each, task.finish(each.pixels), output_type) for each in candidates)
    foreign = (FOREIGN,) if run.is_foreign(candidates[chosen]) else ()
    return InversionOutput(as_batch(hypotheses[chosen].image), [hypotheses], [chosen], [(*notes, *foreign)])


def read_mask(mask: str | Path | Image.Image | np.ndarray | Tensor, height: int, width: int) -> Tensor:
    """Read where pixels are missing.

    Args:
        mask: a picture or its file, white (above one half) where pixels are missing; or an array or tensor (H, W) of
            booleans or in [0, 1].
        height: of the image that it belongs to, pixels.
        width: likewise.

    Returns:
        (1, 1, height, width) of 0 and 1.

    Raises:
        ImageError: the file cannot be read.
        ValueError: it has another size, or is all of one kind.
    """
    if isinstance(mask, str | Path | Image.Image):
        values = read_image(mask, name="mask").pixels.mean(dim=0) > 0
    else:
        values = torch.as_tensor(np.asarray(mask, dtype=np.float32)) > 0.5
    if tuple(values.shape) != (height, width):
        given = " x ".join(map(str, reversed(values.shape)))
        raise ValueError(f"`mask` is {given}; it must have the image's size, {width} x {height}.")
    if not values.any() or values.all():
        where = "everywhere" if values.any() else "nowhere"
        raise ValueError(f"`mask` is white {where}; some pixels must be known and some missing.")
    return values.float()[None, None]


def _check(degradation: str, mask: Tensor | None, factor: int | None, resolution: int) -> None:
    if degradation not in DEGRADATIONS:
        raise ValueError(f"`degradation` is {degradation!r}; accepted are {', '.join(DEGRADATIONS)}.")
    if degradation == "inpainting" and mask is None:
        raise ValueError("`mask` is missing; inpainting needs one, white where pixels are missing.")
    if degradation != "inpainting" and mask is not None:
        raise ValueError(f"`mask` is given, and `degradation` is {degradation!r}; a mask is for inpainting.")
    if factor is not None:
        if degradation != "super-resolution":
            raise ValueError(f"`factor` is given, and `degradation` is {degradation!r}; it is for super-resolution.")
        if not 2 <= factor <= resolution // 4:
            raise ValueError(f"`factor` is {factor}; it must be 2 to {resolution // 4} for this prior.")


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]
