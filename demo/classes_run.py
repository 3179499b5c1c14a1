"""The runs of the Many-class tab, away from the screen: they may be computed in a forked worker that has the GPU.

So everything that goes in and comes out can be pickled and lies on the CPU.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from demo.devices import on_gpu
from demo.own_checkpoint import OwnCheckpoint, as_visitor_knows, borrow
from demo.streaming import stream
from pipelines.images.formats import read_image, to_output
from pipelines.images.provenance import make_record

AT_A_TIME_ON_CPU = 8  # pictures, so that something happens every second; a GPU takes as many as the pipeline likes


@dataclass(frozen=True)
class Look:
    """What decides about the pictures beside photo and class.

    Attributes:
        seed: of the run's generator.
        truncation: of the random numbers, 0..1.
        strength: factor of the photo's features by level; None: as the checkpoint has them.
        precision: "fp32" or "bf16"; None: what is faster on the device.
    """

    seed: int = 0
    truncation: float = 1.0
    strength: dict[str, float] | None = None
    precision: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the pipeline's call, without the generator."""
        return {"truncation": self.truncation, "strength": self.strength, "precision": self.precision}

    @property
    def generator(self) -> torch.Generator:
        """A new generator of the seed."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Job:
    """One photo as several classes.

    Attributes:
        checkpoint: an id of the registry, or the visitor's own.
        file: the photo.
        classes: names.
        draws: pictures of each class.
        look: what else decides.
        stop_file: no further class is begun when this file appears.
    """

    checkpoint: str | OwnCheckpoint
    file: str
    classes: tuple[str, ...]
    draws: int
    look: Look
    stop_file: Path


@dataclass(frozen=True)
class Batch:
    """Some pictures are there.

    Attributes:
        classes: names, one a picture.
        images: squares.
        share: how much of the run is done, 0..1.
        seconds_left: until the last one.
    """

    classes: list[str]
    images: list[Image.Image]
    share: float
    seconds_left: float


@dataclass(frozen=True)
class Finished:
    """The end of a run.

    Attributes:
        classes: names, one a picture.
        images: all pictures, squares.
        record: of the run, see `pipelines.images.provenance`.
        arguments: in the record of each picture's own PNG: they make it again alone.
        seconds: of the whole run.
    """

    classes: list[str]
    images: list[Image.Image]
    record: dict[str, Any]
    arguments: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Animation:
    """The way from one class to another.

    Attributes:
        checkpoint: an id of the registry, or the visitor's own.
        file: the photo.
        start_class: name.
        end_class: name.
        num_frames: pictures, the two ends among them.
        look: what else decides.
        stop_file: no further pictures are made when this file appears.
    """

    checkpoint: str | OwnCheckpoint
    file: str
    start_class: str
    end_class: str
    num_frames: int
    look: Look
    stop_file: Path


def gpu_seconds(job: Job) -> int:
    """Return how long a run may take on a GPU, with room for loading."""
    return min(120, 20 + len(job.classes) * job.draws // 10)


@on_gpu(duration=gpu_seconds)
def translate(job: Job) -> Iterator[Batch | Finished]:
    """Translate the photo; yields the pictures as they come, and all of them at last.

    A run that was stopped before it began, while it waited, yields nothing.
    """
    with borrow(job.checkpoint) as pipe:
        if job.stop_file.exists():
            return
        pipe.set_progress_bar_config(disable=True)
        began = time.monotonic()

        def call(hand_over: Callable[[Batch], bool]) -> Any:
            def after_batch(pipe: Any, step: int, num_steps: int, tensors: dict) -> dict[str, Any]:
                names = [pipe.class_names[number] for number in tensors["class_ids"].tolist()]
                left = (time.monotonic() - began) / (step + 1) * (num_steps - step - 1)
                pictures = to_output(tensors["images"], "pil")
                unheard = hand_over(Batch(names, pictures, (step + 1) / num_steps, left))
                return {"stop": unheard or job.stop_file.exists()}

            return pipe(
                job.file,
                list(job.classes),
                num_images_per_class=job.draws,
                batch_size=_batch_size(pipe, len(job.classes) * job.draws),
                generator=job.look.generator,
                callback_on_step_end=after_batch,
                **job.look.arguments,
            )

        output = yield from stream(call)
        seconds = time.monotonic() - began
        record = _record(pipe, job, output.arguments, output.notes[0])
        arguments = [output.arguments_of(index) for index in range(len(output.images))]
        yield Finished(output.classes, output.images, record, arguments, seconds)


def animation_seconds(job: Animation) -> int:
    """Return how long an animation may take on a GPU, with room for loading."""
    return 30


@on_gpu(duration=animation_seconds)
def animate(job: Animation) -> tuple[list[Image.Image], dict[str, Any]] | None:
    """Return the pictures from one class to another, fewer of them after a stop, and their record.

    A run that was stopped before it began, while it waited, returns None.
    """
    with borrow(job.checkpoint) as pipe:
        if job.stop_file.exists():
            return None
        pipe.set_progress_bar_config(disable=True)
        output = pipe.interpolate(
            job.file,
            job.start_class,
            job.end_class,
            num_frames=job.num_frames,
            batch_size=_batch_size(pipe, job.num_frames),
            generator=job.look.generator,
            callback_on_step_end=lambda *_: {"stop": job.stop_file.exists()},
            **job.look.arguments,
        )
        return output.images, _record(pipe, job, output.arguments, output.notes)


def _batch_size(pipe: Any, count: int) -> int | None:
    return min(count, AT_A_TIME_ON_CPU) if pipe.device.type == "cpu" else None


def _record(pipe: Any, job: Job | Animation, arguments: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    photo = replace(read_image(job.file), path=Path(Path(job.file).name))  # without the folder of the upload
    record = make_record(pipe, inputs={"image": [photo]}, arguments=arguments, seed=job.look.seed, notes=notes)
    return as_visitor_knows(record, job.checkpoint)
