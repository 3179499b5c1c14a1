"""Two painted landscapes for the examples: the same kind of place, by day and at dusk."""

import numpy as np
from PIL import Image, ImageFilter

SIZE = (448, 320)  # width and height, pixels


def paint(
    seed: int,
    sky: tuple[tuple[int, int, int], tuple[int, int, int]],
    hills: list[tuple[int, int, int]],
    sun: tuple[float, float, float, tuple[int, int, int]],
) -> Image.Image:
    """Paint rolling hills under a sky.

    Args:
        seed: decides the shapes.
        sky: RGB at the top and at the horizon.
        hills: RGB of the ranges of hills, the farthest first.
        sun: column and row as shares of the picture, radius in pixels, RGB.
    """
    random = np.random.default_rng(seed)
    width, height = SIZE
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = (1 - rows) * np.array(sky[0]) + rows * np.array(sky[1]) + np.zeros((1, width, 1))
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - sun[0] * width, y - sun[1] * height)
    glow = np.exp(-np.maximum(distance - sun[2], 0) / 60)[..., None]
    picture += 0.45 * glow * (np.array(sun[3]) - picture)
    picture = np.where((distance < sun[2])[..., None], np.array(sun[3]), picture)
    for number, color in enumerate(hills):
        waves = sum(
            random.uniform(4, 22) / order * np.sin(x[0] / width * order * 4 + random.uniform(0, 6.3))
            for order in (1, 2, 4, 7)
        )
        top = height * (0.48 + 0.15 * number) + waves
        depth = np.clip((y - top) / (0.4 * height), 0, 1)[..., None]
        grain = random.normal(0, 1, (height, width)) * (2 + 3 * number)
        ground = np.array(color) * (1.08 - 0.3 * depth) + grain[..., None]
        picture = np.where((y > top)[..., None], ground, picture)
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def by_day() -> Image.Image:
    """Green hills under a blue sky."""
    return paint(
        3,
        ((76, 142, 214), (205, 228, 244)),
        [(136, 160, 178), (104, 146, 96), (70, 120, 52)],
        (0.72, 0.2, 20, (255, 250, 225)),
    )


def at_dusk() -> Image.Image:
    """Violet hills under an orange sky."""
    return paint(
        11,
        ((54, 44, 96), (246, 150, 84)),
        [(136, 84, 112), (86, 50, 84), (42, 26, 52)],
        (0.3, 0.36, 24, (255, 226, 150)),
    )
