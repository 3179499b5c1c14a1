"""What the Unpaired tab looks like."""

import gradio as gr

from demo.photo_examples import PhotoExample, as_data_uri
from demo.precisions import PRECISIONS
from demo.upload import UploadImage
from demo.widgets import before_after, code_that_repeats, own_checkpoint_form, progress_line
from pipelines.hub.registry import Checkpoint

HINT = "Add a photo, or several."
NOTHING_HERE = "No translation is installed here."


class UnpairedLayout:
    """The tab's components, by the names that its handlers use.

    Args:
        checkpoints: what can be chosen, the first one by default.
        examples: photos with their translations.
        takes_own: whether visitors may bring a checkpoint.
        state_seconds: how long the last results can be looked at.
    """

    def __init__(
        self, checkpoints: list[Checkpoint], examples: list[PhotoExample], takes_own: bool, state_seconds: int
    ):
        self.own = gr.State(None, time_to_live=state_seconds)
        self.compared = gr.State(None, time_to_live=state_seconds)
        with gr.Row(elem_id="unpaired-tab", elem_classes="tab", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._choice(checkpoints, examples)
                self._inputs()
                self.file = gr.UploadButton(
                    "Upload a .pth of CUT, FastCUT or CycleGAN", elem_id="own-file", size="sm",
                    file_types=[".pth", ".pt", ".safetensors"], render=False,
                )  # fmt: skip
                self.hub_id, self.load, self.loaded = own_checkpoint_form("", takes_own, file=self.file)
                self._advanced()
                self._examples(examples)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self.code, self.python, self.command, self.client = code_that_repeats("unpaired-code")
        self._endpoints(checkpoints)
        self.outputs = [
            self.slider, self.gallery, self.progress, self.notes, self.compared, self.download,
            self.code, self.python, self.command, self.client,
        ]  # fmt: skip

    def _choice(self, checkpoints: list[Checkpoint], examples: list[PhotoExample]) -> None:
        thumbnails = {example.checkpoint.id: example for example in reversed(examples)}
        style = "".join(
            f"#translation label:nth-of-type({number})::before "
            f'{{ content: ""; background-image: url({as_data_uri(thumbnails[entry.id].thumbnail())}); }}'
            for number, entry in enumerate(checkpoints, start=1)
            if entry.id in thumbnails
        )
        gr.HTML(f"<style>{style}</style>", container=False, elem_classes="style")
        self.checkpoint = gr.Radio(
            [(entry.title, entry.id) for entry in checkpoints],
            value=checkpoints[0].id if checkpoints else None,
            label="Translation",
            elem_id="translation",
            elem_classes="cards",
            visible=bool(checkpoints),
        )
        self.nothing = gr.Markdown(NOTHING_HERE, elem_id="nothing-here", visible=not checkpoints)

    def _inputs(self) -> None:
        self.photos = gr.Gallery(
            label="Photos",
            elem_id="photos",
            elem_classes=["upload", "photos"],
            height=200,
            columns=3,
            fit_columns=False,
            object_fit="cover",
            allow_preview=False,
            interactive=True,
            file_types=["image"],
            sources=["upload", "clipboard"],
            buttons=[],
        )
        with gr.Row(elem_classes="pair"):
            self.go = gr.Button("Translate", variant="primary", elem_id="unpaired-go", scale=3, min_width=140)
            self.stop = gr.Button("Stop", elem_id="unpaired-stop", interactive=False, scale=1, min_width=90)

    def _advanced(self) -> None:
        with gr.Accordion("Advanced", open=False, elem_id="unpaired-advanced", elem_classes="advanced"):
            self.precision = gr.Dropdown(PRECISIONS, value="auto", label="Precision", elem_id="precision")

    def _examples(self, examples: list[PhotoExample]) -> None:
        self.table = gr.Dataset(
            label="Examples",
            components=[gr.Image(visible=False, type="filepath") for _ in range(2)],
            samples=[example.files for example in examples],
            headers=["Photo", "Result"],
            type="index",
            layout="table",
            elem_id="unpaired-examples",
            elem_classes="examples",
            visible=bool(examples),
        )

    def _result(self) -> None:
        self.slider = before_after("Photo | result", "unpaired-slider")
        with gr.Row(elem_classes="under"):
            self.progress = gr.HTML(
                progress_line(HINT), elem_id="unpaired-progress", elem_classes="progress", container=False
            )
            self.download = gr.DownloadButton(
                "Download PNG", elem_id="unpaired-download", size="sm", interactive=False, scale=0, min_width=140
            )
        self.gallery = gr.Gallery(
            label="Results",
            elem_id="results",
            elem_classes="photos",
            columns=5,
            fit_columns=False,
            height=170,
            object_fit="cover",
            format="jpeg",
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible="hidden",  # not False: a slow page would lose what arrives before it has made the gallery
        )
        self.notes = gr.HTML(elem_id="notes", container=False)

    def _endpoints(self, checkpoints: list[Checkpoint]) -> None:
        """Components that only the API uses."""
        self.api_image = UploadImage(visible=False, label="Photo", type="filepath", image_mode=None)
        self.api_files = gr.File(visible=False, label="Photos", file_count="multiple")
        self.api_checkpoint = gr.Dropdown(  # an unknown one gets a sentence, where gradio would say "Error"
            [entry.id for entry in checkpoints], allow_custom_value=True, visible=False, label="Checkpoint"
        )
        self.api_result = gr.File(visible=False, label="PNG with its record")
        self.api_archive = gr.File(visible=False, label="Zip of PNGs")
        self.api_details = gr.JSON(visible=False, label="Details")
        self.api_run, self.api_run_batch, self.api_stop = (gr.Button(visible=False) for _ in range(3))
