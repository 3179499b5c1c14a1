"""The Many-class tab: a photo in, the same photo as any of many classes out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo.classes_animation import PLAY, SHOW_FRAME, as_html, save_animation
from demo.classes_asked import look_of
from demo.classes_endpoints import ClassesEndpoints
from demo.classes_layout import HINT, LEVELS, ClassesLayout, choices_of
from demo.classes_model import PIPELINE, ClassModel, own_model, usable_models
from demo.classes_result import Preview, Results, square
from demo.classes_run import Batch, Look
from demo.classes_snippets import animation_snippets, snippets_for
from demo.classes_work import ClassesWork
from demo.devices import usable_checkpoints
from demo.errors import in_plain_words
from demo.events import PRIVATE
from demo.own_checkpoint import LOADING, fetch_from_hub
from demo.photo_examples import PhotoExample, examples_of
from demo.runs import Runs
from demo.seeds import LARGEST_SEED, check_seed, new_seed
from demo.session_pipelines import SessionPipelines
from demo.settings import DemoSettings
from demo.shown import as_file
from demo.snippets import Snippets
from demo.theme import show_result
from demo.upload import tell_notes
from demo.widgets import count_in_words, duration_in_words, notes_as_html, progress_line
from pipelines.deepi2i.class_names import ALL


class ClassesTab(ClassesLayout):
    """The tab with its handlers; made inside a `gr.Tab`.

    Its public endpoints are those of `demo.classes_endpoints`.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.models = usable_models()
        self.examples = _grouped([each for entry in usable_checkpoints("many-class") for each in examples_of(entry)])
        self.brought = SessionPipelines(settings.keep_minutes * 60)
        takes_own = settings.max_checkpoint_megabytes > 0
        super().__init__(self.models, self.examples, takes_own, settings.keep_minutes * 60)
        buttons = [self.go, self.every, self.more, self.animate]
        self.runs = Runs(buttons, self.stop, self.progress, HINT, "Stopping; what is there stays.")
        self.work = ClassesWork(self.models, settings.keep_minutes, self.runs)
        self._wire(takes_own)
        self.endpoints = ClassesEndpoints(self.work)
        self.endpoints.publish(self)

    @property
    def _asked(self) -> set:
        return {
            self.photo, self.checkpoint, self.own, self.classes, self.start_class, self.end_class, self.num_frames,
            self.draws, self.truncation, *self.strengths, self.seed, self.new_seed, self.precision,
        }  # fmt: skip

    def _wire(self, takes_own: bool) -> None:
        """Connect what a visitor of the page does."""
        checked = self.photo.upload(in_plain_words(self._check), self.photo, show_progress="hidden", **PRIVATE)
        checked.failure(lambda: None, None, self.photo, queue=False, **PRIVATE)
        for button, run in ((self.go, self._run), (self.every, self._run_all), (self.more, self._run_more)):
            self.runs.wire(button, run, self._asked, self.outputs, "class-results")
        self.runs.wire(self.animate, self._run_animation, self._asked, self.animation_outputs, "classes-progress")
        quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, **PRIVATE}
        self.checkpoint.input(in_plain_words(self._switch), [self.checkpoint, self.own], self.of_the_model, **quick)
        self.gallery.select(self._pick, self.shown, self.classes, **quick)
        self.thumbnails.select(
            in_plain_words(self._toggle), [self.checkpoint, self.own, self.classes], self.classes, **quick
        )
        self.frame.input(None, self.frame, js=SHOW_FRAME, **PRIVATE)
        self.play.click(None, js=PLAY, **PRIVATE)
        self.table.click(
            in_plain_words(self._example), self.table,
            [*self.outputs, self.photo, self.checkpoint, *self.of_the_model], **quick,
        )  # fmt: skip
        self.table.click(None, js=show_result("class-results"), **PRIVATE)
        if takes_own:
            outputs = [self.own, self.checkpoint, self.loaded, self.nothing, *self.of_the_model]
            fetch = in_plain_words(self._fetch)
            gr.on([self.load.click, self.hub_id.submit], fetch, self.hub_id, outputs, **LOADING, **PRIVATE)

    def leave(self, request: gr.Request) -> None:
        """The visitor has closed the page: what still runs for them stops, and their checkpoint is deleted."""
        self.runs.end(request)
        self.brought.forget(request.session_hash or "")

    def _check(self, path: str | None) -> None:
        tell_notes(self.work.read(path))

    def _run(self, given: dict, request: gr.Request) -> Iterator[dict]:
        """Translate to the chosen classes."""
        yield from self._show(given, given[self.classes], given[self.seed], request)

    def _run_all(self, given: dict, request: gr.Request) -> Iterator[dict]:
        """Translate to all classes."""
        yield from self._show(given, ALL, given[self.seed], request)

    def _run_more(self, given: dict, request: gr.Request) -> Iterator[dict]:
        """Translate to the chosen classes again, with the next seed."""
        seed = (check_seed(given[self.seed]) + 1) % (LARGEST_SEED + 1)
        yield from self._show(given, given[self.classes], seed, request)

    def _show(self, given: dict, classes: list[str] | str, seed: int, request: gr.Request) -> Iterator[dict]:
        """Translate on the page: the pictures as they come, then all that can be done with them."""
        model, look = self._chosen(given, seed)
        photo = self.work.read(given[self.photo])
        job = self.work.job(model, photo, classes, given[self.draws], look, request)
        yield {
            self.progress: progress_line("Preparing ...", 0),
            self.sheet: gr.DownloadButton(interactive=False),
            self.download: gr.DownloadButton(interactive=False),
            self.notes: "",
        }
        text = "Stopped before it began."
        preview = Preview(photo.shown, model.titles)
        for event in self.work.translate(job, request):
            if isinstance(event, Batch):
                preview.add(event)
                line = progress_line(_progress(event, len(preview.classes) - 1), event.share)
                yield {self.progress: line, self.gallery: preview.shown, self.shown: preview.classes}
            else:
                with tempfile.TemporaryDirectory() as folder:
                    results = Results(event, photo.shown, model.titles, Path(folder))
                    codes = snippets_for(event.record, model.checkpoint, classes == ALL, _address(request))
                    yield {**self._offer(results), **self._code(codes), self.seed: look.seed}
                    text = results.summary()
        yield {self.progress: progress_line(text)}

    def _run_animation(self, given: dict, request: gr.Request) -> Iterator[dict]:
        """Go from one class to the other on the page."""
        model, look = self._chosen(given, given[self.seed])
        photo = self.work.read(given[self.photo])
        ends = given[self.start_class], given[self.end_class]
        job = self.work.animation(model, photo, ends, given[self.num_frames], look, request)
        words = f"From {model.titles[job.start_class]} to {model.titles[job.end_class]}"
        yield {self.progress: progress_line(f"{words} ...", 0), self.notes: ""}
        frames, record = self.work.animate(job, request)
        codes = animation_snippets(record, model.checkpoint, _address(request))
        with tempfile.TemporaryDirectory() as folder:
            yield {
                self.animation: as_html(frames, words),
                self.animating: gr.Column(visible=True),
                self.frame: gr.Slider(maximum=len(frames), value=1),
                self.animated: gr.DownloadButton(value=str(save_animation(frames, record, Path(folder)))),
                self.progress: progress_line(f"{words} in {len(frames)} pictures · seed {look.seed}"),
                self.notes: notes_as_html(record["notes"]),
                self.seed: look.seed,
                **self._code(codes),
            }

    def _example(self, index: int, request: gr.Request) -> dict:
        """Show a photo with results that were made before."""
        group = self.examples[index]
        photo = Image.open(group[0].image).convert("RGB")
        records = [example.record for example in group]
        names = [record["arguments"]["target_class"] for record in records]
        record = {**records[0], "arguments": {**records[0]["arguments"], "target_class": names}}
        model = self.work.model(group[0].checkpoint.id)
        codes = snippets_for(record, model.checkpoint, False, _address(request))
        shown = [(str(example.result), model.titles[name]) for example, name in zip(group, names, strict=True)]
        return {
            **self.offer(model),
            **self._code(codes),
            self.classes: gr.Dropdown(choices_of(model), value=names, multiselect=True),
            self.gallery: [(as_file(square(photo), png=True), "Photo"), *shown],
            self.shown: [None, *names],
            self.progress: progress_line(f"An example, made before: {group[0].checkpoint.title}"),
            self.notes: "",
            self.sheet: gr.DownloadButton(interactive=False),
            self.download: gr.DownloadButton("Download PNG", value=str(group[0].result), interactive=True),
            self.photo: str(group[0].image),
            self.checkpoint: model.name,
            self.seed: record["seed"],
        }

    def _pick(self, shown: list[str | None] | None, event: gr.SelectData) -> Any:
        """What was clicked becomes the target; the photo itself has no class."""
        name = shown[event.index] if shown and event.index < len(shown) else None
        return gr.skip() if name is None else [name]

    def _toggle(self, checkpoint: str, own: ClassModel | None, chosen: list[str], event: gr.SelectData) -> list[str]:
        """Choose the class that was clicked, or leave it again."""
        name = self.work.model(checkpoint, own).class_names[event.index]
        return [each for each in chosen if each != name] if name in chosen else [*chosen, name]

    def _switch(self, checkpoint: str, own: ClassModel | None) -> dict:
        """Another checkpoint has other classes."""
        return self.offer(self.work.model(checkpoint, own))

    def _fetch(self, name: str, request: gr.Request) -> dict:
        """Load a checkpoint from the Hub for this visitor."""
        name = name.strip()
        with self.brought.new(request.session_hash or "", Path(name).name or "checkpoint") as folder:
            own = fetch_from_hub(name, folder, self.settings.max_checkpoint_megabytes, PIPELINE)
        model = own_model(own)
        choices = [(each.title, each.name) for each in (*self.models, model)]
        count = count_in_words(len(model.class_names), "class", "classes")
        return {
            **self.offer(model),
            self.own: model,
            self.checkpoint: gr.Radio(choices, value=model.name, visible=True),
            self.loaded: f"**{own.name}** is ready: {count}.",
            self.nothing: gr.Markdown(visible=False),
        }

    def _offer(self, results: Results) -> dict:
        several = len(results.files) > 1
        file = results.archive() if several else results.files[0]
        return {
            self.notes: notes_as_html(results.record["notes"]),
            self.sheet: gr.DownloadButton(value=str(results.sheet()), interactive=True),
            self.download: gr.DownloadButton(
                "Download ZIP" if several else "Download PNG", value=str(file), interactive=True
            ),
        }

    def _code(self, snippets: Snippets) -> dict:
        return {
            self.code: gr.Accordion(visible=True),
            self.python: snippets.python,
            self.command: snippets.command,
            self.client: snippets.client,
        }

    def _chosen(self, given: dict, seed: int) -> tuple[ClassModel, Look]:
        """The checkpoint, and what the sliders say."""
        model = self.work.model(given[self.checkpoint], given[self.own])
        strength = {level: given[slider] for level, slider in zip(LEVELS, self.strengths, strict=True)}
        strength = {level: factor for level, factor in strength.items() if level in model.levels}
        seed = new_seed() if given[self.new_seed] else seed
        return model, look_of(model, seed, given[self.truncation], strength, given[self.precision])


def _grouped(examples: list[PhotoExample]) -> list[list[PhotoExample]]:
    """Put the examples of one photo together."""
    groups: dict[tuple, list[PhotoExample]] = {}
    for example in examples:
        groups.setdefault((example.checkpoint.id, example.image), []).append(example)
    return list(groups.values())


def _progress(event: Batch, done: int) -> str:
    return f"{count_in_words(done, 'picture')} · {duration_in_words(event.seconds_left)} left"


def _address(request: gr.Request) -> str:
    return request.headers.get("origin") or "http://127.0.0.1:7860"
