"""Pictures on their way in and out of the app."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from pipelines.images.formats import ImageError, fit_to_area, read_image, resize, to_output

SHOWN_SIDE = 640  # pixels; what a picture is scaled to for the screen
SPOT = 0.06  # radius of the mark on a picture, in diagonals


@dataclass(frozen=True)
class Picture:
    """A picture that a visitor gave.

    Attributes:
        value: what the pipeline takes: the file itself, or the scaled picture where it was too large.
        name: the file's own name, without its folder.
        shown: for the screen, its longer side is `SHOWN_SIDE`.
        size: width and height of `value`, pixels.
        notes: sentences on what was done to it.
    """

    value: str | Image.Image
    name: str
    shown: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...]


def read_upload(path: str | None, role: str, max_pixels: int) -> Picture:
    """Read an uploaded file.

    Args:
        path: the file; None when there is none.
        role: "source" or "exemplar".
        max_pixels: a larger picture is scaled down to about this area.

    Raises:
        ImageError: there is none, or it cannot be used.
    """
    if path is None:
        raise ImageError(f"Add {'a source' if role == 'source' else 'an exemplar'} picture first.")
    name = Path(path).name
    try:
        read = read_image(path, name=role)
    except ImageError as error:
        raise ImageError(str(error).replace(f"`{role}` ({path})", f"The {role} ({name})")) from error
    if read.width * read.height <= max_pixels:
        shown = for_screen(to_pil(read.pixels))
        return Picture(str(path), name, shown, (read.width, read.height), read.notes)
    height, width = fit_to_area(read.height, read.width, max_pixels, 1)
    note = f"The {role} was scaled from {read.width} x {read.height} to {width} x {height} pixels."
    scaled = to_pil(resize(read.pixels, (height, width)))
    return Picture(scaled, name, for_screen(scaled), (width, height), (*read.notes, note))


def to_pil(pixels: Tensor) -> Image.Image:
    """Return pixels (3, H, W), range [-1, 1], as a picture."""
    return cast(Image.Image, to_output([pixels], "pil")[0])


def for_screen(image: Image.Image) -> Image.Image:
    """Return a copy whose longer side is `SHOWN_SIDE`."""
    scale = SHOWN_SIDE / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def to_jpeg(image: Image.Image) -> bytes:
    """Compress a picture for the screen."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def mark(image: Image.Image, x: float, y: float) -> Image.Image:
    """Draw a ring around a place.

    Args:
        image: RGB.
        x: column, pixels.
        y: row, pixels.
    """
    marked = image.copy()
    diagonal = (image.width**2 + image.height**2) ** 0.5
    radius, line = SPOT * diagonal / 2, max(2, round(diagonal / 120))
    draw = ImageDraw.Draw(marked)
    for color, width, extra in (("black", 2 * line, line // 2), ("white", line, 0)):  # seen on light and dark ground
        reach = radius + extra
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=width)
    return marked


def light_up(image: Image.Image, x: float, y: float) -> Image.Image:
    """Darken a picture except around a place, and mark the place; arguments as in `mark`."""
    radius = 2 * SPOT * (image.width**2 + image.height**2) ** 0.5 / 2
    light = Image.new("L", image.size, 0)
    ImageDraw.Draw(light).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    light = light.filter(ImageFilter.GaussianBlur(radius / 3))
    dark = image.point(lambda value: int(value * 0.35))
    return mark(Image.composite(image, dark, light), x, y)


def file_name(source: str, checkpoint: str, seed: int | None = None) -> str:
    """Name a result after the source, such as `cat-oeft-starter-seed7.png`; without a seed where nothing is random."""
    stem = re.sub(r"[^\w-]+", "-", Path(source).stem).strip("-")[:60] or "picture"
    return f"{stem}-{checkpoint}.png" if seed is None else f"{stem}-{checkpoint}-seed{seed}.png"
