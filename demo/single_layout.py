"""What the Single-image tab looks like."""

import gradio as gr

from demo.examples import Example
from demo.upload import upload_image
from demo.widgets import before_after, code_that_repeats, examples_table, progress_line
from pipelines.sincut.settings import BUDGETS, PRESETS

HINT = "Add two pictures, or take the example."
_PREVIEW = 1  # minute
_PRESETS = {"cpu": "Small (CPU)", "paper": "Paper"}


def budgets(max_minutes: int) -> list[tuple[str, int]]:
    """Return the time budgets that are offered, as labels and minutes: the usual ones, and the limit itself."""
    minutes = sorted({*(budget for budget in (_PREVIEW, *BUDGETS) if budget <= max_minutes), max_minutes})
    return [(f"{each} min" if each >= BUDGETS[0] else f"Preview, {each} min", each) for each in minutes]


class SingleLayout:
    """The tab's components, by the names that its handlers use.

    Args:
        max_minutes: the longest budget.
        preset: the settings that are chosen at first.
        examples: pairs with their results.
    """

    def __init__(self, max_minutes: int, preset: str, examples: list[Example]):
        with gr.Row(elem_id="single-tab", elem_classes="tab", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._inputs(max_minutes)
                self._advanced(preset)
                self.table = examples_table("single-examples", examples)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self.code, self.python, self.command, self.client = code_that_repeats("single-code")
        self._endpoints()
        self.outputs = [
            self.slider, self.progress, self.picture, self.pipeline, self.applying, self.applied,
            self.code, self.python, self.command, self.client, self.seed,
        ]  # fmt: skip
        self.example_outputs = [*self.outputs, self.source, self.exemplar, self.preset]

    def _inputs(self, max_minutes: int) -> None:
        with gr.Row(elem_classes="pair"):
            self.source = upload_image("Source", "single-source")
            self.exemplar = upload_image("Exemplar", "single-exemplar")
        gr.Markdown(
            "From these two pictures alone a network learns to turn the source into the exemplar's kind: "
            "a painting into a photograph, say.",
            elem_classes="ask",
        )
        self.minutes = gr.Radio(
            budgets(max_minutes),
            value=min(BUDGETS[0], max_minutes),
            label="Time for training",
            elem_id="single-minutes",
        )
        with gr.Row(elem_classes="pair"):
            self.go = gr.Button("Train and translate", variant="primary", elem_id="single-go", scale=3, min_width=140)
            self.stop = gr.Button("Stop", elem_id="single-stop", interactive=False, scale=1, min_width=90)

    def _advanced(self, preset: str) -> None:
        with gr.Accordion("Advanced", open=False, elem_id="single-advanced", elem_classes="advanced"):
            with gr.Row(elem_classes="pair"):
                self.preset = gr.Dropdown(
                    [(_PRESETS[name], name) for name in PRESETS],
                    value=preset,
                    label="Preset",
                    elem_id="single-preset",
                    min_width=120,
                )
                self.num_steps = gr.Number(
                    0,
                    label="Steps (0: by time)",
                    precision=0,
                    minimum=0,
                    elem_id="single-num-steps",
                    min_width=140,
                )
            with gr.Row(elem_classes="pair"):
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="single-seed", min_width=120)
                self.new_seed = gr.Checkbox(
                    False, label="New seed for every run", elem_id="single-new-seed", min_width=140
                )

    def _result(self) -> None:
        self.slider = before_after("Source | result", "single-slider")
        with gr.Row(elem_classes="under"):
            self.progress = gr.HTML(
                progress_line(HINT), elem_id="single-progress", elem_classes="progress", container=False
            )
        with gr.Row(elem_classes="pair"):
            self.picture = gr.DownloadButton(
                "Download PNG", elem_id="single-picture", size="sm", interactive=False, min_width=120
            )
            self.pipeline = gr.DownloadButton(
                "Download pipeline", elem_id="single-pipeline", size="sm", interactive=False, min_width=120
            )
        with gr.Group(visible=False, elem_id="single-applying", elem_classes="more") as self.applying:
            gr.Markdown("**What was trained works on other pictures too.** Drop one.", elem_classes="ask")
            with gr.Row(elem_classes="pair"):
                self.another = upload_image("Picture", "single-another")
                self.applied = gr.Image(
                    label="Result",
                    elem_id="single-applied",
                    height=200,
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    min_width=140,
                )

    def _endpoints(self) -> None:
        """Components that only the API uses."""
        self.api_picture = gr.File(visible=False, label="PNG with its record")
        self.api_pipeline = gr.File(visible=False, label="Trained pipeline, a zip")
        self.api_details = gr.JSON(visible=False, label="Details")
        self.stop_after = gr.Number(
            0, visible=False, label="Steps after which it stops (0: all)", precision=0, minimum=0
        )
        self.api_run, self.api_stop = (gr.Button(visible=False) for _ in range(2))
