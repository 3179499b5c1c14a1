"""Components that lie apart, put together into an ordinary pipeline folder, so that there is one way to load one.

Another repository may hold a single network in another library's layout: it is read once and written as
`save_pretrained` writes it. A bundled checkpoint may use a component of another one: its files are copied together.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pipelines.hub.errors import CheckpointError
from pipelines.hub.made_folder import holds, made_folder
from pipelines.hub.registry import COMMIT, Checkpoint
from pipelines.hub.snapshot import download_snapshot
from pipelines.hub.verify import file_sha256

_LAYOUT = 1  # raise it when the same source files must be assembled anew
_RECORD = "assembly.json"


def assembled_folder(checkpoint: Checkpoint, pipeline_class: Any, **download: Any) -> tuple[Path, str]:
    """Return the assembled folder of a checkpoint, made if it is not there yet.

    Args:
        checkpoint: an entry whose source is `{"components": ...}`.
        pipeline_class: the pipeline to assemble; its `network_classes` name what a source's `network` may be.
        **download: options of `download_snapshot`.

    Returns:
        The folder, and the revision: the commit of the source, or `name@commit ...` where there are several.

    Raises:
        CheckpointError: a source cannot be fetched, or names a network that the pipeline does not know.
    """
    sources = checkpoint.source["components"]
    for name, source in sources.items():
        if source["network"] not in pipeline_class.network_classes:
            known = ", ".join(pipeline_class.network_classes)
            raise CheckpointError(
                f"Checkpoint {checkpoint.id!r} wants {source['network']!r} as {name!r}; "
                f"{pipeline_class.__name__} knows {known}."
            )
    commits, paths = {}, {}
    for name, source in sources.items():
        commits[name] = source["revision"]
        if not COMMIT.fullmatch(source["revision"]):
            paths[name] = _source_file(checkpoint, name, **download)
            commits[name] = paths[name][1]
    revision = " ".join(f"{name}@{commit}" for name, commit in commits.items())

    def write(folder: Path) -> None:
        for name in sources:
            if name not in paths:
                paths[name] = _source_file(checkpoint, name, **download)
        _assemble(checkpoint, pipeline_class, {name: path for name, (path, _) in paths.items()}, folder)

    target = made_folder(f"{checkpoint.id}-{_key(checkpoint, pipeline_class, commits)}", _is_sound, write)
    return target, revision if len(commits) > 1 else next(iter(commits.values()))


def joined_folder(checkpoint_id: str, own: Path, shared: Mapping[str, Path]) -> Path:
    """Return a pipeline folder whose components lie apart, put together if it is not there yet.

    Args:
        checkpoint_id: whose folder it is.
        own: a pipeline folder that lacks the shared components.
        shared: folders of these, by name.
    """
    files = {name: path for name, path in _files(own).items() if name.split("/")[0] not in shared} | {
        f"{component}/{name}": path for component, folder in shared.items() for name, path in _files(folder).items()
    }
    hashes = {name: file_sha256(path) for name, path in files.items()}

    def write(folder: Path) -> None:
        for name, path in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)

    return made_folder(f"{checkpoint_id}-{_digest(hashes)}", lambda folder: holds(folder, hashes), write)


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _source_file(checkpoint: Checkpoint, name: str, **download: Any) -> tuple[Path, str]:
    """Fetch the file of one component; return its path and commit."""
    source = checkpoint.source["components"][name]
    listed = next((file for file in checkpoint.files if file.path == f"{name}/{source['filename']}"), None)
    files = () if listed is None else (type(listed)(source["filename"], listed.bytes, listed.sha256),)
    folder = download_snapshot(source["repo_id"], source["revision"], files, patterns=[source["filename"]], **download)
    return folder / source["filename"], folder.name


def _assemble(checkpoint: Checkpoint, pipeline_class: Any, paths: dict[str, Path], folder: Path) -> None:
    components = {
        name: _read_network(pipeline_class.network_classes[source["network"]], source, paths[name])
        for name, source in checkpoint.source["components"].items()
    }
    pipeline_class(**components).save_pretrained(folder)
    hashes = {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*.*")}
    (folder / _RECORD).write_text(json.dumps(hashes, indent=2), encoding="utf-8")


def _read_network(network_class: Any, source: dict[str, Any], path: Path) -> Any:
    try:
        return network_class.from_torchvision(path, **source.get("config", {}))
    except (ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source['filename']!r} of {source['repo_id']!r} cannot be used: {error}") from error


def _is_sound(folder: Path) -> bool:
    """Whether the folder is there and every file in it is what was written."""
    try:
        hashes = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return holds(folder, hashes)


def _key(checkpoint: Checkpoint, pipeline_class: Any, commits: dict[str, str]) -> str:
    """Hash everything that decides what the folder will hold."""
    networks = {
        source["network"]: pipeline_class.network_classes[source["network"]].__module__
        for source in checkpoint.source["components"].values()
    }
    made_of = [
        _LAYOUT,
        f"{pipeline_class.__module__}.{pipeline_class.__name__}",
        networks,
        checkpoint.source,
        commits,
        [file.sha256 for file in checkpoint.files],
    ]
    return _digest(made_of)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
