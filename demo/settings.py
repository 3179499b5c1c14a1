"""The app's settings, read from environment variables; none of them is a secret."""

import os
from dataclasses import dataclass, field, fields
from typing import Self

PREFIX = "TRANSLATION_HUB_"


@dataclass(frozen=True)
class DemoSettings:
    """Each field is read from `TRANSLATION_HUB_<FIELD>`, a whole number above 0.

    What a picture may measure at all is `TRANSLATION_HUB_MAX_PIXELS`, see `pipelines.images.limits`.
    """

    max_upload_megabytes: int = 20
    max_result_pixels: int = 4_000_000  # larger uploads are scaled down to it
    queue_size: int = 20  # visitors that may wait; the next one is told to come back
    keep_minutes: int = 60  # uploads, results and the memory of a run are deleted after it
    max_sessions: int = 200  # visitors whose last run is remembered
    max_minutes: int = field(default_factory=lambda: 5 if on_space() else 60)  # of one training; others wait meanwhile

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            ValueError: a variable is not a whole number above 0.
        """
        given = {}
        for each in fields(cls):
            name = PREFIX + each.name.upper()
            text = os.environ.get(name)
            if text and not (text.isdecimal() and int(text) > 0):
                raise ValueError(f"{name} is {text!r}; a whole number above 0 is accepted.")
            if text:
                given[each.name] = int(text)
        return cls(**given)


def on_space() -> bool:
    """Whether the app runs as a Hugging Face Space."""
    return bool(os.environ.get("SPACE_ID"))


def on_zero_gpu() -> bool:
    """Whether a GPU is lent for each call: then this process itself must not touch CUDA."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))
