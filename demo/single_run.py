"""One run of the Single-image tab, away from the screen: it may be computed in a forked worker that has the GPU.

So everything that goes in and comes out can be pickled and lies on the CPU; the trained pipeline is a folder.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from demo.devices import device_manager, on_gpu
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record
from pipelines.sincut.pipeline import SinCUTPipeline
from pipelines.sincut.run import SinCUTRun

CHECKPOINT = "sincut"
SECONDS_BETWEEN_REPORTS = 0.25
SHARE_FOR_PREVIEWS = 0.1  # of the time: a preview costs about as much as a step
OVERTIME = 1.1  # a run by the clock fixes its length early, and may take a little longer
SECONDS_AROUND = 60  # of GPU time for loading and for the result at full size


@dataclass(frozen=True)
class Job:
    """What a visitor asked for.

    Attributes:
        image: the picture to translate: a file, or a picture.
        exemplar: the one picture of the other domain, likewise.
        names: file names of the two, for the record.
        minutes: the run ends with its best so far after this time.
        num_steps: length of the run in steps; None: the time alone decides.
        stop_after: the run ends after so many of the steps, as by the stop file; None: it does not.
        preset: a name of SinCUT's presets.
        seed: of the run's generator.
        folder: the trained pipeline is saved here; its name becomes the pipeline's.
        stop_file: the run ends with its best so far when this file appears.
    """

    image: str | Image.Image
    exemplar: str | Image.Image
    names: tuple[str, str]
    minutes: int
    num_steps: int | None
    stop_after: int | None
    preset: str
    seed: int
    folder: Path
    stop_file: Path


@dataclass(frozen=True)
class Progress:
    """A run on its way.

    Attributes:
        step: steps that were done.
        num_steps: of the whole run; an estimate at first.
        losses: by name.
        seconds_left: until the result.
        share: how much is done, 0..1.
        picture: the newest preview, small; None where none was drawn for this report.
    """

    step: int
    num_steps: int
    losses: dict[str, float]
    seconds_left: float
    share: float
    picture: Image.Image | None


@dataclass(frozen=True)
class Finished:
    """The end of a run.

    Attributes:
        image: the result at full size.
        record: for the PNG, see `pipelines.images.provenance`.
        steps: steps that were done.
        stopped: whether it ended before its last step.
        seconds: of the whole run.
        notes: what the pipeline has to say about the result.
    """

    image: Image.Image
    record: dict[str, Any]
    steps: int
    stopped: bool
    seconds: float
    notes: tuple[str, ...]


def gpu_seconds(job: Job) -> int:
    """Return how long a run may take on a GPU: its budget, and loading and the full-size result around it."""
    limit = round(OVERTIME * 60 * job.minutes)
    return SECONDS_AROUND + (limit if job.num_steps is None else min(limit, job.num_steps))


@on_gpu(duration=gpu_seconds)
def train(job: Job) -> Iterator[Progress | Finished]:
    """Train on the two pictures; yields reports, some with a preview, and at last the result.

    A run that was stopped before its first step, while it waited, yields nothing.
    """
    with device_manager().use(CHECKPOINT) as pipe:
        clock = _Clock(OVERTIME * 60 * job.minutes)
        length = {"minutes": job.minutes} if job.num_steps is None else {"num_steps": job.num_steps}
        settings = None if job.stop_after is None else {"stop_after": job.stop_after}
        generator = torch.Generator().manual_seed(job.seed)
        run = pipe.start(job.image, job.exemplar, preset=job.preset, settings=settings, generator=generator, **length)
        while not (run.done or clock.is_over() or job.stop_file.exists()):
            report = run.step()
            if clock.is_time_to_report():
                left = clock.left(report.step, report.num_steps)
                share = clock.spent() / (clock.spent() + left)
                yield Progress(report.step, report.num_steps, report.losses, left, share, clock.draw(run))
        if run.steps_done == 0:
            return
        output = run.result()
        output.pipeline.save_pretrained(job.folder)
        yield Finished(
            output.images[0],
            _record(pipe, run, job, output.arguments),
            run.steps_done,
            stopped=run.num_steps is None or run.steps_done < run.num_steps,
            seconds=clock.spent(),
            notes=tuple(output.notes[0]),
        )


def apply_seconds(folder: Path, image: str | Image.Image) -> int:
    """Return how long the translation of one more picture may take on a GPU."""
    return SECONDS_AROUND


@on_gpu(duration=apply_seconds)
def apply(folder: Path, image: str | Image.Image, name: str) -> tuple[Image.Image, dict[str, Any]]:
    """Translate one more picture with a pipeline that `train` saved.

    Args:
        folder: of the pipeline.
        image: a file, or a picture.
        name: its file name, for the record.

    Returns:
        The result, and the record for its PNG.
    """
    with device_manager().lend(lambda: SinCUTPipeline.from_pretrained(folder)) as pipe:
        pipe.set_progress_bar_config(disable=True)
        picture = pipe(image).images[0]
        named = replace(read_image(image), path=Path(name))
        record = make_record(pipe, inputs={"image": [named]}, arguments={}, seed=0)
    return picture, {**record, "checkpoint": folder.name}  # the visitor's name of it, not a place on this machine


class _Clock:
    """What time it is for a run: whether to report, to draw a preview, to end."""

    def __init__(self, limit: float):
        self.began, self.limit = time.monotonic(), limit
        self.reported = self.drawn = 0.0
        self.drawing = 0.0  # seconds that the last preview took

    def spent(self) -> float:
        return time.monotonic() - self.began

    def is_over(self) -> bool:
        return self.spent() >= self.limit

    def is_time_to_report(self) -> bool:
        now = time.monotonic()
        if now - self.reported < SECONDS_BETWEEN_REPORTS:
            return False
        self.reported = now
        return True

    def left(self, step: int, num_steps: int) -> float:
        """Seconds until the end of the steps or of the time, whichever is first."""
        spent = self.spent()
        return max(0.0, min(self.limit - spent, spent / step * (num_steps - step)))

    def draw(self, run: SinCUTRun) -> Image.Image | None:
        """A preview, unless too little time went by since the last one."""
        before = time.monotonic()
        if before - self.drawn < self.drawing / SHARE_FOR_PREVIEWS:
            return None
        picture = run.preview()
        self.drawn = time.monotonic()
        self.drawing = self.drawn - before
        return picture


def _record(pipe: SinCUTPipeline, run: SinCUTRun, job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Describe the run; `arguments` repeat it."""
    named = [
        replace(image, path=Path(name)) for image, name in zip((run.source, run.exemplar), job.names, strict=True)
    ]
    return make_record(pipe, inputs={"image": named[:1], "exemplar": named[1:]}, arguments=arguments, seed=job.seed)
