"""PNGs that say how they were made, so that they can be made again.

The record is one JSON object in one iTXt chunk, before the pixels, so that it is read without decoding the image:

    {"format": 1, "pipeline": "OEFTPipeline", "checkpoint": ..., "revision": ..., "sha256": {file: ...},
     "arguments": {"num_steps": 200}, "seed": 7,
     "inputs": {"image": [{"name": "cat.jpg", "sha256": ..., "width": 640, "height": 480}]},
     "versions": {"torch": ...}, "device": "cpu", "threads": 4, "dtype": "float32",
     "notes": ["Transparent areas were laid on white."]}
"""

import hashlib
import json
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin

from pipelines.images.formats import ImageInput, ReadImage, read_image
from pipelines.images.limits import ImageError

KEYWORD = "image-translation-hub"
FORMAT = 1
MAX_CHARACTERS = 100_000  # a real record has about one thousand
PACKAGES = ("image-translation-hub", "torch", "diffusers", "numpy", "pillow")

_FIELDS = {
    "pipeline": str,
    "checkpoint": str | None,
    "revision": str | None,
    "sha256": dict,
    "arguments": dict,
    "seed": int,
    "inputs": dict,
    "versions": dict,
    "device": str,
    "threads": int,
    "dtype": str,
}


def make_record(
    pipe: Any,
    *,
    inputs: Mapping[str, Sequence[ReadImage | ImageInput]],
    arguments: Mapping[str, Any],
    seed: int,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Describe one run. Call it while the pipeline is still on the device that it ran on.

    Args:
        pipe: the pipeline that ran; its `source_record` names the checkpoint.
        inputs: the images under their argument names, such as {"image": [...], "exemplar": [...]}. The name that is
            kept is `ReadImage.path` as it was given; images from memory have none.
        arguments: the other arguments that were passed, or what the pipeline decided them to be: JSON values, or
            dataclasses of such.
        seed: of the generator that was passed.
        notes: sentences on how the picture was made, for who reads the record; nothing depends on them.

    Returns:
        The record: a dict of JSON values, for `save_png`.

    Raises:
        ImageError: an input cannot be read.
    """
    return {
        "format": FORMAT,
        "pipeline": type(pipe).__name__,
        **pipe.source_record,
        "arguments": {name: asdict(value) if is_dataclass(value) else value for name, value in arguments.items()},  # pyright: ignore[reportArgumentType]
        "seed": seed,
        "inputs": {name: [_describe(image, name) for image in images] for name, images in inputs.items()},
        "versions": library_versions(),
        "device": pipe._execution_device.type,
        "threads": torch.get_num_threads(),
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "notes": list(notes),
    }


def library_versions() -> dict[str, str]:
    """Return the versions that decide about pixels, by package name."""
    packages = {package: installed_version(package) or "source" for package in PACKAGES}  # "source": a bare checkout
    return {"python": platform.python_version(), **packages}


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pixel_hash(image: ReadImage) -> str:
    """Return the sha256 of an image's size and decoded pixels at 16 bits a value.

    It does not depend on the file format, the metadata or the name: a PNG and an array of the same pixels agree.
    """
    digest = hashlib.sha256(f"{image.height}x{image.width}".encode())
    digest.update(((image.pixels + 1) * 32767.5).round().to(torch.int32).numpy().astype("<u2").tobytes())
    return digest.hexdigest()


def save_png(image: Image.Image, path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a PNG with its record; the file appears complete or not at all.

    Args:
        image: the picture, mode RGB or L.
        path: ends in .png; an existing file is replaced.
        record: what `make_record` returned.

    Raises:
        ImageError: the path does not end in .png.
        OSError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"`path` is {str(path)!r}; a name that ends in .png is accepted.")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEYWORD, json.dumps(dict(record), allow_nan=False))
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        image.save(unfinished, format="PNG", pnginfo=chunks)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_record(path: str | Path) -> dict[str, Any]:
    """Read the record of a PNG that `save_png` wrote, without decoding the picture.

    Args:
        path: the PNG. It may come from anywhere: nothing in it is trusted beyond the types of the fields.

    Returns:
        The record, see the head of this file.

    Raises:
        ImageError: no such file, not a PNG, no record in it, or one that is damaged, too long or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"`path` ({path}) does not exist.")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(KEYWORD)
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"`path` ({path}) is not a PNG; only a PNG as it was saved here holds its record.") from error
    except Exception as error:  # Pillow's parsers raise any type on broken data
        raise ImageError(f"`path` ({path}) cannot be read ({error}).") from error
    if not isinstance(text, str):
        raise ImageError(
            f"`path` ({path}) holds no record of how it was made; it was not saved here, or saved anew by a program "
            "that drops the text in it."
        )
    return _parse(text, f"The record in {path}")


def _describe(image: ReadImage | ImageInput, name: str) -> dict[str, Any]:
    read = image if isinstance(image, ReadImage) else read_image(image, name=name)
    file = None if read.path is None else read.path.as_posix()
    return {"name": file, "sha256": pixel_hash(read), "width": read.width, "height": read.height}


def _parse(text: str, label: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise ImageError(f"{label} has {len(text)} characters; at most {MAX_CHARACTERS} are accepted.")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{label} is damaged: it is not JSON.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        given = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ImageError(f"{label} has format {given!r}; format {FORMAT} is accepted.")
    for field, accepted in _FIELDS.items():
        if not isinstance(record.get(field), accepted) or isinstance(record.get(field), bool):
            raise ImageError(f"{label} is damaged: the field {field!r} is missing or of another type.")
    for name, images in record["inputs"].items():
        if not isinstance(images, list) or not all(_is_input(image) for image in images):
            raise ImageError(f"{label} is damaged: the field 'inputs' does not describe {name!r}.")
    return record


def _is_input(value: Any) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("name"), str | None) and isinstance(value.get("sha256"), str)
    )
