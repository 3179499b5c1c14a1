"""Image inputs of all tabs."""

from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData

from demo.pictures import Picture
from demo.settings import DemoSettings


class UploadImage(gr.Image):
    """An image input that hands over the file as it was uploaded.

    Gradio's own decodes the file before a handler is called, and what that raises is shown as a bare "Error"; here the
    handler reads the file and says what is wrong with it.
    """

    def get_block_name(self) -> str:
        """Use the front end of `gr.Image`."""
        return "image"

    def preprocess(self, payload: ImageData | None) -> str | None:
        """Return the path of the uploaded file, unread.

        Raises:
            gr.Error: the picture came in another way than as a file, or its file is too large.
        """
        path = getattr(payload, "path", None)
        if payload is not None and not path:
            raise gr.Error("The picture did not arrive as a file. Upload it again.", print_exception=False)
        if path:
            try:
                check_megabytes(path, DemoSettings.from_environment().max_upload_megabytes)
            except gr.Error:
                Path(path).unlink()  # it lies in gradio's cache and would stay there for `keep_minutes`
                raise
        return path


def check_megabytes(path: str, limit: int) -> None:
    """Refuse an upload that is too large for what it is: the server's own limit is that of the largest kind.

    Raises:
        gr.Error: the file has more than `limit` megabytes.
    """
    megabytes = Path(path).stat().st_size / 2**20
    if megabytes > limit:
        raise gr.Error(
            f"{Path(path).name} has {megabytes:.1f} MB; at most {limit} MB are accepted.", print_exception=False
        )


def tell_notes(picture: Picture) -> None:
    """Show what was done to a picture as messages on the page."""
    for note in picture.notes:
        gr.Info(note)


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
