"""The pipelines that visitors have just trained or brought: folders on the disk, a few of them, each for one visit."""

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.images.limits import ImageError

MOST = 20  # pipelines; beyond it the oldest is deleted


class SessionPipelines:
    """Knows the last pipeline that each session trained or brought.

    Args:
        seconds: how long one is kept.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._folder = tempfile.TemporaryDirectory(prefix="translation-hub-")
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Path, float]] = {}  # session -> folder and the time it was kept, oldest first

    @contextmanager
    def new(self, session: str, name: str) -> Iterator[Path]:
        """A folder of this name for a run to save its pipeline to; kept for the session if it did so."""
        folder = Path(self._folder.name) / uuid.uuid4().hex / name
        self.forget(session)
        try:
            yield folder
        finally:
            if (folder / "model_index.json").is_file():
                self._keep(session, folder)
            else:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def of(self, session: str) -> Path:
        """Return the folder of the session's pipeline.

        Raises:
            ImageError: there is none.
        """
        with self._lock:
            if session not in self._kept:
                raise ImageError(
                    "The pipeline of this visit is no longer kept; train or load it again, or use the download."
                )
            return self._kept[session][0]

    def forget(self, session: str) -> None:
        """Delete the session's pipeline, if there is one."""
        with self._lock:
            self._delete(session)

    def _keep(self, session: str, folder: Path) -> None:
        now = time.monotonic()
        with self._lock:
            self._kept[session] = folder, now
            too_old = [other for other, (_, kept) in self._kept.items() if now - kept > self.seconds]
            too_many = list(self._kept)[:-MOST]
            for other in {*too_old, *too_many}:
                self._delete(other)

    def _delete(self, session: str) -> None:
        if session in self._kept:
            folder, _ = self._kept.pop(session)
            shutil.rmtree(folder.parent, ignore_errors=True)
