"""What a pipeline folder must hold before anything of it is loaded.

diffusers warns about a missing weight and leaves it uninitialized, and falls back to pickle files where safetensors
are absent. Here every name and shape is compared with the network that the component's config describes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import find_bundled

_WEIGHTS = "diffusion_pytorch_model"


def check_folder(folder: Path, pipeline_class: Any, *, variant: str | None, given: set[str]) -> list[Path]:
    """Check a pipeline folder against the pipeline that will load it.

    Args:
        folder: a folder as `save_pretrained` writes it.
        pipeline_class: a `TranslationPipeline`; its `network_classes` are the only classes a folder may name.
        variant: as `from_pretrained` takes it.
        given: components that the caller brings; the folder's own are not read.

    Returns:
        The weight files that will be loaded.

    Raises:
        CheckpointError: the folder is no pipeline folder, names unknown code, or a weight is absent, unexpected,
            misshapen or cut off.
    """
    index = read_index(folder)
    lineage = {cls.__name__ for cls in pipeline_class.__mro__}
    if index["_class_name"] not in lineage:
        raise CheckpointError(
            f"{folder} holds a {index['_class_name']}, not a {pipeline_class.__name__}: use the class it names."
        )
    components, _ = pipeline_class._get_signature_keys(pipeline_class)
    weights = []
    for name, value in index.items():
        if name in components and name not in given and value != [None, None]:
            network_class = _known_class(folder, name, value, pipeline_class)
            if not (folder / name).is_dir():
                raise _absent(folder, name)
            files = _weight_files(folder / name, variant)
            _check_weights(folder / name, network_class, files)
            weights += files
        elif name not in components and isinstance(value, list) and len(value) == 2 and not name.startswith("_"):
            raise CheckpointError(
                f"model_index.json in {folder} has {name!r}, which {pipeline_class.__name__} does not take."
            )
    return weights


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by its name."""
    return {key: tuple(value.shape) for key, value in weights.items()}


def compare_weights(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """Compare the shapes of a network's weights with those of a file.

    Args:
        expected: shape by name, of the network.
        found: likewise, of the file.

    Returns:
        What is missing, unexpected and misshapen, in words; empty where all of it fits.
    """
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "misshapen": [
            f"{key} is {found[key]} and should be {expected[key]}"
            for key in sorted(expected.keys() & found.keys())
            if found[key] != expected[key]
        ],
    }
    return "; ".join(f"{len(keys)} {kind} ({_shorten(keys)})" for kind, keys in problems.items() if keys)


def read_index(folder: Path) -> dict[str, Any]:
    """Read the model_index.json of a pipeline folder.

    Raises:
        CheckpointError: it is missing, or names no pipeline class.
    """
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is not a pipeline folder: it has no model_index.json.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}): fetch or save the pipeline again.") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise CheckpointError(f"{path} names no pipeline class: fetch or save the pipeline again.")
    return index


def _known_class(folder: Path, name: str, value: Any, pipeline_class: Any) -> Any:
    """Return the class that model_index.json names, found among the known ones and never imported by its name."""
    known = {(cls.__module__, cls.__name__): cls for cls in pipeline_class.network_classes.values()}
    key = tuple(value) if isinstance(value, list) and len(value) == 2 else (value, "")
    if key not in known:
        raise CheckpointError(
            f"model_index.json in {folder} names {'.'.join(map(str, key))} as {name!r}, which is no network of "
            f"{pipeline_class.__name__}: it takes {', '.join('.'.join(key) for key in known)}."
        )
    return known[key]


def _absent(folder: Path, name: str) -> CheckpointError:
    entry, by_id = find_bundled(folder), ""
    if entry is not None and name in entry.source.get("shared", {}):
        by_id = f"load it by its id, {entry.id!r}, or "
    return CheckpointError(f"{folder} has no folder {name!r}: {by_id}give `{name}`.")


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    """Return the files diffusers will load: those of the variant where the component has it, else the plain ones."""
    for suffix in [f".{variant}", ""] if variant else [""]:
        single = folder / f"{_WEIGHTS}{suffix}.safetensors"
        found = [single] if single.is_file() else sorted(folder.glob(f"{_WEIGHTS}{suffix}-*-of-*.safetensors"))
        if found:
            return found
    others = sorted(path.name for path in folder.glob("*.*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    hint = f" It holds {', '.join(others)}: pickle files are never loaded, convert them first." if others else ""
    raise CheckpointError(f"{folder} has no {_WEIGHTS}.safetensors.{hint}")


def _check_weights(folder: Path, network_class: Any, files: list[Path]) -> None:
    """Compare names and shapes in `files` with the network built from config.json on the meta device."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with torch.device("meta"):
            expected = shapes_of(network_class.from_config(config).state_dict())
    except Exception as error:  # a constructor may raise anything for a wrong config
        raise CheckpointError(
            f"{network_class.__name__} cannot be built from {folder / 'config.json'}: {error}"
        ) from error
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                found |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{file} is cut off or damaged ({error}): fetch or save it again.") from error
    if problems := compare_weights(expected, found):
        raise CheckpointError(f"The weights in {folder} do not fit {network_class.__name__}: {problems}.")


def _shorten(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
