"""Hashes of files: every listed file of a checkpoint is compared with its sha256 before it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pipelines.hub.registry import CheckpointFile

_known: dict[tuple[Path, int, int], str] = {}


def file_sha256(path: Path) -> str:
    """Hash a file, 64 hex digits; a file that has not changed since is not read twice in one process."""
    status = path.stat()
    key = (path.resolve(), status.st_size, status.st_mtime_ns)
    if key not in _known:
        with path.open("rb") as file:
            _known[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _known[key]


def missing_files(folder: Path, files: Iterable[CheckpointFile]) -> list[str]:
    """Name the listed files that `folder` lacks."""
    return [file.path for file in files if not (folder / file.path).is_file()]


def damaged_files(folder: Path, files: Iterable[CheckpointFile]) -> list[str]:
    """Name the listed files of `folder` whose length or sha256 is not the recorded one."""
    return [file.path for file in files if not _is_sound(folder / file.path, file)]


def _is_sound(path: Path, file: CheckpointFile) -> bool:
    return path.stat().st_size == file.bytes and file_sha256(path) == file.sha256
