"""The model card of what `train sincut` writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.training_card import training_card

_TRAINING = """\
`python -m pipelines train sincut --preset {preset}` on two pictures alone, `{image}` and `{exemplar}`: {steps} steps
of {batch_size} crops of each."""


def model_card(folder: Path, args: argparse.Namespace, record: dict[str, Any]) -> str:
    """The README.md of a pipeline folder.

    Args:
        folder: where it will lie: `RUN/pipeline`.
        args: of `train sincut`.
        record: what goes into training.json too: `steps`, `settings`.
    """
    image, exemplar = args.image.name, args.exemplar.name
    return training_card(
        title=folder.parent.name,
        tags=["single-image-translation", "sincut"],
        purpose=f"Translates pictures like `{image}` into the look of `{exemplar}`.",
        pipeline="SinCUTPipeline",
        folder=folder.name,
        arguments='"picture.jpg"',
        training=_TRAINING.format(
            preset=args.preset,
            image=image,
            exemplar=exemplar,
            steps=record["steps"],
            batch_size=record["settings"]["batch_size"],
        ),
        config=record["settings"],
        license_id=args.license,
    )
