"""What `evaluate` compares for a checkpoint of many classes: held-out pictures, translated into every class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.commands.evaluated_sets import INPUTS, by_measure, checkpoint_record
from pipelines.images.formats import read_image
from pipelines.metrics.baselines import nearest_by_class
from pipelines.metrics.evaluation import System
from pipelines.metrics.features import MetricError, center_square
from pipelines.metrics.files import by_class, draw_files, features_of_files, file_state, read_split, stack, warn
from pipelines.metrics.measures import FEATURES, Measures
from pipelines.metrics.per_class import Sets
from pipelines.metrics.shares import Rows, Shares
from pipelines.training.datasets import LabeledFile, describe_files, find_labeled_images

NUM_IMAGES = 100  # inputs, where nothing else is said


class ClassSets:
    """Held-out pictures as inputs and as the real pictures of their class, as squares of the checkpoint's resolution.

    Every input is translated into every class but its own, with latents of its own.

    Args:
        pipe: a `DeepI2IPipeline`.
        name: of the checkpoint, for the results.
        measures: measures the pictures. Where it compares pairs, a translation is compared with its input.
        shares: divides the work.
        data: folders of class folders. Classes that the checkpoint does not have, and those of a single held-out
            picture, are left out.
        split: a split.json, whose held-out pictures alone are inputs and real pictures, and whose training pictures
            are the nearest ones; None: all pictures are held out.
        num_images: inputs, drawn evenly from the classes; None for 100.
        per_class: pictures to generate of every class, with several latents an input where they are needed; None for
            one an input.
        resolution: pixels; None for the checkpoint's.
        seed: draws inputs and latents.
        exclude: shell patterns of classes to leave out, as inputs and as targets.

    Raises:
        DatasetError: data or split cannot be used.
        MetricError: fewer than two classes are left.
    """

    def __init__(
        self,
        pipe: Any,
        name: str,
        measures: Measures,
        shares: Shares,
        data: Sequence[Path],
        split: Path | None,
        num_images: int | None,
        per_class: int | None,
        resolution: int | None,
        seed: int,
        exclude: Sequence[str] = (),
    ):
        files = find_labeled_images(data)
        train, held_out = ([], files) if split is None else read_split(split, files)
        wanted = {file.class_name for file in files}
        wanted -= {name for name in wanted if any(fnmatch(name, pattern) for pattern in exclude)}
        counts = Counter(file.class_name for file in held_out)
        self.classes = [known for known in pipe.class_names if known in wanted and counts[known] > 1]
        if left_out := sorted(wanted - set(self.classes)):
            warn(f"{len(left_out)} classes have no place in {name} or fewer than 2 held-out pictures: {left_out}")
        if len(self.classes) < 2:
            raise MetricError(f"data: fewer than two classes of {name} have 2 held-out pictures each")
        self.train, self.held_out = (
            [file for file in side if file.class_name in self.classes] for side in (train, held_out)
        )
        self.drawn = draw_files(self.held_out, num_images or NUM_IMAGES, seed)
        self.pipe, self.name, self.measures, self.shares, self.seed = pipe, name, measures, shares, seed
        self.per_class = per_class
        self.resolution = resolution or pipe.generator.config["resolution"]
        self.details: dict[str, Any] = {}

    def real(self) -> Sets:
        """Features of the held-out pictures.

        Raises:
            MetricError: those of a class are all broken.
        """
        for name in self.classes:
            if name not in self._real:
                raise MetricError(
                    f"class {name!r}: not one of its held-out pictures can be read; --exclude leaves it out"
                )
        return {name: self._real[name] for name in self.classes}

    def systems(self) -> list[System]:
        """The untouched input, the nearest training picture where a split tells which they are, and the checkpoint."""
        names = hashlib.sha256("\n".join(self.classes).encode()).hexdigest()
        conditions = {
            "real": describe_files(self.held_out),
            "inputs": describe_files(self.drawn),
            "classes": f"{len(self.classes)} classes, sha256 {names}",
            "resolution": self.resolution,
            "per_class": self.per_class,
        }
        ends = (
            f"{len(self.drawn)} held-out pictures of the other classes against the held-out pictures of each of "
            f"{len(self.classes)} classes, center squares at {self.resolution} px. An input stands in the sets of all "
            "classes but its own, and over all classes as often; intervals take pictures and classes as independent, "
            "which makes them too narrow."
        )
        systems = [System("input", lambda: {FEATURES: self._untouched()}, f"untouched, {ends}", conditions=conditions)]
        if self.train:
            what = f"for each input the training picture of the class with the nearest features, {ends}"
            with_training = {**conditions, "training": describe_files(self.train)}
            systems.append(System("nearest-training-image", self._nearest, what, conditions=with_training))
        what = f"translated, with the pipeline's defaults and latents for each input, {ends}"
        return [
            *systems,
            System(
                self.name,
                self._translated,
                what,
                checkpoint_record(self.pipe),
                conditions,
                self.details,
                compared_with="its input",
                offers=self.measures.names,
            ),
        ]

    @cached_property
    def _features(self) -> dict[LabeledFile, Tensor]:
        return features_of_files(self.held_out, self.measures, self.resolution, self.shares)

    @cached_property
    def _real(self) -> Sets:
        return by_class(self._features)

    @cached_property
    def _inputs(self) -> list[LabeledFile]:
        inputs = [file for file in self.drawn if file in self._features]
        if len({file.class_name for file in inputs}) < 2:
            raise MetricError(f"num_images: the {len(inputs)} inputs are of one class; those of two are needed")
        return inputs

    def _others(self, name: str) -> list[LabeledFile]:
        """The inputs that are translated into a class: those that do not show it already."""
        return [file for file in self._inputs if file.class_name != name]

    def _draws(self, name: str) -> dict[LabeledFile, int]:
        """How many pictures of a class each of its inputs gives."""
        others = self._others(name)
        each, rest = divmod(len(others) if self.per_class is None else self.per_class, len(others))
        return {file: each + (rank < rest) for rank, file in enumerate(others)}

    def _untouched(self) -> Sets:
        chosen = {name: self._others(name)[: self.per_class] for name in self.classes}
        return stack((name, self._features[file]) for name in self.classes for file in chosen[name])

    def _nearest(self) -> dict[str, Sets]:
        training = by_class(features_of_files(self.train, self.measures, self.resolution, self.shares))
        return {FEATURES: nearest_by_class(self._untouched(), training)}

    def _translated(self) -> dict[str, Sets]:
        tasks = list(enumerate(self._inputs))
        conditions = {
            **self.measures.record,
            "checkpoint": checkpoint_record(self.pipe),
            "inputs": [file_state(file) for file in self._inputs],
            "classes": self.classes,
            "per_class": self.per_class,
            "resolution": self.resolution,
            "seed": self.seed,
            "device": self.pipe._execution_device.type,
        }
        rows = self.shares.rows(tasks, INPUTS, conditions, self._translate, "inputs translated")
        self.details.update(rows.details)
        return by_measure(rows, rows.labels)

    def _translate(self, tasks: Sequence[tuple[int, LabeledFile]]) -> Rows:
        """Rows of a few inputs, each in all its classes; the pictures of a class are spread over all inputs."""
        draws = {name: self._draws(name) for name in self.classes}
        names: list[str] = []
        details: dict[str, Any] = {}

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for number, file in tasks:
                source = center_square(read_image(file.path).pixels, self.resolution)
                for count in sorted({draws[name].get(file, 0) for name in self.classes} - {0}):
                    wanted = [name for name in self.classes if draws[name].get(file) == count]
                    generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
                    output = self.pipe(
                        str(file.path), target_class=wanted, num_images_per_class=count, generator=generator
                    )
                    decided = {name: value for name, value in output.arguments.items() if name != "target_class"}
                    details.update(arguments=decided, device=self.pipe._execution_device.type)
                    names.extend(output.classes)
                    for image in output.images:
                        yield center_square(read_image(image).pixels, self.resolution), source

        values = self.measures(pairs())
        return Rows(names, values, details=details)
