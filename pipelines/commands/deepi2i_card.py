"""The model card of what `train deepi2i` writes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.commands.training_card import training_card

_TRAINING = """\
`python -m pipelines train deepi2i --preset {preset}` on `{data}`: {pictures} pictures, {held_out} held out, {steps}
steps of {batch_size}."""


def model_card(folder: Path, args: argparse.Namespace, record: dict[str, Any], class_names: Sequence[str]) -> str:
    """The README.md of a pipeline folder.

    Args:
        folder: where it will lie: `RUN/pipeline`.
        args: of `train deepi2i`.
        record: what goes into training.json too: `steps`, `pictures`, `held_out`, `config`.
        class_names: of the pictures.
    """
    return training_card(
        title=folder.parent.name,
        tags=["many-class-translation", "deepi2i"],
        purpose=f"Translates a picture into any of {len(class_names)} classes: {', '.join(class_names)}.",
        pipeline="DeepI2IPipeline",
        folder=folder.name,
        arguments=f'"picture.jpg", target_class="{class_names[0]}"',
        training=_TRAINING.format(
            preset=args.preset,
            data="`, `".join(path.resolve().name for path in args.data),
            pictures=record["pictures"],
            held_out=record["held_out"],
            steps=record["steps"],
            batch_size=record["config"]["batch_size"],
        ),
        config=record["config"],
        license_id=args.license,
    )
