"""The warp and the hypotheses of a refined run: a visitor may choose another one than the checkpoint did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gradio as gr
from PIL import Image, ImageOps

from demo.exemplar_run import Finished
from demo.pictures import Picture, file_name, to_jpeg
from demo.shown import as_file, keep
from pipelines.images.limits import ImageError
from pipelines.images.provenance import save_png
from pipelines.oeft.output import Hypothesis

TILE = 256  # pixels of the longer side


@dataclass(frozen=True)
class Choices:
    """What is kept of a refined run. A choice is the index of a hypothesis, or None for the warp.

    Attributes:
        files: the pictures, the warp and then the hypotheses, lossless; in gradio's cache.
        tiles: the same for a gallery, small JPEGs.
        hypotheses: what is known of each, see `described`.
        automatic: what the checkpoint chose.
        source: as it is shown, a JPEG.
        record: of the run, with the checkpoint's choice.
    """

    files: tuple[str, ...]
    tiles: tuple[bytes, ...]
    hypotheses: tuple[dict[str, Any], ...]
    automatic: int | None
    source: bytes
    record: dict[str, Any]

    @classmethod
    def of(cls, event: Finished, source: Picture, gallery: gr.Gallery) -> Self | None:
        """Keep the pictures of a run; None where nothing was refined.

        Args:
            event: the end of the run.
            source: as it was translated.
            gallery: shows them, and takes the files with it when they are old.
        """
        if not event.hypotheses:
            return None
        images = [event.warped, *(hypothesis.image for hypothesis in event.hypotheses)]
        return cls(
            tuple(keep(image, gallery) for image in images),
            tuple(to_jpeg(ImageOps.contain(image, (TILE, TILE))) for image in images),
            described(event.hypotheses),
            event.chosen,
            to_jpeg(source.shown),
            event.record,
        )

    def shown(self, chosen: int | None) -> list[tuple[str, str]]:
        """The gallery: pictures with captions, one of them marked as the result."""
        captions = self._captions()
        at = 0 if chosen is None else chosen + 1
        captions[at] = f"✓ {captions[at]}"
        return [(as_file(tile), caption) for tile, caption in zip(self.tiles, captions, strict=True)]

    def picture(self, chosen: int | None) -> Image.Image:
        """One of the pictures, at its own size.

        Raises:
            ImageError: there is no such hypothesis, or it is no longer kept.
        """
        index = 0 if chosen is None else chosen + 1
        if not 0 <= index < len(self.files):
            raise ImageError(
                f"`hypothesis` is {chosen}; 0 to {len(self.hypotheses) - 1} are accepted, and -1 for the warp."
            )
        try:
            with Image.open(self.files[index]) as image:
                return image.convert("RGB")
        except FileNotFoundError:
            raise ImageError("The hypotheses are no longer kept: translate the pair again.") from None

    def record_of(self, chosen: int | None) -> dict[str, Any]:
        """The record of one of the pictures: its arguments repeat it, and a note says who chose it."""
        if chosen == self.automatic:
            return self.record
        arguments = dict(self.record["arguments"])
        if chosen is None:
            arguments = {name: value for name, value in arguments.items() if "refine" not in name}
            arguments["refine"] = False
        else:
            arguments["refine_settings"] = {**arguments.get("refine_settings", {}), "decide": chosen}
        captions = [self._captions()[0 if each is None else each + 1] for each in (chosen, self.automatic)]
        note = "Chosen by hand: {}. The checkpoint's own choice: {}.".format(*captions)
        return {**self.record, "arguments": arguments, "notes": [*self.record["notes"], note]}

    def save(self, chosen: int | None, folder: str) -> str:
        """Write the PNG of one of the pictures with its record into a folder; return its path."""
        record = self.record_of(chosen)
        path = Path(folder) / file_name(record["inputs"]["image"][0]["name"], record["checkpoint"], record["seed"])
        save_png(self.picture(chosen), path, record)
        return str(path)

    def _captions(self) -> list[str]:
        return ["Warp", *map(_caption, self.hypotheses)]

    def words(self, chosen: int | None) -> str:
        """Name one of the pictures in a sentence."""
        if chosen is None:
            return "the warp"
        return "layer {layer}, {num_codes} codes".format_map(self.hypotheses[chosen])


def described(hypotheses: tuple[Hypothesis, ...]) -> tuple[dict[str, Any], ...]:
    """Hypotheses without their pictures, for scripts: layer, num_codes, score, loss, dropped."""
    return tuple(
        {name: value for name, value in vars(hypothesis).items() if name != "image"} for hypothesis in hypotheses
    )


def _caption(hypothesis: dict[str, Any]) -> str:
    """Such as "Layer 6, 20 codes, loss 0.02, score 0.76": nearness to the warp, and to the domain."""
    parts = [f"Layer {hypothesis['layer']}, {hypothesis['num_codes']} codes", f"loss {hypothesis['loss']:.3g}"]
    if hypothesis["score"] is not None:
        parts.append(f"score {hypothesis['score']:.3g}")
    if hypothesis["dropped"]:
        parts.append("dropped")
    return ", ".join(parts)
