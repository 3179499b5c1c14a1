"""Semantic segmentation with torchvision's networks, told apart by the names in a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import segmentation

from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.report import ConversionError, load_strictly
from pipelines.networks.torchvision_weights import imagenet_normalize

NETWORKS = (
    "fcn_resnet50",
    "fcn_resnet101",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large",
)
_COUNTER = ".num_batches_tracked"


class Segmenter(nn.Module):
    """A segmentation network of torchvision, without the auxiliary classifier of its training.

    Args:
        name: one of `NETWORKS`.
        classes: labels, 0 included.
    """

    def __init__(self, name: str, classes: int):
        super().__init__()
        aux = {} if name.startswith("lraspp") else {"aux_loss": False}
        build = getattr(segmentation, name)
        self.network = build(weights=None, weights_backbone=None, num_classes=classes, **aux)
        self.name, self.classes = name, classes

    def forward(self, image: Tensor) -> Tensor:
        """The likeliest label (B, H, W) of every pixel of an image (B, 3, H, W) in [-1, 1]."""
        return self.network(imagenet_normalize(image))["out"].argmax(dim=1)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The network of a file of weights, safetensors or .pth, in evaluation mode; no code of it is run.

        Raises:
            ConversionError: the file cannot be read, is of no such network, or does not fit.
        """
        path = Path(path)
        state = read_state_dict(path)
        name, last = _recognize(state)
        if last is None:
            raise ConversionError(f"{path.name} is no segmentation network of torchvision: {', '.join(NETWORKS)}.")
        with torch.device("meta"):
            segmenter = cls(name, len(last))
        counters = {key: torch.tensor(0) for key in segmenter.network.state_dict() if key.endswith(_COUNTER)}
        wanted = {
            key: value for key, value in state.items() if not key.startswith("aux_classifier.") and key not in counters
        }
        load_strictly(segmenter.network, wanted, path.name, own=counters)
        return segmenter.eval()


def _recognize(state: Mapping[str, Tensor]) -> tuple[str, Tensor | None]:
    """The network's name, and the bias of its last layer."""
    if "classifier.low_classifier.bias" in state:
        return "lraspp_mobilenet_v3_large", state["classifier.low_classifier.bias"]
    head = "deeplabv3" if "classifier.0.convs.0.0.weight" in state else "fcn"
    if "backbone.layer1.0.conv1.weight" in state:
        depth = 101 if "backbone.layer3.22.conv1.weight" in state else 50
        return f"{head}_resnet{depth}", state.get("classifier.4.bias")
    return "deeplabv3_mobilenet_v3_large", state.get("classifier.4.bias") if head == "deeplabv3" else None
