"""What a segmentation network finds in pictures: how much of a class, and how much of what should be there (CUT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipelines.images.formats import ImageError
from pipelines.metrics.features import MetricError
from pipelines.metrics.score import FEW, Score, standard_error
from pipelines.networks.segmenter import Segmenter


@dataclass(frozen=True)
class Segments:
    """A segmenter and the labels that are counted.

    Attributes:
        network: segments pictures at their own size.
        name: of its file.
        sha256: of its file.
        labels: numbers of the labels whose pixels are counted together.
    """

    network: Segmenter
    name: str
    sha256: str
    labels: tuple[int, ...]

    @property
    def record(self) -> dict[str, Any]:
        """What decides about a segmentation."""
        network = {"network": self.network.name, "classes": self.network.classes}
        return {"id": self.name, **network, "sha256": {self.name: self.sha256}}

    def of(self, picture: Tensor) -> Tensor:
        """Labels (H, W) on the CPU, of a picture (3, H, W) in [-1, 1]."""
        weight = next(self.network.parameters())
        return self.network(picture[None].to(weight.device, weight.dtype))[0].cpu()

    def share(self, found: Tensor) -> Tensor:
        """The share of the pixels (H, W) that have one of the labels: (1,)."""
        return torch.isin(found, torch.tensor(self.labels)).float().mean().reshape(1)

    def confusion(self, found: Tensor, truth: Tensor) -> Tensor:
        """How many pixels of each true label got each label: (classes * classes,), the true label first.

        Args:
            found: (H, W).
            truth: (1, h, w); of another size it is sampled at the nearest pixels. Labels that the network does not
                have, such as 255 for "nothing", do not count.
        """
        if truth.shape[1:] != found.shape:
            truth = F.interpolate(truth[None].double(), tuple(found.shape), mode="nearest-exact")[0].long()
        truth, classes = truth[0].long(), self.network.classes
        known = (truth >= 0) & (truth < classes)
        return torch.bincount(truth[known] * classes + found[known], minlength=classes**2).float()


def read_labels(path: Path) -> Tensor:
    """A label map (1, H, W), int64, of a PNG with one number a pixel: gray or with a palette, whose colors are unused.

    Raises:
        ImageError: it cannot be read, or is in color.
    """
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except Exception as error:  # Pillow's parsers raise any type on broken data
        raise ImageError(f"{path} cannot be read as a label map ({error}).") from error
    if values.ndim != 2 or mode not in ("L", "P", "I", "I;16"):
        raise ImageError(f"{path} is no label map: a PNG in gray or with a palette, one number a pixel, is accepted.")
    return torch.from_numpy(values.astype(np.int64))[None]


def segmentation_scores(confusions: Tensor) -> Mapping[str, float]:
    """Mean IoU, pixel accuracy and mean accuracy of a class; labels that are nowhere true do not count.

    Args:
        confusions: (N, classes * classes) of N pictures, which are added up.

    Raises:
        MetricError: no pixel has a true label that the network has.
    """
    if not confusions.any():
        raise MetricError("segmentation: the label maps hold none of the segmenter's labels")
    classes = round(confusions.shape[1] ** 0.5)
    matrix = confusions.sum(dim=0, dtype=torch.float64).view(classes, classes)
    right, true, found = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    there = true > 0
    return {
        "mean_iou": float((right / (true + found - right))[there].mean()),
        "pixel_accuracy": float(right.sum() / true.sum()),
        "class_accuracy": float((right / true)[there].mean()),
    }


def segmentation_score(confusions: Tensor, seed: int = 0) -> Score:
    """The mean IoU, with its bootstrap error over pictures where there are fewer than 1,000 and at least 2."""
    confusions = confusions[confusions.any(dim=1)]

    def resampled(drawn: Tensor | None, _: Tensor | None) -> float:
        return segmentation_scores(confusions if drawn is None else confusions[drawn])["mean_iou"]

    error = standard_error(resampled, len(confusions), FEW, seed) if len(confusions) > 1 else None
    return Score(segmentation_scores(confusions)["mean_iou"], error)


def chosen_labels(labels: Sequence[int], classes: int) -> tuple[int, ...]:
    """The labels, sorted.

    Raises:
        ValueError: the network does not have one of them.
    """
    if wrong := [label for label in labels if not 0 <= label < classes]:
        raise ValueError(f"{wrong[0]}; the network has labels 0 to {classes - 1}")
    return tuple(sorted(set(labels)))
