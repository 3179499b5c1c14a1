"""From what a visitor or a script asks of the Many-class tab to its runs."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from demo.classes_asked import names_of
from demo.classes_layout import MOST_FRAMES, NOTHING_HERE
from demo.classes_model import ClassModel
from demo.classes_run import Animation, Batch, Finished, Job, Look, animate, translate
from demo.own_checkpoint import choose
from demo.pictures import Picture, read_upload
from demo.runs import Runs
from pipelines.images.limits import ImageError, pixel_limit


class ClassesWork:
    """Checks what is asked for, and runs it.

    Args:
        models: the app's checkpoints.
        keep_minutes: how long a visitor's own is kept.
        runs: knows who has a run going.
    """

    def __init__(self, models: Sequence[ClassModel], keep_minutes: int, runs: Runs):
        self.models = {model.name: model for model in models}
        self.keep_minutes, self.runs = keep_minutes, runs

    def model(self, name: str | None, own: ClassModel | None = None) -> ClassModel:
        """Return the checkpoint of this name: one of the app's, or the visitor's own.

        Raises:
            ImageError: there is none.
        """
        if name is None:
            raise ImageError(NOTHING_HERE)
        brought = own and own.checkpoint
        chosen = choose(name, brought, self.models, self.keep_minutes)
        return own if own is not None and chosen is brought else self.models[name]

    def read(self, path: str | None) -> Picture:
        """Read the photo.

        Raises:
            ImageError: it is missing, broken, or too large.
        """
        if path is None:
            raise ImageError("Add a photo first.")
        return read_upload(path, "photo", pixel_limit())

    def job(
        self,
        model: ClassModel,
        photo: Picture,
        classes: Sequence[str] | str,
        draws: int,
        look: Look,
        request: gr.Request,
    ) -> Job:
        """Describe a run of some classes, for `translate`.

        Raises:
            UnknownClassError: a class is not there.
            ImageError: no class, or too many pictures.
        """
        names = names_of(model, classes, draws)
        return Job(model.checkpoint, str(photo.value), names, int(draws), look, self.runs.announce(request))

    def animation(
        self,
        model: ClassModel,
        photo: Picture,
        ends: tuple[str | None, str | None],
        num_frames: int,
        look: Look,
        request: gr.Request,
    ) -> Animation:
        """Describe the way from one class to another, for `animate`.

        Raises:
            UnknownClassError: a class is not there.
            ImageError: no class, or a number of pictures that is not possible.
        """
        start, end = (names_of(model, [name] if name else [], 1)[0] for name in ends)
        if num_frames not in range(2, MOST_FRAMES + 1):  # a whole number, then
            raise ImageError(f"`num_frames` is {num_frames}; 2 to {MOST_FRAMES} are accepted.")
        stop_file = self.runs.announce(request)
        return Animation(model.checkpoint, str(photo.value), start, end, int(num_frames), look, stop_file)

    def translate(self, job: Job, request: gr.Request) -> Iterator[Batch | Finished]:
        """Run a job; yields the pictures as they come, and all of them at last."""
        try:
            yield from translate(job)
        finally:
            self.runs.forget(request)

    def animate(self, job: Animation, request: gr.Request) -> tuple[list[Image.Image], dict[str, Any]]:
        """Return the pictures of the way, and their record.

        Raises:
            ImageError: it was stopped.
        """
        try:
            animation = animate(job)
        finally:
            self.runs.forget(request)
        if animation is None or len(animation[0]) < job.num_frames:
            raise ImageError("Stopped before the animation was done.")
        return animation
