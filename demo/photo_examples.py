"""Photos whose translations are in the repository: they answer at once, and show what a checkpoint does.

An entry of checkpoints.json lists them as `"examples": [{"image": path, "result": path}]`, relative to that file.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from demo.pictures import to_jpeg
from pipelines.hub.registry import Checkpoint
from pipelines.images.provenance import read_record

THUMBNAIL = (192, 192)  # width and height of each half, pixels


@dataclass(frozen=True)
class PhotoExample:
    """One photo with its translation.

    Attributes:
        checkpoint: that made it.
        image: the photo.
        result: a PNG with its record.
    """

    checkpoint: Checkpoint
    image: Path
    result: Path

    @property
    def files(self) -> list[str]:
        """Paths of the photo and the result."""
        return [str(self.image), str(self.result)]

    @property
    def record(self) -> dict[str, Any]:
        """How the result was made."""
        return read_record(self.result)

    def thumbnail(self) -> Image.Image:
        """The middle of the photo beside the middle of the result."""
        width, height = THUMBNAIL
        pair = Image.new("RGB", (2 * width, height))
        for number, file in enumerate(self.files):
            half = ImageOps.fit(Image.open(file).convert("RGB"), THUMBNAIL, Image.Resampling.LANCZOS)
            pair.paste(half, (number * width, 0))
        return pair


def examples_of(checkpoint: Checkpoint) -> list[PhotoExample]:
    """List the examples of a checkpoint whose two files are here."""
    folder = checkpoint.registry_file.parent
    found = [
        PhotoExample(checkpoint, folder / example["image"], folder / example["result"])
        for example in checkpoint.examples
        if {"image", "result"} <= example.keys()
    ]
    return [example for example in found if example.image.is_file() and example.result.is_file()]


def as_data_uri(image: Image.Image) -> str:
    """Return a small picture as text that CSS takes."""
    return f"data:image/jpeg;base64,{base64.b64encode(to_jpeg(image)).decode()}"
