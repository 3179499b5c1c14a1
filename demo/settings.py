"""The app's settings, read from environment variables; none of them is a secret."""

import os
from dataclasses import dataclass, field, fields
from typing import Self

PREFIX = "TRANSLATION_HUB_"
_ZERO_TOO = {"least": 0}


@dataclass(frozen=True)
class DemoSettings:
    """Each field is read from `TRANSLATION_HUB_<FIELD>`, a whole number above 0, or 0 where it says so.

    What a picture may measure at all is `TRANSLATION_HUB_MAX_PIXELS`, see `pipelines.images.limits`.
    """

    max_upload_megabytes: int = 20
    max_result_pixels: int = 4_000_000  # larger uploads are scaled down to it
    queue_size: int = 20  # visitors that may wait; the next one is told to come back
    keep_minutes: int = 60  # uploads, results and the memory of a run are deleted after it
    max_sessions: int = 200  # visitors whose last run is remembered
    max_minutes: int = field(default_factory=lambda: 5 if on_space() else 60)  # of one training; others wait meanwhile
    max_photos: int = 30  # of one unpaired translation
    max_photo_pixels: int = field(default=0, metadata=_ZERO_TOO)  # of each; 0: 2 megapixels on a CPU, else 16
    max_checkpoint_megabytes: int = field(default=200, metadata=_ZERO_TOO)  # that a visitor brings; 0: none is taken

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            ValueError: a variable is not a whole number, or below what its field accepts.
        """
        given = {}
        for each in fields(cls):
            name = PREFIX + each.name.upper()
            text = os.environ.get(name)
            least = each.metadata.get("least", 1)
            if text and not (text.isdecimal() and int(text) >= least):
                accepted = "above 0" if least else "from 0 on"
                raise ValueError(f"{name} is {text!r}; a whole number {accepted} is accepted.")
            if text:
                given[each.name] = int(text)
        return cls(**given)


def on_space() -> bool:
    """Whether the app runs as a Hugging Face Space."""
    return bool(os.environ.get("SPACE_ID"))


def on_zero_gpu() -> bool:
    """Whether a GPU is lent for each call: then this process itself must not touch CUDA."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))
