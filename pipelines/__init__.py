"""Image-to-image translation methods as diffusers pipelines."""

import os
from pathlib import Path
from typing import Any

from pipelines.base import TranslationPipeline
from pipelines.hub.download import find_registered
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import list_checkpoints
from pipelines.hub.strict import read_index
from pipelines.oeft.pipeline import OEFTPipeline

__all__ = ["OEFTPipeline", "list_checkpoints", "load_pipeline"]


def load_pipeline(checkpoint: str | os.PathLike, **kwargs: Any) -> TranslationPipeline:
    """Load any pipeline; its class comes from the registry, or from the model_index.json of a folder or repository.

    Args:
        checkpoint: a checkpoint id, a folder, or a Hub id (`owner/name`).
        **kwargs: as the pipeline's `from_pretrained` takes them.

    Raises:
        CheckpointError: it cannot be fetched complete and sound, does not fit, or names a class that is not here.
        UnknownCheckpointError: there is no such checkpoint id.
    """
    entry = find_registered(checkpoint)
    if entry is not None:
        name = entry.pipeline
    else:
        name = read_index(Path(TranslationPipeline.download(checkpoint, **kwargs)))["_class_name"]
    pipeline_class = globals().get(name)
    if not (isinstance(pipeline_class, type) and issubclass(pipeline_class, TranslationPipeline)):
        raise CheckpointError(f"{os.fspath(checkpoint)!r} is for {name}, which this version does not have.")
    return pipeline_class.from_pretrained(checkpoint, **kwargs)
