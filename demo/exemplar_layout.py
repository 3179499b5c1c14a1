"""What the Exemplar tab looks like."""

import gradio as gr

from demo.examples import Example
from demo.upload import upload_image
from demo.widgets import before_after, code_that_repeats, progress_line
from pipelines.hub.registry import Checkpoint
from pipelines.oeft.settings import PRESETS

DEFAULT_PRESET = "balanced"
HINT = "Add two pictures, or take an example."


class ExemplarLayout:
    """The tab's components, by the names that its handlers use.

    Args:
        checkpoints: what can be chosen, the first one by default.
        examples: pairs with their results.
        state_seconds: how long the last result can be asked about.
    """

    def __init__(self, checkpoints: list[Checkpoint], examples: list[Example], state_seconds: int):
        self.answered = gr.State(None, time_to_live=state_seconds)
        with gr.Row(elem_id="exemplar-tab", elem_classes="tab", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._inputs()
                self._advanced(checkpoints)
                self._examples(examples)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self.code, self.python, self.command, self.client = code_that_repeats("code")
        self._endpoints()
        self.result = [
            self.slider, self.progress, self.answered, self.asking, self.picker, self.found, self.words,
            self.download, self.code, self.python, self.command, self.client,
        ]  # fmt: skip
        self.outputs = [*self.result, self.seed]
        self.example_outputs = [*self.result, self.source, self.exemplar]

    def _inputs(self) -> None:
        with gr.Row(elem_classes="pair"):
            self.source = upload_image("Source", "source")
            self.exemplar = upload_image("Exemplar", "exemplar")
        with gr.Row(elem_classes="pair"):
            self.go = gr.Button("Translate", variant="primary", elem_id="go", scale=3, min_width=140)
            self.stop = gr.Button("Stop", elem_id="stop", interactive=False, scale=1, min_width=90)

    def _advanced(self, checkpoints: list[Checkpoint]) -> None:
        with gr.Accordion("Advanced", open=False, elem_id="advanced", elem_classes="advanced"):
            self.checkpoint = gr.Dropdown(
                [(entry.title, entry.id) for entry in checkpoints],
                value=checkpoints[0].id if checkpoints else None,
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
            with gr.Row(elem_classes="pair"):
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=120)
                self.new_seed = gr.Checkbox(False, label="New seed for every run", elem_id="new-seed", min_width=140)
            self.augment = gr.Checkbox(True, label="Online augmentation", elem_id="augment")

    def _examples(self, examples: list[Example]) -> None:
        self.table = gr.Dataset(
            label="Examples",
            components=[gr.Image(visible=False, type="filepath") for _ in range(3)],
            samples=[example.files for example in examples],
            headers=["Source", "Exemplar", "Result"],
            type="index",
            layout="table",
            elem_id="examples",
            elem_classes="examples",
        )

    def _result(self) -> None:
        self.slider = before_after("Source | result", "slider")
        with gr.Row(elem_classes="under"):
            self.progress = gr.HTML(progress_line(HINT), elem_id="progress", elem_classes="progress", container=False)
            self.download = gr.DownloadButton(
                "Download PNG", elem_id="download", size="sm", interactive=False, scale=0, min_width=140
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
        self.api_run, self.api_stop, self.api_place = (gr.Button(visible=False) for _ in range(3))
