"""The registry entry of a pipeline folder that goes to the Hub: from the bundled entry, or from its card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import metadata_load

import pipelines
from pipelines.commands import UsageError
from pipelines.commands.pin import pinned_files
from pipelines.hub.download import fetch
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import REGISTRY_FILE, Checkpoint, find_bundled, list_checkpoints, parse_registry
from pipelines.hub.strict import check_folder, read_index

TASK_OF = {
    "CUTPipeline": "unpaired",
    "DeepI2IPipeline": "many-class",
    "DeepI2IStyleGANPipeline": "unpaired",
    "OEFTPipeline": "exemplar",
    "SinCUTPipeline": "single-image",
}
_PLACES = {"title": "heading", "training_data": "section Training"}  # in a card
_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)
_TRAINING = re.compile(r"^## +Training\n+(.+?)(?=\n\n|\n#|\Z)", re.MULTILINE | re.DOTALL)


class Card(NamedTuple):
    """What a README.md says; None for a title or training data that it lacks.

    Attributes:
        license: of its header.
        title: its first heading.
        training_data: the first paragraph of its section Training.
    """

    license: str
    title: str | None
    training_data: str | None


def describe(folder: Path, repo_id: str, given: Mapping[str, str]) -> tuple[dict[str, Any], Path, list[str]]:
    """Check a pipeline folder, and write its entry.

    Args:
        folder: a pipeline folder with a README.md; where the registry bundles it, the entry is a copy of that one, and
            the components that it shares with others are added.
        repo_id: where it will be, `owner/name`.
        given: `id`, `title` and `training_data`, which go before what registry and card say.

    Returns:
        The entry, with `files` but the revision `main`; the folder that holds these files; and sentences on what is
        left out.

    Raises:
        CheckpointError: the folder does not load strictly or is not the one that the registry is pinned to, or its
            card is missing or names no license, or another than the registry.
        RegistryError: the entry would not be accepted.
        UsageError: the card lacks what an argument can give.
    """
    registered = find_bundled(folder)
    whole = fetch(registered) if registered is not None and "shared" in registered.source else folder
    pipeline, files, notes = _checked_files(whole)
    card = read_card(folder)
    source = {"repo_id": repo_id, "revision": "main"}
    if registered is None:
        facts = _from_card(card, folder, repo_id, given)
    else:
        facts = _from_registry(registered, card, folder, files)
        if registered.examples:
            notes.append("left out of the entry: its examples, which name local pictures")
    facts |= given
    entry = {
        "id": facts["id"],
        "title": facts["title"],
        "task": facts.get("task", TASK_OF[pipeline]),
        "pipeline": pipeline,
        "source": source,
        "files": files,
        "license": card.license,
        "training_data": facts["training_data"],
        "input": facts.get("input", {}),
        "defaults": facts.get("defaults", {}),
        "metrics": facts.get("metrics", []),
        "examples": [],
    }
    parse_registry([entry], REGISTRY_FILE)
    if entry["id"] in {checkpoint.id for checkpoint in list_checkpoints()}:
        notes.append(f"the entry takes the place of the one that checkpoints.json has for {entry['id']!r}")
    return entry, whole, notes


def read_card(folder: Path) -> Card:
    """Read the README.md of a pipeline folder.

    Raises:
        CheckpointError: it is missing, its header is broken, or it names no license.
    """
    path = folder / "README.md"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no README.md: write a card that says what the weights are.")
    try:
        header = metadata_load(path) or {}
    except Exception as error:  # the YAML parser has exceptions of its own
        raise CheckpointError(f"The header of {path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(header.get("license"), str):
        raise CheckpointError(f"{path} names no license: add `license: ID` to its header, with that of the weights.")
    text = path.read_text(encoding="utf-8")
    heading, training = _HEADING.search(text), _TRAINING.search(text)
    return Card(
        header["license"],
        heading.group(1).strip() if heading else None,
        " ".join(training.group(1).split()) if training else None,
    )


def _checked_files(folder: Path) -> tuple[str, list[dict[str, Any]], list[str]]:
    """Return the pipeline's class, the files to publish with their hashes, and a note on the others."""
    if not folder.is_dir():
        raise CheckpointError(f"The folder {folder} does not exist.")
    pipeline = read_index(folder)["_class_name"]
    if pipeline not in TASK_OF:
        raise CheckpointError(f"{folder} is for {pipeline}, which this version does not have.")
    weights = check_folder(folder, getattr(pipelines, pipeline), variant=None, given=set())
    checked = {path.relative_to(folder).as_posix() for path in weights}
    files = [
        file
        for file in pinned_files({"bundled": "."}, folder)
        if (not file["path"].endswith(".safetensors") or file["path"] in checked) and not _is_hidden(file["path"])
    ]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    others = sorted(there - {file["path"] for file in files})
    return pipeline, files, [f"left out: {', '.join(others)}"] if others else []


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _from_registry(checkpoint: Checkpoint, card: Card, folder: Path, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of the bundled entry, which were measured with the files that it is pinned to."""
    if checkpoint.license != card.license:
        raise CheckpointError(
            f"README.md in {folder} says license {card.license!r}, and the registry {checkpoint.license!r}: make them "
            "the same."
        )
    own = [file for file in files if file["path"].split("/")[0] not in checkpoint.source.get("shared", {})]
    if [vars(file) for file in sorted(checkpoint.files, key=lambda file: file.path)] != own:
        raise CheckpointError(
            f"{folder} does not hold the files that checkpoint {checkpoint.id!r} is pinned to: restore it, or run "
            f"`python -m pipelines pin {checkpoint.id}` if you changed it on purpose."
        )
    names = ("id", "title", "task", "training_data", "input", "defaults")
    return {name: getattr(checkpoint, name) for name in names} | {"metrics": list(checkpoint.metrics)}


def _from_card(card: Card, folder: Path, repo_id: str, given: Mapping[str, str]) -> dict[str, Any]:
    found = {"title": card.title, "training_data": card.training_data}
    missing = [name for name, text in found.items() if not (text or given.get(name))]
    if missing:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise UsageError(
            f"README.md in {folder} has no {' and no '.join(_PLACES[name] for name in missing)}: give {options}."
        )
    return {"id": repo_id.split("/")[-1].lower(), **found}
