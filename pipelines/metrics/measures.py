"""What is measured of every single picture while it streams by: its features, and its distance to another picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.metrics.features import FeatureExtractor, MetricError, same_shapes
from pipelines.metrics.lpips import perceptual_distance
from pipelines.metrics.sifid import INCEPTION_TAP, single_image_fid

FEATURES, LPIPS, SIFID = "features", "lpips", "sifid"
PAIRED = (LPIPS, SIFID)


class Measures:
    """Measures of pictures by one extractor, all in one pass over the pictures.

    Args:
        extractor: makes the feature maps.
        names: of "features"; "lpips" and "sifid", which compare a picture with another one. "lpips" reads the taps of
            the network; "sifid" the convolution in front of the second pooling of Inception, the shallowest tap of
            other networks.
    """

    def __init__(self, extractor: FeatureExtractor, names: Sequence[str] = (FEATURES,)):
        network: Any = extractor.network
        self.extractor, self.names = extractor, tuple(names)
        self.taps: dict[str, tuple[str, ...]] = {
            FEATURES: (extractor.tap,),
            LPIPS: tuple(network.taps),
            SIFID: (INCEPTION_TAP if INCEPTION_TAP in network.layers else network.taps[0],),
        }

    @property
    def paired(self) -> tuple[str, ...]:
        """The measures that compare a picture with another one."""
        return tuple(name for name in PAIRED if name in self.names)

    def taps_of(self, name: str) -> dict[str, list[str]]:
        """The layers that a paired measure reads, as they stand in its results; nothing for features."""
        return {"taps": list(self.taps[name])} if name in PAIRED else {}

    @property
    def record(self) -> dict[str, Any]:
        """What decides about the numbers."""
        return {"extractor": self.extractor.record, "measures": {name: list(self.taps[name]) for name in self.names}}

    def unpaired(self) -> Measures:
        """Only the features, for pictures that are compared with no single other one."""
        return Measures(self.extractor)

    @torch.inference_mode()
    def __call__(self, pictures: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
        """Measure pictures.

        Args:
            pictures: (3, H, W) fp32 in [-1, 1] each, with the picture that it is compared with where something is.

        Returns:
            (N, C) fp32 by measure, on the CPU; features as wide as their layer, distances one wide. Empty if there is
            no picture.

        Raises:
            MetricError: a measure cannot compare the sizes of two pictures, or a number is not finite.
        """
        rows: dict[str, list[Tensor]] = {name: [] for name in self.names}
        resized = ((self.extractor.resized(a), None if b is None else self._other(b)) for a, b in pictures)
        for batch in same_shapes(resized, self.extractor.batch_size):
            for name, values in self._measured(batch).items():
                rows[name].append(values.reshape(len(batch), -1).float().cpu())
        found = {name: torch.cat(parts) for name, parts in rows.items() if parts}
        for name, values in found.items():
            if not torch.isfinite(values).all():
                raise MetricError(f"{self.extractor.name} gives {name} that are not finite")
        return found

    def _other(self, picture: Tensor) -> Tensor | None:
        return self.extractor.resized(picture) if self.paired else None

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
        return self.extractor.maps(torch.stack(list(pictures)), {tap for name in names for tap in self.taps[name]})
