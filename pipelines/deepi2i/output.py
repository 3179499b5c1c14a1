"""What DeepI2I returns: pictures of many classes, or of one domain in several styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.base import TranslationOutput


@dataclass
class DeepI2IOutput(TranslationOutput):
    """What `DeepI2IPipeline` returns; one entry a result: picture by picture, class by class, draw by draw.

    Attributes:
        images: the results, squares of the checkpoint's resolution; format by `output_type`.
        classes: name of the class of every result.
        class_ids: its number.
        notes: sentences on how a result was made, one tuple a result.
        arguments: of the call, as they were decided, for provenance: the same pixels come out when they are passed
            again.
    """

    classes: list[str]
    class_ids: list[int]
    notes: list[tuple[str, ...]]
    arguments: dict[str, Any]

    def arguments_of(self, index: int) -> dict[str, Any]:
        """Arguments of a call for one class that gives a result again, bit for bit, as the last of its results.

        Args:
            index: of the result.
        """
        draw = index % self.arguments["num_images_per_class"]
        return {**self.arguments, "target_class": self.classes[index], "num_images_per_class": draw + 1}


@dataclass
class DeepI2IStyleGANOutput(TranslationOutput):
    """What `DeepI2IStyleGANPipeline` returns; one entry a result: picture by picture, style by style.

    Attributes:
        images: the results, squares of the checkpoint's resolution; format by `output_type`.
        notes: sentences on how a result was made, one tuple a result.
        arguments: of the call, as they were decided, for provenance: the same pixels come out when they are passed
            again.
    """

    notes: list[tuple[str, ...]]
    arguments: dict[str, Any]

    def arguments_of(self, index: int) -> dict[str, Any]:
        """Arguments of a call that gives a result again, bit for bit, as the last of its results.

        Args:
            index: of the result.
        """
        return {**self.arguments, "num_images": index % self.arguments["num_images"] + 1}


def join(results: list, output_type: str) -> list[Image.Image] | np.ndarray | Tensor:
    """Results of one size as one: (B, H, W, 3) for "np", (B, 3, H, W) for "pt"; for "pil" the list itself."""
    if output_type == "pil":
        return results
    return np.stack(results) if output_type == "np" else torch.stack(results)
