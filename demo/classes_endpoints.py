"""The Many-class tab for scripts: its public endpoints."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from demo.classes_animation import save_animation
from demo.classes_asked import look_of
from demo.classes_layout import ClassesLayout
from demo.classes_model import ClassModel
from demo.classes_result import Results
from demo.classes_run import Batch, Look
from demo.classes_work import ClassesWork
from demo.errors import in_plain_words
from demo.events import HEAVY
from pipelines.deepi2i.class_names import ALL


class ClassesEndpoints:
    """`translate_classes`, `all_classes`, `interpolate_classes` and `stop_classes`.

    Args:
        work: what they run.
    """

    def __init__(self, work: ClassesWork):
        self.work = work

    def publish(self, tab: ClassesLayout) -> None:
        """Connect the endpoints with the tab's components for them."""
        look = [tab.seed, tab.truncation, tab.api_strength, tab.precision]
        tab.api_run.click(
            in_plain_words(self.translate_classes),
            [tab.api_photo, tab.api_classes, tab.api_checkpoint, tab.draws, *look],
            [tab.api_pictures, tab.api_sheet, tab.api_details], api_name="translate_classes", **HEAVY,
        )  # fmt: skip
        tab.api_run_all.click(
            in_plain_words(self.all_classes), [tab.api_photo, tab.api_checkpoint, tab.draws, *look],
            [tab.api_archive, tab.api_sheet, tab.api_details], api_name="all_classes", **HEAVY,
        )  # fmt: skip
        tab.api_run_between.click(
            in_plain_words(self.interpolate_classes),
            [tab.api_photo, tab.api_start, tab.api_end, tab.api_checkpoint, tab.num_frames, *look],
            [tab.api_animation, tab.api_details], api_name="interpolate_classes", **HEAVY,
        )  # fmt: skip
        tab.api_stop.click(self.stop_classes, None, tab.api_details, api_name="stop_classes", queue=False)

    def translate_classes(
        self,
        image: str,
        target_classes: list[str],
        checkpoint: str,
        num_images_per_class: int,
        seed: int,
        truncation: float,
        strength: list[float],
        precision: str,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Translate a photo to some classes: names, titles, numbers, or parts of a name or title.

        Returns the PNGs, each with the record of how it was made, a contact sheet, and details. Iterate over a
        submitted job to watch.
        """
        model = self.work.model(checkpoint)
        look = look_of(model, seed, truncation, strength, precision)
        for results, details in self._ask(model, image, target_classes, num_images_per_class, look, request):
            files = [str(file) for file in results.files] if results else None
            yield files, results and str(results.sheet()), details

    def all_classes(
        self,
        image: str,
        checkpoint: str,
        num_images_per_class: int,
        seed: int,
        truncation: float,
        strength: list[float],
        precision: str,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Translate a photo to every class of a checkpoint. Iterate over a submitted job to watch.

        Returns a zip of PNGs, each with the record of how it was made, a contact sheet, and details.
        """
        model = self.work.model(checkpoint)
        look = look_of(model, seed, truncation, strength, precision)
        for results, details in self._ask(model, image, ALL, num_images_per_class, look, request):
            yield results and str(results.archive()), results and str(results.sheet()), details

    def interpolate_classes(
        self,
        image: str,
        start_class: str,
        end_class: str,
        checkpoint: str,
        num_frames: int,
        seed: int,
        truncation: float,
        strength: list[float],
        precision: str,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Go from one class to another, the photo being the same. Returns an animated WebP, and details."""
        model = self.work.model(checkpoint)
        look = look_of(model, seed, truncation, strength, precision)
        ends = start_class, end_class
        job = self.work.animation(model, self.work.read(image), ends, num_frames, look, request)
        frames, record = self.work.animate(job, request)
        with tempfile.TemporaryDirectory() as folder:
            path = save_animation(frames, record, Path(folder))
            yield str(path), {**record["arguments"], "seed": record["seed"], "notes": record["notes"]}

    def stop_classes(self, request: gr.Request) -> dict:
        """Stop this client's run after the pictures that are being made; those that are done are kept."""
        return {"stopped": self.work.runs.end(request)}

    def _ask(
        self,
        model: ClassModel,
        path: str | None,
        classes: list[str] | str,
        draws: int,
        look: Look,
        request: gr.Request,
    ) -> Iterator[tuple[Results | None, dict[str, Any]]]:
        """Run for a script: how far it is, and at last the results."""
        photo = self.work.read(path)
        job = self.work.job(model, photo, classes, draws, look, request)
        done = 0
        for event in self.work.translate(job, request):
            if isinstance(event, Batch):
                done += len(event.images)
                yield None, {"pictures": done, "share": event.share, "seconds_left": round(event.seconds_left, 1)}
            else:
                with tempfile.TemporaryDirectory() as folder:
                    results = Results(event, photo.shown, model.titles, Path(folder))
                    yield results, results.details()
