"""What is measured of every single picture while it streams by: its features, and its distance to another picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.metrics.features import FeatureExtractor, MetricError, same_shapes
from pipelines.metrics.lpips import perceptual_distance
from pipelines.metrics.segments import Segments
from pipelines.metrics.sifid import INCEPTION_TAP, single_image_fid

FEATURES, LPIPS, SIFID, PIXELS, SEGMENTATION = "features", "lpips", "sifid", "pixels", "segmentation"
PAIRED = (LPIPS, SIFID)  # with another picture
SEGMENTED = (PIXELS, SEGMENTATION)


class Measures:
    """Measures of pictures by one extractor, all in one pass over the pictures.

    Args:
        extractor: makes the feature maps.
        names: of "features"; "lpips" and "sifid", which compare a picture with another one. "lpips" reads the taps of
            the network; "sifid" the convolution in front of the second pooling of Inception, the shallowest tap of
            other networks. Also "pixels", the share of labels, and "segmentation", the confusion with a label map.
        segments: for the last two.
    """

    def __init__(
        self, extractor: FeatureExtractor, names: Sequence[str] = (FEATURES,), segments: Segments | None = None
    ):
        network: Any = extractor.network
        self.extractor, self.names, self.segments = extractor, tuple(names), segments
        self.taps: dict[str, tuple[str, ...]] = {
            FEATURES: (extractor.tap,),
            LPIPS: tuple(network.taps),
            SIFID: (INCEPTION_TAP if INCEPTION_TAP in network.layers else network.taps[0],),
        }

    @property
    def paired(self) -> tuple[str, ...]:
        """The measures that compare a picture with another one."""
        return tuple(name for name in PAIRED if name in self.names)

    def record_of(self, name: str) -> dict[str, Any]:
        """What decides about one measure: the extractor and the layers that it reads, or the segmenter."""
        if name in SEGMENTED and self.segments is not None:
            labels = {"labels": list(self.segments.labels)} if name == PIXELS else {}
            return {**self.segments.record, **labels}
        return {**self.extractor.record, **({"taps": list(self.taps[name])} if name in PAIRED else {})}

    @property
    def record(self) -> dict[str, Any]:
        """What decides about the numbers."""
        return {"measures": {name: self.record_of(name) for name in self.names}}

    def only(self, *names: str) -> Measures:
        """These of the measures; nothing else is measured."""
        return Measures(self.extractor, names, self.segments)

    @torch.inference_mode()
    def __call__(self, pictures: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
        """Measure pictures.

        Args:
            pictures: (3, H, W) fp32 in [-1, 1] each, with what it is compared with, if anything: another picture, or
                for "segmentation" a label map (1, H, W).

        Returns:
            (N, C) fp32 by measure, on the CPU; features as wide as their layer, distances and shares one wide. Empty
            if there is no picture.

        Raises:
            MetricError: a measure cannot compare the sizes of two pictures, or a number is not finite.
        """
        rows: dict[str, list[Tensor]] = {name: [] for name in self.names}
        pictures = self._segmented(pictures, rows)
        if FEATURES in self.names or self.paired:
            resized = ((self.extractor.resized(a), self._other(b)) for a, b in pictures)
            for batch in same_shapes(resized, self.extractor.batch_size):
                for name, values in self._measured(batch).items():
                    rows[name].append(values.reshape(len(batch), -1).float().cpu())
        else:
            for _ in pictures:
                pass
        found = {name: torch.cat(parts) for name, parts in rows.items() if parts}
        for name, values in found.items():
            if not torch.isfinite(values).all():
                raise MetricError(f"{self.extractor.name} gives {name} that are not finite")
        return found

    def _segmented(
        self, pictures: Iterable[tuple[Tensor, Tensor | None]], rows: dict[str, list[Tensor]]
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Pass pictures on, after each has been segmented at its own size where that is asked for."""
        for picture, other in pictures:
            if self.segments is not None and set(SEGMENTED) & set(self.names):
                found = self.segments.of(picture)
                if PIXELS in self.names:
                    rows[PIXELS].append(self.segments.share(found)[None])
                if SEGMENTATION in self.names and other is not None:
                    rows[SEGMENTATION].append(self.segments.confusion(found, other)[None])
            yield picture, other

    def _other(self, picture: Tensor | None) -> Tensor | None:
        return self.extractor.resized(picture) if self.paired and picture is not None else None

    def _measured(self, batch: Sequence[tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
        maps = self._maps([picture for picture, _ in batch], self.names)
        found: dict[str, Tensor] = {}
        if FEATURES in self.names:
            found[FEATURES] = maps[self.extractor.tap].mean(dim=(2, 3))
        if not self.paired:
            return found
        pictures, others = ([pair[side] for pair in batch] for side in (0, 1))
        given = [other for other in others if other is not None]
        if len(given) < len(pictures):
            raise MetricError(f"{', '.join(self.paired)}: there is no picture to compare with")
        other_maps = self._maps(given, self.paired)
        if LPIPS in self.names:
            if given[0].shape != batch[0][0].shape:
                raise MetricError("lpips compares pictures of one size: resize them, or say --resolution")
            found[LPIPS] = perceptual_distance(
                *({tap: m[tap] for tap in self.taps[LPIPS]} for m in (maps, other_maps))
            )
        if SIFID in self.names:
            found[SIFID] = single_image_fid(*(m[self.taps[SIFID][0]] for m in (maps, other_maps)))
        return found

    def _maps(self, pictures: Sequence[Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        return self.extractor.maps(
            torch.stack(list(pictures)), {tap for name in names for tap in self.taps.get(name, ())}
        )
