"""What a visitor reads when something goes wrong: always a sentence."""

import functools
import inspect
import logging
import uuid
from collections.abc import Callable
from typing import Any

import gradio as gr
import torch

from pipelines.base import DivergedError
from pipelines.conversion.report import ConversionError
from pipelines.deepi2i.class_names import UnknownClassError
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import RegistryError
from pipelines.images.limits import ImageError

logger = logging.getLogger(__name__)

# Their messages are written for the person who reads them.
_SENTENCES = (ImageError, CheckpointError, RegistryError, UnknownClassError)
_LINES = 4  # of a report


def explain(error: Exception) -> gr.Error:
    """Turn any exception into a message for the visitor; one that was not foreseen is logged under an id."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, _SENTENCES):
        return gr.Error(str(error), print_exception=False)
    if isinstance(error, ConversionError):
        return gr.Error(_beginning(str(error)), print_exception=False)
    if isinstance(error, DivergedError):
        return gr.Error("The optimization went astray. Try another seed, or fewer steps.", print_exception=False)
    if isinstance(error, torch.OutOfMemoryError):
        return gr.Error("The device has no memory left for this run. Try again in a minute.", print_exception=False)
    number = uuid.uuid4().hex[:8]
    logger.error("Error %s", number, exc_info=error)
    return gr.Error(
        f"Something went wrong here, and it was written down as {number}. Try again; if it stays, report that number.",
        print_exception=False,
    )


def _beginning(report: str) -> str:
    """The first lines of a report that may have hundreds."""
    lines = report.splitlines()
    more = f" And {len(lines) - _LINES} more." if len(lines) > _LINES else ""
    return " ".join(line.strip() for line in lines[:_LINES]) + more


def in_plain_words(handler: Callable) -> Callable:
    """Wrap an event handler, a function or a generator, so that it raises `gr.Error` alone."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise explain(error) from error

    else:

        @functools.wraps(handler)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                return handler(*args, **kwargs)
            except Exception as error:
                raise explain(error) from error

    return wrapped
