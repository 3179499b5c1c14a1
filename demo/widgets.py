"""Words, lines and components that more than one tab shows."""

import html
from collections.abc import Sequence

import gradio as gr

from demo.examples import Example


def progress_line(text: str, share: float | None = None) -> str:
    """One line of text over a thin bar, for a `gr.HTML`.

    Args:
        text: what happens now.
        share: how much is done, 0..1; None leaves the bar away.
    """
    bar = ""
    if share is not None:
        role = f'role="progressbar" aria-label="Progress" aria-valuenow="{100 * share:.0f}"'
        bar = f'<div class="bar" {role}><div style="width:{100 * share:.1f}%"></div></div>'
    return f'<div class="progress-line"><span>{html.escape(text)}</span>{bar}</div>'


def duration_in_words(seconds: float) -> str:
    """Return "8 s" or "2 min 10 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def count_in_words(count: int, noun: str, plural: str | None = None) -> str:
    """Return "1 step" or "12 steps"; `plural` is for what does not just get an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def notes_as_html(notes: Sequence[str]) -> str:
    """Sentences as a list, for a `gr.HTML`."""
    return f"<ul class='notes'>{''.join(f'<li>{html.escape(note)}</li>' for note in notes)}</ul>"


def before_after(label: str, elem_id: str) -> gr.ImageSlider:
    """Make a slider between two pictures."""
    return gr.ImageSlider(
        label=label,
        elem_id=elem_id,
        elem_classes="compare",
        height=440,
        max_height=440,
        type="filepath",
        format="jpeg",
        interactive=False,
        buttons=["fullscreen"],
    )


def examples_table(elem_id: str, examples: Sequence[Example]) -> gr.Dataset:
    """Make a table of pairs with their results, one a row; a click gives the number of the row."""
    return gr.Dataset(
        label="Examples",
        components=[gr.Image(visible=False, type="filepath") for _ in range(3)],
        samples=[example.files for example in examples],
        headers=["Source", "Exemplar", "Result"],
        type="index",
        layout="table",
        elem_id=elem_id,
        elem_classes="examples",
    )


def own_checkpoint_form(
    prefix: str, visible: bool, is_open: bool = False, file: gr.UploadButton | None = None
) -> tuple[gr.Textbox, gr.Button, gr.Markdown]:
    """Make the form for a checkpoint of one's own: its Hub id, the button that loads it, and what came of it.

    Args:
        prefix: of the elements' ids.
        visible: whether visitors may bring a checkpoint.
        is_open: whether it is unfolded.
        file: another way to bring one, not rendered yet.
    """
    with gr.Accordion(
        "Your own checkpoint", open=is_open, elem_id=f"{prefix}own", elem_classes=["advanced", "own"], visible=visible
    ):
        with gr.Row(elem_classes="pair"):
            hub_id = gr.Textbox(
                label="From the Hub",
                placeholder="owner/name",
                elem_id=f"{prefix}hub-id",
                max_lines=1,
                scale=3,
                min_width=140,
            )
            load = gr.Button("Load", elem_id=f"{prefix}load-own", scale=1, min_width=80)
        if file:
            file.render()
        loaded = gr.Markdown(
            "It is read as data, never run, and deleted when you leave.",
            elem_id=f"{prefix}loaded",
            elem_classes="ask",
        )
    return hub_id, load, loaded


def code_that_repeats(elem_id: str) -> tuple[gr.Accordion, gr.Code, gr.Code, gr.Code]:
    """Make the place for `demo.snippets.Snippets`, hidden until there is a run: Python, command line and client."""
    with gr.Accordion("Code that repeats the run", open=False, elem_id=elem_id, visible=False) as code:
        python = gr.Code(label="Python", language="python", elem_id=f"{elem_id}-python", interactive=False, lines=1)
        command = gr.Code(
            label="Command line", language="shell", elem_id=f"{elem_id}-command", interactive=False, lines=1
        )
        client = gr.Code(
            label="This app, from a script", language="python", elem_id=f"{elem_id}-client", interactive=False, lines=1
        )
    return code, python, command, client
