"""The option that names a frozen backbone, as the commands that train with one take it."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands import UsageError


def add_backbone_option(parser: argparse.ArgumentParser, purpose: str, default: str | None) -> None:
    """Add `--backbone`.

    Args:
        parser: of the command.
        purpose: what the backbone does, for the help.
        default: checkpoint; None where the command does without.
    """
    shown = default or "none"
    parser.add_argument(
        "--backbone",
        default=default,
        metavar="CHECKPOINT",
        help=f"OEFT checkpoint whose backbone {purpose}: id, folder or Hub id (default: {shown})",
    )


def read_backbone(checkpoint: str) -> tuple[Any, str]:
    """The backbone of an OEFT pipeline in fp32, and what a run's record calls it.

    Raises:
        UsageError: it is a pipeline of another kind.
        CheckpointError: it cannot be loaded.
    """
    import torch

    from pipelines import load_pipeline

    pipe = load_pipeline(checkpoint, dtype=torch.float32)
    if "backbone" not in pipe.components:
        raise UsageError(f"--backbone {checkpoint} is a {type(pipe).__name__}; an OEFTPipeline is needed.")
    return pipe.components["backbone"], pipe.config["_name_or_path"]
