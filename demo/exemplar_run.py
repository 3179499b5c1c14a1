"""One run of the Exemplar tab, away from the screen: it may be computed in a forked worker that has the GPU.

So everything that goes in and comes out can be pickled and lies on the CPU.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from demo.devices import device_manager, on_gpu
from demo.pictures import to_pil
from pipelines.images.provenance import make_record
from pipelines.oeft.output import CorrespondenceLookup
from pipelines.oeft.run import OEFTRun

SECONDS_BETWEEN_PREVIEWS = 0.25


@dataclass(frozen=True)
class Job:
    """What a visitor asked for.

    Attributes:
        checkpoint: an id of the registry.
        image: the source: a file, or a picture.
        exemplar: likewise.
        names: file names of the two, for the record.
        preset: a name of `PRESETS`.
        num_steps: at most so many steps.
        augment: the switch of online augmentation.
        seed: of the run's generator.
        stop_file: the run ends with its best so far when this file appears.
    """

    checkpoint: str
    image: str | Image.Image
    exemplar: str | Image.Image
    names: tuple[str, str]
    preset: str
    num_steps: int
    augment: bool
    seed: int
    stop_file: Path


@dataclass(frozen=True)
class Preview:
    """A run on its way: the newest warp, and the numbers of the progress line."""

    step: int
    num_steps: int
    loss: float
    seconds_left: float
    warped: Image.Image


@dataclass(frozen=True)
class Finished:
    """The end of a run.

    Attributes:
        image: the result at the source's size.
        lookup: where its colors came from.
        record: for the PNG, see `pipelines.images.provenance`.
        steps: steps that were done.
        best_step: how many updates the networks of the result have seen.
        stopped: whether the visitor ended it.
        seconds: of the whole run.
    """

    image: Image.Image
    lookup: CorrespondenceLookup
    record: dict[str, Any]
    steps: int
    best_step: int
    stopped: bool
    seconds: float


def gpu_seconds(job: Job) -> int:
    """Return how long a run may take on a GPU, with room for loading and for the largest result."""
    per_step = 0.25 if job.preset == "paper" else 0.15
    return min(120, 20 + round(per_step * job.num_steps))


@on_gpu(duration=gpu_seconds)
def translate(job: Job) -> Iterator[Preview | Finished]:
    """Fine-tune one pair and warp the exemplar; yields previews, at most four a second, and at last the result."""
    with device_manager().use(job.checkpoint) as pipe:
        began = time.monotonic()
        generator = torch.Generator().manual_seed(job.seed)
        run = pipe.start(job.image, job.exemplar, **_arguments(job, job.num_steps), generator=generator)
        steps, shown = 0, 0.0
        while not (run.done or job.stop_file.exists()):
            report = run.step()
            steps = report.step
            now = time.monotonic()
            if now - shown >= SECONDS_BETWEEN_PREVIEWS:
                left = (now - began) / steps * (run.num_steps - steps)
                yield Preview(steps, run.num_steps, report.losses["total"], left, to_pil(run.warped()[0]))
                shown = now
        output = run.result()
        yield Finished(
            output.images[0],
            output.lookups[0],
            _record(pipe, run, job, steps),
            steps,
            run.best_step,
            stopped=not run.done,
            seconds=time.monotonic() - began,
        )


def _arguments(job: Job, steps: int) -> dict[str, Any]:
    """The arguments of the pipeline's call, as the record keeps them."""
    arguments: dict[str, Any] = {"preset": job.preset, "num_steps": steps}
    return arguments if job.augment else {**arguments, "settings": {"augment": False}}


def _record(pipe: Any, run: OEFTRun, job: Job, steps: int) -> dict[str, Any]:
    """Describe the run; one that was stopped is repeated by as many steps as it had."""
    named = [
        replace(image, path=Path(name)) for image, name in zip((run.source, run.exemplar), job.names, strict=True)
    ]
    return make_record(
        pipe, inputs={"image": named[:1], "exemplar": named[1:]}, arguments=_arguments(job, steps), seed=job.seed
    )
