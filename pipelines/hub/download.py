"""From a checkpoint id, a folder or a Hub id to a verified local folder that a pipeline can load."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.hub.assembly import assembled_folder, joined_folder
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import Checkpoint, get_checkpoint, read_registry
from pipelines.hub.snapshot import download_snapshot
from pipelines.hub.verify import damaged_files, missing_files


class Located(NamedTuple):
    """A verified folder and where it came from.

    Attributes:
        folder: a pipeline folder as `save_pretrained` writes it.
        checkpoint: the checkpoint id, or the folder or Hub id as it was given.
        revision: the commit; None for what is not on the Hub.
    """

    folder: Path
    checkpoint: str
    revision: str | None


def locate(
    source: Checkpoint | str | os.PathLike[str],
    *,
    pipeline_class: Any = None,
    revision: str | None = None,
    **download: Any,
) -> Located:
    """Make a checkpoint available as a verified local folder.

    Args:
        source: a registry entry or its id, a pipeline folder, or a Hub id (`owner/name`). A name without a slash is
            looked up in the registry, unless it is a folder.
        pipeline_class: needed where the checkpoint is made of single component files.
        revision: commit, branch or tag of a Hub id; a checkpoint brings its own.
        **download: `variant`, `token`, `cache_dir`, `local_files_only`, `force_download`, as
            `pipelines.hub.snapshot.download_snapshot` takes them.

    Raises:
        CheckpointError: it cannot be had complete and sound, or it is refused as not pinned.
        UnknownCheckpointError: there is no such checkpoint.
    """
    if not isinstance(source, Checkpoint):
        source = find_registered(source) or os.fspath(source)
    if isinstance(source, Checkpoint):
        if revision is not None:
            raise ValueError(f"`revision` is {revision!r}, but checkpoint {source.id!r} brings its own.")
        return _locate_checkpoint(source, pipeline_class, download)
    name = source
    if os.path.isdir(name):
        return Located(Path(name), name, None)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(f"The folder {name!r} does not exist.")
    folder = download_snapshot(name, revision or "main", **download)
    return Located(folder, name, folder.name)


def find_registered(name: str | os.PathLike) -> Checkpoint | None:
    """Return the entry of a checkpoint id; None for an existing folder, and for what has a slash.

    Raises:
        UnknownCheckpointError: it is neither, and there is no such id.
    """
    text = os.fspath(name)
    return None if os.path.isdir(text) or "/" in text or os.sep in text else get_checkpoint(text)


def fetch(source: Checkpoint | str | os.PathLike, **options: Any) -> Path:
    """Return the folder of `locate`, which takes the same arguments."""
    return locate(source, **options).folder


def _locate_checkpoint(checkpoint: Checkpoint, pipeline_class: Any, download: dict[str, Any]) -> Located:
    if os.environ.get("TRANSLATION_HUB_STRICT", "0") not in ("", "0") and not checkpoint.pinned:
        raise CheckpointError(
            f"Checkpoint {checkpoint.id!r} is not pinned to a commit and hashes, which TRANSLATION_HUB_STRICT asks "
            f"for: run `python -m pipelines pin {checkpoint.id}` where the Hub can be reached."
        )
    if "bundled" in checkpoint.source:
        return Located(_bundled_folder(checkpoint), checkpoint.id, None)
    if "components" in checkpoint.source:
        if pipeline_class is None:
            raise ValueError(f"`pipeline_class` is missing; checkpoint {checkpoint.id!r} is assembled with one.")
        download = {name: value for name, value in download.items() if name != "variant"}
        folder, revision = assembled_folder(checkpoint, pipeline_class, **download)
        return Located(folder, checkpoint.id, revision)
    folder = download_snapshot(
        checkpoint.source["repo_id"], checkpoint.source["revision"], checkpoint.files, **download
    )
    return Located(folder, checkpoint.id, folder.name)


def _bundled_folder(checkpoint: Checkpoint) -> Path:
    folder = _verified(checkpoint)
    if not checkpoint.source.get("shared"):
        return folder
    others = {entry.id: entry for entry in read_registry(checkpoint.registry_file)}
    shared = {
        name: _locate_checkpoint(others[other], None, {}).folder / name
        for name, other in checkpoint.source["shared"].items()
    }
    return joined_folder(checkpoint.id, folder, shared)


def _verified(checkpoint: Checkpoint) -> Path:
    folder = checkpoint.bundled_folder
    if not folder.is_dir():
        raise CheckpointError(f"Checkpoint {checkpoint.id!r} should lie in {folder}, which does not exist.")
    if missing := missing_files(folder, checkpoint.files):
        raise CheckpointError(f"Checkpoint {checkpoint.id!r} has no file {missing[0]!r} in {folder}: restore it.")
    if damaged := damaged_files(folder, checkpoint.files):
        raise CheckpointError(
            f"{damaged[0]!r} of checkpoint {checkpoint.id!r} does not have the expected sha256: restore {folder}, or "
            f"run `python -m pipelines pin {checkpoint.id}` if you changed it on purpose."
        )
    return folder
