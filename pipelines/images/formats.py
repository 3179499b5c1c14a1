"""Images in, whatever form they come in; the one entry for pipelines, commands and the app."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pipelines.images.arrays import array_to_pixels, tensor_to_pixels
from pipelines.images.decoding import SUFFIXES, file_to_pixels, pil_to_pixels
from pipelines.images.geometry import Padding, crop_padding, fit_to_area, pad_to_multiple, resize
from pipelines.images.limits import ImageError
from pipelines.images.output import to_output

__all__ = [
    "ImageError",
    "ImageInput",
    "Padding",
    "ReadImage",
    "crop_padding",
    "fit_to_area",
    "image_files",
    "pad_to_multiple",
    "read_image",
    "read_images",
    "resize",
    "to_output",
]

ImageInput = Image.Image | np.ndarray | Tensor | str | Path


@dataclass(frozen=True)
class ReadImage:
    """One image that was read.

    Attributes:
        pixels: (3, H, W) fp32 in [-1, 1], on the CPU, upright.
        notes: sentences on what was changed or left out, for the person who gave the image.
        path: the file as it was named, or None for an image from memory.
    """

    pixels: Tensor
    notes: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def height(self) -> int:
        """Rows, pixels."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """Columns, pixels."""
        return self.pixels.shape[2]


def read_image(value: ImageInput, *, name: str = "image", max_pixels: int | None = None) -> ReadImage:
    """Read one image.

    Args:
        value: a path; a PIL image of any mode; a numpy array (H, W) or (H, W, 1 | 3 | 4) of bool, uint8, uint16, or
            float in [0, 1]; or a tensor (1 | 3 | 4, H, W), also with a leading batch of one, of uint8, or float in
            [0, 1]. EXIF orientation is applied, alpha is laid on white, grey becomes RGB.
        name: the argument's name in errors.
        max_pixels: the largest accepted area in pixels; None takes TRANSLATION_HUB_MAX_PIXELS, else 50 megapixels.

    Returns:
        The image, (3, H, W) fp32 in [-1, 1].

    Raises:
        ImageError: anything else, with what was given and what is accepted. The size of a file is checked before it
            is decoded.
    """
    if isinstance(value, str | Path):
        path = Path(value)
        if str(value).startswith(("http://", "https://")):
            raise ImageError(f"`{name}` is a web address ({value}); download it and pass the file.")
        pixels, notes = file_to_pixels(path, f"`{name}` ({value})", max_pixels)
        return ReadImage(pixels, notes, path)
    label = f"`{name}`"
    if isinstance(value, Image.Image):
        return ReadImage(*pil_to_pixels(value, label, max_pixels))
    if isinstance(value, np.ndarray):
        return ReadImage(array_to_pixels(_single(value), label, max_pixels))
    if isinstance(value, Tensor):
        return ReadImage(tensor_to_pixels(_single(value), label, max_pixels))
    raise ImageError(
        f"{label} is of type {type(value).__name__}; a PIL image, a numpy array, a tensor, or a path is accepted."
    )


def read_images(
    value: ImageInput | Sequence[ImageInput], *, name: str = "image", max_pixels: int | None = None
) -> list[ReadImage]:
    """Read one image or several.

    Args:
        value: what `read_image` takes; a list of it, sizes may differ; a numpy array (B, H, W, C); a tensor
            (B, C, H, W); or a folder, whose image files are read in the order of their names.
        name: the argument's name in errors; an item of a list is named `name[index]`.
        max_pixels: as in `read_image`.

    Returns:
        At least one image.

    Raises:
        ImageError: one of them cannot be read, or there is none.
    """
    if isinstance(value, str | Path) and Path(value).is_dir():
        return [read_image(path, name=name, max_pixels=max_pixels) for path in image_files(value, name=name)]
    if isinstance(value, np.ndarray | Tensor) and value.ndim == 4:
        value = list(value)
    if isinstance(value, ImageInput) or not isinstance(value, Sequence):
        return [read_image(value, name=name, max_pixels=max_pixels)]
    if not value:
        raise ImageError(f"`{name}` is empty; at least one image is accepted.")
    return [read_image(item, name=f"{name}[{index}]", max_pixels=max_pixels) for index, item in enumerate(value)]


def image_files(folder: str | Path, *, name: str = "image") -> list[Path]:
    """List a folder's image files, in the order of their names; other files, hidden files and subfolders are left out.

    Args:
        folder: the folder.
        name: the argument's name in errors.

    Raises:
        ImageError: there is none.
    """
    files = sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise ImageError(f"`{name}` ({folder}) is a folder without image files.")
    return files


def _single(value):
    """Drop a leading batch of one."""
    return value[0] if value.ndim == 4 and value.shape[0] == 1 else value
