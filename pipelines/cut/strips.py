"""Translating a large picture in strips, with the statistics of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.cut.networks import ResidualBlock, ResnetGenerator, blur_down, reflect_pad, upsample
from pipelines.networks.checks import check_input

STRIP_PIXELS = 2**18

Layers = Callable[[Tensor], Tensor]
Statistics = tuple[Tensor, Tensor]  # mean and variance, (C,) fp32 each


@torch.no_grad()
def translate_in_strips(generator: ResnetGenerator, image: Tensor, strip_pixels: int = STRIP_PIXELS) -> Tensor:
    """What `generator(image)` gives, in less memory and about 1.3 times the convolutions.

    Instance norm needs the mean and variance of a whole map before a single value of it can be used. So the layers
    run over the picture in strips up to each convolution, first for its statistics and then, normalized with them,
    for what follows. Maps of half and quarter resolution are kept; those of full resolution never exist whole, and
    are computed again where they are needed once more.

    Memory for H x W pixels and b = base_channels: at most 3 * b / 4 * H * W values for the maps that are kept, and
    about 18 * b * `strip_pixels` for the strip at work. For b = 64 and 4000 x 3000 pixels that is 2.3 GB and 1.2 GB
    in fp32, half of it in bf16; in one piece it would be 37 GB and 16 GB.

    Args:
        generator: in the picture's dtype.
        image: (1, in_channels, H, W) in [-1, 1]; H and W are multiples of 4.
        strip_pixels: area of a strip without its overlap; strips go across the longer side.

    Returns:
        (1, out_channels, H, W) in [-1, 1].

    Raises:
        ValueError: a side of the picture is not a multiple of 4.
    """
    check_input(image, generator.multiple)
    strips = _Strips(image, strip_pixels)
    return _decode(generator, _encode(generator, image, strips), strips)


def _encode(generator: ResnetGenerator, image: Tensor, strips: _Strips) -> Tensor:
    """Stem, two stages down, all residual blocks: (1, C, H, W) to (1, 4 * base, H/4, W/4)."""
    blur = blur_down if generator.config["antialias_down"] else _unchanged

    def stem(part: Tensor) -> Tensor:
        return generator.stem(reflect_pad(part, 3))

    of_stem = strips.statistics(image, stem, overlap=4)

    def first(part: Tensor) -> Tensor:
        return generator.down[0](_norm_relu(stem(part), of_stem))

    of_first = strips.statistics(image, first, overlap=4)
    half = strips.run(image, lambda part: blur(_norm_relu(first(part), of_first)), overlap=6)
    second = generator.down[1]
    of_second = strips.statistics(half, second, overlap=2)
    hidden = strips.run(half, lambda part: blur(_norm_relu(second(part), of_second)), overlap=2)
    del half
    for block in generator.blocks:
        _add_residual(block, hidden, strips)
    return hidden


def _add_residual(block: ResidualBlock, hidden: Tensor, strips: _Strips) -> None:
    """A residual block, in place."""
    inner = strips.run(hidden, lambda part: block.conv1(reflect_pad(part, 1)), overlap=1)
    of_inner = strips.statistics(inner)
    outer = strips.run(inner, lambda part: block.conv2(reflect_pad(_norm_relu(part, of_inner), 1)), overlap=1)
    of_outer = strips.statistics(outer)
    for part, added in zip(strips.split(hidden), strips.split(outer), strict=True):
        part += F.batch_norm(added, *of_outer)


def _decode(generator: ResnetGenerator, hidden: Tensor, strips: _Strips) -> Tensor:
    """Two stages up and the head: (1, 4 * base, H/4, W/4) to (1, out_channels, H, W)."""
    enlarge = upsample if generator.config["antialias_up"] else _unchanged
    first, second = generator.up
    half = strips.run(hidden, lambda part: first(enlarge(part)), overlap=1)
    of_first = strips.statistics(half)

    def up(part: Tensor) -> Tensor:
        return second(enlarge(_norm_relu(part, of_first)))

    of_second = strips.statistics(half, up, overlap=1)

    def head(part: Tensor) -> Tensor:
        return torch.tanh(generator.head(reflect_pad(_norm_relu(up(part), of_second), 3)))

    return strips.run(half, head, overlap=3)


class _Strips:
    """Runs layers over maps, strip by strip.

    Every strip is cut out with an overlap, rows beyond its ends that the layers need, or up to the border of the
    map, where their own padding is the right one. What they make of the overlap is dropped.
    """

    def __init__(self, image: Tensor, strip_pixels: int):
        self.dim = 2 if image.shape[2] >= image.shape[3] else 3
        self.length = max(8, strip_pixels // min(image.shape[2:]) // 4 * 4)  # strides and blur need even starts

    def run(self, source: Tensor, layers: Layers, overlap: int) -> Tensor:
        """All of `layers(source)`."""
        result, filled = None, 0
        for part, scale in self._parts(source, layers, overlap):
            if result is None:
                shape = list(part.shape)
                shape[self.dim] = int(source.shape[self.dim] * scale)
                result = part.new_empty(shape).contiguous(memory_format=torch.channels_last)
            result.narrow(self.dim, filled, part.shape[self.dim]).copy_(part)
            filled += part.shape[self.dim]
        return result

    def statistics(self, source: Tensor, layers: Layers | None = None, overlap: int = 0) -> Statistics:
        """Mean and variance of all of `layers(source)`, by channel."""
        count, mean, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for part, _ in self._parts(source, layers or _unchanged, overlap):
            values = part.float()
            center = values.mean((0, 2, 3))
            spread = (values - center[:, None, None]).square_().mean((0, 2, 3))  # var_mean takes six times as long
            center, spread = center.cpu().double(), spread.cpu().double()
            more = part.numel() // part.shape[1]
            total = count + more
            # Chan et al.: no large sums of squares are subtracted
            squares = squares + spread * more + (center - mean) ** 2 * (count * more / total)
            mean = mean + (center - mean) * (more / total)
            count = total
        return mean.to(source.device, torch.float32), (squares / count).to(source.device, torch.float32)

    def split(self, source: Tensor) -> tuple[Tensor, ...]:
        """Views of the strips."""
        return source.split(self.length, self.dim)

    def _parts(self, source: Tensor, layers: Layers, overlap: int) -> Iterator[tuple[Tensor, float]]:
        size = source.shape[self.dim]
        for start in range(0, size, self.length):
            end = min(start + self.length, size)
            low, high = max(0, start - overlap), min(size, end + overlap)
            part = layers(source.narrow(self.dim, low, high - low))
            scale = part.shape[self.dim] / (high - low)  # 1/2, 1 or 2
            yield part.narrow(self.dim, int((start - low) * scale), int((end - start) * scale)), scale


def _norm_relu(hidden: Tensor, statistics: Statistics) -> Tensor:
    """`networks.norm_relu` with statistics that are known."""
    return F.relu_(F.batch_norm(hidden, *statistics))


def _unchanged(hidden: Tensor) -> Tensor:
    return hidden
