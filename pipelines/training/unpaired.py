"""Unpaired pictures for training: two folders in memory, drawn in an order that can be resumed, cropped at random."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.images.decoding import ACCEPTED, SUFFIXES
from pipelines.images.formats import ImageError, read_image
from pipelines.training.datasets import DatasetError, IndexStream


@dataclass(frozen=True)
class Side:
    """The pictures of one domain.

    Attributes:
        pictures: (3, H, W) uint8 each, resized; sizes may differ.
        names: one path a picture, relative to the folder.
        skipped: one sentence for every file that could not be read.
    """

    pictures: list[Tensor]
    names: list[str]
    skipped: tuple[str, ...]


def read_side(folder: Path, size: int, resize: str) -> Side:
    """Decode every picture of a folder and the folders in it, once; grey, palettes and alpha become RGB.

    Hidden files are left out.

    Args:
        folder: searched recursively, in the order of the names.
        size: pixels, see `resize_picture`; a thousand pictures at 286 take 245 MB.
        resize: "square" or "short_side".

    Raises:
        DatasetError: the folder is missing or empty, or not one picture in it can be read.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"data: {folder} is not a folder; expected are DIR/trainA and DIR/trainB, and for previews DIR/testA"
        )
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not files:
        raise DatasetError(f"data: {folder} holds no pictures; {ACCEPTED}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: _read(path, size, resize), files))
    good = [(found, path) for found, path in zip(results, files, strict=True) if isinstance(found, Tensor)]
    if not good:
        raise DatasetError(f"data: none of the {len(files)} pictures of {folder} can be read; the first: {results[0]}")
    return Side(
        pictures=[picture for picture, _ in good],
        names=[path.relative_to(folder).as_posix() for _, path in good],
        skipped=tuple(result for result in results if isinstance(result, str)),
    )


def resize_picture(picture: Image.Image, size: int, resize: str) -> Image.Image:
    """Resize with a bicubic filter, as the authors of CUT do.

    Args:
        picture: RGB.
        size: pixels of both sides ("square"; the aspect is lost), or of the shorter one ("short_side").
        resize: one of these.
    """
    width, height = size, size
    if resize == "short_side":
        scale = size / min(picture.size)
        width, height = (max(size, round(side * scale)) for side in picture.size)
    return picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BICUBIC)


def resize_tensor(picture: Tensor, size: int, resize: str) -> Tensor:
    """`resize_picture` for (3, H, W) uint8."""
    resized = resize_picture(Image.fromarray(picture.permute(1, 2, 0).numpy()), size, resize)
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1).contiguous()


def crop_and_flip(picture: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A random square crop, mirrored half of the time.

    Args:
        picture: (3, H, W), no side below `size`.
        size: pixels.
        generator: a CPU generator.

    Returns:
        (3, size, size).
    """
    top, left = (int(torch.randint(side - size + 1, (), generator=generator)) for side in picture.shape[-2:])
    crop = picture[:, top : top + size, left : left + size]
    return crop.flip(-1) if torch.rand((), generator=generator) < 0.5 else crop


def center_crops(pictures: Sequence[Tensor], size: int, device: torch.device, count: int = 8) -> Tensor:
    """The middle of up to `count` pictures, spread over all of them.

    Args:
        pictures: (3, H, W) uint8 each, no side below `size`.
        size: pixels.
        device: where the result is needed.
        count: pictures at most.

    Returns:
        (N, 3, size, size) in [-1, 1].
    """
    crops = []
    for index in torch.linspace(0, len(pictures) - 1, min(count, len(pictures))).long():
        top, left = ((side - size) // 2 for side in pictures[index].shape[-2:])
        crops.append(pictures[index][:, top : top + size, left : left + size])
    return as_batch(crops, device)


class UnpairedBatches:
    """Endless batches of two sides, each in its own shuffled order; each process takes its own share.

    Args:
        a: pictures to translate.
        b: pictures of the domain to translate into.
        batch_size: pictures of each side a step, over all processes.
        seed: of both orders.
        process: which share to take.
        processes: how many shares there are; `batch_size` must be a multiple.

    Raises:
        DatasetError: it is not.
    """

    def __init__(self, a: Side, b: Side, batch_size: int, seed: int, process: int = 0, processes: int = 1):
        if batch_size % processes:
            raise DatasetError(f"batch_size {batch_size} is not a multiple of the {processes} processes")
        self.sides = {"a": a, "b": b}
        self.batch_size, self.process, self.processes = batch_size, process, processes
        self.streams = {
            name: IndexStream(len(side.pictures), seed * 2 + number)
            for number, (name, side) in enumerate(self.sides.items())
        }

    @property
    def steps_per_epoch(self) -> int:
        """Steps until the larger side has been seen once."""
        return max(1, max(len(side.pictures) for side in self.sides.values()) // self.batch_size)

    def next_batch(self) -> dict[str, Any]:
        """`{"a": [(3, H, W) uint8, ...], "b": [...]}`, batch_size / processes pictures each."""
        return {
            name: [
                self.sides[name].pictures[index]
                for index in stream.take(self.batch_size)[self.process :: self.processes]
            ]
            for name, stream in self.streams.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The positions in both orders."""
        return {name: stream.state_dict() for name, stream in self.streams.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to saved positions."""
        for name, stream in self.streams.items():
            stream.load_state_dict(state[name])


def as_batch(pictures: Sequence[Tensor], device: torch.device) -> Tensor:
    """(B, 3, H, W) float in [-1, 1], channels last, of (3, H, W) uint8 pictures of one size."""
    batch = torch.stack(list(pictures)).to(device).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def _read(path: Path, size: int, resize: str) -> Tensor | str:
    try:
        pixels = read_image(path).pixels
    except ImageError as error:
        return f"{error} It is skipped."
    return resize_tensor(((pixels + 1) * 127.5).round().clamp(0, 255).byte(), size, resize)
