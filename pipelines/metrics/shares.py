"""Long work on many pictures: divided among processes, and kept on disk so that a broken run goes on."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipelines.metrics.results import result_key

_PATIENCE = timedelta(days=2)  # of a process whose share is done, for those that are slower

Task = TypeVar("Task")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Rows:
    """Numbers of pictures.

    Attributes:
        labels: what each row belongs to; a label may come again.
        values: (N, C) fp32 by measure, a row a label; empty where there is none.
        skipped: sentences on what was left out.
        details: JSON values that only the work tells, such as the precision.
    """

    labels: list[str]
    values: dict[str, Tensor]
    skipped: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


class Shares:
    """The work of one process out of those that `accelerate launch` or `torchrun` has started; of all, with one.

    Work is done in chunks whose size does not depend on the number of processes, so that the numbers do not either.

    Args:
        folder: where finished chunks are kept, as safetensors; None keeps none.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
        self._state = PartialState(cpu=on_cpu, timeout=_PATIENCE) if several else None
        self.index, self.count = (self._state.process_index, self._state.num_processes) if self._state else (0, 1)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints."""
        return self.index == 0

    @property
    def device(self) -> str | None:
        """Where this one of several processes works; None leaves the choice open."""
        return str(self._state.device) if self._state else None

    def from_main(self, value: Callable[[], Value]) -> Value:
        """What the main process computes, for all of them; the others wait."""
        if self.count == 1:
            return value()
        shared: list[Any] = [value() if self.is_main else None]
        return broadcast_object_list(shared)[0]

    def rows(
        self,
        tasks: Sequence[Task],
        size: int,
        conditions: Mapping[str, Any],
        work: Callable[[Sequence[Task]], Rows],
        progress: str | None = None,
    ) -> Rows:
        """Work on all tasks; every process gets all rows, in the order of the tasks.

        Args:
            tasks: in the same order in every process.
            size: tasks a chunk.
            conditions: everything that decides about the rows, JSON values: finished chunks are found again by it.
            work: makes the rows of a few tasks.
            progress: what is counted on stderr; None says nothing.
        """
        key = result_key({**conditions, "chunk": size})
        own: dict[int, Rows] = {}
        for number, start in list(enumerate(range(0, len(tasks), size)))[self.index :: self.count]:
            chunk = tasks[start : start + size]
            path = None if self.folder is None else self.folder / key / f"{number:06d}.safetensors"
            rows = None if path is None else _read(path)
            if rows is None:
                rows = work(chunk)
                if path is not None:
                    _write(path, rows)
                if progress:
                    done = f"[{start + len(chunk)}/{len(tasks)}] {progress}"
                    print(done, file=sys.stderr, flush=True)
            own[number] = rows
        parts: dict[int, Rows] = {}
        for found in gather_object([own]) if self.count > 1 else [own]:
            parts.update(found)
        return _joined([parts[number] for number in sorted(parts)])


def _joined(parts: Iterable[Rows]) -> Rows:
    labels: list[str] = []
    values: dict[str, list[Tensor]] = {}
    skipped: list[str] = []
    details: dict[str, Any] = {}
    for part in parts:
        labels += part.labels
        skipped += part.skipped
        details |= part.details
        for name, tensor in part.values.items():
            values.setdefault(name, []).append(tensor)
    return Rows(labels, {name: torch.cat(tensors) for name, tensors in values.items()}, skipped, details)


def _write(path: Path, rows: Rows) -> None:
    """In one piece: a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")
    texts = {"labels": rows.labels, "skipped": rows.skipped, "details": rows.details}
    try:
        save_file(
            {name: tensor.contiguous() for name, tensor in rows.values.items()},
            unfinished,
            metadata={name: json.dumps(value) for name, value in texts.items()},
        )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> Rows | None:
    """None for a chunk that is not there, or damaged: it is worked on again."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            texts = {name: json.loads(text) for name, text in file.metadata().items()}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        return Rows(texts["labels"], values, texts["skipped"], texts["details"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
