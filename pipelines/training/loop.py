"""The one training loop: steps, logs, previews, checkpoints, exact resume, a clean stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image

from pipelines.training.checkpoint import (
    TrainingError,
    list_checkpoints,
    load_checkpoint,
    random_state,
    refuse_later_checkpoints,
    save_checkpoint,
    set_random_state,
)
from pipelines.training.log import TrainingLog


class Trainer(Protocol):
    """What the loop drives. A trainer prepares its own networks and optimizers with the run's `Accelerator`."""

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One optimization step; returns the losses by name. All randomness comes from `batch["generator"]`."""
        ...

    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """A picture of what the networks do with `batch` now."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs, as tensors and plain values: networks, optimizers, schedulers, averages."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        ...


class Data(Protocol):
    """An endless source of batches whose position can be saved."""

    def next_batch(self) -> dict[str, Any]:
        """This process's share of the next batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        ...


def train(
    trainer: Trainer,
    data: Data,
    accelerator: Accelerator,
    *,
    output: Path,
    config: dict[str, Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
    steps: int,
    seed: int,
    resume: str | Path = "latest",
    log_every: int = 20,
    checkpoint_every: int = 500,
    preview_every: int = 500,
    evaluate_every: int = 500,
    evaluate: Callable[[], dict[str, float]] | None = None,
) -> int:
    """Drive `trainer` to `steps` finished steps and return how many are finished.

    Ten steps give the same bits as five, a resume and five more (on a CPU; same number of processes). Ctrl-C and
    SIGTERM finish the step in hand, save and return. Checkpoints lie in `output/checkpoints`, the record in
    `output/log.jsonl`.

    Args:
        trainer: see `Trainer`; already prepared with `accelerator`.
        data: see `Data`.
        accelerator: decides device and processes; run under `accelerate launch` for several.
        output: folder of this run.
        config: plain values that decide the outcome; stored, and compared on resume.
        defaults: of values that a checkpoint may lack because they came later: it was trained with these.
        steps: the step to stop at, counted from the run's very beginning.
        seed: with step and process it seeds `batch["generator"]` (a CPU generator).
        resume: `"latest"` continues the newest checkpoint of `output`, if it has one; or one checkpoint's path.
        log_every: steps averaged into one line of the record.
        checkpoint_every: steps between checkpoints; the last step is always saved.
        preview_every: steps between preview pictures.
        evaluate_every: steps between calls of `evaluate`.
        evaluate: held-out measurements, run on the main process.

    Raises:
        TrainingError: a loss is NaN or infinite, the disk is full, the checkpoint belongs to another `config`, or
            `output` holds later checkpoints than the one to resume from.
            The message names the last good checkpoint, which stays as it was.
    """
    folder = output / "checkpoints"
    log = TrainingLog(output) if accelerator.is_main_process else None
    saved_step = _resume(folder, resume, config, defaults, trainer, data, accelerator.process_index)
    step = saved_step or 0

    def is_due(every: int) -> bool:
        return step % every == 0 or step == steps

    with _StopRequest() as stop, _explain_failures(folder), closing(log) if log else nullcontext():
        if log:
            event = "start" if saved_step is None else "resume"
            log.write(step, {"event": event, "processes": accelerator.num_processes})
        averages = _Averages()
        stopping = False
        while step < steps and not stopping:
            batch = data.next_batch()
            batch["generator"] = step_generator(seed, step, accelerator.process_index)
            losses = trainer.step(batch)
            step += 1
            stopping = _agree(losses, stop.requested, step)
            averages.add(losses)
            if log and is_due(log_every):
                log.write(step, averages.take())
            if log and evaluate and is_due(evaluate_every):
                log.write(step, evaluate())
            if log and is_due(preview_every):
                log.preview(step, trainer.preview(batch))
            if is_due(checkpoint_every):
                _save(folder, step, config, trainer, data, accelerator)
                saved_step = step
        if saved_step != step:
            _save(folder, step, config, trainer, data, accelerator)
        if log:
            log.write(step, {"event": "finished" if step >= steps else "interrupted"})
    return step


def _resume(
    folder: Path,
    resume: str | Path,
    config: dict[str, Any],
    defaults: Mapping[str, Any],
    trainer: Trainer,
    data: Data,
    process: int,
) -> int | None:
    """Put everything back as the checkpoint has it, and return its step; None where there is no checkpoint."""
    path = _find_checkpoint(folder, resume)
    if path is None:
        return None
    state = load_checkpoint(path)
    _check_config({**defaults, **state["config"]}, config, path)
    refuse_later_checkpoints(folder, state["step"])
    trainer.load_state_dict(state["trainer"])
    data.load_state_dict(state["data"])
    if process < len(state["random"]):
        set_random_state(state["random"][process])
    return state["step"]


def _save(
    folder: Path, step: int, config: dict[str, Any], trainer: Trainer, data: Data, accelerator: Accelerator
) -> None:
    """Write a checkpoint; every process takes part, the main one writes."""
    state = {
        "step": step,
        "config": config,
        "trainer": trainer.state_dict(),
        "data": data.state_dict(),
        "random": gather_object([random_state()]),
    }
    if accelerator.is_main_process:
        save_checkpoint(folder, step, state)


def _agree(losses: dict[str, float], requested: bool, step: int) -> bool:
    """Whether any process was asked to stop: all of them leave together, and fail together when one diverges."""
    diverged = [f"loss {name!r} became {value}" for name, value in losses.items() if not math.isfinite(value)]
    reports = gather_object([(diverged, requested)])
    if reasons := sum((found for found, _ in reports), []):
        raise TrainingError(f"{reasons[0]} at step {step}; try a lower learning rate")
    return any(requested for _, requested in reports)


class _Averages:
    """Mean losses, and seconds a step, since they were last taken."""

    def __init__(self):
        self._begin()

    def _begin(self) -> None:
        self.totals: dict[str, float] = {}
        self.count, self.started = 0, time.perf_counter()

    def add(self, losses: dict[str, float]) -> None:
        self.totals |= {name: self.totals.get(name, 0.0) + value for name, value in losses.items()}
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self.totals.items()}
        means["seconds_per_step"] = (time.perf_counter() - self.started) / self.count
        self._begin()
        return means


def step_generator(seed: int, step: int, process: int) -> torch.Generator:
    """The CPU generator of one step on one process.

    It depends on nothing but its arguments: a resumed run needs no stored generator, and processes never share draws.
    """
    mixed = (seed * 1_000_003 + step) * 4099 + process
    return torch.Generator().manual_seed(mixed % 2**63)


class _StopRequest:
    """Turn the first Ctrl-C or SIGTERM into a flag; the second one interrupts as usual."""

    def __enter__(self) -> _StopRequest:
        self.requested = False
        self._previous = {}
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()
        print("stopping after this step; once more to stop at once", flush=True)

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def __exit__(self, *error: object) -> None:
        self._restore()


@contextmanager
def _explain_failures(folder: Path) -> Iterator[None]:
    """Name the last good checkpoint in every failure that a user can act on."""
    try:
        yield
    except (TrainingError, OSError) as error:
        good = list_checkpoints(folder)
        reason = f"could not write to {folder.parent}: {error}" if isinstance(error, OSError) else str(error)
        last = f"the last good checkpoint is {good[-1]}" if good else "no checkpoint had been written yet"
        raise TrainingError(f"{reason}; {last}") from error


def _find_checkpoint(folder: Path, resume: str | Path) -> Path | None:
    if resume != "latest":
        return Path(resume)
    found = list_checkpoints(folder)
    return found[-1] if found else None


def _check_config(saved: dict[str, Any], given: dict[str, Any], path: Path) -> None:
    for name in sorted(saved.keys() | given.keys()):
        before, now = saved.get(name), given.get(name)
        if _as_lists(before) != _as_lists(now):
            raise TrainingError(
                f"{path} was trained with {name} = {before!r}, this run asks for {now!r}; "
                "use the same value, or another output folder"
            )


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
