"""Gradio components that more than one tab uses."""

import html

import gradio as gr


class UploadImage(gr.Image):
    """An image input that hands over the file as it was uploaded.

    Gradio's own decodes the file before a handler is called, and what that raises is shown as a bare "Error"; here the
    handler reads the file and says what is wrong with it.
    """

    def get_block_name(self) -> str:
        """Use the front end of `gr.Image`."""
        return "image"

    def preprocess(self, payload) -> str | None:
        """Return the path of the uploaded file, unread.

        Raises:
            gr.Error: the picture came in another way than as a file.
        """
        if payload is None:
            return None
        if not payload.path:
            raise gr.Error("The picture did not arrive as a file. Upload it again.", print_exception=False)
        return payload.path


def upload_image(label: str, elem_id: str) -> UploadImage:
    """Make an `UploadImage`; a function, because gradio tells the page what the class's own `__init__` takes."""
    return UploadImage(
        label=label,
        elem_id=elem_id,
        height=200,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        buttons=["fullscreen"],
        placeholder="Drop a picture\nor click to choose",
    )


def progress_line(text: str, share: float | None = None) -> str:
    """One line of text over a thin bar, for a `gr.HTML`.

    Args:
        text: what happens now.
        share: how much is done, 0..1; None leaves the bar away.
    """
    bar = "" if share is None else f'<div class="bar"><div style="width:{100 * share:.1f}%"></div></div>'
    return f'<div class="progress-line"><span>{html.escape(text)}</span>{bar}</div>'


def duration_in_words(seconds: float) -> str:
    """Return "8 s" or "2 min 10 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def count_in_words(count: int, noun: str) -> str:
    """Return "1 step" or "12 steps"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
