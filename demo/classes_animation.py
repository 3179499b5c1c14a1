"""The way from one class to another on the page: all pictures in one strip that CSS plays, and a slider moves."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import Base

from demo.pictures import file_name, to_jpeg

SIDE = 320  # pixels on the screen
MILLISECONDS = 90  # a picture

# Moving the slider halts the animation there; Play goes on.
SHOW_FRAME = """(frame) => {
  const strip = document.querySelector('#animation .strip');
  if (!strip) return;
  strip.style.animation = 'none';
  strip.style.backgroundPositionX = `${100 * (frame - 1) / (strip.dataset.frames - 1)}%`;
}"""
PLAY = """() => {
  const strip = document.querySelector('#animation .strip');
  if (!strip) return;
  strip.style.animation = '';
  strip.classList.add('asked');
}"""


def as_html(frames: Sequence[Image.Image], words: str) -> str:
    """Return the strip, which plays to and fro.

    Args:
        frames: at least two squares.
        words: what they show.
    """
    strip = Image.new("RGB", (SIDE * len(frames), SIDE))
    for number, frame in enumerate(frames):
        strip.paste(frame.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (number * SIDE, 0))
    picture = f"data:image/jpeg;base64,{base64.b64encode(to_jpeg(strip)).decode()}"
    seconds = len(frames) * MILLISECONDS / 1000
    style = (
        f"background-image: url({picture}); background-size: {100 * len(frames)}% 100%; "
        f"animation-duration: {seconds:.2f}s; animation-timing-function: steps({len(frames)}, jump-none);"
    )
    label = html.escape(words, quote=True)
    return f'<div class="strip" role="img" aria-label="{label}" data-frames="{len(frames)}" style="{style}"></div>'


def save_animation(frames: Sequence[Image.Image], record: dict[str, Any], folder: Path) -> Path:
    """Write an animated WebP that plays to and fro forever; its description is the record.

    Args:
        frames: of one size.
        record: of the run.
        folder: where it goes.
    """
    arguments = record["arguments"]
    ends = f"{arguments['start_class']} to {arguments['end_class']}"
    path = folder / f"{Path(file_name(ends, Path(record['checkpoint']).name, record['seed'])).stem}.webp"
    description = Image.Exif()
    description[Base.ImageDescription] = json.dumps(record)
    first, *rest = [*frames, *frames[-2:0:-1]]
    first.save(
        path, "WEBP", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, lossless=True,
        exif=description,
    )  # fmt: skip
    return path
