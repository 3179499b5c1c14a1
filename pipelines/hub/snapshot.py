"""Files of one Hub repository at one revision: downloaded, verified, and downloaded again once where damaged.

`snapshot_download` of huggingface_hub does the transfer: it fails at once without a network, resumes a broken
transfer, and renames only finished files into its cache. It does not compare hashes, so that is done here.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import filter_repo_objects

from pipelines.hub.errors import CheckpointError, explain
from pipelines.hub.registry import COMMIT, CheckpointFile
from pipelines.hub.verify import damaged_files, file_sha256, missing_files

ALLOWED = ["*.safetensors", "*.json", "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.txt"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VARIANT_FILES = ["*.*.safetensors"]  # diffusion_pytorch_model.fp16.safetensors


def hub_endpoint() -> str:
    """Return the address of the Hub; HF_ENDPOINT counts also when it was set after huggingface_hub was imported."""
    return (os.environ.get("HF_ENDPOINT") or str(constants.ENDPOINT)).rstrip("/")


def download_snapshot(
    repo_id: str,
    revision: str,
    files: tuple[CheckpointFile, ...] = (),
    *,
    patterns: list[str] | None = None,
    variant: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Download a repository, or what is listed of it, and verify it.

    Args:
        repo_id: `owner/name`.
        revision: a commit, or the name of a branch or tag.
        files: the files to download, with hashes; empty for everything that is safetensors, JSON, README or license.
        patterns: names to download where `files` is empty.
        variant: the variant that will be loaded; without one, files of variants stay where they are.
        token: as huggingface_hub takes it.
        cache_dir: the Hub cache; None for huggingface_hub's own.
        local_files_only: never ask the network.
        force_download: transfer the files again even if they are in the cache.

    Returns:
        The folder of the snapshot. Its name is the commit.

    Raises:
        CheckpointError: offline, missing repository, revision or file, gated, broken off or damaged.
    """

    def download(force: bool) -> Path:
        endpoint = hub_endpoint()
        wanted: dict[str, Any] = {
            "repo_id": repo_id,
            "revision": revision,
            "allow_patterns": [file.path for file in files] or patterns or ALLOWED,
            "ignore_patterns": None if files or patterns or variant else _VARIANT_FILES,
            "cache_dir": cache_dir,
        }
        try:
            if COMMIT.fullmatch(revision) and not force and not local_files_only:
                with suppress(LocalEntryNotFoundError):
                    cached = Path(snapshot_download(**wanted, local_files_only=True))
                    if not missing_files(cached, files):
                        return cached
                # Asked once without retries: listing a commit waits 23 seconds where there is no network.
                HfApi(endpoint=endpoint, token=token).model_info(repo_id, revision=revision)
            options: dict[str, Any] = {"local_files_only": local_files_only, "force_download": force, "token": token}
            return Path(snapshot_download(**wanted, **options, endpoint=endpoint))
        except Exception as error:  # the errors of the HTTP library below are not all wrapped
            raise explain(error, repo_id, revision, endpoint) from error

    def complete(folder: Path) -> Path:
        if missing := missing_files(folder, files) or _missing_names(folder, patterns):
            raise CheckpointError(f"{repo_id!r} at revision {revision!r} has no file {missing[0]!r}: check the entry.")
        return folder

    folder = complete(download(force_download))
    damaged = _damaged(folder, files)
    if not damaged:
        return folder
    _remove(folder, damaged)
    try:
        folder = download(force=False)  # another folder than before if the branch has moved meanwhile
    except CheckpointError as error:
        raise CheckpointError(
            f"{damaged[0]!r} of {repo_id!r} was damaged (its sha256 is not the expected one) and has been removed "
            f"from the cache; downloading it again failed: {error}"
        ) from error
    if still := _damaged(complete(folder), files):
        _remove(folder, still)
        raise CheckpointError(
            f"{still[0]!r} of {repo_id!r} at revision {revision!r} does not have the expected sha256, also after a "
            "second download: it has been removed from the cache and was not loaded."
        )
    return folder


def measure_snapshot(repo_id: str, revision: str = "main", *, token: str | bool | None = None) -> tuple[str, int]:
    """Ask what `download_snapshot` would transfer, without transferring it.

    Args:
        repo_id: `owner/name`.
        revision: a commit, or the name of a branch or tag.
        token: as huggingface_hub takes it.

    Returns:
        The commit that the revision is now, and the size of its files in bytes.

    Raises:
        CheckpointError: offline, missing repository or revision, or gated.
    """
    endpoint = hub_endpoint()
    api = HfApi(endpoint=endpoint, token=token)
    try:
        commit = str(api.model_info(repo_id, revision=revision).sha)
        files = [
            file for file in api.list_repo_tree(repo_id, recursive=True, revision=commit) if isinstance(file, RepoFile)
        ]
    except Exception as error:  # the errors of the HTTP library below are not all wrapped
        raise explain(error, repo_id, revision, endpoint) from error
    wanted = filter_repo_objects(
        files, allow_patterns=ALLOWED, ignore_patterns=_VARIANT_FILES, key=lambda file: file.path
    )
    return commit, sum(file.size for file in wanted)


def _missing_names(folder: Path, patterns: list[str] | None) -> list[str]:
    return [name for name in patterns or [] if not (folder / name).is_file()]


def _damaged(folder: Path, files: tuple[CheckpointFile, ...]) -> list[str]:
    """Compare with the recorded hashes; without a record, with the hash after which the cache names large files."""
    if files:
        return damaged_files(folder, files)
    weights = [path for path in folder.rglob("*.safetensors") if _SHA256.fullmatch(_blob(path).name)]
    return [path.relative_to(folder).as_posix() for path in weights if file_sha256(path) != _blob(path).name]


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        for part in (path.resolve(), _blob(path), path):  # the blob may itself be a link to a store that caches share
            part.unlink(missing_ok=True)


def _blob(path: Path) -> Path:
    """Return the file of the cache's `blobs` folder that a file of a snapshot links to."""
    return path.parent / path.readlink() if path.is_symlink() else path
