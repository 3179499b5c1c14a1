"""What a checkpoint consists of, before anything of it is loaded: its networks, on the meta device."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pipelines.hub.download import fetch
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import Checkpoint, get_checkpoint
from pipelines.hub.verify import file_sha256


class ComponentShape(NamedTuple):
    """One network of a checkpoint.

    Attributes:
        key: the same for two components that hold the same weights in the same network, whatever checkpoint they
            belong to: they are counted and loaded once.
        module: the network on the meta device.
    """

    key: str
    module: nn.Module


class NotDownloaded(nn.Module):
    """Stands for a network of which only the size of its files is known.

    Args:
        size: in bytes; 0 where that is unknown as well, because the checkpoint is not pinned.
    """

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"), requires_grad=False)


def describe_components(checkpoint_id: str) -> dict[str, ComponentShape]:
    """Describe the networks of a registered checkpoint, without its weights and without the network.

    Args:
        checkpoint_id: an id of the registry.

    Returns:
        The networks by the names that the pipeline gives them.

    Raises:
        UnknownCheckpointError: there is no such checkpoint.
        CheckpointError: this version does not have its pipeline or one of its networks.
    """
    checkpoint = get_checkpoint(checkpoint_id)
    # By name, when it is called: the methods are above this layer.
    pipeline_class = getattr(importlib.import_module("pipelines"), checkpoint.pipeline, None)
    networks = getattr(pipeline_class, "network_classes", {})
    wanted = {source["network"] for source in checkpoint.source.get("components", {}).values()}
    if pipeline_class is None or not wanted <= networks.keys():
        missing = ", ".join(sorted(wanted - networks.keys())) or checkpoint.pipeline
        raise CheckpointError(f"Checkpoint {checkpoint_id!r} is for {missing}, which this version does not have.")
    if "components" in checkpoint.source:
        return {
            name: ComponentShape(
                json.dumps(source, sort_keys=True),
                _build(networks[source["network"]], source.get("config", {})),
            )
            for name, source in checkpoint.source["components"].items()
        }
    try:
        folder = fetch(checkpoint, local_files_only=True)
    except CheckpointError:
        return _from_registry(checkpoint, pipeline_class)
    return _from_folder(folder, pipeline_class)


def _from_folder(folder: Path, pipeline_class: Any) -> dict[str, ComponentShape]:
    classes = {network.__name__: network for network in pipeline_class.network_classes.values()}
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    found = {}
    for name, value in index.items():
        if isinstance(value, list) and value[-1] in classes:
            config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
            files = {path.name: file_sha256(path) for path in (folder / name).iterdir()}
            found[name] = ComponentShape(_key(files), _build(classes[value[-1]], config))
    return found


def _from_registry(checkpoint: Checkpoint, pipeline_class: Any) -> dict[str, ComponentShape]:
    names, _ = pipeline_class._get_signature_keys(pipeline_class)
    found = {}
    for name in sorted(names):
        files = [file for file in checkpoint.files if file.path.startswith(f"{name}/")]
        if checkpoint.files and not files:  # an optional component, which the checkpoint does not have
            continue
        weights = sum(file.bytes for file in files if file.path.endswith(".safetensors"))
        hashes = {file.path.removeprefix(f"{name}/"): file.sha256 for file in files}
        found[name] = ComponentShape(_key(hashes) if files else f"{checkpoint.id}.{name}", NotDownloaded(weights))
    return found


def _key(files: dict[str, str]) -> str:
    """Identify a network by its config and its weights, which are all that its folder holds."""
    return json.dumps(files, sort_keys=True)


def _build(network_class: Any, config: dict[str, Any]) -> nn.Module:
    with torch.device("meta"):
        return network_class.from_config(config)
