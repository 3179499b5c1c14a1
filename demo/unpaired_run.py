"""One run of the Unpaired tab, away from the screen: it may be computed in a forked worker that has the GPU.

So everything that goes in and comes out can be pickled and lies on the CPU. Photos are read one at a time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from demo.devices import on_gpu
from demo.errors import explain
from demo.own_checkpoint import OwnCheckpoint, as_visitor_knows, borrow
from demo.pictures import Picture, read_upload
from demo.upload import check_megabytes
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record

# Of a photo, where the owner says nothing: just below 2 megapixels, because scaling rounds, and 16.
CPU_PIXELS, GPU_PIXELS = 1_990_000, 16_000_000


@dataclass(frozen=True)
class Job:
    """What a visitor asked for.

    Attributes:
        checkpoint: an id of the registry, or the visitor's own.
        files: the photos.
        precision: "fp32" or "bf16"; None: what is faster on the device.
        max_pixels: a larger photo is scaled down to it; 0 lets the device decide.
        max_megabytes: of each file.
        stop_file: no further photo is begun when this file appears.
    """

    checkpoint: str | OwnCheckpoint
    files: tuple[str, ...]
    precision: str | None
    max_pixels: int
    max_megabytes: int
    stop_file: Path


@dataclass(frozen=True)
class Begun:
    """A photo was read, and its translation begins.

    Attributes:
        index: of the photo, from 0.
        photo: as it is translated.
        seconds_left: until the last photo is done; None while nothing is known.
    """

    index: int
    photo: Picture
    seconds_left: float | None


@dataclass(frozen=True)
class Translated:
    """A photo is done.

    Attributes:
        index: of the photo, from 0.
        photo: as it was translated.
        image: the result, of the same size.
        record: for the PNG, see `pipelines.images.provenance`; its notes say what was done to the photo.
        seconds: that the translation took.
    """

    index: int
    photo: Picture
    image: Image.Image
    record: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A photo that could not be translated.

    Attributes:
        index: of the photo, from 0.
        name: its file name.
        reason: a sentence for the visitor.
    """

    index: int
    name: str
    reason: str


def gpu_seconds(job: Job) -> int:
    """Return how long a run may take on a GPU, with room for loading and reading."""
    return min(120, 20 + 3 * len(job.files))


@on_gpu(duration=gpu_seconds)
def translate(job: Job) -> Iterator[Begun | Translated | Failed]:
    """Translate photos one after the other; one that fails does not stop the rest."""
    with borrow(job.checkpoint) as pipe:
        pipe.set_progress_bar_config(disable=True)
        limit = job.max_pixels or (CPU_PIXELS if pipe.device.type == "cpu" else GPU_PIXELS)
        began = time.monotonic()
        for index, file in enumerate(job.files):
            if job.stop_file.exists():
                return
            left = (time.monotonic() - began) / index * (len(job.files) - index) if index else None
            try:
                check_megabytes(file, job.max_megabytes)
                photo = read_upload(file, "photo", limit)
                yield Begun(index, photo, left)
                yield _translate(pipe, job, index, photo)
            except Exception as error:  # of any type: the photo is named, and what was not foreseen is logged
                yield Failed(index, Path(file).name, str(explain(error).message))


def _translate(pipe: Any, job: Job, index: int, photo: Picture) -> Translated:
    start = time.monotonic()
    output = pipe(photo.value, precision=job.precision)
    seconds = time.monotonic() - start
    record = make_record(
        pipe,
        inputs={"image": [replace(read_image(photo.value), path=Path(photo.name))]},
        arguments=output.arguments,
        seed=0,
        notes=list(dict.fromkeys([*photo.notes, *output.notes[0]])),
    )
    return Translated(index, photo, output.images[0], as_visitor_knows(record, job.checkpoint), seconds)
