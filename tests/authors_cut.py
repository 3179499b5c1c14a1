"""Files as the authors' code of CUT and CycleGAN writes them, and what they compute, written out from the tensors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny import seeded

DOWN = torch.tensor([1.0, 2.0, 1.0])
UP = torch.tensor([1.0, 3.0, 3.0, 1.0])


def authors_file(
    num_blocks: int = 2,
    base: int = 4,
    antialias_down: bool = True,
    antialias_up: bool = True,
    in_channels: int = 3,
    out_channels: int = 3,
) -> dict[str, Tensor]:
    """Random weights of a generator by the authors' names: the numbers of the modules in one long sequence."""
    random, state = seeded(), {}

    def conv(number, before, after, size, transposed=False):
        shape = (before, after, size, size) if transposed else (after, before, size, size)
        state[f"model.{number}.weight"] = torch.randn(shape, generator=random) / size
        state[f"model.{number}.bias"] = torch.randn(after, generator=random) * 0.1

    def blur(number, taps, channels, gain=1):
        kernel = torch.outer(taps, taps) / taps.sum() ** 2 * gain
        state[f"model.{number}.filt"] = kernel.repeat(channels, 1, 1, 1)

    conv(1, in_channels, base, 7)  # 0 pads; 2 and 3 are norm and rectifier
    number = 4
    for before in (base, base * 2):
        conv(number, before, before * 2, 3)
        if antialias_down:
            blur(number + 3, DOWN, before * 2)
        number += 4 if antialias_down else 3
    for _ in range(num_blocks):
        conv(f"{number}.conv_block.1", base * 4, base * 4, 3)
        conv(f"{number}.conv_block.5", base * 4, base * 4, 3)
        number += 1
    for before in (base * 4, base * 2):
        if antialias_up:
            blur(number, UP, before, gain=4)
            number += 1
        conv(number, before, before // 2, 3, transposed=not antialias_up)
        number += 3
    conv(number + 1, base, out_channels, 7)
    return state


def what_the_file_means(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The sequence of modules, read off the tensors one after the other."""
    layers = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        layers.setdefault(layer, {})[kind] = value
    hidden, inner = image, None
    for layer, tensors in layers.items():
        if "filt" in tensors:
            hidden = _resampled(hidden, tensors["filt"])
        elif layer.endswith("conv_block.1"):
            inner = F.relu(F.instance_norm(_padded_conv(hidden, 1, tensors)))
        elif layer.endswith("conv_block.5"):
            hidden = hidden + F.instance_norm(_padded_conv(inner, 1, tensors))
        elif tensors["weight"].shape[-1] == 7:
            hidden = _padded_conv(hidden, 3, tensors)
            hidden = torch.tanh(hidden) if layer == list(layers)[-1] else F.relu(F.instance_norm(hidden))
        else:
            hidden = F.relu(F.instance_norm(_stage(hidden, tensors, *_neighbors(layers, layer))))
    return hidden


def _neighbors(layers: dict[str, dict[str, Tensor]], layer: str) -> tuple[bool, bool]:
    """Whether a blur stands right before or behind a stage, by its number."""
    number = int(layer.removeprefix("model."))
    return f"model.{number - 1}" in layers, f"model.{number + 3}" in layers and "filt" in layers[f"model.{number + 3}"]


def _stage(hidden: Tensor, tensors: dict[str, Tensor], blurred_before: bool, blurred_behind: bool) -> Tensor:
    weight, bias = tensors["weight"], tensors["bias"]
    if hidden.shape[1] == len(weight) and len(bias) != len(weight):
        return F.conv_transpose2d(hidden, weight, bias, stride=2, padding=1, output_padding=1)
    is_up = len(bias) < hidden.shape[1]
    assert blurred_before or not is_up
    return F.conv2d(hidden, weight, bias, stride=1 if is_up or blurred_behind else 2, padding=1)


def _resampled(hidden: Tensor, kernel: Tensor) -> Tensor:
    channels = hidden.shape[1]
    if kernel.shape[-1] == 3:
        return F.conv2d(F.pad(hidden, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=channels)
    hidden = F.pad(hidden, (1, 1, 1, 1), mode="replicate")
    return F.conv_transpose2d(hidden, kernel, stride=2, padding=2, groups=channels)[:, :, 1:-1, 1:-1]


def _padded_conv(hidden: Tensor, width: int, tensors: dict[str, Tensor]) -> Tensor:
    return F.conv2d(F.pad(hidden, (width,) * 4, mode="reflect"), tensors["weight"], tensors["bias"])
