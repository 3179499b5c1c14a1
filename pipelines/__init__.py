"""Image-to-image translation methods as diffusers pipelines."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.hub.registry import list_checkpoints

if TYPE_CHECKING:
    from pipelines.base import TranslationPipeline
    from pipelines.cut.pipeline import CUTPipeline
    from pipelines.deepi2i.pipeline import DeepI2IPipeline
    from pipelines.deepi2i.stylegan_pipeline import DeepI2IStyleGANPipeline
    from pipelines.oeft.pipeline import OEFTPipeline
    from pipelines.sincut.pipeline import SinCUTPipeline

__all__ = [
    "CUTPipeline",
    "DeepI2IPipeline",
    "DeepI2IStyleGANPipeline",
    "OEFTPipeline",
    "SinCUTPipeline",
    "list_checkpoints",
    "load_pipeline",
]

_MODULES = {
    "CUTPipeline": "pipelines.cut.pipeline",
    "DeepI2IPipeline": "pipelines.deepi2i.pipeline",
    "DeepI2IStyleGANPipeline": "pipelines.deepi2i.stylegan_pipeline",
    "OEFTPipeline": "pipelines.oeft.pipeline",
    "SinCUTPipeline": "pipelines.sincut.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a pipeline when it is asked for: diffusers and torch take seconds, and a command's help needs neither."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def load_pipeline(checkpoint: str | os.PathLike, **kwargs: Any) -> TranslationPipeline:
    """Load any pipeline; its class comes from the registry, or from the model_index.json of a folder or repository.

    Args:
        checkpoint: a checkpoint id, a folder, or a Hub id (`owner/name`).
        **kwargs: as the pipeline's `from_pretrained` takes them.

    Raises:
        CheckpointError: it cannot be fetched complete and sound, does not fit, or names a class that is not here.
        UnknownCheckpointError: there is no such checkpoint id.
    """
    from pipelines.base import TranslationPipeline
    from pipelines.hub.download import find_registered
    from pipelines.hub.errors import CheckpointError
    from pipelines.hub.strict import read_index

    entry = find_registered(checkpoint)
    if entry is not None:
        name = entry.pipeline
    else:
        name = read_index(Path(TranslationPipeline.download(checkpoint, **kwargs)))["_class_name"]
    if name not in _MODULES:
        raise CheckpointError(f"{os.fspath(checkpoint)!r} is for {name}, which this version does not have.")
    return __getattr__(name).from_pretrained(checkpoint, **kwargs)
