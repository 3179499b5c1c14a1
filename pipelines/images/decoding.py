"""PIL images and image files, brought to (3, H, W) fp32 in [-1, 1].

Nothing here changes a setting of PIL: they are global, and other threads read images too. The size is checked from the
header, before anything is decoded.
"""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from torch import Tensor

from pipelines.images.arrays import array_to_pixels
from pipelines.images.limits import ImageError, check_size, megapixels, pixel_limit

# Only formats that have a signature and that Pillow decodes in this process: EPS, for one, would start Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".tif", ".tiff")
SUFFIXES += (".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif")
ACCEPTED = "PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000 and AVIF files are accepted"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def file_to_pixels(path: Path, label: str, max_pixels: int | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """Read one image file.

    Args:
        path: the file.
        label: how errors name the image.
        max_pixels: pixels; see `limits.pixel_limit`.

    Returns:
        The pixels, (3, H, W) fp32 in [-1, 1], upright; and notes on what was changed or left out.

    Raises:
        ImageError: no such file, an empty file, not an image, a broken image, or a size out of bounds.
    """
    if path.is_dir():
        raise ImageError(f"{label} is a folder; one image file is accepted here.")
    if not path.is_file():
        raise ImageError(f"{label} does not exist.")
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{label} is an empty file; {ACCEPTED}.")
        with Image.open(path, formats=_known_formats()) as image:
            return pil_to_pixels(image, label, max_pixels)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own guard; it is far above the default limit, and can be below one that the user set.
        guard = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        limit = min(pixel_limit(max_pixels), guard)
        raise ImageError(
            f"{label} has more than {megapixels(guard)}; at most {megapixels(limit)} are accepted. Scale it down."
        ) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{label} is not an image that can be read; {ACCEPTED}.") from error
    except Exception as error:  # Pillow's parsers raise any type on broken data
        raise ImageError(f"{label} cannot be read ({error}).") from error


def pil_to_pixels(image: Image.Image, label: str, max_pixels: int | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """Read one PIL image: EXIF orientation applied, alpha laid on white, any mode brought to RGB.

    Args:
        image: a PIL image of any mode, decoded or not; of an animation the frame that it stands at.
        label: how errors name the image.
        max_pixels: pixels; see `limits.pixel_limit`.

    Returns:
        The pixels, (3, H, W) fp32 in [-1, 1]; and notes on what was changed or left out.

    Raises:
        ImageError: broken image data, a mode that has no RGB form, or a size out of bounds.
    """
    check_size(image.height, image.width, label, max_pixels)
    notes = []
    try:
        image.load()
        # A phone's MPO is one photograph with a second view of it, not an animation.
        if getattr(image, "is_animated", False) and image.format != "MPO":
            notes.append("The file holds several frames; only the first is used.")
        if image.has_transparency_data:
            notes.append("Transparent areas were laid on white.")
        pixels = array_to_pixels(_to_array(_upright(image), label), label, max_pixels)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise any type on broken data
        raise ImageError(f"{label} is broken and cannot be decoded ({error}).") from error
    return pixels, tuple(notes)


def _known_formats() -> list[str]:
    """FORMATS without those that this build of Pillow lacks."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    """Turn the image as its EXIF orientation says; unreadable EXIF data counts as none."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the parser raises any type on broken data, and the picture is still good
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _to_array(image: Image.Image, label: str) -> np.ndarray:
    """A decoded PIL image of any mode -> (H, W) or (H, W, 3 | 4), uint8, uint16, or float."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":  # how 16-bit files come out of older Pillow and of TIFF
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{label} (mode I) has values from {values.min()} to {values.max()}; 16 bits, 0 to 65535, is accepted."
            )
        return values.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode == "LAB":
        raise ImageError(f"{label} has mode LAB; convert it to RGB first.")
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
