"""`python -m pipelines pin`: write the commit and the hash of every file of a checkpoint into the registry."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from pipelines.hub.errors import CheckpointError, explain
from pipelines.hub.registry import RegistryError, get_checkpoint, parse_registry, read_registry
from pipelines.hub.snapshot import ALLOWED, download_snapshot, hub_endpoint
from pipelines.hub.verify import file_sha256


def add_parser(subparsers: Any) -> None:
    """Add `pin` to the commands."""
    parser = subparsers.add_parser("pin", help="write commit and hashes of a checkpoint into checkpoints.json")
    parser.add_argument("id", help="checkpoint id")
    parser.add_argument("--file", type=Path, help="registry file to change (the one that holds the entry)")


def run(args: argparse.Namespace) -> int:
    """Pin one entry, and say what it is pinned to.

    Raises:
        RegistryError: there is no such entry, or the file is wrong; it is left as it is.
        CheckpointError: the Hub or a file cannot be reached; the registry file is left as it is.
    """
    path = args.file or get_checkpoint(args.id).registry_file
    known = [checkpoint.id for checkpoint in read_registry(path)]
    if args.id not in known:
        raise RegistryError(f"{path} has no entry {args.id!r}; it has {', '.join(known)}.")
    entries = json.loads(path.read_text(encoding="utf-8"))
    entry = entries[known.index(args.id)]
    entry["files"] = pinned_files(entry["source"], path.parent)
    parse_registry(entries, path)
    _write_atomically(path, json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    size = sum(file["bytes"] for file in entry["files"])
    print(f"{args.id}: {len(entry['files'])} files, {size / 1e6:.1f} MB, pinned in {path}")
    return 0


def pinned_files(source: dict[str, Any], root: Path) -> list[dict[str, Any]]:
    """List the files of a source with length and hash; revisions of the Hub become commits, in `source` itself.

    Args:
        source: an entry's `source`; its revisions are changed.
        root: the folder that bundled folders are relative to.

    Raises:
        CheckpointError: the Hub cannot be reached, or has no such repository, revision or file.
    """
    if "bundled" in source:
        return _bundled_files(root / source["bundled"])
    if "components" not in source:
        return _hub_files(source, ALLOWED)
    files = []
    for name, component in source["components"].items():
        found = _hub_files(component, [component["filename"]])
        files += [{**file, "path": f"{name}/{file['path']}"} for file in found]
    return files


def _bundled_files(folder: Path) -> list[dict[str, Any]]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    wanted = [name for name in names if _matches(name, ALLOWED)]
    if not wanted:
        raise CheckpointError(f"{folder} holds no file of a checkpoint: save the pipeline there first.")
    return [_described(name, folder / name) for name in wanted]


def _hub_files(source: dict[str, Any], patterns: list[str]) -> list[dict[str, Any]]:
    """Ask the Hub for the commit and for the hashes of large files; small ones are downloaded and hashed here."""
    repo_id, revision, endpoint = source["repo_id"], source["revision"], hub_endpoint()
    api = HfApi(endpoint=endpoint)
    try:
        commit = api.model_info(repo_id, revision=revision).sha
        tree = list(api.list_repo_tree(repo_id, revision=commit, recursive=True))
    except Exception as error:
        raise explain(error, repo_id, revision, endpoint) from error
    entries = [entry for entry in tree if isinstance(entry, RepoFile) and _matches(entry.path, patterns)]
    if not entries:
        raise CheckpointError(f"{repo_id!r} at revision {revision!r} has no file {' or '.join(patterns)}.")
    small = [entry.path for entry in entries if entry.lfs is None]
    folder = download_snapshot(repo_id, str(commit), patterns=small) if small else Path()
    source["revision"] = commit
    return [
        _described(entry.path, folder / entry.path)
        if entry.lfs is None
        else {"path": entry.path, "bytes": entry.lfs.size, "sha256": entry.lfs.sha256}
        for entry in sorted(entries, key=lambda entry: entry.path)
    ]


def _described(name: str, path: Path) -> dict[str, Any]:
    return {"path": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _matches(name: str, patterns: list[str]) -> bool:
    return any(PurePosixPath(name).match(pattern) for pattern in patterns)


def _write_atomically(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
        file.write(text)
    os.chmod(file.name, path.stat().st_mode)
    os.replace(file.name, path)
