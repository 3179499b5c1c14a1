"""Pairs whose results are in the repository: they answer at once. `demo/make_examples.py` makes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from demo.lookup import Answered, GridLookup
from demo.pictures import for_screen
from pipelines.images.provenance import read_record

FOLDER = Path(__file__).parent / "examples"
SINGLE = FOLDER / "single"  # those of the Single-image tab


@dataclass(frozen=True)
class Example:
    """One pair with its result.

    Attributes:
        folder: holds source.jpg, exemplar.jpg, result.png with its record; for the Exemplar tab also answers.npz.
        record: how the result was made.
    """

    folder: Path
    record: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read an example; its pictures stay on the disk."""
        return cls(folder, read_record(folder / "result.png"))

    @property
    def files(self) -> list[str]:
        """Paths of the source, the exemplar and the result."""
        return [str(self.folder / name) for name in ("source.jpg", "exemplar.jpg", "result.png")]

    def answered(self) -> Answered:
        """The result, ready to be asked where its colors came from."""
        _, exemplar, result = (Image.open(path).convert("RGB") for path in self.files)
        with np.load(self.folder / "answers.npz") as stored:
            lookup = GridLookup(stored["answers"], result.size, exemplar.size)
        return Answered(for_screen(result), for_screen(exemplar), result.size, exemplar.size, lookup)


def read_examples(folder: Path = FOLDER) -> list[Example]:
    """Read all examples of a tab, in the order of their folders' names."""
    return [Example.read(path.parent) for path in sorted(folder.glob("*/result.png"))]
