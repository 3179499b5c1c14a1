"""What `evaluate` compares where pictures have no class: two folders, or the two sides of an unpaired translation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.base import TranslationPipeline
from pipelines.images.formats import read_image
from pipelines.metrics.baselines import nearest_by_class
from pipelines.metrics.evaluation import System
from pipelines.metrics.features import FeatureExtractor, center_square
from pipelines.metrics.files import NO_CLASS, by_class, draw_files, features_of_files, files_of_folder
from pipelines.metrics.per_class import Sets
from pipelines.training.datasets import LabeledFile, describe_files, find_labeled_images


class FolderSets:
    """Two folders of pictures.

    Args:
        extractor: makes the features.
        real: folder of real pictures.
        generated: folder of generated pictures.
        per_class: whether both hold one folder per class.
        resolution: pixels of the center square that is taken of every picture; None for whole pictures.

    Raises:
        DatasetError: a folder is missing, or holds no class folders where they are needed.
        ImageError: it holds no pictures.
    """

    def __init__(
        self, extractor: FeatureExtractor, real: Path, generated: Path, per_class: bool, resolution: int | None
    ):
        self.extractor, self.resolution = extractor, resolution
        self.real_files, self.generated_files = (
            find_labeled_images([folder]) if per_class else files_of_folder(folder) for folder in (real, generated)
        )

    def real(self) -> Sets:
        """Features of the real pictures."""
        return self._features(self.real_files)

    def systems(self) -> list[System]:
        """One system: the folder of generated pictures."""
        conditions = {
            "real": describe_files(self.real_files),
            "generated": describe_files(self.generated_files),
            "content": _content([*self.real_files, *self.generated_files]),
            "resolution": self.resolution,
        }
        protocol = f"generated against real pictures of two folders, {_extent(self.resolution)}."
        return [System("folder", lambda: self._features(self.generated_files), protocol, conditions=conditions)]

    def _features(self, files: Sequence[LabeledFile]) -> Sets:
        return by_class(features_of_files(files, self.extractor, self.resolution))


class UnpairedSets:
    """The two sides of an unpaired translation: DIR/testA is translated and compared with DIR/testB.

    Args:
        pipe: translates a picture without further arguments.
        name: of the checkpoint, for the results.
        extractor: makes the features.
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
        pipe: TranslationPipeline,
        name: str,
        extractor: FeatureExtractor,
        data: Path,
        num_images: int | None,
        resolution: int | None,
        seed: int,
    ):
        self.pipe, self.name, self.extractor, self.resolution, self.seed = pipe, name, extractor, resolution, seed
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
        systems = [
            System("input", lambda: by_class(self._inputs), f"untouched pictures {ends}", conditions=conditions)
        ]
        if self.training_files:
            what = f"the pictures of trainB whose features are nearest to those {ends}"
            with_training = {**conditions, "training": describe_files(self.training_files)}
            systems.append(System("nearest-training-image", self._nearest, what, conditions=with_training))
        what = f"translations, with the pipeline's defaults, {ends}"
        return [
            *systems,
            System(self.name, self._translated, what, checkpoint_record(self.pipe), conditions, self.details),
        ]

    @cached_property
    def _real(self) -> Sets:
        return by_class(features_of_files(self.real_files, self.extractor, self.resolution))

    @cached_property
    def _inputs(self) -> dict[LabeledFile, Tensor]:
        return features_of_files(self.inputs, self.extractor, self.resolution)

    def _nearest(self) -> Sets:
        training = features_of_files(self.training_files, self.extractor, self.resolution)
        return nearest_by_class(by_class(self._inputs), by_class(training))

    def _translated(self) -> Sets:
        def translations():
            for file in self._inputs:
                output = self.pipe(str(file.path), generator=torch.Generator().manual_seed(self.seed))
                self.details.update(arguments=output.arguments, device=self.pipe._execution_device.type)
                yield center_square(read_image(output.images[0]).pixels, self.resolution)

        return {NO_CLASS: self.extractor(translations())}


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
