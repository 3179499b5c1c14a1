"""What an image may measure, and the one error that says so."""

import os

DEFAULT_MAX_PIXELS = 50_000_000
MIN_SIDE = 2


class ImageError(ValueError):
    """An image that cannot be used: one sentence with the argument, what was given and what is accepted."""


def pixel_limit(max_pixels: int | None = None) -> int:
    """Return the largest accepted image area in pixels.

    Args:
        max_pixels: pixels; None takes the environment variable TRANSLATION_HUB_MAX_PIXELS, else 50 megapixels.

    Raises:
        ImageError: the environment variable is not a whole number above 0.
    """
    if max_pixels is not None:
        return max_pixels
    text = os.environ.get("TRANSLATION_HUB_MAX_PIXELS") or str(DEFAULT_MAX_PIXELS)
    if not text.isdecimal() or int(text) == 0:
        raise ImageError(f"TRANSLATION_HUB_MAX_PIXELS is {text!r}; a whole number of pixels above 0 is accepted.")
    return int(text)


def check_size(height: int, width: int, label: str, max_pixels: int | None = None) -> None:
    """Refuse an image that is too small or too large, from its size alone.

    Args:
        height: pixels.
        width: pixels.
        label: how the error names the image, such as "`image` (cat.png)".
        max_pixels: pixels; see `pixel_limit`.

    Raises:
        ImageError: a side below 2 pixels, or more pixels than the limit.
    """
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{label} is {width} x {height} pixels; both sides must be at least {MIN_SIDE} pixels.")
    limit = pixel_limit(max_pixels)
    if height * width > limit:
        raise ImageError(
            f"{label} is {width} x {height} pixels ({megapixels(height * width)}); at most {megapixels(limit)} are "
            "accepted. Scale it down, or raise TRANSLATION_HUB_MAX_PIXELS."
        )


def megapixels(pixels: int) -> str:
    """Return an area in words, such as "50 megapixels"; small areas stay in pixels."""
    return f"{pixels / 1e6:.4g} megapixels" if pixels >= 100_000 else f"{pixels} pixels"
