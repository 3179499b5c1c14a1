"""Which picture files are measured, and their features by file and by class."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.images.formats import ImageError, image_files, read_image
from pipelines.metrics.features import MetricError, center_square
from pipelines.metrics.measures import FEATURES, SEGMENTATION, Measures
from pipelines.metrics.segments import read_labels
from pipelines.metrics.shares import Rows, Shares
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
    files: Sequence[LabeledFile], measures: Measures, resolution: int | None, shares: Shares
) -> dict[LabeledFile, Tensor]:
    """Features (C,) by file; a file that cannot be read is named on stderr and left out.

    Args:
        files: the pictures.
        measures: only the features are taken.
        resolution: pixels of the center square that is taken of every picture; None for whole pictures.
        shares: divides the work.

    Raises:
        MetricError: not one can be read.
    """
    files = list(files)
    rows = measured_files([(file, None) for file in files], measures.only(FEATURES), resolution, shares)
    by_key = {file.key: file for file in files}
    return {by_key[key]: row for key, row in zip(rows.labels, rows.values[FEATURES], strict=True)}


def measured_files(
    pairs: Sequence[tuple[LabeledFile, LabeledFile | None]],
    measures: Measures,
    resolution: int | None,
    shares: Shares,
) -> Rows:
    """Measures of files, each with the file that it is compared with or None; labels are the keys of the first.

    A pair with a file that cannot be read is named on stderr and left out.

    Args:
        pairs: the pictures.
        measures: what is measured.
        resolution: as for `features_of_files`.
        shares: divides the work.

    Raises:
        MetricError: not one can be read, or the measures cannot compare two.
    """

    def work(chunk: Sequence[tuple[LabeledFile, LabeledFile | None]]) -> Rows:
        good: list[str] = []
        skipped: list[str] = []

        def pictures() -> Iterator[tuple[Tensor, Tensor | None]]:
            for file, other in chunk:
                try:
                    picture = center_square(read_image(file.path).pixels, resolution)
                    counterpart = None if other is None else _counterpart(other.path, measures, resolution)
                except ImageError as error:
                    skipped.append(f"{error} It is left out.")
                    continue
                good.append(file.key)
                yield picture, counterpart

        return Rows(values=measures(pictures()), labels=good, skipped=skipped)

    conditions = {
        **measures.record,
        "resolution": resolution,
        "files": [[None if file is None else file_state(file) for file in pair] for pair in pairs],
    }
    rows = shares.rows(pairs, measures.extractor.batch_size, conditions, work)
    if shares.is_main:
        for sentence in rows.skipped:
            warn(sentence)
    if not rows.labels:
        raise MetricError("there is no picture to take features of")
    return rows


def _counterpart(path: Path, measures: Measures, resolution: int | None) -> Tensor:
    if SEGMENTATION in measures.names:
        return read_labels(path)
    return center_square(read_image(path).pixels, resolution)


def file_state(file: LabeledFile) -> list[Any]:
    """Key, size and time of a file: pictures made anew under the same names are other pictures."""
    status = file.path.stat()
    return [file.key, status.st_size, status.st_mtime_ns]


def by_class(features: Mapping[LabeledFile, Tensor]) -> dict[str, Tensor]:
    """Stack features (C,) of files to (N, C) by class."""
    return stack((file.class_name, row) for file, row in features.items())


def stack(rows: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Stack rows (C,) to (N, C) by class, from pairs of class and row."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for name, row in rows:
        found[name].append(row)
    return {name: torch.stack(members) for name, members in found.items()}


def warn(sentence: str) -> None:
    """Say on stderr what is left out."""
    print(f"pipelines: {sentence}", file=sys.stderr)
