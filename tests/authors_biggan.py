"""Files as the authors' code of BigGAN and DeepI2I writes them: their names and shapes, with random values."""

import torch
from torch import Tensor

from tests.tiny import seeded

GENERATOR = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
DISCRIMINATOR = {64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16)}


class _File:
    def __init__(self, seed: int):
        self.state: dict[str, Tensor] = {}
        self.random = seeded(seed)

    def add(self, name: str, *shape: int) -> None:
        self.state[name] = torch.randn(shape, generator=self.random) * 0.1

    def normalized(self, name: str, *shape: int, bias: bool = True) -> None:
        """A layer with spectral norm."""
        self.add(f"{name}.weight", *shape)
        if bias:
            self.add(f"{name}.bias", shape[0])
        self.add(f"{name}.u0", 1, shape[0])
        self.state[f"{name}.u0"] /= self.state[f"{name}.u0"].norm()
        self.state[f"{name}.sv0"] = torch.ones(1)

    def block(self, name: str, before: int, after: int, shortcut: bool = True) -> None:
        self.normalized(f"{name}.conv1", after, before, 3, 3)
        self.normalized(f"{name}.conv2", after, after, 3, 3)
        if shortcut:
            self.normalized(f"{name}.conv_sc", after, before, 1, 1)

    def attention(self, name: str, channels: int) -> None:
        self.state[f"{name}.gamma"] = torch.tensor(0.5)
        for part, width in (("theta", channels // 8), ("phi", channels // 8), ("g", channels // 2)):
            self.normalized(f"{name}.{part}", width, channels, 1, 1, bias=False)
        self.normalized(f"{name}.o", channels, channels // 2, 1, 1, bias=False)

    def statistics(self, name: str, channels: int) -> None:
        self.add(f"{name}.stored_mean", channels)
        self.state[f"{name}.stored_var"] = torch.rand(channels, generator=self.random) + 0.5

    def judgment(self, channels: int, num_classes: int) -> None:
        self.normalized("linear", 1, channels)
        self.normalized("embed", num_classes, channels, bias=False)


def generator_file(
    resolution=64, base=4, num_classes=5, chunk=3, embedding_dim=6, attention: int | None = 2, seed=0
) -> dict[str, Tensor]:
    """`G.pth`; `attention` is the number of the block that it comes behind."""
    file = _File(seed)
    widths = [base * width for width in GENERATOR[resolution]]
    file.add("shared.weight", num_classes, embedding_dim)
    file.normalized("linear", widths[0] * 16, chunk)
    for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        file.block(f"blocks.{index}.0", before, after)
        for norm, channels in (("bn1", before), ("bn2", after)):
            file.statistics(f"blocks.{index}.0.{norm}", channels)
            for part in ("gain", "bias"):
                file.normalized(f"blocks.{index}.0.{norm}.{part}", channels, embedding_dim + chunk, bias=False)
        if index == attention:
            file.attention(f"blocks.{index}.1", after)
    file.add("output_layer.0.gain", widths[-1])
    file.add("output_layer.0.bias", widths[-1])
    file.statistics("output_layer.0", widths[-1])
    file.normalized("output_layer.2", 3, widths[-1], 3, 3)
    return file.state


def discriminator_file(resolution=64, base=8, num_classes=5, attention: int | None = 0, seed=1) -> dict[str, Tensor]:
    """`D.pth`, and `E1.pth`, which has the same names."""
    file = _File(seed)
    widths = [3, *(base * width for width in DISCRIMINATOR[resolution])]
    for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        file.block(f"blocks.{index}.0", before, after, shortcut=before != after or index < len(widths) - 2)
        if index == attention:
            file.attention(f"blocks.{index}.1", after)
    file.judgment(widths[-1], num_classes)
    return file.state


def adaptor_file(before=(8, 16, 32, 128), after=(16, 32, 64, 64), num_classes=5, seed=2) -> dict[str, Tensor]:
    """`A1.pth`."""
    file = _File(seed)
    for index, (features, width) in enumerate(zip(before, after, strict=True)):
        file.block(f"blocks.{index}.0", features, width, shortcut=index < 3 or features != width)
    file.judgment(after[-1], num_classes)
    return file.state
