"""The checkpoint registry: what checkpoints.json holds, read and validated.

A Space adds its own entries without a code change: `TRANSLATION_HUB_CHECKPOINTS` names a second file of the same
form, whose entries are appended, or replace the one of the same id. Bundled folders are relative to the file that
names them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

REGISTRY_FILE = Path(__file__).resolve().parents[2] / "checkpoints.json"
TASKS = ("exemplar", "unpaired", "single-image", "many-class")
COMMIT = re.compile(r"[0-9a-f]{40}")

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_REQUIRED = ("id", "title", "task", "pipeline", "source", "license", "training_data")
_OPTIONAL = ("files", "input", "defaults", "metrics", "examples")


class RegistryError(ValueError):
    """An entry of the registry cannot be used; the message names the file, the entry and the field."""


class UnknownCheckpointError(RegistryError):
    """No entry has the id that was asked for; the message names the closest ones."""


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint.

    Attributes:
        path: inside the bundled folder or the repository; for single components `<component>/<filename>`.
        bytes: its length.
        sha256: its hash, 64 lower-case hex digits.
    """

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """One entry of checkpoints.json.

    Attributes:
        id: what `from_pretrained` and the command line take.
        title: a few words for a menu.
        task: one of `TASKS`.
        pipeline: name of the pipeline class that loads it.
        source: `{"bundled": folder, "shared": {component: id}}`, `{"repo_id", "revision"}`, or
            `{"components": {name: {"repo_id", "filename", "revision", "network", "config"}}}`. A `shared` component
            is not in the bundled folder: it is that of another bundled entry of the same file.
        license: of the weights, as an SPDX id where there is one.
        training_data: what the weights were trained on, in words.
        registry_file: the file this entry stands in.
        files: every file with length and hash, but for those of shared components; empty until it is pinned.
        input: `{"size": pixels, "multiple": pixels}`.
        defaults: arguments of the pipeline's call.
        metrics: list of `{"name", "value", "protocol", "extractor"}`.
        examples: list of `{argument: path of a picture}`.
    """

    id: str
    title: str
    task: str
    pipeline: str
    source: dict[str, Any]
    license: str
    training_data: str
    registry_file: Path
    files: tuple[CheckpointFile, ...] = ()
    input: dict[str, int] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[dict[str, Any], ...] = ()
    examples: tuple[dict[str, str], ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether every file is hashed and every Hub revision is a commit."""
        sources = self.source.get("components", {"": self.source}).values()
        return bool(self.files) and all(COMMIT.fullmatch(s["revision"]) for s in sources if "revision" in s)

    @property
    def bundled_folder(self) -> Path:
        """Where the files of a bundled entry lie."""
        return self.registry_file.parent / self.source["bundled"]


def list_checkpoints(task: str | None = None) -> list[Checkpoint]:
    """List the registered checkpoints, in the order of the file.

    Args:
        task: only those of this task, one of `TASKS`; None for all.

    Raises:
        RegistryError: a registry file is missing or an entry is wrong, there is none at all, or `task` is none of
            `TASKS`.
    """
    if task is not None and task not in TASKS:
        raise RegistryError(f"`task` is {task!r}; accepted are {', '.join(TASKS)}.")
    if not _registry_files():
        raise RegistryError(
            f"The registry {REGISTRY_FILE} does not exist: set TRANSLATION_HUB_CHECKPOINTS to a file of the form of "
            "the repository's checkpoints.json, or run from a checkout of the repository."
        )
    return [entry for entry in _read_all() if task is None or entry.task == task]


def _registry_files() -> list[Path]:
    extra = os.environ.get("TRANSLATION_HUB_CHECKPOINTS")
    paths = [REGISTRY_FILE] if REGISTRY_FILE.exists() else []  # an installed package comes without it
    return paths + ([Path(extra)] if extra else [])


def _read_all() -> list[Checkpoint]:
    entries = {entry.id: entry for path in _registry_files() for entry in read_registry(path)}
    return list(entries.values())


def find_bundled(folder: Path) -> Checkpoint | None:
    """Return the entry that bundles a folder; None where there is none.

    Raises:
        RegistryError: a registry file is missing or an entry is wrong.
    """
    for entry in _read_all():
        if "bundled" in entry.source and entry.bundled_folder.resolve() == folder.resolve():
            return entry
    return None


def get_checkpoint(checkpoint_id: str) -> Checkpoint:
    """Look up one checkpoint.

    Raises:
        UnknownCheckpointError: there is no such id; the closest ids are named.
    """
    entries = {entry.id: entry for entry in list_checkpoints()}
    if checkpoint_id in entries:
        return entries[checkpoint_id]
    close = difflib.get_close_matches(checkpoint_id, entries, n=3)
    known = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(entries)}."
    raise UnknownCheckpointError(f"There is no checkpoint {checkpoint_id!r}; {known}")


def read_registry(path: Path) -> list[Checkpoint]:
    """Read one registry file.

    Raises:
        RegistryError: the file is missing or no JSON list, or an entry is wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RegistryError(
            f"The registry {path} does not exist; TRANSLATION_HUB_CHECKPOINTS can name another one."
        ) from None
    except ValueError as error:
        raise RegistryError(f"The registry {path} is not valid JSON: {error}.") from error
    return parse_registry(data, path)


def parse_registry(data: Any, path: Path) -> list[Checkpoint]:
    """Validate the content of the registry file `path`, already parsed from JSON.

    Raises:
        RegistryError: the first wrong field, with its entry.
    """
    if not isinstance(data, list):
        raise RegistryError(f"The registry {path} must hold a list of entries, not {type(data).__name__}.")
    entries: dict[str, Checkpoint] = {}
    for position, raw in enumerate(data):
        entry = _Entry(path.name, f"number {position + 1}", raw).parse(path)
        if entry.id in entries:
            raise RegistryError(f"{path.name}, entry {entry.id!r}, field `id`: stands twice in the file.")
        entries[entry.id] = entry
    for entry in entries.values():
        _Entry(path.name, repr(entry.id), None).shared(entry, entries)
    return list(entries.values())


def _has_own(entry: Checkpoint, component: str) -> bool:
    """Whether the entry's bundled folder holds the component, as far as the registry knows."""
    own = "bundled" in entry.source and component not in entry.source.get("shared", {})
    return own and (not entry.files or any(file.path.startswith(f"{component}/") for file in entry.files))


class _Entry:
    """Validates one raw entry; every failure names file, entry and field."""

    def __init__(self, file: str, label: str, raw: Any):
        self.file, self.label, self.raw = file, label, raw

    def parse(self, path: Path) -> Checkpoint:
        self.is_a(dict, self.raw, "(the entry)")
        if isinstance(self.raw.get("id"), str):
            self.label = repr(self.raw["id"])
        self.keys(self.raw, "", _REQUIRED, _OPTIONAL)
        for name in ("title", "pipeline", "license", "training_data"):
            self.text(self.raw[name], name)
        self.need(bool(_ID.fullmatch(self.text(self.raw["id"], "id"))), "id", "lower-case letters, digits, . _ -")
        self.need(self.raw["task"] in TASKS, "task", f"one of {', '.join(TASKS)}", self.raw["task"])
        self.need(self.raw["pipeline"].isidentifier(), "pipeline", "the name of a class", self.raw["pipeline"])
        self.source(self.raw["source"])
        values = dict(self.raw)
        values["files"] = tuple(self.files(values.get("files", [])))
        self.sizes(values.get("input", {}))
        self.is_a(dict, values.get("defaults", {}), "defaults")
        values["metrics"] = tuple(self.metrics(values.get("metrics", [])))
        values["examples"] = tuple(self.examples(values.get("examples", [])))
        return Checkpoint(registry_file=path, **values)

    def source(self, source: Any) -> None:
        self.is_a(dict, source, "source")
        if "bundled" in source:
            self.keys(source, "source.", ("bundled",), ("shared",))
            self.text(source["bundled"], "source.bundled")
            self.is_a(dict, source.get("shared", {}), "source.shared")
            for name, other in source.get("shared", {}).items():
                self.need(name.isidentifier(), "source.shared", "an object whose keys name components", name)
                self.text(other, f"source.shared.{name}")
        elif "components" in source:
            self.keys(source, "source.", ("components",))
            self.is_a(dict, source["components"], "source.components")
            self.need(bool(source["components"]), "source.components", "at least one component")
            for name, component in source["components"].items():
                where = f"source.components.{name}."
                self.is_a(dict, component, where.rstrip("."))
                self.keys(component, where, ("repo_id", "filename", "revision", "network"), ("config",))
                self.repository(component, where)
                self.path(component["filename"], where + "filename")
                self.need(component["filename"].endswith(".safetensors"), where + "filename", "a .safetensors file")
                self.text(component["network"], where + "network")
                self.is_a(dict, component.get("config", {}), where + "config")
        else:
            self.keys(source, "source.", ("repo_id", "revision"))
            self.repository(source, "source.")

    def shared(self, entry: Checkpoint, entries: dict[str, Checkpoint]) -> None:
        for name, other in entry.source.get("shared", {}).items():
            good = other in entries and _has_own(entries[other], name)
            accepted = f"the id of a bundled entry of this file with a {name!r} of its own"
            self.need(good, f"source.shared.{name}", accepted, other)
            own = [file.path for file in entry.files if file.path.startswith(f"{name}/")]
            self.need(not own, "files", f"without {name}/, which `source.shared` takes from {other!r}")

    def repository(self, source: dict, where: str) -> None:
        repo_id = self.text(source["repo_id"], where + "repo_id")
        self.need(bool(_REPO_ID.fullmatch(repo_id)), where + "repo_id", "the form owner/name", repo_id)
        self.text(source["revision"], where + "revision")

    def files(self, files: Any) -> list[CheckpointFile]:
        self.is_a(list, files, "files")
        for number, file in enumerate(files):
            where = f"files[{number}]"
            self.is_a(dict, file, where)
            self.keys(file, where + ".", ("path", "bytes", "sha256"))
            self.path(file["path"], where + ".path")
            self.count(file["bytes"], where + ".bytes")
            good = isinstance(file["sha256"], str) and bool(_SHA256.fullmatch(file["sha256"]))
            self.need(good, where + ".sha256", "64 lower-case hex digits", file["sha256"])
        paths = [file["path"] for file in files]
        self.need(len(set(paths)) == len(paths), "files", "every path once")
        components = self.raw["source"].get("components")
        if components and files:
            expected = sorted(f"{name}/{component['filename']}" for name, component in components.items())
            self.need(sorted(paths) == expected, "files", f"exactly the paths {expected}", paths)
        return [CheckpointFile(**file) for file in files]

    def sizes(self, sizes: Any) -> None:
        self.is_a(dict, sizes, "input")
        if sizes:
            self.keys(sizes, "input.", ("size", "multiple"))
            self.count(sizes["size"], "input.size")
            self.count(sizes["multiple"], "input.multiple")

    def metrics(self, metrics: Any) -> list[dict]:
        self.is_a(list, metrics, "metrics")
        for number, metric in enumerate(metrics):
            where = f"metrics[{number}]"
            self.is_a(dict, metric, where)
            self.keys(metric, where + ".", ("name", "value", "protocol", "extractor"))
            good = isinstance(metric["value"], (int, float)) and not isinstance(metric["value"], bool)
            self.need(good, where + ".value", "a number", metric["value"])
        return metrics

    def examples(self, examples: Any) -> list[dict]:
        self.is_a(list, examples, "examples")
        for number, example in enumerate(examples):
            self.is_a(dict, example, f"examples[{number}]")
            for name, value in example.items():
                self.path(value, f"examples[{number}].{name}")
        return examples

    def need(self, good: bool, where: str, accepted: str, *given: Any) -> None:
        if not good:
            got = f", not {given[0]!r}" if given else ""
            raise RegistryError(f"{self.file}, entry {self.label}, field `{where}`: must be {accepted}{got}.")

    def is_a(self, kind: type, value: Any, where: str) -> None:
        names = {dict: "an object", list: "a list"}
        self.need(isinstance(value, kind), where, names[kind], value)

    def text(self, value: Any, where: str) -> str:
        self.need(isinstance(value, str) and bool(value.strip()), where, "a text that is not empty", value)
        return value

    def count(self, value: Any, where: str) -> None:
        good = isinstance(value, int) and not isinstance(value, bool) and value > 0
        self.need(good, where, "a whole number above 0", value)

    def path(self, value: Any, where: str) -> None:
        pure = PurePosixPath(self.text(value, where))
        inside = not pure.is_absolute() and ".." not in pure.parts and not set(value) & set("\\*?[")
        self.need(inside, where, "a relative path with / between its parts, without .. and wildcards", value)

    def keys(self, value: dict, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        for name in required:
            self.need(name in value, where + name, "given")
        for name in value:
            self.need(name in required + optional, where + name, f"one of {', '.join(required + optional)}", name)
