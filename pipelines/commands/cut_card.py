"""The model card of what `train cut` writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.training_card import training_card

_TRAINING = """\
`python -m pipelines train cut --preset {preset}` on `{data}`: {pictures[0]} pictures in `trainA`, {pictures[1]} in
`trainB`, {steps} steps of {batch_size} of each."""


def model_card(folder: Path, direction: str, args: argparse.Namespace, record: dict[str, Any]) -> str:
    """The README.md of a pipeline folder.

    Args:
        folder: where it will lie: `RUN/pipeline`.
        direction: "a2b" or "b2a".
        args: of `train cut`.
        record: what goes into training.json too: `steps`, `pictures` of both sides, `config`.
    """
    source, target = ("trainA", "trainB") if direction == "a2b" else ("trainB", "trainA")
    return training_card(
        title=f"{folder.parent.name}, {direction}",
        tags=["unpaired-translation", args.preset],
        purpose=f"Translates pictures of the kind of `{source}` into pictures like those of `{target}`.",
        pipeline="CUTPipeline",
        folder=folder.name,
        arguments='"picture.jpg"',
        training=_TRAINING.format(
            preset=args.preset,
            data=args.data.resolve().name,
            pictures=record["pictures"],
            steps=record["steps"],
            batch_size=record["config"]["batch_size"],
        ),
        config=record["config"],
        license_id=args.license,
    )
