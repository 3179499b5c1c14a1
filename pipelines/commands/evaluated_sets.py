"""What `evaluate` compares where pictures have no class: two folders, or the two sides of an unpaired translation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.base import TranslationPipeline
from pipelines.images.formats import read_image
from pipelines.metrics.baselines import nearest_by_class
from pipelines.metrics.evaluation import System
from pipelines.metrics.features import center_square
from pipelines.metrics.files import (
    NO_CLASS,
    by_class,
    draw_files,
    features_of_files,
    file_state,
    files_of_folder,
    measured_files,
    stack,
)
from pipelines.metrics.measures import FEATURES, PIXELS, SEGMENTATION, Measures
from pipelines.metrics.per_class import Sets
from pipelines.metrics.shares import Rows, Shares
from pipelines.training.datasets import DatasetError, LabeledFile, describe_files, find_labeled_images

INPUTS = 4  # translated between two savings; a process takes as many at a time


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
        protocol = f"generated against real pictures of two folders, {_extent(self.resolution)}."
        generated = System(
            "folder",
            self._generated,
            protocol,
            conditions=conditions,
            compared_with="the real picture of the same name",
            offers=self.measures.names,
        )
        return [*_real_pixels(self, conditions), generated]

    @cached_property
    def _real(self) -> Sets:
        return by_class(features_of_files(self.real_files, self.measures, self.resolution, self.shares))

    def _generated(self) -> dict[str, Sets]:
        pairs = self.pairs or [(file, None) for file in self.generated_files]
        rows = measured_files(pairs, self.measures, self.resolution, self.shares)
        classes = {file.key: file.class_name for file in self.generated_files}
        return by_measure(rows, [classes[key] for key in rows.labels])


class UnpairedSets:
    """The two sides of an unpaired translation: DIR/testA is translated and compared with DIR/testB.

    Args:
        pipe: translates a picture without further arguments.
        name: of the checkpoint, for the results.
        measures: measures the pictures. Where it compares pairs, a translation is compared with its input.
        shares: divides the work.
        data: holds testA and testB, and for the nearest training picture trainB.
        num_images: inputs at most; None for all.
        resolution: as for `FolderSets`.
        seed: draws the inputs, and is the pipeline's.

    Raises:
        DatasetError: testA or testB is missing.
        ImageError: one of the folders holds no pictures.
    """

    def __init__(
        self,
        pipe: Any,
        name: str,
        measures: Measures,
        shares: Shares,
        data: Path,
        num_images: int | None,
        resolution: int | None,
        seed: int,
    ):
        self.pipe, self.name, self.resolution, self.seed = pipe, name, resolution, seed
        self.measures, self.shares = measures, shares
        self.inputs = draw_files(files_of_folder(data / "testA"), num_images, seed)
        self.real_files = files_of_folder(data / "testB")
        self.training_files = files_of_folder(data / "trainB") if (data / "trainB").is_dir() else []
        self.details: dict[str, Any] = {}

    def real(self) -> Sets:
        """Features of testB."""
        return self._real

    def systems(self) -> list[System]:
        """The untouched input, the nearest picture of trainB where there is one, and the checkpoint."""
        conditions = {
            "real": describe_files(self.real_files),
            "inputs": describe_files(self.inputs),
            "resolution": self.resolution,
        }
        ends = f"of testA against testB, {_extent(self.resolution)}."
        untouched = System(
            "input", self._untouched, f"untouched pictures {ends}", conditions=conditions, offers=self._without_pairs
        )
        systems = [*_real_pixels(self, conditions), untouched]
        if self.training_files:
            what = f"the pictures of trainB whose features are nearest to those {ends}"
            with_training = {**conditions, "training": describe_files(self.training_files)}
            systems.append(System("nearest-training-image", self._nearest, what, conditions=with_training))
        what = f"translations, with the pipeline's defaults, {ends}"
        record = checkpoint_record(self.pipe)
        return [
            *systems,
            System(
                self.name,
                self._translated,
                what,
                record,
                conditions,
                self.details,
                compared_with="its input",
                offers=self.measures.names,
            ),
        ]

    @cached_property
    def _real(self) -> Sets:
        return by_class(self._features(self.real_files))

    @cached_property
    def _inputs(self) -> dict[LabeledFile, Tensor]:
        return self._features(self.inputs)

    def _features(self, files: Sequence[LabeledFile]) -> dict[LabeledFile, Tensor]:
        return features_of_files(files, self.measures, self.resolution, self.shares)

    @property
    def _without_pairs(self) -> tuple[str, ...]:
        return tuple(name for name in self.measures.names if name in (FEATURES, PIXELS))

    def _untouched(self) -> dict[str, Sets]:
        pixels = pixels_of_files(list(self._inputs), self) if PIXELS in self.measures.names else {}
        return {FEATURES: by_class(self._inputs), **pixels}

    def _nearest(self) -> dict[str, Sets]:
        training = by_class(self._features(self.training_files))
        return {FEATURES: nearest_by_class(by_class(self._inputs), training)}

    def _translated(self) -> dict[str, Sets]:
        inputs = list(self._inputs)
        conditions = {
            **self.measures.record,
            "checkpoint": checkpoint_record(self.pipe),
            "inputs": [file_state(file) for file in inputs],
            "resolution": self.resolution,
            "seed": self.seed,
            "device": self.pipe._execution_device.type,
        }
        rows = self.shares.rows(inputs, INPUTS, conditions, self._translate, "inputs translated")
        self.details.update(rows.details)
        return by_measure(rows, [NO_CLASS] * len(rows.labels))

    def _translate(self, files: Sequence[LabeledFile]) -> Rows:
        details: dict[str, Any] = {}

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for file in files:
                output = self.pipe(str(file.path), generator=torch.Generator().manual_seed(self.seed))
                details.update(arguments=output.arguments, device=self.pipe._execution_device.type)
                sides = read_image(output.images[0]).pixels, read_image(file.path).pixels
                yield center_square(sides[0], self.resolution), center_square(sides[1], self.resolution)

        values = self.measures(pairs())
        return Rows([file.key for file in files], values, details=details)


def pixels_of_files(files: Sequence[LabeledFile], sets: FolderSets | UnpairedSets) -> dict[str, Sets]:
    """The share of pixels that have the labels, of pictures as they are."""
    pairs = [(file, None) for file in files]
    rows = measured_files(pairs, sets.measures.only(PIXELS), sets.resolution, sets.shares)
    return by_measure(rows, [NO_CLASS] * len(rows.labels))


def _real_pixels(sets: FolderSets | UnpairedSets, conditions: dict[str, Any]) -> list[System]:
    """The real pictures as a system of its own, where pixels of labels are counted: nothing else is measured of it."""
    if PIXELS not in sets.measures.names:
        return []
    protocol = f"the real pictures themselves, {_extent(sets.resolution)}."
    measured = partial(pixels_of_files, sets.real_files, sets)
    return [System("real", measured, protocol, conditions=conditions, offers=(PIXELS,))]


def by_measure(rows: Rows, classes: Sequence[str]) -> dict[str, Sets]:
    """Rows by measure and class; `classes` names that of every row."""
    return {name: stack(zip(classes, values, strict=True)) for name, values in rows.values.items()}


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


def checkpoint_record(pipe: TranslationPipeline) -> dict[str, Any]:
    """The pipeline's class, and its checkpoint with revision and hashes."""
    return {"pipeline": type(pipe).__name__, **pipe.source_record}


def _extent(resolution: int | None) -> str:
    return "whole pictures" if resolution is None else f"center squares at {resolution} px"


def _content(files: Sequence[LabeledFile]) -> str:
    """A hash of the files themselves: pictures made anew under the same names are other pictures."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.path.read_bytes())
    return digest.hexdigest()
