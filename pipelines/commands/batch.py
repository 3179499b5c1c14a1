"""Many images through one function: which files, where to, and what became of each."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.commands import UsageError
from pipelines.images.formats import ImageError, image_files

DIFFERENT_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm")


class Outcome(NamedTuple):
    """What became of one image; `failure` is empty when its results were written to `outputs`."""

    image: Path
    outputs: Sequence[Path] = ()
    seconds: float = 0.0
    failure: str = ""


def find_images(paths: Sequence[Path]) -> tuple[list[Path], list[Outcome]]:
    """Replace folders by the image files in them.

    Args:
        paths: files and folders as they were given.

    Returns:
        The files, each once, and the paths that cannot be used.
    """
    images, failed = [], []
    for path in paths:
        try:
            images += image_files(path) if path.is_dir() else [path]
        except ImageError as error:
            failed.append(Outcome(path, failure=str(error)))
    return list(dict.fromkeys(images)), failed


def plan_results(
    images: Sequence[Path], labels: Sequence[str], output: Path, inputs: Sequence[Path]
) -> list[Sequence[Path]]:
    """Choose the files for images of which each gives several results: `<name>-<label>.png` in a folder.

    Args:
        images: the images to translate.
        labels: what tells the results of one image apart; a single one is left out of the names.
        output: see `plan_outputs`.
        inputs: see there.

    Returns:
        One file a label, for every image.

    Raises:
        UsageError: see `plan_outputs`.
    """
    if len(labels) == 1:
        return [[path] for path in plan_outputs(images, output, inputs)]
    named = [image.with_name(f"{image.stem}-{label}.png") for image in images for label in labels]
    paths = plan_outputs(named, output, inputs)
    return [paths[first : first + len(labels)] for first in range(0, len(paths), len(labels))]


def plan_outputs(images: Sequence[Path], output: Path, inputs: Sequence[Path]) -> list[Path]:
    """Choose a file for every image: the output itself, or `<name>.png` in that folder.

    Args:
        images: the images to translate, or what their results are called.
        output: a .png file for a single image, else a folder, which is made.
        inputs: files that must not be overwritten. In a folder `<name>-2.png` gives way to them, and to images of
            the same name.

    Raises:
        UsageError: a file for several images, another format than PNG, or an input.
    """
    if output.suffix.lower() in DIFFERENT_FORMATS and not output.is_dir():
        raise UsageError(
            f"--output {output}: only PNG is written, for the record in it; give a .png file or a folder."
        )
    if output.suffix.lower() == ".png" and not output.is_dir():
        if len(images) > 1:
            raise UsageError(f"--output {output} is one file, for {len(images)} images; give a folder.")
        if _same_as_any(output, inputs):
            raise UsageError(f"--output {output} is one of the inputs, which are never overwritten.")
        output.parent.mkdir(parents=True, exist_ok=True)
        return [output] * len(images)
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file that is not a PNG; give a .png file or a folder.")
    output.mkdir(parents=True, exist_ok=True)
    outputs: dict[Path, None] = {}  # in order, and quick to look up
    for image in images:
        candidate, number = output / f"{image.stem}.png", 1
        while candidate in outputs or _same_as_any(candidate, inputs):
            number += 1
            candidate = output / f"{image.stem}-{number}.png"
        outputs[candidate] = None
    return list(outputs)


def run_all(
    images: Sequence[Path], outputs: Sequence[Sequence[Path]], translate: Callable[[Path, Sequence[Path]], None]
) -> list[Outcome]:
    """Translate one image after the other, with a line of progress each; a failure does not stop the rest.

    Args:
        images: the files.
        outputs: where the results of each go.
        translate: reads the file and writes the others. What a bad image, bad arguments, a full disk or too
            little memory raise becomes the reason in the table; other exceptions are bugs and pass.
    """
    outcomes = []
    for number, (image, own) in enumerate(zip(images, outputs, strict=True), start=1):
        print(f"[{number}/{len(images)}] {image}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            translate(image, own)
            outcomes.append(Outcome(image, own, time.perf_counter() - start))
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            outcomes.append(Outcome(image, failure=reason))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the closing table: one line an image, and a line with the counts."""
    width = max((len(str(outcome.image)) for outcome in outcomes), default=0)
    lines = []
    for outcome in outcomes:
        result = outcome.failure or f"{_named(outcome.outputs)}  {outcome.seconds:.1f} s"
        lines.append(f"{'failed ' if outcome.failure else 'written'}  {str(outcome.image):<{width}}  {result}")
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    return "\n".join([*lines, f"{len(outcomes) - failed} written, {failed} failed"])


def _named(outputs: Sequence[Path]) -> str:
    return f"{outputs[0]} and {len(outputs) - 1} more" if len(outputs) > 1 else str(outputs[0])


def _same_as_any(path: Path, files: Sequence[Path]) -> bool:
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)
