"""Image folders for training: found, split, decoded once into memory, and drawn in an order that can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.images.decoding import SUFFIXES
from pipelines.images.formats import ImageError, read_image, resize


class DatasetError(ValueError):
    """A data folder that cannot be trained on; the message names the folder and what is expected."""


@dataclass(frozen=True)
class LabeledFile:
    """One picture of a class folder.

    Attributes:
        path: of the file.
        class_name: its class.
        below: end of its folder's path, where that tells it from others of the same class and file name.
    """

    path: Path
    class_name: str
    below: str = ""

    @property
    def key(self) -> str:
        """`class/file`, the picture's name wherever the data folder lies; `class/below/file` where that is shared."""
        return "/".join(part for part in (self.class_name, self.below, self.path.name) if part)

    @property
    def short_key(self) -> str:
        """`class/file`, which several pictures may share."""
        return f"{self.class_name}/{self.path.name}"


def find_labeled_images(roots: Sequence[Path], exclude: Sequence[str] = ()) -> list[LabeledFile]:
    """Every picture of folders that hold one folder per class, sorted by class and name.

    Folders of the same name in several roots are one class; files of the same name in it get keys that differ.

    Args:
        roots: folders of class folders.
        exclude: shell patterns; a class folder whose name matches one is left out.

    Raises:
        DatasetError: a root does not exist, is given twice, or holds no class folder with pictures.
    """
    files: list[LabeledFile] = []
    for number, root in enumerate(roots):
        if not root.is_dir():
            raise DatasetError(f"data: {root} is not a folder")
        if root.resolve() in [other.resolve() for other in roots[:number]]:
            raise DatasetError(f"data: {root} is given twice")
        before = len(files)
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            if not any(fnmatch(folder.name, pattern) for pattern in exclude):
                pictures = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
                files += [LabeledFile(path, folder.name) for path in pictures]
        if len(files) == before:
            raise DatasetError(f"data: {root} holds no pictures; expected {root}/<class>/<picture>.jpg")
    return _told_apart(sorted(files, key=lambda file: (file.class_name, str(file.path))))


def _told_apart(files: Sequence[LabeledFile]) -> list[LabeledFile]:
    """The files, with as much of the path in their keys as it takes for no two to be the same."""
    sharing: dict[str, list[LabeledFile]] = defaultdict(list)
    for file in files:
        sharing[file.short_key].append(file)
    return [replace(file, below=_below(file, sharing[file.short_key])) for file in files]


def _below(file: LabeledFile, sharing: Sequence[LabeledFile]) -> str:
    folders = [other.path.absolute().parent.parts for other in sharing]
    own = file.path.absolute().parent.parts
    depth = 0
    while sum(other[len(other) - depth :] == own[len(own) - depth :] for other in folders) > 1:
        depth += 1
    return "/".join(own[len(own) - depth :])


def split_held_out(
    files: Sequence[LabeledFile], share: float, seed: int
) -> tuple[list[LabeledFile], list[LabeledFile]]:
    """Split into (train, held out), the same share of every class, by a hash of seed and name.

    The hash makes the split independent of the order and place of the files: pictures added later do not move those
    that were there from one side to the other, except the few at the border.

    Args:
        files: all pictures.
        share: above 0 and below 1, part of each class that is held out, rounded.
        seed: another seed, another split.

    Raises:
        DatasetError: the share is out of range, or leaves one side empty.
    """
    if not 0 < share < 1:
        raise DatasetError(f"held-out: the share is {share:g}; it must be above 0 and below 1")
    train: list[LabeledFile] = []
    held_out: list[LabeledFile] = []
    for name in sorted({file.class_name for file in files}):
        members = [file for file in files if file.class_name == name]
        members.sort(key=lambda file: hashlib.sha256(f"{seed}/{file.key}".encode()).digest())
        count = round(len(members) * share)
        held_out += members[:count]
        train += members[count:]
    if not train or not held_out:
        raise DatasetError(
            f"held-out: a share of {share:g} leaves {len(train)} pictures to train on and {len(held_out)} to measure; "
            "both need some"
        )
    return train, held_out


def describe_files(files: Sequence[LabeledFile]) -> str:
    """The number of files and a hash of their keys in their order, to tell two sets apart."""
    names = "\n".join(file.key for file in files)
    return f"{len(files)} pictures, sha256 {hashlib.sha256(names.encode()).hexdigest()}"


def write_split(path: Path, train: Sequence[LabeledFile], held_out: Sequence[LabeledFile], seed: int) -> None:
    """Write down which picture is on which side, by their keys."""
    content = {"seed": seed, "train": [file.key for file in train], "held_out": [file.key for file in held_out]}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=0), encoding="utf-8")
    os.replace(temporary, path)


@dataclass(frozen=True)
class ImageSet:
    """Decoded pictures of one size with their classes.

    Attributes:
        images: (N, 3, size, size) uint8.
        labels: (N,) int64, index into the class names.
        skipped: one sentence for every picture that could not be read.
    """

    images: Tensor
    labels: Tensor
    skipped: tuple[str, ...]


def load_images(files: Sequence[LabeledFile], class_names: Sequence[str], size: int) -> ImageSet:
    """Decode every picture once: short side to `size`, center square, uint8.

    Broken pictures are left out and named in `skipped`.

    Args:
        files: pictures of any size and mode (grey, palette, alpha on white).
        class_names: the label of a picture is its class's position here.
        size: pixels; 9,000 pictures at 144 take 560 MB.

    Raises:
        DatasetError: not one picture could be read.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda file: _read_square(file.path, size), files))
    good = [(pixels, file) for pixels, file in zip(results, files, strict=True) if isinstance(pixels, Tensor)]
    if not good:
        raise DatasetError(f"data: none of the {len(files)} pictures can be read")
    index = {name: position for position, name in enumerate(class_names)}
    return ImageSet(
        images=torch.stack([pixels for pixels, _ in good]),
        labels=torch.tensor([index[file.class_name] for _, file in good]),
        skipped=tuple(result for result in results if isinstance(result, str)),
    )


def _read_square(path: Path, size: int) -> Tensor | str:
    try:
        image = read_image(path)
    except ImageError as error:
        return f"{error} It is skipped."
    scale = size / min(image.height, image.width)
    height, width = max(size, round(image.height * scale)), max(size, round(image.width * scale))
    top, left = (height - size) // 2, (width - size) // 2
    square = resize(image.pixels, (height, width))[:, top : top + size, left : left + size]  # [3, size, size]
    return ((square + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class IndexStream:
    """Endless shuffled indices of a set: every index once an epoch, each epoch in an order fixed by seed and epoch.

    Args:
        length: number of items.
        seed: another seed, another order.
    """

    def __init__(self, length: int, seed: int):
        self.length, self.seed = length, seed
        self.position = 0  # indices handed out since the beginning
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def take(self, count: int) -> Tensor:
        """The next `count` indices, (count,) int64; runs on into the next epoch where one ends."""
        indices = torch.empty(count, dtype=torch.int64)
        for slot in range(count):
            epoch, offset = divmod(self.position, self.length)
            if epoch != self._epoch:
                generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
                self._epoch, self._order = epoch, torch.randperm(self.length, generator=generator)
            indices[slot] = self._order[offset]
            self.position += 1
        return indices

    def state_dict(self) -> dict[str, int]:
        """The position and what it refers to."""
        return {"position": self.position, "length": self.length, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position.

        Raises:
            DatasetError: the position is one of a set of another length or of another seed.
        """
        for name in ("length", "seed"):
            if state[name] != getattr(self, name):
                raise DatasetError(
                    f"data: the saved position is one of {name} {state[name]}, this set has {getattr(self, name)}; "
                    "resume with the data it began with"
                )
        self.position = state["position"]


class ImageBatches:
    """Endless batches of an `ImageSet`; each process takes its own share of one common order.

    Args:
        dataset: pictures in memory.
        batch_size: pictures of one step over all processes.
        seed: of the order.
        process: which share to take.
        processes: how many shares there are; `batch_size` must be a multiple.

    Raises:
        DatasetError: it is not.
    """

    def __init__(self, dataset: ImageSet, batch_size: int, seed: int, process: int = 0, processes: int = 1):
        if batch_size % processes:
            raise DatasetError(f"batch_size {batch_size} is not a multiple of the {processes} processes")
        self.dataset, self.batch_size = dataset, batch_size
        self.process, self.processes = process, processes
        self.stream = IndexStream(len(dataset.labels), seed)

    def next_batch(self) -> dict[str, Any]:
        """`{"image": (B, 3, H, W) uint8, "label": (B,) int64}`, B = batch_size / processes."""
        mine = self.stream.take(self.batch_size)[self.process :: self.processes]
        return {"image": self.dataset.images[mine], "label": self.dataset.labels[mine]}

    def state_dict(self) -> dict[str, int]:
        """The position in the order."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position."""
        self.stream.load_state_dict(state)
