"""Which picture files are measured, and their features by file and by class."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipelines.images.formats import image_files
from pipelines.metrics.features import FeatureExtractor, center_square
from pipelines.training.datasets import DatasetError, LabeledFile

NO_CLASS = "all"  # the class of pictures that have none


def files_of_folder(folder: Path) -> list[LabeledFile]:
    """The pictures that lie in a folder itself, all of one class.

    Raises:
        DatasetError: the folder does not exist.
        ImageError: it holds no pictures.
    """
    if not folder.is_dir():
        raise DatasetError(f"data: {folder} is not a folder")
    return [LabeledFile(path, NO_CLASS) for path in image_files(folder, name="data")]


def read_split(path: Path, files: Sequence[LabeledFile]) -> tuple[list[LabeledFile], list[LabeledFile]]:
    """Divide files as a training run did that wrote a split.json, see `training.datasets.write_split`.

    Files from before keys were unique have `class/file` for all that share it: such pictures are on the side, or the
    sides, that it is on.

    Args:
        path: the split.json.
        files: the pictures of the data folders; those that the split does not name are left out.

    Returns:
        Training and held-out files.

    Raises:
        DatasetError: the file cannot be read, or names pictures that are not among the files.
    """
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
        sides = [set(split[side]) for side in ("train", "held_out")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"split: {path} cannot be read as a split.json ({type(error).__name__}: {error})"
        ) from error
    known = {file.key for file in files} | {file.short_key for file in files}
    if missing := sorted(set.union(*sides) - known):
        raise DatasetError(f"split: {len(missing)} pictures of {path} are not in the data, the first is {missing[0]}")
    train, held_out = ([file for file in files if side & {file.key, file.short_key}] for side in sides)
    return train, held_out


def draw_files(files: Sequence[LabeledFile], count: int | None, seed: int) -> list[LabeledFile]:
    """Draw pictures evenly from the classes, by a hash of seed and name.

    Args:
        files: pictures of any number of classes.
        count: how many at most; None for all.
        seed: another seed, other pictures.

    Returns:
        The first of every class, then the second of every class, and so on; more pictures begin with those of fewer.
    """
    by_class: dict[str, list[tuple[str, LabeledFile]]] = defaultdict(list)
    for file in files:
        by_class[file.class_name].append((hashlib.sha256(f"{seed}/{file.key}".encode()).hexdigest(), file))
    ranked = [
        (rank, digest, file)
        for members in by_class.values()
        for rank, (digest, file) in enumerate(sorted(members, key=lambda item: item[0]))
    ]
    return [file for *_, file in sorted(ranked, key=lambda item: item[:2])[:count]]


def features_of_files(
    files: Sequence[LabeledFile], extractor: FeatureExtractor, resolution: int | None
) -> dict[LabeledFile, Tensor]:
    """Features (C,) by file; a file that cannot be read is named on stderr and left out.

    Args:
        files: the pictures.
        extractor: makes the features.
        resolution: pixels of the center square that is taken of every picture; None for whole pictures.

    Raises:
        MetricError: not one can be read.
    """
    features = extractor.of_files([file.path for file in files], partial(center_square, size=resolution), skip=warn)
    return {file: features[file.path] for file in files if file.path in features}


def by_class(features: Mapping[LabeledFile, Tensor] | Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Stack features (C,) to (N, C) by class, from a mapping by file or from pairs of class and features."""
    pairs = ((file.class_name, row) for file, row in features.items()) if isinstance(features, Mapping) else features
    rows: dict[str, list[Tensor]] = defaultdict(list)
    for name, row in pairs:
        rows[name].append(row)
    return {name: torch.stack(members) for name, members in rows.items()}


def warn(sentence: str) -> None:
    """Say on stderr what is left out."""
    print(f"pipelines: {sentence}", file=sys.stderr)
