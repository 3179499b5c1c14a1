"""The one device manager of the app, the GPU of a ZeroGPU Space, and which checkpoints can be used."""

import functools
from collections.abc import Callable

import pipelines
from demo.settings import on_space
from pipelines.hub.devices import DeviceManager
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import Checkpoint

try:
    import spaces
except ImportError:
    spaces = None


@functools.cache
def device_manager() -> DeviceManager:
    """Return the manager that all tabs share: one lock, one device map.

    It is made when it is first needed: on ZeroGPU that is in the worker that has the GPU.
    """
    return DeviceManager()


def on_gpu(duration: Callable[..., int]) -> Callable:
    """Decorate what needs the GPU; without the `spaces` package, and off ZeroGPU, nothing is changed.

    Args:
        duration: returns the seconds that a call may take; gets the same arguments as the call.
    """
    return (lambda function: function) if spaces is None else spaces.GPU(duration=duration)


def usable_checkpoints(task: str) -> list[Checkpoint]:
    """List the checkpoints of a task whose files are here; on a Space also those that it can download."""
    return [entry for entry in pipelines.list_checkpoints(task) if on_space() or is_here(entry)]


def is_here(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is complete on this machine."""
    try:
        getattr(pipelines, checkpoint.pipeline).download(checkpoint.id, local_files_only=True)
    except CheckpointError:
        return False
    return True
