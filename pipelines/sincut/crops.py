"""Random zooms and crops of a picture: what one step of SinCUT trains on."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

WIDTHS = (384, 1024)  # pixels; CUT appendix B


def random_crops(
    picture: Image.Image, count: int, size: int, generator: torch.Generator, *, zoom: str, smallest_zoom: float
) -> Tensor:
    """Crops at random places of a picture that is scaled at random, half of them mirrored.

    Args:
        picture: RGB.
        count: how many.
        size: of both sides of a crop, pixels; the scaled picture is never smaller.
        generator: a CPU generator.
        zoom: see `SinCUTSettings.zoom`.
        smallest_zoom: likewise.

    Returns:
        (count, 3, size, size) in [-1, 1].
    """
    draws = torch.rand(count, 5, generator=generator).tolist()
    crops = []
    for zoom_x, zoom_y, x, y, flip in draws:
        if zoom == "each":
            factors = [smallest_zoom + (1 - smallest_zoom) * draw for draw in (zoom_x, zoom_y)]
        else:
            width = WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * draws[0][0]  # the first draw is for the whole step
            factors = [width / picture.width] * 2
        zoomed = [max(size, round(side * factor)) for side, factor in zip(picture.size, factors, strict=True)]
        left, top = (int(draw * (side - size + 1)) for draw, side in zip((x, y), zoomed, strict=True))
        crop = np.asarray(zoomed_crop(picture, (zoomed[0], zoomed[1]), (left, top), size))
        crops.append(crop[:, ::-1] if flip < 0.5 else crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def zoomed_crop(picture: Image.Image, zoomed: tuple[int, int], corner: tuple[int, int], size: int) -> Image.Image:
    """A crop of the scaled picture, by antialiased bilinear interpolation; only what the crop shows is scaled.

    Args:
        picture: RGB.
        zoomed: width and height to scale it to.
        corner: left and top of the crop in the scaled picture.
        size: of both sides of the crop, pixels.
    """
    (left, right), (top, bottom) = (
        (start * side / scaled, min((start + size) * side / scaled, side))
        for side, scaled, start in zip(picture.size, zoomed, corner, strict=True)
    )
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
