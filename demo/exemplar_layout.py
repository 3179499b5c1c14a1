"""What the Exemplar tab looks like."""

from collections.abc import Mapping

import gradio as gr

from demo.examples import Example
from demo.exemplar_run import REFINE_STEPS
from demo.upload import upload_image
from demo.widgets import before_after, code_that_repeats, examples_table, progress_line
from pipelines.hub.registry import Checkpoint
from pipelines.oeft.settings import PRESETS

DEFAULT_PRESET = "balanced"
MOST_REFINE_STEPS = 500
HINT = "Add two pictures, or take an example."


class ExemplarLayout:
    """The tab's components, by the names that its handlers use.

    Args:
        checkpoints: what can be chosen, the first one by default.
        refine_steps: of those that can refine a warp, by id.
        examples: pairs with their results.
        state_seconds: how long the last result can be asked about.
    """

    def __init__(
        self,
        checkpoints: list[Checkpoint],
        refine_steps: Mapping[str, int],
        examples: list[Example],
        state_seconds: int,
    ):
        self.refine_steps = refine_steps
        self.answered = gr.State(None, time_to_live=state_seconds)
        self.choices = gr.State(None, time_to_live=state_seconds)
        first = checkpoints[0].id if checkpoints else None
        with gr.Row(elem_id="exemplar-tab", elem_classes="tab", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._inputs(first)
                self._advanced(checkpoints, first)
                self.table = examples_table("examples", examples)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self.code, self.python, self.command, self.client = code_that_repeats("code")
        self._endpoints()
        self.result = [
            self.slider, self.progress, self.answered, self.asking, self.picker, self.found, self.words,
            self.download, self.code, self.python, self.command, self.client,
        ]  # fmt: skip
        self.refined = [self.notes, self.choosing, self.hypotheses, self.choices]
        self.of_the_checkpoint = [self.refine, self.num_refine_steps]
        self.outputs = [*self.result, *self.refined, self.seed]
        self.example_outputs = [
            *self.result, *self.refined, self.source, self.exemplar, self.checkpoint, *self.of_the_checkpoint,
        ]  # fmt: skip

    def offer(self, checkpoint: str) -> dict:
        """What changes on the page with the checkpoint."""
        steps = self.refine_steps.get(checkpoint)
        if steps is None:
            return {part: gr.update(visible=False) for part in self.of_the_checkpoint}
        return {self.refine: gr.Checkbox(visible=True), self.num_refine_steps: gr.Slider(value=steps, visible=True)}

    def _inputs(self, checkpoint: str | None) -> None:
        with gr.Row(elem_classes="pair"):
            self.source = upload_image("Source", "source")
            self.exemplar = upload_image("Exemplar", "exemplar")
        with gr.Row(elem_classes="pair"):
            self.go = gr.Button("Translate", variant="primary", elem_id="go", scale=3, min_width=140)
            self.stop = gr.Button("Stop", elem_id="stop", interactive=False, scale=1, min_width=90)
        self.refine = gr.Checkbox(
            True,
            label="Refine with the checkpoint's GAN",
            elem_id="refine",
            container=False,
            visible=checkpoint in self.refine_steps,
        )

    def _advanced(self, checkpoints: list[Checkpoint], first: str | None) -> None:
        with gr.Accordion("Advanced", open=False, elem_id="advanced", elem_classes="advanced"):
            self.checkpoint = gr.Dropdown(
                [(entry.title, entry.id) for entry in checkpoints],
                value=first,
                label="Checkpoint",
                elem_id="checkpoint",
            )
            with gr.Row(elem_classes="pair"):
                self.preset = gr.Dropdown(
                    list(PRESETS), value=DEFAULT_PRESET, label="Preset", elem_id="preset", min_width=120
                )
                self.num_steps = gr.Slider(
                    0,
                    200,
                    PRESETS[DEFAULT_PRESET].num_steps,
                    step=1,
                    label="Steps",
                    elem_id="num-steps",
                    min_width=140,
                )
            self.num_refine_steps = gr.Slider(
                1,
                MOST_REFINE_STEPS,
                next(iter(self.refine_steps.values()), REFINE_STEPS),
                step=1,
                label="Steps of refinement",
                elem_id="num-refine-steps",
                visible=first in self.refine_steps,
            )
            with gr.Row(elem_classes="pair"):
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=120)
                self.new_seed = gr.Checkbox(False, label="New seed for every run", elem_id="new-seed", min_width=140)
            self.augment = gr.Checkbox(True, label="Online augmentation", elem_id="augment")

    def _result(self) -> None:
        self.slider = before_after("Source | result", "slider")
        with gr.Row(elem_classes="under"):
            self.progress = gr.HTML(progress_line(HINT), elem_id="progress", elem_classes="progress", container=False)
            self.download = gr.DownloadButton(
                "Download PNG", elem_id="download", size="sm", interactive=False, scale=0, min_width=140
            )
        self.notes = gr.HTML(elem_id="exemplar-notes", container=False, visible=False)
        with gr.Group(visible=False, elem_id="choosing", elem_classes="more") as self.choosing:
            gr.Markdown(
                "**Warp and hypotheses.** The lower a score, the more a picture is like those that the GAN knows; the "
                "lower a loss, the nearer it is to the warp. Click one to make it the result.",
                elem_classes="ask",
            )
            self.hypotheses = gr.Gallery(
                label="Warp and hypotheses",
                show_label=False,
                elem_id="hypotheses",
                elem_classes="tiles",
                fit_columns=False,
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
            )
        with gr.Group(visible=False, elem_id="asking", elem_classes="more") as self.asking:
            gr.Markdown("**Where did this color come from?** Click a point of the result.", elem_classes="ask")
            with gr.Row(elem_classes="pair"):
                self.picker = self._shown("Result", "picker")
                self.found = self._shown("Exemplar", "found")
            self.words = gr.Markdown(elem_id="words", elem_classes="ask")

    @staticmethod
    def _shown(label: str, elem_id: str) -> gr.Image:
        return gr.Image(
            label=label, elem_id=elem_id, height=280, format="jpeg", interactive=False, buttons=[], min_width=140
        )

    def _endpoints(self) -> None:
        """Components that only the API uses."""
        self.api_picture = gr.File(visible=False, label="PNG with its record")
        self.api_details = gr.JSON(visible=False, label="Details")
        self.x, self.y = gr.Number(visible=False, label="Column"), gr.Number(visible=False, label="Row")
        self.api_hypothesis = gr.Number(0, visible=False, precision=0, label="Index of a hypothesis; -1: the warp")
        self.api_run, self.api_stop, self.api_place, self.api_choose = (gr.Button(visible=False) for _ in range(4))
