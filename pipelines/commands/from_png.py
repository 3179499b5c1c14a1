"""`translate --from-png`: repeat a saved PNG to the same pixels."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.base import TranslationPipeline
from pipelines.commands import UsageError, batch, call
from pipelines.hub.errors import CheckpointError
from pipelines.images.formats import ImageError, read_image
from pipelines.images.provenance import library_versions, pixel_hash, read_record

RESERVED = {"self", "image", "exemplar", "generator", "output_type", "return_dict", "callback_on_step_end"}
MAX_THREADS = 256  # a record may say anything
OWN = (
    "checkpoint",
    "num_steps",
    "preset",
    "refine",
    "num_refine_steps",
    "size",
    "precision",
    "max_pixels",
    "compile",
    "target_class",
    "num_images_per_class",
    "num_images",
    "truncation",
    "strength",
    "crop",
    "seed",
    "set",
    "set_refine",
)  # the record decides


def repeat(args: argparse.Namespace) -> int:
    """Run what the record in a PNG describes, write the result, and compare the pixels.

    Args:
        args: of `translate`, with `from_png`; `image` and `exemplar` say where the inputs are now.

    Returns:
        0 when the pixels are the same, 1 when they differ.

    Raises:
        UsageError: an argument that the record decides was given too.
        ImageError: the PNG holds no usable record, or an input is missing or has changed.
        CheckpointError: the checkpoint is not the one that made the PNG.
    """
    given = [name for name in OWN if getattr(args, name) is not None]
    if given:
        raise UsageError(f"--from-png takes {', '.join(given)} from the PNG; leave it out here.")
    if args.image is not None and len(args.image) != 1:
        raise UsageError(f"--from-png repeats one picture; {len(args.image)} images were given.")
    record = read_record(args.from_png)
    if unfit := sorted(record["arguments"].keys() & RESERVED):
        raise ImageError(f"The record in {args.from_png} is damaged: {unfit[0]!r} is no argument that it may hold.")
    elsewhere = {"image": args.image[0] if args.image else None, "exemplar": args.exemplar}
    inputs = {
        name: find_input(name, described, args.from_png, elsewhere.pop(name, None))
        for name, described in record["inputs"].items()
    }
    for name, path in elsewhere.items():
        if path is not None:
            raise UsageError(f"{args.from_png} was made without --{name}; leave it out here.")
    (output,) = batch.plan_outputs([args.from_png], args.output, inputs=[args.from_png, *inputs.values()])

    pipe = _load(record, args)
    call.check_arguments(pipe, {*inputs, *record["arguments"]}, seeded=False)
    print(f"repeating {args.from_png} with {record['checkpoint']}", file=sys.stderr)
    try:
        with _threads(record["threads"]):
            picture = call.translate(pipe, inputs, record["arguments"], record["seed"], [output])
    except (ValueError, TypeError, RuntimeError) as error:
        raise ImageError(f"{args.from_png} cannot be repeated: {error}") from error
    difference = compare(args.from_png, picture)
    if difference == 0:
        print(f"{output}: the same pixels as {args.from_png}")
        return 0
    print(f"{output}: the pixels differ from {args.from_png} by up to {difference} of 255{_because(record, pipe)}")
    return 1


def find_input(name: str, described: list[dict[str, Any]], png: Path, given: Path | None) -> Path:
    """Find the file of one recorded input: as given, or by its name from here, or beside the PNG.

    Args:
        name: the argument, such as "image".
        described: its entry in the record.
        png: the PNG that holds the record.
        given: where the file is now, if the user said so.

    Raises:
        ImageError: there is no such file, or only one with other pixels.
    """
    if len(described) != 1:
        raise ImageError(f"{png} was made from {len(described)} images as `{name}`; one is accepted.")
    recorded, sha256 = described[0]["name"], described[0]["sha256"]
    if given is not None:
        candidates = [given]
    elif recorded is None:
        raise ImageError(f"`{name}` of {png} came from memory, not from a file; say where it is with --{name}.")
    else:
        candidates = [Path(recorded), png.parent / recorded, png.parent / Path(recorded).name]
    files = [path for path in candidates if path.is_file()]
    if not files:
        places = " or ".join(dict.fromkeys(str(path) for path in candidates))
        raise ImageError(f"`{name}` of {png} is missing: there is no {places}; say where it is with --{name}.")
    for path in files:
        if pixel_hash(read_image(path, name=name)) == sha256:
            return path
    raise ImageError(f"`{name}` ({files[0]}) has changed: its pixels are not those that {png} was made from.")


def compare(png: Path, picture: Image.Image) -> int:
    """Return the largest difference of two pictures' values, 0 to 255; 255 when the sizes differ."""
    with Image.open(png, formats=["PNG"]) as image:
        saved = np.asarray(image.convert("RGB"), dtype=np.int16)
    repeated = np.asarray(picture.convert("RGB"), dtype=np.int16)
    return int(np.abs(saved - repeated).max()) if saved.shape == repeated.shape else 255


def _load(record: dict[str, Any], args: argparse.Namespace) -> TranslationPipeline:
    """Load the recorded checkpoint, on the recorded kind of device where this machine has it."""
    checkpoint = record["checkpoint"]
    if checkpoint is None:
        raise ImageError(f"{args.from_png} was made by a pipeline put together in code, not from a checkpoint.")
    kinds = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    device = args.device or (record["device"] if kinds.get(record["device"]) else None)
    # A checkpoint id brings its own revision; only a Hub id (owner/name) takes one.
    pipe = call.load(checkpoint, device, record["revision"] if "/" in checkpoint else None)
    if pipe.source_record["sha256"] != record["sha256"]:
        raise CheckpointError(f"The weights of {checkpoint!r} are not those that {args.from_png} was made with.")
    return pipe


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use the recorded number of threads, even beyond this machine's: it decides the order of sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(max(1, count), MAX_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _because(record: dict[str, Any], pipe: TranslationPipeline) -> str:
    """What is different here, as the end of a sentence."""
    here = library_versions() | {"device": pipe._execution_device.type, "dtype": str(pipe.dtype)}
    there = record["versions"] | {"device": record["device"], "dtype": f"torch.{record['dtype']}"}
    changed = [f"{name} {there.get(name)} then, {here[name]} now" for name in here if there.get(name) != here[name]]
    return f" ({'; '.join(changed) or 'another processor or driver changes the last bits'})"
