"""Where a color came from: what is kept of a run, small enough for one visitor's session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from PIL import Image

from pipelines.oeft.output import Correspondence

_WORDS = ((0.5, "a clear match"), (0.2, "a likely match"), (0.0, "a guess: several places look alike"))


class Lookup(Protocol):
    """Anything that answers for a pixel of the result."""

    def at(self, x: float, y: float) -> Correspondence:
        """Return the place in the exemplar."""
        ...


@dataclass(frozen=True)
class GridLookup:
    """Answers that were computed before, one for every cell of a grid over the result.

    Attributes:
        answers: (rows, columns, 3): x and y as shares of the exemplar's width and height, and the confidence.
        size: width and height of the result, pixels.
        exemplar_size: width and height of the exemplar, pixels.
    """

    answers: np.ndarray
    size: tuple[int, int]
    exemplar_size: tuple[int, int]

    @classmethod
    def of(cls, lookup: Lookup, size: tuple[int, int], exemplar_size: tuple[int, int], cells: int) -> Self:
        """Ask a lookup for every cell of a grid of about `cells` squared."""
        side = (size[0] * size[1]) ** 0.5 / cells
        rows, columns = round(size[1] / side), round(size[0] / side)
        answers = np.empty((rows, columns, 3), np.float16)
        for row in range(rows):
            for column in range(columns):
                place = lookup.at((column + 0.5) * size[0] / columns, (row + 0.5) * size[1] / rows)
                answers[row, column] = place.x / exemplar_size[0], place.y / exemplar_size[1], place.confidence
        return cls(answers, size, exemplar_size)

    def at(self, x: float, y: float) -> Correspondence:
        """Return the place in the exemplar for a pixel of the result."""
        rows, columns, _ = self.answers.shape
        row, column = int(y * rows / self.size[1]), int(x * columns / self.size[0])
        across, down, confidence = (float(value) for value in self.answers[row, column])
        return Correspondence(across * self.exemplar_size[0], down * self.exemplar_size[1], confidence)

    def save(self, path: Path) -> None:
        """Write the answers; the sizes are those of the pictures next to it."""
        np.savez_compressed(path, answers=self.answers)


@dataclass(frozen=True)
class Answered:
    """The last result of a visitor, ready to be asked about.

    Attributes:
        result: as shown, RGB.
        exemplar: as shown, RGB.
        size: width and height of the result itself, pixels.
        exemplar_size: width and height of the exemplar itself, pixels.
        lookup: answers in pixels of those sizes.
    """

    result: Image.Image
    exemplar: Image.Image
    size: tuple[int, int]
    exemplar_size: tuple[int, int]
    lookup: Lookup


def confidence_in_words(confidence: float) -> str:
    """Return what a confidence, 0..1, means."""
    return next(words for limit, words in _WORDS if confidence >= limit)
