"""One pair of pictures on its way through SinCUT."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from PIL import Image

from pipelines.base import DivergedError
from pipelines.images.formats import ReadImage, to_output
from pipelines.sincut.networks import SinCUTGenerator
from pipelines.sincut.output import SinCUTOutput
from pipelines.sincut.settings import BUDGETS, SinCUTSettings
from pipelines.sincut.strips import translate_in_strips
from pipelines.sincut.trainer import SinCUTTrainer, small

MEASURED_STEPS = 10  # at least so many, and
MEASURED_SHARE = 0.1  # of the time, before the length of a run by the clock is fixed


@dataclass(frozen=True)
class SinCUTStep:
    """What one step reports.

    Attributes:
        step: Number of the step, from 1.
        num_steps: Steps of the whole run; an estimate while a run by the clock measures its speed.
        losses: By name, see `SinCUTTrainer.optimize`.
        seconds: What the step took.
    """

    step: int
    num_steps: int
    losses: dict[str, float]
    seconds: float


class SinCUTRun:
    """Call `step` until `done`, or until you have seen enough; then `result`. Made by `SinCUTPipeline.start`.

    The run has networks of its own: runs next to each other, in any threads, know nothing of each other.

    Attributes:
        source: The picture to translate, as it was read.
        exemplar: The picture of the other domain, as it was read.
        settings: What the run works with; once the length of a run by the clock is fixed, it stands in `num_steps`.

    Args:
        source: See above.
        exemplar: See above.
        settings: See above.
        preset: Name of the preset that the settings are compared with when they are recorded.
        generator: Source of every random number, a CPU generator.
        device: Where to train.
        wrap: Makes a pipeline of the trained generator.
    """

    def __init__(
        self,
        source: ReadImage,
        exemplar: ReadImage,
        settings: SinCUTSettings,
        preset: str,
        generator: torch.Generator,
        device: torch.device,
        wrap: Callable[[SinCUTGenerator], Any],
    ):
        _refuse_inference_mode()
        self.source, self.exemplar, self.settings = source, exemplar, settings
        self._pictures = {name: to_output([read.pixels])[0] for name, read in (("a", source), ("b", exemplar))}
        self._preset, self._generator, self._wrap = preset, generator, wrap
        self._trainer = SinCUTTrainer(settings, generator, device)
        self._began: float | None = None
        self._seconds = 0.0

    @property
    def steps_done(self) -> int:
        """Steps that are done."""
        return self._trainer.steps_done

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole run; None while a run by the clock measures its speed."""
        return self.settings.num_steps

    @property
    def done(self) -> bool:
        """Whether all steps are done, or as many as `SinCUTSettings.stop_after` says."""
        ends = [end for end in (self.settings.num_steps, self.settings.stop_after) if end is not None]
        return bool(ends) and self.steps_done >= min(ends)

    def step(self) -> SinCUTStep:
        """One step of the discriminator and one of the generator, on new crops.

        Raises:
            DivergedError: When a loss is not finite; the run is of no use then.
            RuntimeError: Under `torch.inference_mode`.
        """
        _refuse_inference_mode()
        started = time.perf_counter()
        self._began = self._began or started
        losses = self._trainer.step({**self._pictures, "generator": self._generator})
        if not all(math.isfinite(value) for value in losses.values()):
            raise DivergedError(
                f"SinCUT's losses are no longer finite after {self.steps_done} steps: {losses}. Try another seed, a "
                'lower `lr`, or `precision` "fp32".'
            )
        now = time.perf_counter()
        self._seconds += now - started
        expected = self.num_steps or self._expected(now - self._began)
        return SinCUTStep(self.steps_done, expected, losses, now - started)

    def _expected(self, elapsed: float) -> int:
        """How many steps the time allows; fixed once enough of them were measured, previews between them included."""
        budget = self.settings.minutes * 60
        # The constant half of the schedule must not be over when its length is fixed.
        expected = max(2 * self.steps_done, round(self.steps_done * budget / elapsed))
        if self.steps_done >= MEASURED_STEPS and elapsed >= MEASURED_SHARE * budget:
            self.settings = replace(self.settings, num_steps=expected, minutes=None)
            self._trainer.num_steps = expected
        return expected

    def preview(self) -> Image.Image:
        """The whole picture at a small size, translated by the networks as they are now."""
        return to_output(list(self._trainer.translated(small(self._pictures["a"]))))[0]

    def result(self, output_type: str = "pil") -> SinCUTOutput:
        """The picture at full size, translated by the networks as they are now; the run may go on afterwards.

        Args:
            output_type: "pil", "np" or "pt".
        """
        network = copy.deepcopy(self._trainer.result()).requires_grad_(True)
        picture = translate_in_strips(network.eval(), self.source.pixels[None])
        return SinCUTOutput(
            images=to_output([picture[0]], output_type),
            notes=[(*self.source.notes, *self.exemplar.notes, *self._notes())],
            pipeline=self._wrap(network),
            arguments=self._arguments(),
        )

    def _notes(self) -> list[str]:
        done, minutes, paper = self.steps_done, self._seconds / 60, SinCUTSettings()
        notes = [f"Trained for {done:,} steps in {minutes:.1f} minutes."]
        if minutes < 0.9 * BUDGETS[0]:  # a run of the shortest budget may end a little early
            notes.append(f"This is a preview: {BUDGETS[0]} minutes and more are a training.")
        names = {"base_channels": "base channels", "num_blocks": "residual blocks", "batch_size": "crops a step"}
        smaller = [
            f"{getattr(self.settings, name)} of {getattr(paper, name)} {words}"
            for name, words in names.items()
            if getattr(self.settings, name) < getattr(paper, name)
        ]
        return [*notes, f"A smaller training than the authors': {', '.join(smaller)}."] if smaller else notes

    def _arguments(self) -> dict[str, Any]:
        """Of the call that does the same steps again."""
        done = self.steps_done
        precision = "bf16" if self._trainer.precision is torch.bfloat16 else "fp32"  # other machines choose otherwise
        # Where the length was not fixed yet, any will do in whose constant half these steps lie.
        num_steps = self.num_steps or max(1, 2 * done)
        settings = replace(self.settings, num_steps=num_steps, minutes=None, precision=precision)
        settings = replace(settings, stop_after=done if done < settings.num_steps else None)
        usual = SinCUTSettings.preset(self._preset)
        changed = {
            field.name: getattr(settings, field.name)
            for field in fields(settings)
            if field.name != "num_steps" and getattr(settings, field.name) != getattr(usual, field.name)
        }
        return {"preset": self._preset, "num_steps": num_steps, "settings": changed}


def _refuse_inference_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise RuntimeError("SinCUT trains networks and cannot run under torch.inference_mode(); leave it.")
