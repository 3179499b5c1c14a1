"""What the Many-class tab looks like."""

from collections.abc import Sequence

import gradio as gr

from demo.classes_model import ClassModel
from demo.classes_thumbnails import split
from demo.photo_examples import PhotoExample
from demo.precisions import PRECISIONS
from demo.shown import as_file
from demo.upload import UploadImage, upload_image
from demo.widgets import code_that_repeats, own_checkpoint_form, progress_line

HINT = "Add a photo and choose classes."
NOTHING_HERE = (
    "No many-class checkpoint is installed here yet. Bring one: **Your own checkpoint** below takes the id of a "
    "DeepI2I pipeline on the Hub."
)
LEVELS = (32, 16, 8, 4)  # pixels, from fine to coarse
MOST_DRAWS, MOST_FRAMES = 8, 32
_MEANING = {32: "details", 16: "shapes", 8: "layout", 4: "whole"}


class ClassesLayout:
    """The tab's components, by the names that its handlers use.

    Args:
        models: what can be chosen, the first one by default.
        examples: photos with their results, those of one photo together.
        takes_own: whether visitors may bring a checkpoint.
        state_seconds: how long the last results can be clicked.
    """

    def __init__(
        self, models: list[ClassModel], examples: list[list[PhotoExample]], takes_own: bool, state_seconds: int
    ):
        self.own = gr.State(None, time_to_live=state_seconds)
        self.shown = gr.State(None, time_to_live=state_seconds)
        first = models[0] if models else None
        with gr.Row(elem_id="classes-tab", elem_classes="tab", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._choice(models)
                self._inputs(first)
                self._between(first)
                self.hub_id, self.load, self.loaded = own_checkpoint_form("classes-", takes_own, is_open=not models)
                self._advanced(first)
                self._examples(examples)
            with gr.Column(scale=7, min_width=320):
                self._result()
        self.code, self.python, self.command, self.client = code_that_repeats("classes-code")
        self._endpoints(models)
        self.strengths = [self.strength_32, self.strength_16, self.strength_8, self.strength_4]
        self.codes = [self.code, self.python, self.command, self.client]
        self.outputs = [
            self.gallery, self.shown, self.progress, self.notes, self.sheet, self.download, self.seed, *self.codes,
        ]  # fmt: skip
        self.animation_outputs = [
            self.animation, self.animating, self.frame, self.progress, self.notes, self.animated, self.seed,
            *self.codes,
        ]  # fmt: skip
        self.of_the_model = [self.classes, self.thumbnails, self.start_class, self.end_class, *self.strengths]

    def offer(self, model: ClassModel | None) -> dict:
        """What changes on the page with the checkpoint."""
        choices = choices_of(model)
        ends = [value for _, value in choices] + [None, None]
        pictures = thumbnails_of(model)
        levels = model.levels if model else LEVELS
        return {
            self.classes: gr.Dropdown(choices, value=[], multiselect=True),
            self.thumbnails: gr.Gallery(pictures, visible=bool(pictures)),
            self.start_class: gr.Dropdown(choices, value=ends[0]),
            self.end_class: gr.Dropdown(choices, value=ends[1]),
            **{
                slider: gr.Slider(value=1, visible=level in levels)
                for level, slider in zip(LEVELS, self.strengths, strict=True)
            },
        }

    def _choice(self, models: list[ClassModel]) -> None:
        self.checkpoint = gr.Radio(
            [(model.title, model.name) for model in models],
            value=models[0].name if models else None,
            label="Classes of",
            elem_id="classes-checkpoint",
            visible=bool(models),
        )
        self.nothing = gr.Markdown(NOTHING_HERE, elem_id="classes-nothing", visible=not models)

    def _inputs(self, model: ClassModel | None) -> None:
        self.photo = upload_image("Photo", "classes-photo")
        self.classes = gr.Dropdown(
            choices_of(model),
            value=[],
            multiselect=True,
            label="Classes",
            info="Type to search. Several at once are welcome.",
            elem_id="classes",
        )
        pictures = thumbnails_of(model)
        self.thumbnails = gr.Gallery(
            pictures,
            label="Or click what they look like",
            elem_id="class-thumbnails",
            elem_classes="tiles",
            fit_columns=False,
            height=210,
            object_fit="cover",
            format="jpeg",
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=bool(pictures),
        )
        with gr.Row(elem_classes="pair"):
            self.go = gr.Button("Translate", variant="primary", elem_id="classes-go", scale=3, min_width=140)
            self.stop = gr.Button("Stop", elem_id="classes-stop", interactive=False, scale=1, min_width=90)
        with gr.Row(elem_classes="pair"):
            self.every = gr.Button("All classes", elem_id="all-classes", size="md", min_width=120)
            self.more = gr.Button("More like this", elem_id="more-like-this", size="md", min_width=120)

    def _between(self, model: ClassModel | None) -> None:
        choices = choices_of(model)
        ends = [value for _, value in choices] + [None, None]
        with gr.Accordion("From one class to another", open=False, elem_id="between", elem_classes="advanced"):
            with gr.Row(elem_classes="pair"):
                self.start_class = gr.Dropdown(
                    choices, value=ends[0], label="From", elem_id="start-class", min_width=120
                )
                self.end_class = gr.Dropdown(choices, value=ends[1], label="To", elem_id="end-class", min_width=120)
            self.num_frames = gr.Slider(3, MOST_FRAMES, value=16, step=1, label="Pictures", elem_id="num-frames")
            self.animate = gr.Button("Animate", elem_id="animate", size="md")

    def _advanced(self, model: ClassModel | None) -> None:
        levels = model.levels if model else LEVELS
        with gr.Accordion("Advanced", open=False, elem_id="classes-advanced", elem_classes="advanced"):
            with gr.Row(elem_classes="pair"):
                self.draws = gr.Slider(
                    1, MOST_DRAWS, value=1, step=1, label="Pictures of each class", elem_id="draws", min_width=120
                )
                self.truncation = gr.Slider(
                    0, 1, value=1, step=0.05, label="Truncation", info="Less: more alike.", elem_id="truncation",
                    min_width=120,
                )  # fmt: skip
            gr.Markdown("How much of the photo is kept, by level; 1 is as trained.", elem_classes="ask")
            with gr.Row(elem_classes="levels"):
                self.strength_32, self.strength_16, self.strength_8, self.strength_4 = (
                    gr.Slider(
                        0,
                        3,
                        value=1,
                        step=0.1,
                        label=f"{level} px: {_MEANING[level]}",
                        elem_id=f"strength-{level}",
                        visible=level in levels,
                        min_width=140,
                    )
                    for level in LEVELS
                )
            with gr.Row(elem_classes="pair"):
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="classes-seed", min_width=120)
                self.new_seed = gr.Checkbox(
                    False, label="New seed for every run", elem_id="classes-new-seed", min_width=140
                )
            self.precision = gr.Dropdown(PRECISIONS, value="auto", label="Precision", elem_id="classes-precision")

    def _examples(self, examples: list[list[PhotoExample]]) -> None:
        self.table = gr.Dataset(
            label="Examples",
            components=[gr.Image(visible=False, type="filepath") for _ in range(2)],
            samples=[group[0].files for group in examples],
            headers=["Photo", "Result"],
            type="index",
            layout="table",
            elem_id="classes-examples",
            elem_classes="examples",
            visible=bool(examples),
        )

    def _result(self) -> None:
        self.gallery = gr.Gallery(
            label="Results",
            elem_id="class-results",
            elem_classes=["tiles", "compare"],
            fit_columns=False,
            height=440,
            object_fit="cover",
            allow_preview=False,
            interactive=False,
            buttons=[],
        )
        with gr.Row(elem_classes="under"):
            self.progress = gr.HTML(
                progress_line(HINT), elem_id="classes-progress", elem_classes="progress", container=False
            )
            self.sheet = gr.DownloadButton(
                "Contact sheet", elem_id="contact-sheet", size="sm", interactive=False, scale=0, min_width=120
            )
            self.download = gr.DownloadButton(
                "Download PNG", elem_id="classes-download", size="sm", interactive=False, scale=0, min_width=130
            )
        with gr.Column(visible=False) as self.animating:
            self.animation = gr.HTML(elem_id="animation", container=False)
            with gr.Row(elem_classes="player"):
                self.play = gr.Button("Play", elem_id="play", size="sm", scale=0, min_width=80)
                self.frame = gr.Slider(
                    1, MOST_FRAMES, value=1, step=1, label="Picture", elem_id="frame", scale=1, min_width=160
                )
                self.animated = gr.DownloadButton(
                    "Download WebP", elem_id="animation-download", size="sm", scale=0, min_width=130
                )
        self.notes = gr.HTML(elem_id="classes-notes", container=False)

    def _endpoints(self, models: list[ClassModel]) -> None:
        """Components that only the API uses; an unknown name gets a sentence, where gradio would say "Error"."""
        names = [model.name for model in models]
        self.api_photo = UploadImage(visible=False, label="Photo", type="filepath", image_mode=None)
        self.api_classes = gr.Dropdown([], allow_custom_value=True, multiselect=True, visible=False, label="Classes")
        self.api_start, self.api_end = (
            gr.Textbox(visible=False, label=label) for label in ("From this class", "To this class")
        )
        self.api_checkpoint = gr.Dropdown(names, allow_custom_value=True, visible=False, label="Checkpoint")
        self.api_strength = gr.JSON(
            "1", visible=False, label="Factor of the photo's features, or one a level from fine to coarse"
        )
        self.api_pictures = gr.File(visible=False, label="PNGs with their records", file_count="multiple")
        self.api_archive = gr.File(visible=False, label="Zip of PNGs")
        self.api_sheet = gr.File(visible=False, label="Contact sheet, a PNG with its record")
        self.api_animation = gr.File(visible=False, label="Animated WebP")
        self.api_details = gr.JSON(visible=False, label="Details")
        self.api_run, self.api_run_all, self.api_run_between, self.api_stop = (
            gr.Button(visible=False) for _ in range(4)
        )


def choices_of(model: ClassModel | None) -> list[tuple[str, str]]:
    """Titles and names of a checkpoint's classes."""
    return list(zip(model.class_titles, model.class_names, strict=True)) if model else []


def thumbnails_of(model: ClassModel | None) -> Sequence[tuple[str, str]]:
    """One small picture a class, a file, with its title; none where the checkpoint has no sheet."""
    if model is None or model.thumbnails is None:
        return []
    pictures = map(as_file, split(model.thumbnails, len(model.class_titles)))
    return list(zip(pictures, model.class_titles, strict=True))
