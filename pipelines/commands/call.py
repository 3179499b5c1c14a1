"""Calling a pipeline from the command line: loading it, checking what it takes, and saving what it returns."""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pipelines import load_pipeline
from pipelines.base import TranslationPipeline
from pipelines.commands import UsageError
from pipelines.hub.devices import pick_device
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record, save_png

OPTIONS = {
    "image": "--image",
    "exemplar": "--exemplar",
    "num_steps": "--num-steps",
    "preset": "--preset",
    "settings": "--set",
    "refine": "--refine",
    "num_refine_steps": "--num-refine-steps",
    "refine_settings": "--set-refine",
    "size": "--size",
    "precision": "--precision",
    "max_pixels": "--max-pixels",
    "compile": "--compile",
    "target_class": "--target-class",
    "num_images_per_class": "--num-images-per-class",
    "num_images": "--num-images",
    "truncation": "--truncation",
    "strength": "--strength",
    "crop": "--crop",
    "generator": "--seed",
}


MAX_LABEL = 100  # characters of a class in a file name


def load(checkpoint: str, device: str | None, revision: str | None = None) -> TranslationPipeline:
    """Load a checkpoint onto a device.

    Args:
        checkpoint: checkpoint id, folder, or Hub id.
        device: as torch spells it; None takes the best one here.
        revision: commit of a Hub id; None for everything else.

    Raises:
        UsageError: there is no such device.
        CheckpointError: the checkpoint cannot be fetched, verified or loaded.
        RegistryError: there is no such checkpoint id, or the registry is broken.
    """
    here = place(device)
    pipe = load_pipeline(checkpoint) if revision is None else load_pipeline(checkpoint, revision=revision)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(here)


def place(device: str | None) -> torch.device:
    """The device of a name as torch spells it; None takes the best one here.

    Raises:
        UsageError: there is no such device.
    """
    try:
        return pick_device() if device is None else _device(device)
    except ValueError as error:  # what TRANSLATION_HUB_DEVICE names is not here
        raise UsageError(str(error)) from error


def parameters(pipe: TranslationPipeline) -> dict[str, inspect.Parameter]:
    """Return the arguments of the pipeline's call, by name."""
    return dict(inspect.signature(type(pipe).__call__).parameters)


def check_arguments(pipe: TranslationPipeline, names: set[str], *, seeded: bool) -> None:
    """Refuse arguments that the pipeline's call does not take, and miss those that it needs.

    Args:
        pipe: the pipeline.
        names: the arguments that will be passed.
        seeded: whether a seed was given.

    Raises:
        UsageError: the first that does not fit, in the spelling of the command line.
    """
    accepted = parameters(pipe)
    for name in sorted(names | ({"generator"} if seeded else set())):
        if name not in accepted:
            others = ", ".join(option for other, option in OPTIONS.items() if other in accepted)
            raise UsageError(f"{type(pipe).__name__} takes no {OPTIONS.get(name, name)}; it takes {others}.")
    for name, parameter in accepted.items():
        if parameter.default is inspect.Parameter.empty and name not in {"self", *names}:
            raise UsageError(f"{type(pipe).__name__} needs {OPTIONS.get(name, name)}.")


def result_labels(pipe: Any, arguments: dict[str, Any]) -> list[str]:
    """What the results of one image are called in file names; a single one is what most pipelines give.

    Args:
        pipe: the pipeline.
        arguments: of its call. Classes in `target_class` are replaced by their full names, each once.

    Returns:
        One label a result, in their order: the class where there are classes, and the number of the draw where there
        are several.

    Raises:
        UsageError: a class that is not there, or no number of draws.
    """
    if "target_class" not in arguments:
        draws = _draws("num_images", arguments)
        return [""] if draws == 1 else [str(draw) for draw in range(1, draws + 1)]
    from pipelines.deepi2i.class_names import ALL, resolve_classes

    names, wanted = pipe.class_names, arguments["target_class"]
    try:
        class_ids = resolve_classes(ALL if wanted == [ALL] else wanted, names, pipe.class_titles)
    except ValueError as error:
        raise UsageError(str(error)) from error
    arguments["target_class"] = [names[number] for number in dict.fromkeys(class_ids)]
    draws = _draws("num_images_per_class", arguments)
    labels = [re.sub(r"[^\w.-]+", "_", name)[:MAX_LABEL] for name in arguments["target_class"]]
    if draws == 1:
        return labels
    return [f"{label}-{draw}" for label in labels for draw in range(1, draws + 1)]


def translate(
    pipe: Any, inputs: Mapping[str, Path], arguments: Mapping[str, Any], seed: int, outputs: Sequence[Path]
) -> Image.Image:
    """Run the pipeline once and save its results, each with its record.

    Args:
        pipe: the pipeline.
        inputs: image files by argument name.
        arguments: the other arguments of the call.
        seed: of the generator.
        outputs: the PNGs to write, one a result; of fewer, the last results are written.

    Returns:
        The last result.
    """
    read = {name: read_image(path, name=name) for name, path in inputs.items()}
    for note in (note for image in read.values() for note in image.notes):
        print(f"  {note}", file=sys.stderr)
    extra: dict[str, Any] = {}
    if "generator" in parameters(pipe):
        extra["generator"] = torch.Generator().manual_seed(seed)
    if "callback_on_step_end" in parameters(pipe) and sys.stderr.isatty():
        extra["callback_on_step_end"] = _print_step
    result = pipe(**{name: str(path) for name, path in inputs.items()}, **arguments, **extra)
    notes = getattr(result, "notes", [()])
    first = len(result.images) - len(outputs)
    for index, output in enumerate(outputs, start=first):
        record = make_record(
            pipe,
            inputs={name: [image] for name, image in read.items()},
            arguments=_decided(result, index, arguments),
            seed=seed,
            notes=notes[index],
        )
        save_png(result.images[index], output, record)
    return result.images[-1]


def _draws(name: str, arguments: Mapping[str, Any]) -> int:
    draws = arguments.get(name, 1)
    if draws < 1:
        raise UsageError(f"{OPTIONS[name]} is {draws}; a whole number above 0 is accepted.")
    return draws


def _decided(result: Any, index: int, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments that give one result again: what a pipeline decided itself is kept for a repetition."""
    if hasattr(result, "arguments_of"):
        return result.arguments_of(index)
    return getattr(result, "arguments", arguments)


def _print_step(pipe: TranslationPipeline, step: int, num_steps: int, tensors: dict) -> dict:
    print(f"\r  step {step + 1}/{num_steps}", end="\n" if step + 1 == num_steps else "", file=sys.stderr, flush=True)
    return {}


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend fails in its own way
        raise UsageError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error
