"""What `evaluate` compares for a checkpoint without classes: the two sides of an unpaired translation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

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
from pipelines.metrics.measures import FEATURES, PIXELS, Measures
from pipelines.metrics.per_class import Sets
from pipelines.metrics.shares import Rows, Shares
from pipelines.training.datasets import LabeledFile, describe_files

INPUTS = 4  # translated between two savings; a process takes as many at a time


class PixelSets(Protocol):
    """Sets of pictures in which a segmenter counts pixels, too."""

    measures: Measures
    shares: Shares
    resolution: int | None
    real_files: list[LabeledFile]


class UnpairedSets:
    """The two sides of an unpaired translation: DIR/testA is translated and compared with DIR/testB.

    Args:
        pipe: translates a picture without further arguments.
        name: of the checkpoint, for the results.
        measures: measures the pictures. Where it compares pairs, a translation is compared with its input.
        shares: divides the work.
        data: holds testA and testB, and for the nearest training picture trainB.
        num_images: inputs at most; None for all.
        resolution: pixels of the center square that is taken of every picture; None for whole pictures.
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
        ends = f"of testA against testB, {extent(self.resolution)}."
        untouched = System(
            "input", self._untouched, f"untouched pictures {ends}", conditions=conditions, offers=self._without_pairs
        )
        systems = [*real_pixels(self, conditions), untouched]
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


def pixels_of_files(files: Sequence[LabeledFile], sets: PixelSets) -> dict[str, Sets]:
    """The share of pixels that have the labels, of pictures as they are."""
    pairs = [(file, None) for file in files]
    rows = measured_files(pairs, sets.measures.only(PIXELS), sets.resolution, sets.shares)
    return by_measure(rows, [NO_CLASS] * len(rows.labels))


def real_pixels(sets: PixelSets, conditions: dict[str, Any]) -> list[System]:
    """The real pictures as a system of its own, where pixels of labels are counted: nothing else is measured of it."""
    if PIXELS not in sets.measures.names:
        return []
    protocol = f"the real pictures themselves, {extent(sets.resolution)}."
    measured = partial(pixels_of_files, sets.real_files, sets)
    return [System("real", measured, protocol, conditions=conditions, offers=(PIXELS,))]


def by_measure(rows: Rows, classes: Sequence[str]) -> dict[str, Sets]:
    """Rows by measure and class; `classes` names that of every row."""
    return {name: stack(zip(classes, values, strict=True)) for name, values in rows.values.items()}


def checkpoint_record(pipe: TranslationPipeline) -> dict[str, Any]:
    """The pipeline's class, and its checkpoint with revision and hashes."""
    return {"pipeline": type(pipe).__name__, **pipe.source_record}


def extent(resolution: int | None) -> str:
    """What is measured of every picture, in words."""
    return "whole pictures" if resolution is None else f"center squares at {resolution} px"
