"""The Single-image tab: a network is trained on two pictures alone, and redraws the first as the other's kind."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from demo.devices import device_manager
from demo.errors import in_plain_words
from demo.events import HEAVY, PRIVATE
from demo.examples import SINGLE, read_examples
from demo.pictures import Picture, file_name, read_upload
from demo.runs import Runs
from demo.seeds import check_seed, new_seed
from demo.session_pipelines import SessionPipelines
from demo.settings import DemoSettings, on_zero_gpu
from demo.shown import Previews, as_file
from demo.single_layout import HINT, SingleLayout
from demo.single_result import details, save, summary
from demo.single_run import CHECKPOINT, Finished, Job, Progress, apply, train
from demo.single_snippets import snippets_for
from demo.theme import show_result
from demo.upload import tell_notes
from demo.widgets import duration_in_words, progress_line
from pipelines.images.provenance import save_png

MAX_PIXELS = 2_000_000  # of a picture: 1-2 megapixels are what the method is for, and the time grows with them
_LOSSES = {"g_gan": "GAN", "nce": "NCE", "identity": "identity"}  # what the progress line shows


class SingleTab(SingleLayout):
    """The tab with its handlers; made inside a `gr.Tab`.

    Its public endpoints are `translate_single` and `stop_single`.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.trained = SessionPipelines(settings.keep_minutes * 60)
        self.examples = read_examples(SINGLE)
        super().__init__(settings.max_minutes, _usual_preset(), self.examples)
        self.previews = Previews(self.slider)
        stopping = "Stopping; the result so far is on its way."
        self.runs = Runs([self.go], self.stop, self.progress, HINT, stopping)
        self._wire()
        self._publish()

    @property
    def _asked(self) -> list:
        return [self.source, self.exemplar, self.minutes, self.num_steps, self.stop_after, self.preset, self.seed]

    def _wire(self) -> None:
        """Connect what a visitor of the page does."""
        for upload, role in ((self.source, "source"), (self.exemplar, "exemplar")):
            checked = upload.upload(in_plain_words(self._checker(role)), upload, show_progress="hidden", **PRIVATE)
            checked.failure(lambda: None, None, upload, queue=False, **PRIVATE)
        self.runs.wire(self.go, self._run, [*self._asked, self.new_seed], self.outputs, "single-slider")
        self.another.upload(
            in_plain_words(self._apply), self.another, self.applied, show_progress="full", **HEAVY, **PRIVATE
        )
        self.another.clear(lambda: None, None, self.applied, queue=False, **PRIVATE)
        self.table.click(
            in_plain_words(self._example), self.table, self.example_outputs, show_progress="hidden", queue=False,
            **PRIVATE,
        )  # fmt: skip
        self.table.click(None, js=show_result("single-slider"), **PRIVATE)

    def _publish(self) -> None:
        """Connect the endpoints for scripts."""
        outputs = [self.api_picture, self.api_pipeline, self.api_details]
        self.api_run.click(
            in_plain_words(self.translate_single), self._asked, outputs, api_name="translate_single", **HEAVY
        )
        self.api_stop.click(self.stop_single, None, self.api_details, api_name="stop_single", queue=False)

    def leave(self, request: gr.Request) -> None:
        """The visitor has closed the page: what still runs for them stops, what was trained is deleted."""
        self.runs.end(request)
        self.trained.forget(request.session_hash or "")

    def translate_single(
        self,
        image: str,
        exemplar: str,
        minutes: int,
        num_steps: int,
        stop_after: int,
        preset: str,
        seed: int,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Train on two pictures and translate the first. Iterate over a submitted job to see its steps.

        The run takes `minutes`, or `num_steps` where that is above 0; `stop_after` so many steps it ends early, as by
        `stop_single`, where that is above 0. Returns the PNG, which carries the record of how it was made, the trained
        pipeline as a zip, and the details of the run.
        """
        pair = self._read_pair(image, exemplar)
        for event, pipeline in self._events(pair, minutes, num_steps, stop_after, preset, seed, request):
            if isinstance(event, Progress):
                yield None, None, {"step": event.step, "num_steps": event.num_steps, "losses": event.losses}
            else:
                with tempfile.TemporaryDirectory() as folder:
                    yield *save(event, pipeline, folder), details(event, pair)

    def stop_single(self, request: gr.Request) -> dict:
        """Stop this client's run; it ends with its best so far."""
        return {"stopped": self.runs.end(request)}

    def _checker(self, role: str):
        def check(path: str | None) -> None:
            tell_notes(read_upload(path, role, self._max_pixels))

        return check

    def _run(
        self, source: str, exemplar: str, minutes: int, num_steps: int, stop_after: int, preset: str, seed: int,
        draw_seed: bool, request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Train on the page: previews in the slider, then the result and all that can be done with it."""
        pair = self._read_pair(source, exemplar)
        if draw_seed:
            seed = new_seed()
        yield {
            self.progress: progress_line("Preparing ...", 0),
            self.picture: gr.DownloadButton(interactive=False),
            self.pipeline: gr.DownloadButton(interactive=False),
            self.applying: gr.Group(visible=False),
        }
        text = "Stopped before it began."
        for event, pipeline in self._events(pair, minutes, num_steps, stop_after, preset, seed, request):
            if isinstance(event, Progress):
                yield self._show_progress(event, pair[0])
            else:
                with tempfile.TemporaryDirectory() as folder:
                    png, archive = save(event, pipeline, folder)
                    slider = as_file(pair[0].shown), as_file(event.image)
                    shown = self._show(slider, png, event.record, summary(event), request)
                    yield {**shown, **self._offer(archive), self.seed: seed}
                text = summary(event)
        yield {self.progress: progress_line(text)}

    def _example(self, index: int, request: gr.Request) -> dict:
        """Show what was made before; the network that made it was not kept."""
        example = self.examples[index]
        source, exemplar, result = example.files
        text = f"An example, made before. {example.record['notes'][0]}"
        return {
            **self._show((source, result), result, example.record, text, request),
            self.pipeline: gr.DownloadButton(interactive=False),
            self.applying: gr.Group(visible=False),
            self.source: source, self.exemplar: exemplar, self.preset: example.record["arguments"]["preset"],
            self.seed: example.record["seed"],
        }  # fmt: skip

    def _apply(self, path: str | None, request: gr.Request) -> Iterator[str]:
        """Translate another picture with what the visitor has just trained."""
        folder = self.trained.of(request.session_hash or "")
        picture = read_upload(path, "picture", self._max_pixels)
        tell_notes(picture)
        result, record = apply(folder, picture.value, picture.name)
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / f"{Path(picture.name).stem}-{folder.name}.png"
            save_png(result, file, record)
            yield str(file)

    def _show_progress(self, event: Progress, source: Picture) -> dict:
        losses = ", ".join(f"{words} {event.losses[name]:.2f}" for name, words in _LOSSES.items())
        left = duration_in_words(event.seconds_left)
        text = f"Step {event.step} of {event.num_steps} · {left} left · {losses}"
        shown: dict = {self.progress: progress_line(text, event.share)}
        if event.picture is not None:
            picture = event.picture.resize(source.shown.size)
            shown[self.slider] = (as_file(source.shown), self.previews.as_file(picture))
        return shown

    def _show(self, before_after: tuple, png: str, record: dict, text: str, request: gr.Request) -> dict:
        snippets = snippets_for(record, Path(png).stem, request.headers.get("origin") or "http://127.0.0.1:7860")
        return {
            self.slider: before_after,
            self.progress: progress_line(text),
            self.picture: gr.DownloadButton(value=png, interactive=True),
            self.code: gr.Accordion(visible=True),
            self.python: snippets.python,
            self.command: snippets.command,
            self.client: snippets.client,
        }

    def _offer(self, archive: str) -> dict:
        """What can be done with the trained pipeline."""
        return {
            self.pipeline: gr.DownloadButton(value=archive, interactive=True),
            self.applying: gr.Group(visible=True),
            self.applied: None,
        }

    @property
    def _max_pixels(self) -> int:
        return min(MAX_PIXELS, self.settings.max_result_pixels)

    def _read_pair(self, source: str | None, exemplar: str | None) -> tuple[Picture, Picture]:
        return read_upload(source, "source", self._max_pixels), read_upload(exemplar, "exemplar", self._max_pixels)

    def _events(
        self, pair: tuple[Picture, Picture], minutes: int, num_steps: int, stop_after: int, preset: str,
        seed: int, request: gr.Request,
    ) -> Iterator[tuple[Progress | Finished, Path]]:  # fmt: skip
        """The events of one run, each with the folder of its pipeline."""
        seed = check_seed(seed)
        source, other = pair
        name = Path(file_name(source.name, CHECKPOINT, seed)).stem
        stop_file = self.runs.announce(request)
        try:
            with self.trained.new(request.session_hash or "", name) as folder:
                job = Job(
                    source.value, other.value, (source.name, other.name),
                    self.settings.max_minutes if num_steps else minutes, num_steps or None, stop_after or None, preset,
                    seed, folder, stop_file,
                )  # fmt: skip
                for event in train(job):
                    yield event, folder
        finally:
            self.runs.forget(request)


def _usual_preset() -> str:
    """The paper's settings are too much for a CPU."""
    return "paper" if on_zero_gpu() or device_manager().device.type != "cpu" else "cpu"
