"""The runs of one tab: a button begins one, Stop ends it, and meanwhile no other can begin."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demo.errors import in_plain_words
from demo.events import HEAVY, PRIVATE
from demo.stopping import StopFiles
from demo.theme import show_result
from demo.widgets import progress_line


class Runs:
    """Wires a tab's buttons, and knows what each visitor has waiting or working there.

    Args:
        starts: the buttons that begin a run.
        stop: the button that ends it.
        progress: the line that tells how it goes.
        hint: what that line says when nothing runs.
        stopping: what it says from Stop until the run has ended.
    """

    def __init__(self, starts: Sequence[gr.Button], stop: gr.Button, progress: gr.HTML, hint: str, stopping: str):
        self.starts, self.stop_button, self.progress = list(starts), stop, progress
        self.hint, self.stopping = hint, stopping
        self.stop_files = StopFiles()
        stop.click(self._stop, None, progress, queue=False, **PRIVATE)

    def wire(self, button: gr.Button, run: Callable, inputs: list | set, outputs: list, result: str) -> None:
        """Connect a button with its run.

        Args:
            button: one of `starts`.
            run: the handler, a generator that looks for the file of `announce`.
            inputs: of the handler; it gets a dict where they are a set.
            outputs: of the handler.
            result: `elem_id` of what a narrow screen is scrolled to.
        """
        buttons = [*self.starts, self.stop_button]
        begin = button.click(self._begin, None, [*buttons, self.progress], queue=False, **PRIVATE)
        begin.then(None, js=show_result(result), **PRIVATE)
        event = begin.then(
            in_plain_words(run),
            inputs,
            outputs,
            show_progress="minimal",
            show_progress_on=self.progress,
            **HEAVY,
            **PRIVATE,
        )
        event.success(self._end, None, buttons, queue=False, **PRIVATE)
        event.failure(self._fail, None, [*buttons, self.progress], queue=False, **PRIVATE)

    def announce(self, request: gr.Request) -> Path:
        """Return the stop file of the visitor's run, which has begun or waits for its turn."""
        return self.stop_files.announce(request.session_hash or "")

    def forget(self, request: gr.Request) -> None:
        """The visitor's run has ended."""
        self.stop_files.forget(request.session_hash or "")

    def end(self, request: gr.Request) -> bool:
        """Ask the visitor's run to stop; return whether there is one."""
        return self.stop_files.stop(request.session_hash or "")

    def _begin(self, request: gr.Request) -> dict:
        self.announce(request)
        return {**self._buttons(running=True), self.progress: progress_line("Waiting for its turn ...", 0)}

    def _end(self, request: gr.Request) -> dict:
        self.forget(request)
        return self._buttons(running=False)

    def _fail(self, request: gr.Request) -> dict:
        return {**self._end(request), self.progress: progress_line(self.hint)}

    def _stop(self, request: gr.Request) -> Any:
        return progress_line(self.stopping) if self.end(request) else gr.skip()

    def _buttons(self, running: bool) -> dict:
        return {
            **{button: gr.Button(interactive=not running) for button in self.starts},
            self.stop_button: gr.Button(interactive=running),
        }
