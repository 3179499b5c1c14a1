"""Inception-v3 as a feature backbone: torchvision's network, and the TensorFlow graph that published FIDs are from."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import Inception3, InceptionA, InceptionC, InceptionE

from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.report import ConversionError, load_strictly

PYTORCH_FID_SHA256 = (
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # pt_inception-2015-12-05-6726825d.pth
)
_COUNTER = ".num_batches_tracked"  # of batch normalization; only training uses it
_NOT_HERE = ("AuxLogits.", "fc.")
_CLASSES = {1000: "torchvision", 1008: "fid"}  # of the last layer: by it the two kinds of files are told apart


class _EdgesOfThePicture:
    """Averages at the border are of the places inside the picture, as in TensorFlow; torchvision counts zeros too."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        *others, _ = super()._forward(x)  # type: ignore[misc]
        return [*others, self.branch_pool(_average(x))]  # type: ignore[attr-defined]


class _InceptionA(_EdgesOfThePicture, InceptionA):
    pass


class _InceptionC(_EdgesOfThePicture, InceptionC):
    pass


class _InceptionE(_EdgesOfThePicture, InceptionE):
    pass


class _InceptionEMax(InceptionE):
    """The last block of the graph of 2015-12-05, which takes the maximum where all others average."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        *others, _ = super()._forward(x)
        return [*others, self.branch_pool(F.max_pool2d(x, kernel_size=3, stride=1, padding=1))]


class InceptionBackbone(nn.Module):
    """Inception-v3 without its classifier, read out after its convolutions and blocks (arXiv 1512.00567).

    Parameters are called as in torchvision, timm and pytorch-fid. The mean of `Mixed_7c` over the picture is "pool3".

    Args:
        variant: "torchvision": its network; timm's ports are for it too. "fid": the TensorFlow graph of 2015-12-05 as
            pytorch-fid reads it: averages leave the padding out, and the last block takes maxima. Weights of either in
            the other give features that are neither's.
    """

    layers = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
        *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    )
    taps = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")  # the last of each size of map
    min_size = 75  # pixels of the shorter side

    def __init__(self, variant: str = "torchvision"):
        super().__init__()
        if variant not in _CLASSES.values():
            raise ValueError(f"`variant` is {variant!r}; torchvision or fid is accepted.")
        network = Inception3(aux_logits=False, init_weights=False)
        if variant == "fid":
            _as_in_tensorflow(network)
        for name in self.layers:
            self.add_module(name, getattr(network, name))
        self.variant = variant
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: features are a fixed function of the picture."""
        del mode
        return super().train(False)

    def forward(self, image: Tensor, taps: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Feature maps of an image.

        Args:
            image: (B, 3, H, W), range [-1, 1], which all files of weights take; at least 75 pixels a side.
            taps: layers to return, `self.taps` by default; nothing behind the deepest of them is computed.

        Returns:
            A map (B, C, h, w) for every tap, by its name.
        """
        wanted = self.taps if taps is None else tuple(taps)
        maps, hidden = {}, image
        for name in self.layers[: 1 + max(map(self.layers.index, wanted))]:
            hidden = maps[name] = getattr(self, name)(hidden)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                hidden = F.max_pool2d(hidden, kernel_size=3, stride=2)
        return {tap: maps[tap] for tap in wanted}

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The network with the weights of a classifier's file, safetensors or .pth, in fp32; no code of it is run.

        The number of classes tells the variant: 1000 for torchvision's and timm's files, 1008 for pytorch-fid's.

        Raises:
            ConversionError: the file cannot be read, or does not fit; the message lists what does not.
        """
        path = Path(path)
        state = read_state_dict(path)
        classes = len(state["fc.weight"]) if "fc.weight" in state and state["fc.weight"].ndim else None
        if classes not in _CLASSES:
            given = "no fc.weight" if classes is None else f"a last layer of {classes} classes"
            raise ConversionError(
                f"{path.name} has {given}; Inception-v3 of torchvision or timm has 1000 classes, of pytorch-fid 1008."
            )
        with torch.device("meta"):
            network = cls(_CLASSES[classes])
        counters = {key: torch.tensor(0) for key in network.state_dict() if key.endswith(_COUNTER)}
        wanted = {key: value for key, value in state.items() if not key.startswith(_NOT_HERE) and key not in counters}
        load_strictly(network, wanted, path.name, own=counters)
        return network


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def _as_in_tensorflow(network: Inception3) -> None:
    network.Mixed_5b = _InceptionA(192, pool_features=32)
    network.Mixed_5c = _InceptionA(256, pool_features=64)
    network.Mixed_5d = _InceptionA(288, pool_features=64)
    network.Mixed_6b = _InceptionC(768, channels_7x7=128)
    network.Mixed_6c = _InceptionC(768, channels_7x7=160)
    network.Mixed_6d = _InceptionC(768, channels_7x7=160)
    network.Mixed_6e = _InceptionC(768, channels_7x7=192)
    network.Mixed_7b = _InceptionE(1280)
    network.Mixed_7c = _InceptionEMax(2048)
