"""A painting made from a photograph, as an exemplar: brush strokes along its edges, coarse ones first."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

BRUSHES = ((28, 2500), (14, 9000), (7, 30000))  # width of a stroke in pixels, and how many of them


def paint(photo: Image.Image, seed: int = 0) -> Image.Image:
    """Paint a photo, RGB, at its own size."""
    random = np.random.default_rng(seed)
    canvas = photo.filter(ImageFilter.GaussianBlur(20))
    draw = ImageDraw.Draw(canvas)
    for width, count in BRUSHES:
        colors = np.asarray(photo.filter(ImageFilter.GaussianBlur(width / 3)), dtype=float)
        down, right = np.gradient(colors.mean(axis=2))
        x, y = random.integers(0, photo.width, count), random.integers(0, photo.height, count)
        along = np.arctan2(down[y, x], right[y, x]) + np.pi / 2 + random.normal(0, 0.3, count)
        reach = np.stack([np.cos(along), np.sin(along)]) * width * random.uniform(1, 2, count)
        shades = (colors[y, x] * random.normal(1, 0.09, (count, 1)) + random.normal(0, 7, (count, 3))).clip(0, 255)
        for left, top, (dx, dy), shade in zip(x, y, reach.T, shades.astype(int), strict=True):
            draw.line((left - dx, top - dy, left + dx, top + dy), fill=tuple(shade), width=width)
    return canvas
