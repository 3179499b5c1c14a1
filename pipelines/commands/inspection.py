"""What there is to compute with: the machine, the packages, and the checkpoints that are here."""

import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch

import pipelines
from pipelines.hub.allocator import tune_allocator
from pipelines.hub.download import locate
from pipelines.hub.errors import CheckpointError
from pipelines.hub.precision import fast_precision
from pipelines.hub.registry import Checkpoint
from pipelines.images.provenance import installed_version

PACKAGES = (
    "torch",
    "torchvision",
    "diffusers",
    "accelerate",
    "huggingface-hub",
    "safetensors",
    "gradio",
    "numpy",
    "pillow",
)


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine.

    Args:
        device: what the pipelines compute on.

    Returns:
        Facts by name; memory in bytes. `allocator` says whether large tensors reuse their memory.
    """
    memory = psutil.virtual_memory()
    facts: dict[str, Any] = {
        "device": str(device),
        "dtype": str(fast_precision(device)).removeprefix("torch."),
        "cpu_threads": torch.get_num_threads(),
        "memory": memory.total,
        "memory_free": memory.available,
    }
    if device.type == "cuda":
        facts["gpus"] = [
            {"name": torch.cuda.get_device_name(index), "memory": total, "memory_free": free}
            for index in range(torch.cuda.device_count())
            for free, total in [torch.cuda.mem_get_info(index)]
        ]
    facts["allocator"] = "tuned" if tune_allocator() else "default"
    facts["platform"] = platform.platform()
    facts["python"] = platform.python_version()
    facts["settings"] = {name: value for name, value in os.environ.items() if name.startswith("TRANSLATION_HUB_")}
    return facts


def package_versions() -> dict[str, str | None]:
    """Return the installed versions of `PACKAGES`; None for what is not installed."""
    return {name: installed_version(name) for name in PACKAGES}


def find_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Look for a checkpoint on this machine, without asking the network.

    Returns:
        `id`, `task`, `pipeline`; `where`: "bundled", "cached", "to download", or "broken" for a bundled one that is
        not sound; `bytes` of its files, None where nobody knows yet; `pinned`; `error`, None where it is here.
    """
    bundled = "bundled" in checkpoint.source
    size = sum(file.bytes for file in checkpoint.files) or None
    where, error = ("bundled" if bundled else "cached"), None
    try:
        pipeline_class = getattr(pipelines, checkpoint.pipeline, None)
        folder = locate(checkpoint, pipeline_class=pipeline_class, local_files_only=True).folder
        size = size or _folder_size(folder)
    except CheckpointError as reason:
        where, error = ("broken" if bundled else "to download"), str(reason)
    return {
        "id": checkpoint.id,
        "task": checkpoint.task,
        "pipeline": checkpoint.pipeline,
        "where": where,
        "bytes": size,
        "pinned": checkpoint.pinned,
        "error": error,
    }


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
