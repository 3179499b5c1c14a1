"""The Exemplar tab: a source and an exemplar in, the source in the exemplar's colors out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from demo.devices import usable_checkpoints
from demo.errors import in_plain_words
from demo.events import HEAVY, PRIVATE
from demo.examples import read_examples
from demo.exemplar_choices import Choices
from demo.exemplar_layout import HINT, ExemplarLayout
from demo.exemplar_priors import refine_steps
from demo.exemplar_result import answered, answered_of, details, progress, save, summary
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
from demo.widgets import count_in_words, notes_as_html, progress_line
from pipelines.images.limits import ImageError
from pipelines.oeft.settings import PRESETS


class ExemplarTab(ExemplarLayout):
    """The tab with its handlers; made inside a `gr.Tab`.

    Its public endpoints are `translate_exemplar`, `choose_hypothesis`, `stop_exemplar` and `correspondence`.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.examples = read_examples()
        checkpoints = usable_checkpoints("exemplar")
        steps = {entry.id: steps for entry in checkpoints if (steps := refine_steps(entry)) is not None}
        super().__init__(checkpoints, steps, self.examples, settings.keep_minutes * 60)
        self.previews = Previews(self.slider)
        self.runs = Runs([self.go], self.stop, self.progress, HINT, "Stopping; the best so far is on its way.")
        self._wire()
        self._publish()

    @property
    def _asked(self) -> list:
        return [
            self.source, self.exemplar, self.checkpoint, self.preset, self.num_steps, self.seed, self.augment,
            self.refine, self.num_refine_steps,
        ]  # fmt: skip

    def _wire(self) -> None:
        """Connect what a visitor of the page does."""
        for upload, check in ((self.source, self._check_source), (self.exemplar, self._check_exemplar)):
            checked = upload.upload(in_plain_words(check), upload, show_progress="hidden", **PRIVATE)
            checked.failure(lambda: None, None, upload, queue=False, **PRIVATE)
        self.preset.input(  # not `change`: that also fires when the accordion is opened
            lambda preset: PRESETS[preset].num_steps, self.preset, self.num_steps, queue=False, **PRIVATE
        )
        self.checkpoint.input(self.offer, self.checkpoint, self.of_the_checkpoint, queue=False, **PRIVATE)
        self.runs.wire(self.go, self._run, [*self._asked, self.new_seed], self.outputs, "slider")
        clicked = [self.picker, self.found, self.words]
        self.picker.select(in_plain_words(self._point), self.answered, clicked, show_progress="hidden", **PRIVATE)
        self.hypotheses.select(
            in_plain_words(self._overrule), [self.choices, self.answered], [*self.result, self.hypotheses],
            show_progress="hidden", **PRIVATE,
        )  # fmt: skip
        self.table.click(
            in_plain_words(self._example), self.table, self.example_outputs, show_progress="hidden", queue=False,
            **PRIVATE,
        )  # fmt: skip

        self.table.click(None, js=show_result("slider"), **PRIVATE)

    def _publish(self) -> None:
        """Connect the endpoints for scripts."""
        outputs = [self.api_picture, self.api_details, self.answered]
        self.api_run.click(
            in_plain_words(self.translate_exemplar), self._asked, [*outputs, self.choices],
            api_name="translate_exemplar", **HEAVY,
        )  # fmt: skip
        self.api_choose.click(
            in_plain_words(self.choose_hypothesis), [self.api_hypothesis, self.choices, self.answered], outputs,
            api_name="choose_hypothesis",
        )  # fmt: skip
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
        refine: bool,
        num_refine_steps: int,
        request: gr.Request,
    ) -> Iterator[tuple]:
        """Give a picture the colors of another. Iterate over a submitted job to see its steps.

        A checkpoint with a GAN refines the result, unless `refine` is false; another one takes no notice of it.
        Returns the PNG, which carries the record of how it was made, and the details of the run.
        """
        pair = self._read_pair(image, exemplar)
        asked = checkpoint, preset, num_steps, seed, augment, refine, num_refine_steps
        for event in self._events(pair, *asked, request):
            if isinstance(event, Preview):
                numbers = {"step": event.step, "num_steps": event.num_steps, "loss": event.loss, "stage": event.stage}
                yield None, numbers, gr.skip(), gr.skip()
            else:
                choices = Choices.of(event, pair[0], self.hypotheses)
                with tempfile.TemporaryDirectory() as folder:
                    yield save(event, folder), details(event, pair), answered(event, pair), choices

    def choose_hypothesis(self, hypothesis: int, choices: Choices | None, last: Answered | None) -> Iterator[tuple]:
        """Take another hypothesis of this client's last result than the checkpoint did; -1 takes the warp.

        Returns the PNG, whose record says that it was chosen by hand, and details.
        """
        if choices is None or last is None:
            raise ImageError("There is nothing to choose from; translate a pair with a checkpoint that refines.")
        chosen = None if hypothesis == -1 else int(hypothesis)
        picture = choices.picture(chosen)
        with tempfile.TemporaryDirectory() as folder:
            numbers = {"chosen": chosen, "hypotheses": choices.hypotheses, "notes": choices.record_of(chosen)["notes"]}
            yield choices.save(chosen, folder), numbers, answered_of(last, picture)

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
        refine: bool, num_refine_steps: int, draw_seed: bool, request: gr.Request,
    ) -> Iterator[dict]:  # fmt: skip
        """Translate on the page: previews in the slider, then the result and all that can be done with it."""
        pair = self._read_pair(source, exemplar)
        if draw_seed:
            seed = new_seed()
        yield {
            self.progress: progress_line("Preparing ...", 0),
            self.download: gr.DownloadButton(interactive=False),
            **self._no_choices(),
        }
        asked = checkpoint, preset, num_steps, seed, augment, refine, num_refine_steps
        for event in self._events(pair, *asked, request):
            if isinstance(event, Preview):
                preview = self.previews.as_file(event.picture.resize(pair[0].shown.size))
                line = progress_line(progress(event), event.step / event.num_steps)
                yield {self.slider: (as_file(pair[0].shown), preview), self.progress: line}
            else:
                with tempfile.TemporaryDirectory() as folder:
                    png, slider = save(event, folder), (as_file(pair[0].shown), as_file(event.image))
                    shown = self._show(slider, png, event.record, answered(event, pair), summary(event), request)
                    yield {**shown, **self._show_choices(event, pair), self.seed: seed}

    def _overrule(
        self, choices: Choices | None, last: Answered | None, request: gr.Request, event: gr.SelectData
    ) -> Iterator[dict]:
        """Make the picture that was clicked the result."""
        if choices is None or last is None:
            raise ImageError("The hypotheses are no longer kept: translate the pair again.")
        chosen = None if event.index == 0 else event.index - 1
        picture, record = choices.picture(chosen), choices.record_of(chosen)
        who = "By the checkpoint" if chosen == choices.automatic else "By hand"
        slider = as_file(choices.source), as_file(picture)
        with tempfile.TemporaryDirectory() as folder:
            text = f"{who}: {choices.words(chosen)} · seed {record['seed']}"
            png = choices.save(chosen, folder)
            shown = self._show(slider, png, record, answered_of(last, picture), text, request)
            yield {**shown, self.hypotheses: choices.shown(chosen)}

    def _example(self, index: int, request: gr.Request) -> dict:
        example = self.examples[index]
        source, exemplar, result = example.files
        steps = count_in_words(example.record["arguments"]["num_steps"], "step")
        text = f"An example, made before in {steps} with {example.record['checkpoint']}"
        shown = self._show((source, result), result, example.record, example.answered(), text, request)
        checkpoint = example.record["checkpoint"]
        return {
            **shown, **self._no_choices(), **self.offer(checkpoint),
            self.source: source, self.exemplar: exemplar, self.checkpoint: checkpoint,
        }  # fmt: skip

    def _point(self, last: Answered, event: gr.SelectData) -> tuple:
        """Light up where the clicked color came from."""
        column, row = event.index
        shown, (width, height) = last.result.size, last.size
        place = self.correspondence((column + 0.5) * width / shown[0], (row + 0.5) * height / shown[1], last)
        scale = last.exemplar.width / last.exemplar_size[0]
        found = light_up(last.exemplar, place["x"] * scale, place["y"] * scale)
        marked = mark(last.result, column, row)
        return as_file(marked), as_file(found), f"{place['words'].capitalize()} ({place['confidence']:.0%})."

    def _no_choices(self) -> dict:
        return {self.notes: gr.HTML(visible=False), self.choosing: gr.Group(visible=False), self.choices: None}

    def _show_choices(self, event: Finished, pair: tuple[Picture, Picture]) -> dict:
        choices = Choices.of(event, pair[0], self.hypotheses)
        if choices is None:
            return self._no_choices()
        return {
            self.notes: gr.HTML(notes_as_html(event.record["notes"]), visible=bool(event.record["notes"])),
            self.choosing: gr.Group(visible=True),
            self.hypotheses: choices.shown(choices.automatic),
            self.choices: choices,
        }

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
        refine: bool, num_refine_steps: int, request: gr.Request,
    ) -> Iterator[Preview | Finished]:  # fmt: skip
        if checkpoint is None:
            raise ImageError("No checkpoint for this task is on this machine.")
        seed = check_seed(seed)
        source, other = pair
        job = Job(
            checkpoint, source.value, other.value, (source.name, other.name), preset, int(num_steps), augment,
            seed, self.runs.announce(request), refine, int(num_refine_steps),
        )  # fmt: skip
        try:
            yield from translate(job)
        finally:
            self.runs.forget(request)
