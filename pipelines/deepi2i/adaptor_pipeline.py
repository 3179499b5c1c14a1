"""What the pipelines of DeepI2I share: features of a picture are adapted and added to a generator's maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.base import StepCallback, TranslationPipeline, call_step_callback, new_generator
from pipelines.deepi2i.level_factors import Factors, per_level
from pipelines.deepi2i.rendering import Make, adapt, choose_batch_size, render
from pipelines.deepi2i.square import Square, cut_out, describe
from pipelines.hub.precision import fast_precision
from pipelines.images.formats import ReadImage, resize, to_output
from pipelines.networks.working_copy import WorkingCopies

MAX_COUNT = 1024  # results at a time, draws, frames: a record from elsewhere may ask for anything
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class AdaptorPipeline(TranslationPipeline):
    """Encoder, adaptor and generator, which are never changed: a call computes with copies in its precision.

    The copies are kept until the weights change. A subclass registers the three components and `level_weights`.
    """

    model_cpu_offload_seq = "encoder->adaptor->generator"

    def __init__(self):
        super().__init__()
        self._copies = {name: WorkingCopies() for name in ("encoder", "adaptor", "generator")}

    @property
    def _levels(self) -> list[int]:
        return sorted(self.adaptor.config["levels"], reverse=True)

    def _default_precision(self) -> str:
        """What `precision=None` stands for here."""
        return "bf16" if fast_precision(self._execution_device) is torch.bfloat16 else "fp32"

    def _decide(
        self,
        truncation: float,
        strength: Factors | None,
        crop: Sequence[int] | None,
        precision: str | None,
        batch_size: int | None,
        num_images: int,
    ) -> dict[str, Any]:
        """The arguments that decide about pixels, with what None stands for here."""
        if isinstance(truncation, bool) or not isinstance(truncation, int | float) or not 0 <= truncation <= 1:
            raise ValueError(f"`truncation` is {truncation!r}; a number from 0 to 1 is accepted.")
        if precision is None:
            precision = self._default_precision()
        elif precision not in PRECISIONS:
            raise ValueError(f"`precision` is {precision!r}; one of {', '.join(PRECISIONS)}, or None, is accepted.")
        if batch_size is None:
            batch_size = choose_batch_size(self.generator, self._execution_device, PRECISIONS[precision], num_images)
        else:
            check_count("batch_size", batch_size)
        return {
            "truncation": truncation,
            "strength": per_level(strength, self._levels, name="strength", default=1.0),
            "crop": None if crop is None else list(crop),
            "precision": precision,
            "batch_size": batch_size,
        }

    def _working_copy(self, name: str, arguments: Mapping[str, Any]) -> Any:
        dtype = PRECISIONS[arguments["precision"]]
        return self._copies[name].get(getattr(self, name), self._execution_device, dtype)

    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """(count, latent_dim), one after the other, so that more of them begin with the same."""
        generator = generator or new_generator()
        size = self.generator.config["latent_dim"]
        return torch.stack([torch.randn(size, generator=generator) for _ in range(count)])

    def _translate(
        self,
        sources: Sequence[tuple[ReadImage, Square]],
        make: Make,
        count: int,
        arguments: Mapping[str, Any],
        callback: StepCallback | None,
        output_type: str = "pil",
        labels: Mapping[str, Tensor] | None = None,
    ) -> tuple[list, list[tuple[str, ...]]]:
        """Results and their notes, picture by picture; fewer if the callback says to stop.

        Args:
            sources: the pictures, and the square of each.
            make: see `render`.
            count: results of every picture.
            arguments: as `_decide` gives them.
            callback: called after every batch.
            output_type: of the results.
            labels: what the callback sees beside the batch's images, one entry a result of one picture.
        """
        results, notes = [], []
        num_steps = len(sources) * math.ceil(count / arguments["batch_size"])
        with self.progress_bar(total=num_steps) as progress:
            for step, (index, first, pixels) in enumerate(self._batches(sources, make, count, arguments)):
                results.extend(to_output(pixels, output_type))
                notes += [_notes(*sources[index], arguments)] * len(pixels)
                progress.update()
                of_batch = {name: values[first : first + len(pixels)] for name, values in (labels or {}).items()}
                if call_step_callback(callback, self, step, num_steps, {"images": pixels, **of_batch}):
                    break
        self.maybe_free_model_hooks()
        return results, notes

    def _batches(
        self, sources: Sequence[tuple[ReadImage, Square]], make: Make, count: int, arguments: Mapping[str, Any]
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Index of the picture, number of its first result in the batch, and the batch, (B, 3, R, R)."""
        encoder, adaptor = (self._working_copy(name, arguments) for name in ("encoder", "adaptor"))
        factors = {
            int(level): weight * arguments["strength"][level] for level, weight in self.config["level_weights"].items()
        }
        for index, (image, square) in enumerate(sources):
            features = adapt(encoder, adaptor, resize(cut_out(image, square), (_resolution(encoder),) * 2), factors)
            first = 0
            for batch in render(make, features, count, arguments["batch_size"], encoder.device):
                yield index, first, batch
                first += len(batch)


def check_fit(
    encoder: Any, adaptor: Any, generator: Any, in_channels: Sequence[int], out_channels: Sequence[int]
) -> None:
    """Refuse networks that do not fit together.

    Args:
        encoder: of the picture.
        adaptor: between the two.
        generator: of the results.
        in_channels: that the adaptor takes, one a level.
        out_channels: that it gives.

    Raises:
        ValueError: resolutions, levels or channels differ.
    """
    sizes = _resolution(encoder), max(generator.channels())
    if sizes[0] != sizes[1]:
        raise ValueError(f"`encoder` is for {sizes[0]} pixels and `generator` for {sizes[1]}; the same is accepted.")
    for level, before, after in zip(adaptor.config["levels"], in_channels, out_channels, strict=True):
        for name, channels, wanted in (
            ("encoder", encoder.channels(), before),
            ("generator", generator.channels(), after),
        ):
            if level not in channels:
                raise ValueError(f"`adaptor` has level {level}; `{name}` has {', '.join(map(str, channels))}.")
            if channels[level] != wanted:
                raise ValueError(
                    f"`adaptor` is for {wanted} channels of `{name}` at level {level}; it has {channels[level]}."
                )


def check_count(name: str, count: int, *, least: int = 1) -> None:
    """Refuse what is no whole number from `least` to `MAX_COUNT`.

    Raises:
        ValueError: it is not.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= MAX_COUNT:
        raise ValueError(f"`{name}` is {count!r}; a whole number from {least} to {MAX_COUNT} is accepted.")


def _resolution(encoder: Any) -> int:
    """Side of the pictures that an encoder takes: its finest map has half of it."""
    return 2 * max(encoder.trunk.channels())


def _notes(image: ReadImage, square: Square, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    return (*image.notes, *describe(square, image), f"Computed in {arguments['precision']}.")
