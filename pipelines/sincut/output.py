"""What SinCUT returns: pictures, and the pipeline that it trained for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.base import TranslationOutput

if TYPE_CHECKING:
    from pipelines.sincut.pipeline import SinCUTPipeline


@dataclass
class SinCUTOutput(TranslationOutput):
    """What `SinCUTPipeline` returns.

    Attributes:
        images: the translated pictures, each at the size of its picture; format by `output_type`.
        notes: sentences on how a picture was made, one tuple a picture.
        pipeline: a pipeline with the trained generator: save it, or translate other pictures with it.
        arguments: of the call that gives the same pixels again, for provenance: a length that the clock decided stands
            in it as a number of steps.
    """

    notes: list[tuple[str, ...]]
    pipeline: SinCUTPipeline
    arguments: dict[str, Any]
