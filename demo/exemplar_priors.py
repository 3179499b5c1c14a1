"""Which checkpoints of the Exemplar tab can refine a warp, before any of them is loaded."""

import json
from pathlib import Path

import pipelines
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import Checkpoint
from pipelines.oeft.inversion_settings import InversionSettings


def refine_steps(checkpoint: Checkpoint) -> int | None:
    """Return the steps of refinement that suit a checkpoint; None where it has no prior, or is not on this machine."""
    try:
        folder = getattr(pipelines, checkpoint.pipeline).download(checkpoint.id, local_files_only=True)
    except CheckpointError:
        return None
    index = json.loads((Path(folder) / "model_index.json").read_text(encoding="utf-8"))
    if not any(index.get("prior", ())):
        return None
    return InversionSettings.preset("balanced", **(index.get("refine_settings") or {})).num_steps
