"""One small picture a class, for choosing classes by what they look like.

They lie in one JPEG, `COLUMNS` beside each other in the order of the classes. An entry of checkpoints.json names it
as `"examples": [{"classes": path}]`, relative to that file. `demo/make_class_thumbnails.py` makes it.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipelines.hub.registry import Checkpoint

COLUMNS = 16
SIDE = 64  # pixels


def sheet_of(checkpoint: Checkpoint) -> Path | None:
    """Return the path of a checkpoint's sheet, None where it has none."""
    folder = checkpoint.registry_file.parent
    files = [folder / example["classes"] for example in checkpoint.examples if "classes" in example]
    return next((file for file in files if file.is_file()), None)


def join(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay one picture a class into a sheet."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * SIDE))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (column * SIDE, row * SIDE))
    return sheet


def split(sheet: Path, count: int) -> list[Image.Image]:
    """Cut the pictures of the first `count` classes out of a sheet."""
    with Image.open(sheet) as opened:
        pixels = opened.convert("RGB")
    places = [(number % COLUMNS * SIDE, number // COLUMNS * SIDE) for number in range(count)]
    return [pixels.crop((left, top, left + SIDE, top + SIDE)) for left, top in places]
