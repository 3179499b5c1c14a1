"""The Unpaired tab: photos in, the same photos as another kind of picture out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo.devices import usable_checkpoints
from demo.errors import in_plain_words
from demo.events import HEAVY, PRIVATE
from demo.own_checkpoint import LOADING, OwnCheckpoint, choose, fetch_from_hub
from demo.photo_examples import examples_of
from demo.pictures import for_screen
from demo.precisions import as_argument
from demo.runs import Runs
from demo.session_pipelines import SessionPipelines
from demo.settings import DemoSettings
from demo.shown import as_file
from demo.theme import show_result
from demo.unpaired_layout import HINT, NOTHING_HERE, UnpairedLayout
from demo.unpaired_own import convert_file
from demo.unpaired_result import Results
from demo.unpaired_run import Begun, Failed, Job, Translated, translate
from demo.unpaired_snippets import snippets_for
from demo.widgets import duration_in_words, progress_line
from pipelines.images.limits import ImageError

PIPELINE = "CUTPipeline"


class UnpairedTab(UnpairedLayout):
    """The tab with its handlers; made inside a `gr.Tab`.

    Its public endpoints are `translate_unpaired`, `translate_unpaired_batch` and `stop_unpaired`.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.checkpoints = [entry for entry in usable_checkpoints("unpaired") if entry.pipeline == PIPELINE]
        self.examples = [example for entry in self.checkpoints for example in examples_of(entry)]
        self.brought = SessionPipelines(settings.keep_minutes * 60)
        takes_own = settings.max_checkpoint_megabytes > 0
        super().__init__(self.checkpoints, self.examples, takes_own, settings.keep_minutes * 60)
        self.runs = Runs([self.go], self.stop, self.progress, HINT, "Stopping after this photo ...")
        self._wire(takes_own)
        self._publish()

    def _wire(self, takes_own: bool) -> None:
        """Connect what a visitor of the page does."""
        asked = [self.photos, self.checkpoint, self.precision, self.own]
        self.runs.wire(self.go, self._run, asked, self.outputs, "unpaired-slider")
        self.gallery.select(self._compare, self.compared, self.slider, show_progress="hidden", **PRIVATE)
        self.table.click(
            in_plain_words(self._example), self.table, [*self.outputs, self.photos, self.checkpoint],
            show_progress="hidden", queue=False, **PRIVATE,
        )  # fmt: skip
        self.table.click(None, js=show_result("unpaired-slider"), **PRIVATE)
        if takes_own:
            outputs = [self.own, self.checkpoint, self.loaded, self.nothing]
            fetch, convert = in_plain_words(self._fetch), in_plain_words(self._convert)
            gr.on([self.load.click, self.hub_id.submit], fetch, self.hub_id, outputs, **LOADING, **PRIVATE)
            self.file.upload(convert, self.file, outputs, **LOADING, **PRIVATE)

    def _publish(self) -> None:
        """Connect the endpoints for scripts."""
        shared = [self.api_checkpoint, self.precision]
        self.api_run.click(
            in_plain_words(self.translate_unpaired), [self.api_image, *shared], [self.api_result, self.api_details],
            api_name="translate_unpaired", **HEAVY,
        )  # fmt: skip
        self.api_run_batch.click(
            in_plain_words(self.translate_unpaired_batch), [self.api_files, *shared],
            [self.api_archive, self.api_details], api_name="translate_unpaired_batch", **HEAVY,
        )  # fmt: skip
        self.api_stop.click(self.stop_unpaired, None, self.api_details, api_name="stop_unpaired", queue=False)

    def leave(self, request: gr.Request) -> None:
        """The visitor has closed the page: what still runs for them stops, and their checkpoint is deleted."""
        self.runs.end(request)
        self.brought.forget(request.session_hash or "")

    def translate_unpaired(self, image: str, checkpoint: str, precision: str, request: gr.Request) -> Iterator[tuple]:
        """Translate one photo.

        Returns the PNG, which carries the record of how it was made, and details.
        """
        with tempfile.TemporaryDirectory() as folder:
            results = Results(Path(folder))
            job = self._job([image] if image else [], checkpoint, precision, None, request)
            for _ in self._events(job, results, request):
                pass
            yield str(results.files[0]), results.details()

    def translate_unpaired_batch(
        self, files: list[str], checkpoint: str, precision: str, request: gr.Request
    ) -> Iterator[tuple]:
        """Translate several photos; one that fails does not stop the rest. Iterate over a submitted job to watch.

        Returns a zip of PNGs, each with the record of how it was made, and details with the photos that failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            results = Results(Path(folder))
            job = self._job(files or [], checkpoint, precision, None, request)
            for event in self._events(job, results, request):
                if isinstance(event, Begun):
                    yield None, {"photo": event.photo.name, "index": event.index, "count": len(files)}
            yield str(results.archive()), results.details()

    def stop_unpaired(self, request: gr.Request) -> dict:
        """Stop this client's run after the photo that is being translated; those that are done are kept."""
        return {"stopped": self.runs.end(request)}

    def _run(
        self,
        photos: list[tuple[str, str | None]] | None,
        checkpoint: str | None,
        precision: str,
        own: OwnCheckpoint | None,
        request: gr.Request,
    ) -> Iterator[dict]:
        """Translate on the page: each photo as it is done, then all that can be done with the results."""
        files = [path for path, _ in photos or []]
        job = self._job(files, checkpoint, precision, own, request)
        yield {
            self.progress: progress_line("Preparing ...", 0),
            self.download: gr.DownloadButton(interactive=False),
            self.gallery: gr.Gallery([], visible="hidden"),
            self.notes: "",
        }
        with tempfile.TemporaryDirectory() as folder:
            results = Results(Path(folder))
            for event in self._events(job, results, request):
                if isinstance(event, Begun):
                    photo = as_file(event.photo.shown)
                    line = {self.progress: progress_line(_progress(event, len(files)), event.index / len(files))}
                    yield line if results.files else {**line, self.slider: (photo, photo)}
                elif isinstance(event, Translated):
                    slider = as_file(event.photo.shown), as_file(event.image)
                    yield {self.slider: slider, **self._show_all(results, len(files))}
            stopped = len(results.files) + len(results.failures) < len(files)
            text = results.summary(len(files), stopped)
            yield {**self._offer(results, job.checkpoint, text, len(files) > 1, request), self.notes: results.notes()}

    def _example(self, index: int, request: gr.Request) -> dict:
        example = self.examples[index]
        photo = for_screen(Image.open(example.image).convert("RGB"))
        results = Results(example.result.parent, [example.result], [example.record])
        text = f"An example, made before: {example.checkpoint.title}"
        return {
            **self._offer(results, example.checkpoint.id, text, False, request),
            self.slider: (as_file(photo), str(example.result)),
            self.gallery: gr.Gallery([], visible="hidden"),
            self.notes: "",
            self.photos: [str(example.image)],
            self.checkpoint: example.checkpoint.id,
        }

    def _compare(self, compared: list[tuple[bytes, bytes]] | None, event: gr.SelectData) -> Any:
        """Show the photo that was clicked in the slider."""
        if not compared or event.index >= len(compared):
            return gr.skip()
        return tuple(map(as_file, compared[event.index]))

    def _fetch(self, name: str, request: gr.Request) -> dict:
        """Load a checkpoint from the Hub for this visitor."""
        name = name.strip()
        with self.brought.new(request.session_hash or "", Path(name).name or "checkpoint") as folder:
            own = fetch_from_hub(name, folder, self.settings.max_checkpoint_megabytes, PIPELINE)
        return self._loaded(own)

    def _convert(self, path: str, request: gr.Request) -> dict:
        """Convert an uploaded file for this visitor."""
        with self.brought.new(request.session_hash or "", Path(path).stem) as folder:
            own = convert_file(path, folder, self.settings.max_checkpoint_megabytes)
        return self._loaded(own)

    def _loaded(self, own: OwnCheckpoint) -> dict:
        choices = [(entry.title, entry.id) for entry in self.checkpoints]
        config = own.load().generator.config
        words = f"**{own.name}** is ready: {config['num_blocks']} blocks, {config['base_channels']} channels."
        return {
            self.own: own,
            self.checkpoint: gr.Radio([*choices, (f"Yours: {own.name}", own.name)], value=own.name, visible=True),
            self.loaded: words,
            self.nothing: gr.Markdown(visible=False),
        }

    def _show_all(self, results: Results, count: int) -> dict:
        if count == 1:
            return {}
        names = [record["inputs"]["image"][0]["name"] for record in results.records]
        shown = [(as_file(result), name) for (_, result), name in zip(results.compared, names, strict=True)]
        return {self.gallery: gr.Gallery(shown, visible=True), self.compared: list(results.compared)}

    def _offer(
        self, results: Results, chosen: str | OwnCheckpoint, text: str, several: bool, request: gr.Request
    ) -> dict:
        file = results.archive() if several else results.files[0]
        address = request.headers.get("origin") or "http://127.0.0.1:7860"
        snippets = snippets_for(results.records, chosen, file.name, address)
        label = "Download ZIP" if several else "Download PNG"
        return {
            self.progress: progress_line(text),
            self.download: gr.DownloadButton(label, value=str(file), interactive=True),
            self.code: gr.Accordion(visible=True),
            self.python: snippets.python,
            self.command: snippets.command,
            self.client: snippets.client,
        }

    def _job(
        self,
        files: list[str],
        checkpoint: str | None,
        precision: str,
        own: OwnCheckpoint | None,
        request: gr.Request,
    ) -> Job:
        """Put together what was asked for.

        Raises:
            ImageError: no photos, too many, or no such checkpoint.
        """
        settings = self.settings
        if not files:
            raise ImageError("Add a photo first.")
        if len(files) > settings.max_photos:
            raise ImageError(f"These are {len(files)} photos; at most {settings.max_photos} are translated at once.")
        if checkpoint is None:
            raise ImageError(NOTHING_HERE)
        known = [entry.id for entry in self.checkpoints]
        return Job(
            checkpoint=choose(checkpoint, own, known, settings.keep_minutes),
            files=tuple(files),
            precision=as_argument(precision),
            max_pixels=settings.max_photo_pixels,
            max_megabytes=settings.max_upload_megabytes,
            stop_file=self.runs.announce(request),
        )

    def _events(self, job: Job, results: Results, request: gr.Request) -> Iterator[Begun | Translated | Failed]:
        """Run a job, and collect what comes out.

        Raises:
            ImageError: nothing came out.
        """
        try:
            for event in translate(job):
                if isinstance(event, Translated):
                    results.add(event)
                elif isinstance(event, Failed):
                    results.failures.append(event)
                yield event
        finally:
            self.runs.forget(request)
        if not results.files:
            reasons = " ".join(failed.reason for failed in results.failures[:3])
            raise ImageError(reasons or "Stopped before a photo was done.")


def _progress(event: Begun, count: int) -> str:
    name, (width, height) = event.photo.name, event.photo.size
    if count == 1:
        return f"Translating {name}, {width} x {height} pixels ..."
    left = "" if event.seconds_left is None else f" · {duration_in_words(event.seconds_left)} left"
    return f"Photo {event.index + 1} of {count} · {name}{left}"
