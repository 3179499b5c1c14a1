"""The square of a picture that is translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from pipelines.images.formats import ImageInput, ReadImage, read_images
from pipelines.images.limits import MIN_SIDE, ImageError


class Square(NamedTuple):
    """A square part of a picture, in the picture's pixels.

    Attributes:
        left: first column.
        top: first row.
        side: rows and columns.
    """

    left: int
    top: int
    side: int


def read_squares(
    image: ImageInput | Sequence[ImageInput], crop: Sequence[int] | None = None
) -> list[tuple[ReadImage, Square]]:
    """Read pictures, and find the square of each.

    Args:
        image: as `pipelines.images.formats.read_images` takes it.
        crop: see `find_square`.

    Raises:
        ImageError: a picture cannot be read, or `crop` is no square inside one of them.
    """
    return [(source, find_square(source, crop)) for source in read_images(image)]


def find_square(image: ReadImage, crop: Sequence[int] | None = None) -> Square:
    """The square that was asked for, or the largest one in the center.

    Args:
        image: the picture.
        crop: left, top, side, in the picture's pixels; None: the largest square, in the center.

    Raises:
        ImageError: `crop` is no square inside the picture.
    """
    if crop is None:
        side = min(image.height, image.width)
        return Square((image.width - side) // 2, (image.height - side) // 2, side)
    whole = [isinstance(number, int) and not isinstance(number, bool) for number in crop]
    if len(whole) != 3 or not all(whole):
        raise ImageError(f"`crop` is {crop!r}; (left, top, side) in whole pixels is accepted.")
    square = Square(*crop)
    inside = min(square.left, square.top) >= 0 and square.side >= MIN_SIDE
    if not inside or square.left + square.side > image.width or square.top + square.side > image.height:
        raise ImageError(
            f"`crop` is {tuple(square)}; (left, top, side) of a square inside the picture is accepted, and `image` is "
            f"{image.width} x {image.height} pixels."
        )
    return square


def cut_out(image: ReadImage, square: Square) -> Tensor:
    """The square of a picture, (1, 3, side, side) in [-1, 1]."""
    left, top, side = square
    return image.pixels[None, :, top : top + side, left : left + side]


def describe(square: Square, image: ReadImage) -> tuple[str, ...]:
    """A sentence on what was cut off, for the notes of a result; none where nothing was."""
    if image.height == image.width == square.side:
        return ()
    return (
        f"Cropped from {image.width} x {image.height} pixels to the square of {square.side} pixels at column "
        f"{square.left}, row {square.top}.",
    )
