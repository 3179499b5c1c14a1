"""One device map for the networks of all pipelines, and the lock that keeps a pipeline on its device during a call."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import UserCpuOffloadHook
from accelerate.utils.memory import clear_device_cache
from accelerate.utils.modeling import compute_module_sizes
from torch import nn

from pipelines.hub.allocator import tune_allocator
from pipelines.hub.components import ComponentShape, describe_components
from pipelines.hub.device_plan import DeviceKey, DevicePlan, make_plan, memory_budgets, pick_device

__all__ = ["ComponentRow", "DeviceManager", "pick_device", "tune_allocator"]


@dataclass(frozen=True)
class ComponentRow:
    """One network in the report of a `DeviceManager`.

    Attributes:
        component: `checkpoint.name`, after the first checkpoint that uses it.
        class_name: class of the network; `NotDownloaded` while its files are not here.
        bytes: size of its weights.
        device: where the plan puts it between calls: `cuda:N`, `mps`, `cpu`, or `disk` (dropped and loaded again).
        state: `resident` (never moves again once it is there) or `offloaded` (brought for the calls that need it).
        loaded_on: the device it is on now; None while it is not loaded.
        pipelines: ids of the checkpoints that use it.
    """

    component: str
    class_name: str
    bytes: int
    device: str
    state: str
    loaded_on: str | None
    pipelines: tuple[str, ...]


@dataclass
class _Component:
    shape: nn.Module  # on the meta device
    module: nn.Module | None = None
    device: DeviceKey | None = None  # None: not loaded, or somewhere on the way
    hook: UserCpuOffloadHook | None = None

    @property
    def network(self) -> nn.Module:
        return self.shape if self.module is None else self.module

    @property
    def size(self) -> int:
        return compute_module_sizes(self.network)[""]


class DeviceManager:
    """Loads pipelines when they are first used and keeps their networks where Accelerate's device map puts them.

    One map covers the networks of all pipelines. Networks with the same weights are counted and loaded once. What the
    map puts on the device of its pipelines goes there once and stays. The rest waits on the CPU under an Accelerate
    offload hook, is brought for the calls that need it, and leaves when another pipeline needs the device. Nothing
    moves during a call, and a network that is in use carries no hook, so that a call may copy and optimize it.

    Args:
        load: `load(checkpoint_id, **components)` returns a pipeline on the CPU that uses the given components;
            `pipelines.load_pipeline` by default.
        describe: returns the components of a checkpoint without loading it.
        max_memory: bytes of weights by device (`{0: "4GiB", "cpu": "8GiB"}`), instead of half of what is free; by
            default as `TRANSLATION_HUB_MAX_MEMORY` says (`0:4GiB,cpu:8GiB`).
        device: where to compute, `pick_device()` by default; `cuda` without a number stands for every GPU.

    Raises:
        ValueError: the environment names a device that is not here, or a budget that cannot be read.
    """

    def __init__(
        self,
        load: Callable[..., Any] | None = None,
        describe: Callable[[str], dict[str, ComponentShape]] = describe_components,
        max_memory: Mapping[DeviceKey, int | str] | None = None,
        device: torch.device | None = None,
    ):
        tune_allocator()
        self.device = device or pick_device()
        self.budgets = memory_budgets(self.device, max_memory)
        self._load = load or _load_pipeline
        self._describe = describe
        self._lock = threading.Lock()  # not an RLock: a generator may release it in another thread
        # `add` enlarges the next two without waiting for a call in flight: whoever iterates over them takes a copy.
        self._uses: dict[str, dict[str, str]] = {}  # checkpoint id -> component name -> key
        self._components: dict[str, _Component] = {}  # by key
        self._pipelines: dict[str, Any] = {}

    def add(self, checkpoint_id: str) -> None:
        """Include a checkpoint in the map; it is loaded when it is first used.

        Raises:
            UnknownCheckpointError: there is no such checkpoint.
        """
        if checkpoint_id not in self._uses:
            shapes = self._describe(checkpoint_id)
            for key, module in shapes.values():
                self._components.setdefault(key, _Component(module))
            self._uses.setdefault(checkpoint_id, {name: key for name, (key, _) in shapes.items()})

    def device_map(self) -> dict[str, str]:
        """Return the planned device of every component, by `checkpoint.name`."""
        uses = self._uses.copy()
        placement = self._plan(uses).placement
        return {
            f"{checkpoint_id}.{name}": _device_name(placement[key])
            for checkpoint_id, keys in uses.items()
            for name, key in keys.items()
        }

    def report(self) -> list[ComponentRow]:
        """Describe every component once. It does not wait for a call in flight."""
        uses = self._uses.copy()
        plan = self._plan(uses)
        users: dict[str, list[tuple[str, str]]] = {}
        for checkpoint_id, keys in uses.items():
            for name, key in keys.items():
                users.setdefault(key, []).append((checkpoint_id, name))
        rows = []
        for key, placement in plan.placement.items():
            component = self._components[key]
            rows.append(
                ComponentRow(
                    component=".".join(users[key][0]),
                    class_name=type(component.network).__name__,
                    bytes=component.size,
                    device=_device_name(placement),
                    state="resident" if key in plan.resident else "offloaded",
                    loaded_on=None if component.device is None else _device_name(component.device),
                    pipelines=tuple(dict.fromkeys(checkpoint_id for checkpoint_id, _ in users[key])),
                )
            )
        return rows

    @contextmanager
    def use(self, checkpoint_id: str) -> Iterator[Any]:
        """Hold a pipeline, all of it on one device, until the block is left; other users wait meanwhile.

        The block may be left in another thread than it was entered in. It must not use a second pipeline inside.

        Raises:
            UnknownCheckpointError: there is no such checkpoint.
            CheckpointError: it cannot be fetched complete and sound.
        """
        with self._lock:
            with torch.inference_mode(False):  # weights loaded or moved under inference mode can never be optimized
                pipe = self._bring(checkpoint_id)
            yield pipe

    @contextmanager
    def lend(self, load: Callable[[], Any]) -> Iterator[Any]:
        """Hold a pipeline that is in no registry on the device until the block is left; it is not kept.

        The networks of the map stay where they are. Otherwise as `use`.

        Args:
            load: returns the pipeline, on the CPU; what it raises passes through.
        """
        with self._lock:
            with torch.inference_mode(False):
                pipe = load().to(self.device)
            yield pipe

    def _plan(self, uses: Mapping[str, Mapping[str, str]]) -> DevicePlan:
        pipelines = {checkpoint_id: frozenset(keys.values()) for checkpoint_id, keys in uses.items()}
        networks = {key: self._components[key].network for keys in uses.values() for key in keys.values()}
        return make_plan(pipelines, networks, self.budgets)

    def _bring(self, checkpoint_id: str) -> Any:
        self.add(checkpoint_id)
        self._drop_what_has_no_room(checkpoint_id)
        if checkpoint_id not in self._pipelines:
            self._pipelines[checkpoint_id] = self._load_sharing(checkpoint_id)
        plan = self._plan(self._uses.copy())
        home = plan.home[checkpoint_id]
        if home != "cpu":
            self._make_room(checkpoint_id, home, plan.resident)
        for key in self._uses[checkpoint_id].values():
            _move(self._components[key], home)
        return self._pipelines[checkpoint_id]

    def _drop_what_has_no_room(self, checkpoint_id: str) -> None:
        placement = self._plan(self._uses.copy()).placement
        for other in [name for name in self._pipelines if name != checkpoint_id]:
            if any(placement[key] == "disk" for key in self._uses[other].values()):
                del self._pipelines[other]
        kept = {key for name in (checkpoint_id, *self._pipelines) for key in self._uses[name].values()}
        for key, component in self._components.copy().items():
            if key not in kept and component.module is not None:
                _unhook(component)
                component.module = component.device = None

    def _load_sharing(self, checkpoint_id: str) -> Any:
        """Load a pipeline around the components that others have loaded already."""
        keys = self._uses[checkpoint_id]
        loaded = {
            name: self._components[key] for name, key in keys.items() if self._components[key].module is not None
        }
        for component in loaded.values():
            _unhook(component)
        pipe = self._load(checkpoint_id, **{name: component.network for name, component in loaded.items()})
        components = self._components.copy().items()
        owners = {id(component.module): key for key, component in components if component.module is not None}
        networks = {name: value for name, value in pipe.components.items() if isinstance(value, nn.Module)}
        found = {}
        for name, module in networks.items():
            found[name] = owners.get(id(module)) or keys.get(name, f"{checkpoint_id}.{name}")
            component = self._components.setdefault(found[name], _Component(module))
            if component.module is None:
                component.module, component.device = module, "cpu"
        self._uses[checkpoint_id] = found
        return pipe

    def _make_room(self, checkpoint_id: str, home: DeviceKey, resident: frozenset[str]) -> None:
        """Offload what other pipelines left on the device: what the plan offloads, and more if that is not enough."""
        mine = set(self._uses[checkpoint_id].values())
        others = {
            key: component
            for key, component in self._components.copy().items()
            if key not in mine and component.module is not None and component.device in (home, None)
        }
        used = sum(self._components[key].size for key in mine) + sum(other.size for other in others.values())
        leaving = False
        for key in sorted(others, key=lambda key: key in resident):
            if key not in resident or used > self.budgets[home]:
                _, others[key].hook = cpu_offload_with_hook(others[key].network, _torch_device(home))
                others[key].device = "cpu"
                used -= others[key].size
                leaving = True
        if leaving:
            clear_device_cache(garbage_collection=True)


def _move(component: _Component, device: DeviceKey) -> None:
    _unhook(component)
    if component.device != device:
        component.device = None  # until it has arrived: it may run out of memory on the way
        component.network.to(_torch_device(device))
        component.device = device


def _unhook(component: _Component) -> None:
    if component.hook is not None:
        component.hook.remove()
        component.hook = None


def _torch_device(key: DeviceKey) -> torch.device:
    return torch.device("cuda", key) if isinstance(key, int) else torch.device(key)


def _device_name(key: DeviceKey) -> str:
    return f"cuda:{key}" if isinstance(key, int) else key


def _load_pipeline(checkpoint_id: str, **components: nn.Module) -> Any:
    # By name, when it is called: the pipelines are above this layer.
    return importlib.import_module("pipelines").load_pipeline(checkpoint_id, **components)
