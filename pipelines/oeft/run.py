"""One pair of images on its way through OEFT: fine-tuning, then refinement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.images.formats import ReadImage, to_output
from pipelines.images.geometry import enlarge
from pipelines.oeft.degradations import at_least
from pipelines.oeft.fine_tuning import Backbone, Descriptors, FineTuning
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.output import CorrespondenceLookup, OEFTOutput
from pipelines.oeft.refinement import Candidate, Refinement, Refiner, as_batch, as_hypothesis
from pipelines.oeft.rendering import render
from pipelines.oeft.settings import OEFTSettings

FOREIGN = (
    "The refinement was left out: the result is the warp. Its pictures came out at a distance of {score:.3g} from the "
    "pictures that this checkpoint's generator knows, whose own stay below {reach:.3g}."
)


@dataclass(frozen=True)
class OEFTStep:
    """What one step reports.

    Attributes:
        stage: "warp" while the correspondence is fine-tuned, "refine" while hypotheses are inverted.
        step: number of the step over both stages, from 1.
        num_steps: steps of both stages.
        losses: by name, before the step's update; `total` is what is optimized, in refinement by the best hypothesis.
        seconds: what the step took.
    """

    stage: str
    step: int
    num_steps: int
    losses: dict[str, float]
    seconds: float

    @property
    def loss(self) -> float:
        """What is optimized."""
        return self.losses["total"]


class OEFTRun:
    """Call `step` until `done`, or until you have seen enough; then `result`. Made by `OEFTPipeline.start`.

    The run owns copies of the networks: runs next to each other, in any threads, know nothing of each other.

    Attributes:
        source: The image that gives the structure, as it was read.
        exemplar: The image that gives the style, as it was read.
        settings: What the fine-tuning works with.
        num_steps: Steps of both stages.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: ReadImage,
        exemplar: ReadImage,
        settings: OEFTSettings,
        generator: torch.Generator,
        refiner: Refiner | None = None,
    ):
        self.source, self.exemplar, self.settings = source, exemplar, settings
        self._generator, self._refiner = generator, refiner
        self._fine_tuning = FineTuning(backbone, source.pixels[None], exemplar.pixels[None], settings, generator)
        self._refinement: Refinement | None = None
        self._refine_steps = 0 if refiner is None else refiner.num_steps
        self.num_steps = settings.num_steps + self._refine_steps

    @property
    def refine_settings(self) -> InversionSettings | None:
        """What the refinement works with; None where there is none."""
        return None if self._refiner is None else self._refiner.settings

    @property
    def best_step(self) -> int:
        """How many updates the best networks so far have seen."""
        return self._fine_tuning.best_step

    @property
    def done(self) -> bool:
        """Whether all steps of both stages are done."""
        refined = self._refine_steps == 0 or (self._refinement is not None and self._refinement.done)
        return self._fine_tuning.done and refined

    def step(self) -> OEFTStep:
        """Do one step: of fine-tuning (see `FineTuning.step`), and when that is done, of every hypothesis."""
        if not self._fine_tuning.done:
            report = self._fine_tuning.step()
            return OEFTStep("warp", report.step, self.num_steps, report.losses, report.seconds)
        if self._refinement is None:
            self._refinement = self._begin_refinement()
        report = self._refinement.step()
        step, losses = self.settings.num_steps + report.step, {"total": report.loss}
        return OEFTStep("refine", step, self.num_steps, losses, report.seconds)

    def warped(self) -> Tensor | None:
        """The newest warp, (1, 3, h, w) of working size, range [-1, 1]; None before the first step."""
        return self._fine_tuning.warped

    def refined(self) -> Tensor | None:
        """The picture of the hypothesis of the lowest loss so far, (1, 3, R, R) in [-1, 1]; None before refinement."""
        return None if self._refinement is None else self._refinement.newest()

    def tensors(self) -> dict[str, Tensor | None]:
        """The pictures that a callback may look at: `warped` and, in refinement, `refined`."""
        refined = {} if self._refinement is None else self._refinement.tensors()
        return {"warped": self.warped(), **refined}

    def result(self, output_type: str = "pil") -> OEFTOutput:
        """The best so far: the chosen hypothesis, or the warp by the best networks, at the source's size.

        A refined picture is never smaller than the prior's: a small source's result is larger than the source.

        Args:
            output_type: "pil", "np" or "pt".
        """
        descriptors = self._fine_tuning.descriptors(self.settings.render_grid)
        warp = self._warp(descriptors)
        candidates = [] if self._refinement is None else self._refinement.candidates()
        chosen, notes = self._decide(candidates)
        size = self._result_size(bool(candidates))
        hypotheses = [as_hypothesis(each, enlarge(each.pixels, size), output_type) for each in candidates]
        warped = to_output([warp[0].cpu()], output_type)
        lookup = CorrespondenceLookup(
            descriptors.stored(),
            self.settings.alpha,
            size if chosen is not None else (self.source.height, self.source.width),
            (self.exemplar.height, self.exemplar.width),
        )
        return OEFTOutput(
            images=warped if chosen is None else as_batch(hypotheses[chosen].image),
            warped=warped,
            lookups=[lookup],
            notes=[(*self.source.notes, *self.exemplar.notes, *notes)],
            hypotheses=[tuple(hypotheses)],
            chosen=[chosen],
        )

    def _warp(self, descriptors: Descriptors) -> Tensor:
        """The warp at the source's size, (1, 3, H, W)."""
        size = (self.source.height, self.source.width)
        return render(descriptors, self.exemplar.pixels[None], size, self.settings.alpha)

    def _begin_refinement(self) -> Refinement:
        assert self._refiner is not None
        warp = self._warp(self._fine_tuning.descriptors(self.settings.render_grid))
        return self._refiner.begin_with_warp(warp, self.source.pixels[None].to(warp.device), self._generator)

    def _decide(self, candidates: list[Candidate]) -> tuple[int | None, tuple[str, ...]]:
        """Which candidate is the result, or None for the warp; and what there is to say about it."""
        if self._refinement is None or not candidates:
            return None, ()
        chosen = self._refinement.choose(candidates)
        if not self._refinement.is_foreign(candidates[chosen]):
            return chosen, ()
        return None, (FOREIGN.format(score=candidates[chosen].score, reach=self._refinement.reach),)

    def _result_size(self, refined: bool) -> tuple[int, int]:
        """Height and width of a result: the source's, or larger where the prior's pictures are."""
        height, width = self.source.height, self.source.width
        if self._refiner is None or not refined:
            return height, width
        return at_least(self._refiner.resolution, height, width)
