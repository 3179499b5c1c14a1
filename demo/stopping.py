"""Stopping one visitor's run, wherever it is computed.

A run looks for a file: it is seen from a forked worker too, and belongs to this run alone.
"""

import tempfile
import threading
import uuid
from pathlib import Path


class StopFiles:
    """Knows the run that each session has waiting or working."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="translation-hub-")
        self._lock = threading.Lock()
        self._runs: dict[str, Path] = {}

    def announce(self, session: str) -> Path:
        """Return the stop file of the session's run; a run that was announced and has not ended keeps its file."""
        with self._lock:
            return self._runs.setdefault(session, Path(self._folder.name) / uuid.uuid4().hex)

    def stop(self, session: str) -> bool:
        """Ask the session's run to stop; return whether there is one."""
        with self._lock:
            path = self._runs.get(session)
            if path is not None:
                path.touch()
            return path is not None

    def forget(self, session: str) -> None:
        """The session's run has ended."""
        with self._lock:
            path = self._runs.pop(session, None)
            if path is not None:
                path.unlink(missing_ok=True)
