"""Pictures for the page, as files that are written once.

Gradio takes pictures in memory too, but writes such a file anew whenever the picture is shown, also while the page is
reading it. The files here lie in gradio's cache, so that it serves them without a copy, and removes them
(`delete_cache`) when they were not shown for `keep_minutes`.
"""

import hashlib
import io
import os
import secrets
import time
import uuid
from pathlib import Path

from gradio.components import Component
from gradio.utils import get_upload_folder
from PIL import Image

from demo.pictures import to_jpeg

PREVIEW_SECONDS = 60  # long enough for a slow page to fetch it
_KEY = secrets.token_bytes(16)  # nobody can tell from a picture where its file is


def as_file(picture: Image.Image | bytes, png: bool = False, folder: str = "shown") -> str:
    """Return the path of a picture's file, which is written unless it is there already.

    Args:
        picture: RGB; or the JPEG itself.
        png: keep every pixel.
        folder: inside gradio's cache.
    """
    data = picture if isinstance(picture, bytes) else _to_png(picture) if png else to_jpeg(picture)
    name = hashlib.blake2b(data, key=_KEY, digest_size=16).hexdigest()
    path = Path(get_upload_folder(), folder, f"{name}.{'png' if png else 'jpeg'}").resolve()
    try:
        os.utime(path)  # shown again: `delete_cache` looks at the time
    except FileNotFoundError:
        _write(path, data)
    return str(path)


def keep(picture: Image.Image, component: Component) -> str:
    """Return the path of a picture's file, every pixel of it, for a picture that may be asked for later.

    Args:
        picture: RGB.
        component: gradio deletes the file as if this had shown it.
    """
    path = as_file(picture, png=True)
    component.temp_files.add(path)
    return path


class Previews:
    """Pictures that the next one replaces, several a second: they are removed after `PREVIEW_SECONDS`.

    `delete_cache` alone would let a run of an hour leave thousands of them for up to two hours.

    Args:
        component: shows them.
    """

    def __init__(self, component: Component):
        self.component = component
        self._times: dict[str, float] = {}  # by path, oldest first

    def as_file(self, picture: Image.Image) -> str:
        """Return the path of a preview's file."""
        path, now = as_file(picture, folder="previews"), time.monotonic()
        self._times.pop(path, None)
        self._times[path] = now
        for old in [old for old, shown in self._times.items() if now - shown > PREVIEW_SECONDS]:
            del self._times[old]
            Path(old).unlink(missing_ok=True)
            self.component.temp_files.discard(old)  # where gradio remembers what it has to delete
        return path


def _to_png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)  # quick; nobody downloads this file
    return stream.getvalue()


def _write(path: Path, data: bytes) -> None:
    """The file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
