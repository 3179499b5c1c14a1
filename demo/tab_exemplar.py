"""The Exemplar tab: a source and an exemplar in, the source in the exemplar's colors out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from demo.devices import usable_checkpoints
from demo.errors import in_plain_words
from demo.events import HEAVY, PRIVATE
from demo.examples import read_examples
from demo.exemplar_layout import HINT, ExemplarLayout
from demo.exemplar_result import answered, details, save, summary
from demo.exemplar_run import Finished, Job, Preview, translate
from demo.lookup import Answered, confidence_in_words
from demo.pictures import Picture, light_up, mark, read_upload
from demo.runs import Runs
from demo.seeds import check_seed, new_seed
from demo.settings import DemoSettings
from demo.shown import Previews, as_file
from demo.snippets import snippets_for
from demo.theme import show_result
from demo.upload import tell_notes
from demo.widgets import count_in_words, duration_in_words, progress_line
from pipelines.images.limits import ImageError
from pipelines.oeft.settings import PRESETS


class ExemplarTab(ExemplarLayout):
    """The tab with its handlers; made inside a `gr.Tab`.

    Its public endpoints are `translate_exemplar`, `stop_exemplar` and `correspondence`.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.examples = read_examples()
        super().__init__(usable_checkpoints("exemplar"), self.examples, settings.keep_minutes * 60)
        self.previews = Previews(self.slider)
        self.runs = Runs([self.go], self.stop, self.progress, HINT, "Stopping; the best so far is on its way.")
        self._wire()
        self._publish()

    @property
    def _asked(self) -> list:
        return [self.source, self.exemplar, self.checkpoint, self.preset, self.num_steps, self.seed, self.augment]

    def _wire(self) -> None:
        """Connect what a visitor of the page does."""
        for upload, check in ((self.source, self._check_source), (self.exemplar, self._check_exemplar)):
            checked = upload.upload(in_plain_words(check), upload, show_progress="hidden", **PRIVATE)
            checked.failure(lambda: None, None, upload, queue=False, **PRIVATE)
        self.preset.input(  # not `change`: that also fires when the accordion is opened
            lambda preset: PRESETS[preset].num_steps, self.preset, self.num_steps, queue=False, **PRIVATE
        )
        self.runs.wire(self.go, self._run, [*self._asked, self.new_seed], self.outputs, "slider")
        clicked = [self.picker, self.found, self.words]
        self.picker.select(in_plain_words(self._point), self.answered, clicked, show_progress="hidden", **PRIVATE)
        self.table.click(
            in_plain_words(self._example), self.table, self.example_outputs, show_progress="hidden", queue=False,
            **PRIVATE,
        )  # fmt: skip

        self.table.click(None, js=show_result("slider"), **PRIVATE)

    def _publish(self) -> None:
        """Connect the endpoints for scripts."""
        outputs = [self.api_picture, self.api_details, self.answered]
        self.api_run.click(
            in_plain_words(self.translate_exemplar), self._asked, outputs, api_name="translate_exemplar", **HEAVY
        )
        self.api_stop.click(self.stop_exemplar, None, self.api_details, api_name="stop_exemplar", queue=False)
        where = [self.x, self.y, self.answered]
        self.api_place.click(
            in_plain_words(self.correspondence), where, self.api_details, api_name="correspondence", queue=False
        )

    def leave(self, request: gr.Request) -> None:
        """The visitor has closed the page: what still runs for them stops."""
        self.runs.end(request)

    def translate_exemplar(
        self,
        image: str,
        exemplar: str,
        checkpoint: str,
        preset: str,
        num_steps: int,
        seed: int,
        augment: bool,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Give a picture the colors of another. Iterate over a submitted job to see its steps.

        Returns the PNG, which carries the record of how it was made, and the details of the run.
        """
        pair = self._read_pair(image, exemplar)
        for event in self._events(pair, checkpoint, preset, num_steps, seed, augment, request):
            if isinstance(event, Preview):
                yield None, {"step": event.step, "num_steps": event.num_steps, "loss": event.loss}, gr.skip()
            else:
                with tempfile.TemporaryDirectory() as folder:
                    yield save(event, folder), details(event, pair), answered(event, pair)

    def stop_exemplar(self, request: gr.Request) -> dict:
        """Stop this client's run; it ends with its best so far."""
        return {"stopped": self.runs.end(request)}

    def correspondence(self, x: float, y: float, last: Answered | None) -> dict:
        """Say where in the exemplar the color of a pixel of this client's last result came from."""
        if last is None:
            raise ImageError("There is no result to ask about; translate a pair first.")
        width, height = last.size
        if not (0 <= x < width and 0 <= y < height):
            raise ImageError(f"({x:g}, {y:g}) lies outside of the result, which is {width} x {height} pixels.")
        place = last.lookup.at(x, y)
        words = confidence_in_words(place.confidence)
        return {"x": place.x, "y": place.y, "confidence": place.confidence, "words": words}

    def _check_source(self, path: str | None) -> None:
        tell_notes(read_upload(path, "source", self.settings.max_result_pixels))

    def _check_exemplar(self, path: str | None) -> None:
        tell_notes(read_upload(path, "exemplar", self.settings.max_result_pixels))

    def _run(
        self, source: str, exemplar: str, checkpoint: str, preset: str, num_steps: int, seed: int, augment: bool,
        draw_seed: bool, request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Translate on the page: previews in the slider, then the result and all that can be done with it."""
        pair = self._read_pair(source, exemplar)
        if draw_seed:
            seed = new_seed()
        yield {self.progress: progress_line("Preparing ...", 0), self.download: gr.DownloadButton(interactive=False)}
        for event in self._events(pair, checkpoint, preset, num_steps, seed, augment, request):
            if isinstance(event, Preview):
                share = event.step / event.num_steps
                left = duration_in_words(event.seconds_left)
                text = f"Step {event.step} of {event.num_steps} · loss {event.loss:.2f} · {left} left"
                warped = event.warped.resize(pair[0].shown.size)
                slider = as_file(pair[0].shown), self.previews.as_file(warped)
                yield {self.slider: slider, self.progress: progress_line(text, share)}
            else:
                with tempfile.TemporaryDirectory() as folder:
                    png, slider = save(event, folder), (as_file(pair[0].shown), as_file(event.image))
                    shown = self._show(slider, png, event.record, answered(event, pair), summary(event), request)
                    yield {**shown, self.seed: seed}

    def _example(self, index: int, request: gr.Request) -> dict:
        example = self.examples[index]
        source, exemplar, result = example.files
        steps = count_in_words(example.record["arguments"]["num_steps"], "step")
        text = f"An example, made before in {steps} with {example.record['checkpoint']}"
        shown = self._show((source, result), result, example.record, example.answered(), text, request)
        return {**shown, self.source: source, self.exemplar: exemplar}

    def _point(self, last: Answered, event: gr.SelectData) -> tuple:
        """Light up where the clicked color came from."""
        column, row = event.index
        shown, (width, height) = last.result.size, last.size
        place = self.correspondence((column + 0.5) * width / shown[0], (row + 0.5) * height / shown[1], last)
        scale = last.exemplar.width / last.exemplar_size[0]
        found = light_up(last.exemplar, place["x"] * scale, place["y"] * scale)
        marked = mark(last.result, column, row)
        return as_file(marked), as_file(found), f"{place['words'].capitalize()} ({place['confidence']:.0%})."

    def _show(
        self, before_after: tuple, png: str, record: dict, last: Answered, text: str, request: gr.Request
    ) -> dict:
        snippets = snippets_for(record, Path(png).name, request.headers.get("origin") or "http://127.0.0.1:7860")
        return {
            self.slider: before_after,
            self.progress: progress_line(text),
            self.answered: last,
            self.asking: gr.Group(visible=True),
            self.picker: as_file(last.result),
            self.found: as_file(last.exemplar),
            self.words: "",
            self.download: gr.DownloadButton(value=png, interactive=True),
            self.code: gr.Accordion(visible=True),
            self.python: snippets.python,
            self.command: snippets.command,
            self.client: snippets.client,
        }

    def _read_pair(self, source: str | None, exemplar: str | None) -> tuple[Picture, Picture]:
        limit = self.settings.max_result_pixels
        return read_upload(source, "source", limit), read_upload(exemplar, "exemplar", limit)

    def _events(
        self, pair: tuple[Picture, Picture], checkpoint: str, preset: str, num_steps: int, seed: int, augment: bool,
        request: gr.Request,
    ) -> Iterator[Preview | Finished]:  # fmt: skip
        if checkpoint is None:
            raise ImageError("No checkpoint for this task is on this machine.")
        seed = check_seed(seed)
        source, other = pair
        job = Job(
            checkpoint, source.value, other.value, (source.name, other.name), preset, int(num_steps), augment,
            seed, self.runs.announce(request),
        )  # fmt: skip
        try:
            yield from translate(job)
        finally:
            self.runs.forget(request)
