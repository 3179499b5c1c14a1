"""`python -m pipelines publish`: put a pipeline folder on the Hub, and print the registry entry that loads it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the arguments of `publish`."""
    parser = subparsers.add_parser(
        "publish",
        help="put a pipeline folder on the Hub, and print its entry for checkpoints.json",
        description="Put a pipeline folder on the Hub: card, weights and SHA256SUMS, in one commit. The folder is "
        "checked before anything is sent, and what the Hub then holds is read back. The entry for checkpoints.json is "
        "printed, pinned to the commit. The token is HF_TOKEN, or that of `hf auth login`.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a pipeline folder with a README.md")
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="the repository; made if needed")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument("--dry-run", action="store_true", help="send nothing, and say what would be sent")
    for name, default in {
        "id": "the registry's, or the name of the repository",
        "title": "the registry's, or the heading of the card",
        "training-data": "the registry's, or the card's section Training",
    }.items():
        parser.add_argument(f"--{name}", metavar="TEXT", help=f"of the entry (default: {default})")


def run(args: argparse.Namespace) -> int:
    """Publish the folder and print its entry; all else that is said goes to stderr.

    Raises:
        CheckpointError: the folder does not load, has no card or license, or the Hub cannot be written; nothing is
            published then.
        RegistryError: the entry would not be accepted.
        UsageError: the entry lacks something that an argument can give.
    """
    from pipelines.commands.published_entry import describe
    from pipelines.hub.errors import CheckpointError
    from pipelines.hub.upload import upload_files

    given = {name: getattr(args, name) for name in ("id", "title", "training_data")}
    entry, folder, notes = describe(
        args.folder, args.repo_id, {name: text for name, text in given.items() if text is not None}
    )
    sums = "".join(f"{file['sha256']}  {file['path']}\n" for file in entry["files"]).encode()
    content: dict[str, Path | bytes] = {file["path"]: folder / file["path"] for file in entry["files"]}
    content["SHA256SUMS"] = sums
    for note in notes:
        _say(note)
    if args.dry_run:
        _say(f"dry run, nothing is sent; {args.repo_id} would hold, beside SHA256SUMS:")
        for file in entry["files"]:
            _say(f"{file['bytes']:>12,} bytes  {file['path']}")
    else:
        entry["source"]["revision"] = upload_files(
            args.repo_id, content, private=args.private, message=f"Publish {entry['title']}"
        )
        if _held_files(entry["source"]) != entry["files"]:
            raise CheckpointError(
                f"{args.repo_id!r} at {entry['source']['revision']} does not hold what was sent: run it again."
            )
        _say(f"{args.repo_id} holds {entry['id']!r}; its entry for checkpoints.json:")
    print(json.dumps(entry, indent=2, ensure_ascii=False))
    return 0


def _held_files(source: dict[str, Any]) -> list[dict[str, Any]]:
    from pipelines.commands.pin import pinned_files

    return pinned_files(source, Path())


def _say(text: str) -> None:
    print(text, file=sys.stderr)
