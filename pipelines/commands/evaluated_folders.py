"""What `evaluate` compares for --generated: two folders of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pipelines.commands.evaluated_sets import by_measure, extent, real_pixels
from pipelines.metrics.evaluation import System
from pipelines.metrics.files import by_class, features_of_files, files_of_folder, measured_files
from pipelines.metrics.measures import SEGMENTATION, Measures
from pipelines.metrics.per_class import Sets
from pipelines.metrics.shares import Shares
from pipelines.training.datasets import DatasetError, LabeledFile, describe_files, find_labeled_images


class FolderSets:
    """Two folders of pictures.

    Args:
        measures: measures the pictures. Where it compares pairs, a generated picture is compared with the real one of
            the same name (and class), whatever its ending; for "segmentation" the real folder is one of label maps.
        shares: divides the work.
        real: folder of real pictures.
        generated: folder of generated pictures.
        per_class: whether both hold one folder per class.
        resolution: pixels of the center square that is taken of every picture; None for whole pictures.

    Raises:
        DatasetError: a folder is missing, holds no class folders where they are needed, or lacks a picture to compare
            with.
        ImageError: it holds no pictures.
    """

    def __init__(
        self,
        measures: Measures,
        shares: Shares,
        real: Path,
        generated: Path,
        per_class: bool,
        resolution: int | None,
    ):
        self.measures, self.shares, self.resolution = measures, shares, resolution
        self.real_files, self.generated_files = (
            find_labeled_images([folder]) if per_class else files_of_folder(folder) for folder in (real, generated)
        )
        with_pairs = measures.paired or SEGMENTATION in measures.names
        self.pairs = _pairs(self.generated_files, self.real_files) if with_pairs else None

    def real(self) -> Sets:
        """Features of the real pictures."""
        return self._real

    def systems(self) -> list[System]:
        """One system: the folder of generated pictures."""
        conditions = {
            "real": describe_files(self.real_files),
            "generated": describe_files(self.generated_files),
            "content": _content([*self.real_files, *self.generated_files]),
            "resolution": self.resolution,
        }
        protocol = f"generated against real pictures of two folders, {extent(self.resolution)}."
        generated = System(
            "folder",
            self._generated,
            protocol,
            conditions=conditions,
            compared_with="the real picture of the same name",
            offers=self.measures.names,
        )
        return [*real_pixels(self, conditions), generated]

    @cached_property
    def _real(self) -> Sets:
        return by_class(features_of_files(self.real_files, self.measures, self.resolution, self.shares))

    def _generated(self) -> dict[str, Sets]:
        pairs = self.pairs or [(file, None) for file in self.generated_files]
        rows = measured_files(pairs, self.measures, self.resolution, self.shares)
        classes = {file.key: file.class_name for file in self.generated_files}
        return by_measure(rows, [classes[key] for key in rows.labels])


def _pairs(
    generated: Sequence[LabeledFile], real: Sequence[LabeledFile]
) -> list[tuple[LabeledFile, LabeledFile | None]]:
    named = {(file.class_name, file.path.stem): file for file in real}
    found = [(file, named.get((file.class_name, file.path.stem))) for file in generated]
    if missing := [file.path for file, other in found if other is None]:
        raise DatasetError(
            f"data: {len(missing)} generated pictures have no real one of the same name, the first is {missing[0]}"
        )
    return found


def _content(files: Sequence[LabeledFile]) -> str:
    """A hash of the files themselves: pictures made anew under the same names are other pictures."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.path.read_bytes())
    return digest.hexdigest()
