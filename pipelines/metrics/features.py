"""From pictures to the feature vectors that the metrics compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESIZE_MODES = ("clean", "pytorch-fid", "none")


PYTORCH_FID_SIZE = 299  # pixels


class MetricError(ValueError):
    """Pictures or features that cannot be measured; the message says which, and what is needed."""


class FeatureExtractor:
    """A backbone whose deepest feature map, averaged over the picture, stands for the picture.

    Args:
        network: called as `network(images, taps=(tap,))` with (B, 3, H, W) in [-1, 1], returns a map by tap; names its
            taps in `layers`, the deepest last. In evaluation mode, fp32.
        name: checkpoint id, Hub id or folder it came from.
        sha256: of its weight files, by path.
        tap: the layer that is read; None for the deepest.
        resize: "clean": antialiased bicubic to a square of `size` pixels without rounding to 8 bits between, as
            clean-fid does (Parmar et al., arXiv 2104.11222); the aspect is lost. "pytorch-fid": bilinear without
            antialiasing to such a square, which papers' FIDs are measured with. "none": pictures as they are.
        size: pixels; not used by "none".
        batch_size: pictures at once; with "none" only neighbors of one size share a batch.
        published: whether network and weights are those of published figures.

    Raises:
        MetricError: an argument has a value that is not accepted.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        sha256: Mapping[str, str],
        *,
        tap: str | None = None,
        resize: str = "clean",
        size: int = 128,
        batch_size: int = 32,
        published: bool = False,
    ):
        layers: Any = network.layers
        if tap is not None and tap not in layers:
            raise MetricError(f"tap: {name} has no layer {tap!r}; it has {', '.join(layers)}")
        if resize not in RESIZE_MODES:
            raise MetricError(f"resize is {resize!r}; one of {', '.join(RESIZE_MODES)} is accepted")
        for label, value in (("size", size), ("batch_size", batch_size)):
            if value < 1:
                raise MetricError(f"{label} is {value}; it must be at least 1")
        self.network, self.name, self.sha256 = network, name, dict(sha256)
        self.tap, self.resize, self.size, self.batch_size = tap or layers[-1], resize, size, batch_size
        self._published = published

    @property
    def published(self) -> bool:
        """Whether features are those of published figures: network, weights, layer and resizing all are."""
        convention = (self.network.layers[-1], "pytorch-fid", PYTORCH_FID_SIZE)  # type: ignore[index]
        return self._published and (self.tap, self.resize, self.size) == convention

    @property
    def record(self) -> dict[str, Any]:
        """What decides about a feature: stands in every result."""
        size = None if self.resize == "none" else self.size
        return {
            "id": self.name,
            "tap": self.tap,
            "pooling": "mean",
            "resize": self.resize,
            "size": size,
            "sha256": self.sha256,
        }

    def resized(self, image: Tensor) -> Tensor:
        """A picture as the network sees it: (3, H, W) fp32 in [-1, 1], as is the result.

        Raises:
            MetricError: it is too small for the network.
        """
        if self.resize != "none":
            image = (resize_clean if self.resize == "clean" else resize_bilinear)(image, self.size)
        least = getattr(self.network, "min_size", 1)
        if min(image.shape[1:]) < least:
            height, width = image.shape[1:]
            raise MetricError(f"a picture has {width} x {height} pixels; {self.name} needs {least} on both sides")
        return image

    def maps(self, images: Tensor, taps: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps (B, C, h, w) by tap, of pictures (B, 3, H, W) as `resized` returns them."""
        weight = next(self.network.parameters())
        return self.network(images.to(weight.device, weight.dtype), taps=tuple(taps))


def resize_clean(image: Tensor, size: int) -> Tensor:
    """Antialiased bicubic resampling in floating point, as Pillow's; what overshoots [-1, 1] is cut off.

    Args:
        image: (3, H, W) fp32 in [-1, 1].
        size: pixels of both sides of the result.
    """
    if tuple(image.shape[1:]) == (size, size):
        return image
    resized = F.interpolate(image[None], (size, size), mode="bicubic", align_corners=False, antialias=True)
    return resized[0].clamp(-1, 1)


def resize_bilinear(image: Tensor, size: int) -> Tensor:
    """Bilinear resampling in floating point without antialiasing, as pytorch-fid's: what shrinks much aliases.

    Args:
        image: (3, H, W) fp32 in [-1, 1].
        size: pixels of both sides of the result.
    """
    return F.interpolate(image[None], (size, size), mode="bilinear", align_corners=False)[0]


def center_square(image: Tensor, size: int | None) -> Tensor:
    """The middle square of a picture at `size` pixels in 8-bit steps: a picture as a network of that size knows it.

    Args:
        image: (3, H, W) in [-1, 1].
        size: pixels of both sides of the result; None leaves the whole picture as it is.
    """
    if size is None:
        return image
    side = min(image.shape[1:])
    top, left = ((length - side) // 2 for length in image.shape[1:])
    square = resize_clean(image[:, top : top + side, left : left + side], size)
    return ((square + 1) * 127.5).round() / 127.5 - 1


def same_shapes(
    pictures: Iterable[tuple[Tensor, Tensor | None]], size: int
) -> Iterator[list[tuple[Tensor, Tensor | None]]]:
    """Up to `size` neighbors whose shapes are the same, each with the picture it is compared with or None."""
    batch: list[tuple[Tensor, Tensor | None]] = []
    for pair in pictures:
        if batch and (len(batch) == size or _shapes(pair) != _shapes(batch[0])):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _shapes(pair: tuple[Tensor, Tensor | None]) -> list[torch.Size | None]:
    return [None if picture is None else picture.shape for picture in pair]
