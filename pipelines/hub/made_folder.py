"""Pipeline folders that are made here, in a cache: complete and sound, or not there at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from pipelines.hub.errors import CheckpointError
from pipelines.hub.verify import file_sha256


def made_folder(name: str, is_sound: Callable[[Path], bool], write: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made if it is not there yet or no longer sound.

    Args:
        name: of the folder; it stands for everything that decides what the folder holds.
        is_sound: whether the files in a folder, which may be missing, are what was written.
        write: writes the files into an empty folder. It is renamed when it is complete.

    Raises:
        CheckpointError: the cache cannot be written. What `write` raises passes through.
    """
    cache = _cache_folder()
    target = cache / name
    partial = cache / f".{name}.{uuid.uuid4().hex[:8]}"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise CheckpointError(
            f"{cache} cannot be written ({error.strerror}): set TRANSLATION_HUB_CACHE to a folder that can."
        ) from error
    try:
        with WeakFileLock(cache / f".{name}.lock"):
            if not is_sound(target):
                shutil.rmtree(target, ignore_errors=True)
                write(partial)
                os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def holds(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Whether all files are in the folder, with these hashes by their path in it."""
    try:
        return all(file_sha256(folder / name) == sha256 for name, sha256 in hashes.items())
    except OSError:
        return False


def _cache_folder() -> Path:
    default = Path(constants.HF_HOME) / "translation-hub"
    return Path(os.environ.get("TRANSLATION_HUB_CACHE") or default).expanduser()
