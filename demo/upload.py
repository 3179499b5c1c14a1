"""Image inputs of all tabs."""

import gradio as gr
from gradio.data_classes import ImageData


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
            gr.Error: the picture came in another way than as a file.
        """
        path = getattr(payload, "path", None)
        if payload is not None and not path:
            raise gr.Error("The picture did not arrive as a file. Upload it again.", print_exception=False)
        return path


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
