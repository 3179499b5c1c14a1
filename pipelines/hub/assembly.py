"""Single component files of other repositories, assembled into an ordinary pipeline folder.

Such a repository holds one network in another library's layout. It is read once, and what is written is a folder as
`save_pretrained` makes it, so that there is one way to load a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock
from safetensors import SafetensorError

from pipelines.hub.errors import CheckpointError
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
    target = _cache_folder() / f"{checkpoint.id}-{_key(checkpoint, pipeline_class, commits)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(target.with_name(f".{target.name}.lock")):
        if not _is_sound(target):
            shutil.rmtree(target, ignore_errors=True)
            for name in sources:
                if name not in paths:
                    paths[name] = _source_file(checkpoint, name, **download)
            _assemble(checkpoint, pipeline_class, {name: path for name, (path, _) in paths.items()}, target)
    return target, revision if len(commits) > 1 else next(iter(commits.values()))


def _source_file(checkpoint: Checkpoint, name: str, **download: Any) -> tuple[Path, str]:
    """Fetch the file of one component; return its path and commit."""
    source = checkpoint.source["components"][name]
    listed = next((file for file in checkpoint.files if file.path == f"{name}/{source['filename']}"), None)
    files = () if listed is None else (type(listed)(source["filename"], listed.bytes, listed.sha256),)
    folder = download_snapshot(source["repo_id"], source["revision"], files, patterns=[source["filename"]], **download)
    return folder / source["filename"], folder.name


def _assemble(checkpoint: Checkpoint, pipeline_class: Any, paths: dict[str, Path], target: Path) -> None:
    """Write the folder under another name and rename it when it is complete."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    partial.mkdir()
    try:
        components = {
            name: _read_network(pipeline_class.network_classes[source["network"]], source, paths[name])
            for name, source in checkpoint.source["components"].items()
        }
        pipeline_class(**components).save_pretrained(partial)
        hashes = {path.relative_to(partial).as_posix(): file_sha256(path) for path in partial.rglob("*.*")}
        (partial / _RECORD).write_text(json.dumps(hashes, indent=2), encoding="utf-8")
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_network(network_class: Any, source: dict[str, Any], path: Path) -> Any:
    try:
        return network_class.from_torchvision(path, **source.get("config", {}))
    except (ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source['filename']!r} of {source['repo_id']!r} cannot be used: {error}") from error


def _is_sound(folder: Path) -> bool:
    """Whether the folder is there and every file in it is what was written."""
    try:
        hashes = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return all(file_sha256(folder / name) == sha256 for name, sha256 in hashes.items())
    except (OSError, ValueError):
        return False


def _cache_folder() -> Path:
    default = Path(constants.HF_HOME) / "translation-hub"
    return Path(os.environ.get("TRANSLATION_HUB_CACHE") or default).expanduser()


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
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
