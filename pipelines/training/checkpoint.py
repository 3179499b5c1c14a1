"""Training checkpoints: written atomically, read back without unpickling any code, always one good one on disk."""

from __future__ import annotations

import os
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = (bool, int, float, str, bytes, type(None))


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says why, and where the last good checkpoint is."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `folder/step-<step>.pt` through a temporary file, then drop all but `keep`.

    Until the new file is complete on disk the others stay untouched. It stays itself, with the newest of the others.

    Args:
        folder: where the checkpoints of one run lie; made if missing.
        step: number of finished steps.
        state: nested dicts, lists and tuples of tensors and plain values.
        keep: how many checkpoints stay.

    Raises:
        TrainingError: the state holds an object, or a tensor that is not finite; nothing was written.
        OSError: the disk is full or not writable; nothing but the temporary file was touched, and that is gone.
    """
    _check_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    path = _checkpoint_path(folder, step)
    temporary = path.with_suffix(".tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except RuntimeError as error:  # torch's zip writer puts its own error over the disk's
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    finally:
        temporary.unlink(missing_ok=True)
    others = [other for other in list_checkpoints(folder) if other != path]
    for old in others[: max(0, len(others) - keep + 1)]:
        old.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def refuse_later_checkpoints(folder: Path, step: int) -> None:
    """Refuse to go on from `step` beside later checkpoints: the next run would continue those.

    Raises:
        TrainingError: there are some; the message names them.
    """
    later = [path.name for path in list_checkpoints(folder) if path > _checkpoint_path(folder, step)]
    if later:
        raise TrainingError(
            f"{folder} holds checkpoints of later steps than {step}, where this run begins: {', '.join(later)}; "
            "move them away, or give another output folder"
        )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, tensors and plain values only.

    Raises:
        TrainingError: the file cannot be read as such.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from OSError to UnpicklingError here
        raise TrainingError(f"checkpoint {path} cannot be read ({str(error).splitlines()[0]})") from error


def random_state() -> dict[str, Any]:
    """The state of this process's global generators (python, numpy, torch, CUDA) as plain values."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - third-party code draws from it
    keys = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": [keys, int(numpy_state["state"]["pos"]), int(numpy_state["has_gauss"]), float(numpy_state["gauss"])],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def _check_state(value: Any, name: str = "state") -> None:
    """Refuse what could not be read back without pickled code, and what a diverged run would leave behind."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TrainingError(f"{name} holds NaN or infinite values, so it was not saved")
    elif type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _check_state(item, f"{name}[{key!r}]")
    elif type(value) in (list, tuple):
        if not all(type(item) is int for item in value):  # python's generator state has 625 of them
            for index, item in enumerate(value):
                _check_state(item, f"{name}[{index}]")
    elif type(value) not in _PLAIN:
        raise TrainingError(f"{name} is a {type(value).__name__}; a checkpoint holds tensors and plain values only")
