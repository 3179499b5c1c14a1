"""Where every network of every registered pipeline goes: one plan for the whole application, made by Accelerate."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import accelerate.utils.modeling as accelerate_modeling
import psutil
import torch
from accelerate.utils import convert_file_size_to_int
from torch import nn

logger = logging.getLogger(__name__)

DeviceKey = int | str  # as in Accelerate's device maps: the number of a GPU, "mps", "cpu" or "disk"
SHARE_FOR_WEIGHTS = 0.5  # of the free memory; the rest is for activations, per-call copies and optimizer states


def pick_device() -> torch.device:
    """Choose the device to compute on: CUDA where there is one, then MPS, then the CPU.

    The environment overrides it: `TRANSLATION_HUB_DEVICE` is `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ValueError: the device that the environment names is not here; the message lists those that are.
    """
    here = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    here += ["cpu"]
    wanted = os.environ.get("TRANSLATION_HUB_DEVICE") or here[0].split(":")[0]
    if wanted not in here and wanted not in {name.split(":")[0] for name in here}:
        raise ValueError(f"TRANSLATION_HUB_DEVICE is {wanted!r}; the devices here are {', '.join(here)}.")
    return torch.device(wanted)


def parse_max_memory(text: str) -> dict[DeviceKey, str]:
    """Read a memory budget such as `0:4GiB,cpu:8GiB`.

    Raises:
        ValueError: an item is not of the form `device:size`, with a device number, `mps` or `cpu`.
    """
    budgets: dict[DeviceKey, str] = {}
    for item in text.split(","):
        device, _, size = item.strip().partition(":")
        try:
            convert_file_size_to_int(size)
            budgets[device if device in ("mps", "cpu") else int(device)] = size
        except ValueError:
            raise ValueError(
                f"The memory budget names {item.strip()!r}; accepted are items such as '0:4GiB' and 'cpu:8GiB'."
            ) from None
    return budgets


def memory_budgets(
    device: torch.device, max_memory: Mapping[DeviceKey, int | str] | None = None
) -> dict[DeviceKey, int]:
    """How many bytes of weights each device may hold.

    Args:
        device: what `pick_device` chose; `cuda` without a number stands for every GPU.
        max_memory: budgets that replace the detected ones, in bytes or as `"4GiB"`. By default they are read from
            `TRANSLATION_HUB_MAX_MEMORY`. Budgets of devices that are not here are ignored with a warning, because a
            duplicated Space keeps its variables and loses its hardware.

    Returns:
        Bytes by device: GPU numbers first, then `mps`, then `cpu`. Detected budgets are half of what is free.

    Raises:
        ValueError: a budget cannot be read.
    """
    if device.type == "cpu":
        free = {"cpu": psutil.virtual_memory().available}
    else:
        free = {
            key: size
            for key, size in accelerate_modeling.get_max_memory().items()
            if key == "cpu" or key == device.type or (isinstance(key, int) and device.index in (None, key))
        }
    budgets = {key: int(size * SHARE_FOR_WEIGHTS) for key, size in free.items()}
    if max_memory is None:
        text = os.environ.get("TRANSLATION_HUB_MAX_MEMORY")
        max_memory = parse_max_memory(text) if text else {}
    for key, size in max_memory.items():
        if key in budgets:
            budgets[key] = convert_file_size_to_int(size)
        else:
            logger.warning("The memory budget of device %s is ignored; the devices here are %s.", key, list(budgets))
    return budgets


@dataclass(frozen=True)
class DevicePlan:
    """Where the networks lie and where the pipelines compute.

    Attributes:
        placement: by component, the device that holds it between calls. `disk` means that there is no room for it: it
            is dropped from memory and loaded again.
        home: by pipeline, the one device that all its components are on during a call.
        resident: the components that never move once they are on their device.
    """

    placement: dict[str, DeviceKey]
    home: dict[str, DeviceKey]
    resident: frozenset[str]


def make_plan(
    pipelines: Mapping[str, frozenset[str]], modules: Mapping[str, nn.Module], budgets: Mapping[DeviceKey, int]
) -> DevicePlan:
    """Plan the devices of all pipelines with one call of Accelerate's `infer_auto_device_map`.

    Whole networks are never split. With several GPUs, pipelines that share a component are kept together on one. A
    pipeline that is too large for every GPU computes on the CPU.

    Args:
        pipelines: the keys of the components of each pipeline.
        modules: every component once, by its key; those on the meta device count as well.
        budgets: bytes by device, as `memory_budgets` gives them.
    """
    sizes = {key: accelerate_modeling.compute_module_sizes(module)[""] for key, module in modules.items()}
    placement = _place(_groups(pipelines), modules, budgets)
    gpus = [device for device in budgets if device != "cpu"]
    free = {gpu: budgets[gpu] - sum(size for key, size in sizes.items() if placement[key] == gpu) for gpu in gpus}

    def choose_home(keys: frozenset[str]) -> DeviceKey:
        large_enough = [gpu for gpu in gpus if sum(sizes[key] for key in keys) <= budgets[gpu]]
        held = {gpu: sum(sizes[key] for key in keys if placement[key] == gpu) for gpu in large_enough}
        return max(large_enough, key=lambda gpu: (held[gpu], free[gpu]), default="cpu")

    home = {name: choose_home(keys) for name, keys in pipelines.items()}
    users = {key: {home[name] for name, keys in pipelines.items() if key in keys} for key in modules}
    resident = frozenset(key for key in modules if users[key] == {placement[key]})
    return DevicePlan(placement, home, resident)


class _Group(nn.ModuleDict):
    """The components of pipelines that share some; a class of its own, so that Accelerate can be told not to split."""


def _groups(pipelines: Mapping[str, frozenset[str]]) -> list[set[str]]:
    groups: list[set[str]] = []
    for keys in pipelines.values():
        merged = set(keys).union(*(group for group in groups if group & keys))
        groups = [group for group in groups if not group & keys] + [merged]
    return groups


def _place(
    groups: list[set[str]], modules: Mapping[str, nn.Module], budgets: Mapping[DeviceKey, int]
) -> dict[str, DeviceKey]:
    # Names of modules cannot hold dots, so the tree is numbered.
    names = {key: str(number) for number, key in enumerate(modules)}
    tree = nn.ModuleDict(
        {
            str(number): _Group({names[key]: module for key, module in modules.items() if key in group})
            for number, group in enumerate(groups)
        }
    )
    whole = {type(module).__name__ for module in modules.values()}
    if sum(device != "cpu" for device in budgets) > 1:
        whole.add(_Group.__name__)
    device_map: dict[str, Any] = accelerate_modeling.infer_auto_device_map(
        tree,
        max_memory=dict(budgets),
        no_split_module_classes=sorted(whole),
        clean_result=False,
        offload_buffers=True,
    )
    number_of = {key: str(number) for number, group in enumerate(groups) for key in group}
    return {
        key: device_map.get(f"{number_of[key]}.{names[key]}", device_map.get(number_of[key], "cpu")) for key in modules
    }
