"""What OEFT returns: pictures, and where their colors came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.base import TranslationOutput
from pipelines.oeft.fine_tuning import Descriptors

WINDOW = 2  # cells on each side of the best match that count as the same place


@dataclass(frozen=True)
class Correspondence:
    """A place in the exemplar.

    Attributes:
        x: Column in the exemplar, in its own pixels.
        y: Row in the exemplar, in its own pixels.
        confidence: Share of the color that came from this place and its near surroundings, 0..1.
    """

    x: float
    y: float
    confidence: float


@dataclass(frozen=True)
class CorrespondenceLookup:
    """Answers, for one pair, where the color of a pixel came from.

    Attributes:
        descriptors: Of the pair, on the CPU, in half precision.
        alpha: Sharpness of the softmax of OEFT eq. 6.
        size: Height and width of the result, pixels.
        exemplar_size: Height and width of the exemplar, pixels.
    """

    descriptors: Descriptors
    alpha: float
    size: tuple[int, int]
    exemplar_size: tuple[int, int]

    @torch.no_grad()
    def at(self, x: float, y: float) -> Correspondence:
        """The place in the exemplar for a pixel of the result; one row of the correlation matrix is computed.

        Raises:
            ValueError: When the pixel lies outside of the result.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"({x}, {y}) lies outside of the result, which is {width} x {height} pixels.")
        rows, columns = self.descriptors.query_grid
        place = int(y * rows / height) * columns + int(x * columns / width)
        similarity = self.descriptors.key[0].float() @ self.descriptors.query[0, place].float()  # (M,)
        weights = torch.softmax(self.alpha * similarity, dim=0).view(self.descriptors.key_grid)

        key_rows, key_columns = weights.shape
        row, column = divmod(int(weights.argmax()), key_columns)
        top, left = max(0, row - WINDOW), max(0, column - WINDOW)
        near = weights[top : row + WINDOW + 1, left : column + WINDOW + 1]
        mass = near.sum()
        center_row = (near.sum(dim=1) @ (torch.arange(near.shape[0]) + top + 0.5)) / mass
        center_column = (near.sum(dim=0) @ (torch.arange(near.shape[1]) + left + 0.5)) / mass
        return Correspondence(
            x=float(center_column) / key_columns * self.exemplar_size[1],
            y=float(center_row) / key_rows * self.exemplar_size[0],
            confidence=float(mass),
        )


@dataclass(frozen=True)
class Hypothesis:
    """One refinement of a warp, under one assumption about the inversion (OEFT sec. 3.3).

    Attributes:
        layer: Composing layer.
        num_codes: Codes that were composed.
        image: The picture at the result's size; format by `output_type`, without a batch dimension.
        score: Frechet distance to the prior's domain, lower is better; None for a checkpoint without its statistics.
        loss: The lowest value of what was minimized: eq. 12, and the structure distance where it has a weight.
        dropped: Whether it was given up early, being clearly behind.
    """

    layer: int
    num_codes: int
    image: Image.Image | np.ndarray | Tensor
    score: float | None
    loss: float
    dropped: bool


@dataclass
class OEFTOutput(TranslationOutput):
    """What `OEFTPipeline` returns.

    Attributes:
        images: The results, one a pair: the chosen hypothesis, or the warp. They have the source's size, or are larger
            where the prior's pictures are; format by `output_type`.
        warped: The warps of the exemplars at the source's size, in the same format.
        lookups: Where every color came from, one a pair; see `correspondence`.
        notes: Sentences on what was done to the images, one tuple a pair.
        hypotheses: Every refinement that was tried, one tuple a pair; empty where nothing was refined.
        chosen: Which of them is the result, one index a pair; None where the warp is.
    """

    warped: list[Image.Image] | np.ndarray | Tensor | list[np.ndarray] | list[Tensor]
    lookups: list[CorrespondenceLookup]
    notes: list[tuple[str, ...]]
    hypotheses: list[tuple[Hypothesis, ...]]
    chosen: list[int | None]

    def correspondence(self, x: float, y: float, index: int = 0) -> Correspondence:
        """Where in the exemplar the color of a pixel of the result came from.

        Args:
            x: Column in the result, pixels, 0 <= x < width.
            y: Row in the result, pixels, 0 <= y < height.
            index: Which pair.

        Returns:
            The place in the exemplar, in its own pixels, and a confidence in [0, 1].

        Raises:
            ValueError: When the pixel lies outside of the result.
            IndexError: When there is no such pair.
        """
        return self.lookups[index].at(x, y)

    @classmethod
    def join(cls, outputs: list[Self]) -> Self:
        """The outputs of single pairs as one; arrays of one size become a batch."""
        return cls(
            images=join_images([output.images for output in outputs]),
            warped=join_images([output.warped for output in outputs]),
            lookups=[lookup for output in outputs for lookup in output.lookups],
            notes=[notes for output in outputs for notes in output.notes],
            hypotheses=[hypotheses for output in outputs for hypotheses in output.hypotheses],
            chosen=[chosen for output in outputs for chosen in output.chosen],
        )


def join_images(parts: list) -> list | np.ndarray | Tensor:
    """The `.images` of several outputs as one; arrays and tensors of one size become a batch."""
    if isinstance(parts[0], list) or len({part.shape for part in parts}) > 1:
        return [item for part in parts for item in part]
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else torch.cat(parts)
