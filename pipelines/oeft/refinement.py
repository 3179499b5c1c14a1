"""Multiple GAN inversion: from a warp to a natural picture of the prior's domain (OEFT sec. 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipelines.hub.precision import fast_precision
from pipelines.images.output import to_output
from pipelines.oeft.degradations import Degradation, area_to, reduced_to
from pipelines.oeft.distance import InversionDistance, StructureDistance
from pipelines.oeft.domain import DomainStatistics
from pipelines.oeft.fine_tuning import Backbone
from pipelines.oeft.inversion import Inversion, InversionStep
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.output import Hypothesis
from pipelines.oeft.priors import Prior


@dataclass(frozen=True)
class Candidate:
    """One hypothesis at the end of a refinement.

    Attributes:
        layer: composing layer.
        num_codes: codes that were composed.
        pixels: (1, 3, R, R) in [-1, 1], at the prior's resolution.
        score: Frechet distance to the domain; None where the checkpoint has no statistics.
        loss: the lowest value of what was minimized: eq. 12, and the structure distance where it has a weight.
        dropped: whether it was given up early.
    """

    layer: int
    num_codes: int
    pixels: Tensor
    score: float | None
    loss: float
    dropped: bool


class Refinement:
    """Inverts one picture under several hypotheses and chooses among them ("self-deciding").

    Args:
        prior: the frozen generator.
        backbone: of the perceptual distance and of the domain's statistics; without gradients of its own.
        domain: statistics of natural pictures; None where there are none: the lowest loss decides then.
        target: (1, 3, h, w) in [-1, 1], degraded already.
        degrade: what brings a picture of the prior to the target's form.
        settings: see `InversionSettings`.
        generator: source of the first codes.
        source: (1, 3, h, w) in [-1, 1], what a warp has its structure from; None where there is none, and
            `lambda_structure` counts for nothing.

    Raises:
        ValueError: a setting does not fit the prior or the backbone.
    """

    def __init__(
        self,
        prior: Prior,
        backbone: Backbone,
        domain: DomainStatistics | None,
        target: Tensor,
        degrade: Degradation,
        settings: InversionSettings,
        generator: torch.Generator,
        source: Tensor | None = None,
    ):
        self.backbone, self.domain, self.settings = backbone, domain, settings
        tap = settings.perceptual_tap or backbone.taps[0]
        if tap not in backbone.layers:
            raise ValueError(f"`perceptual_tap` is {tap!r}; the backbone has {', '.join(backbone.layers)}.")
        side, least = settings.perceptual_size or min(target.shape[2:]), backbone.least_side(tap)
        if settings.lambda_perceptual and side < least:
            raise ValueError(
                f"`lambda_perceptual` compares pictures of {side} pixels on a side (`compare_size`), but {tap!r} "
                f"(`perceptual_tap`) needs {least}: enlarge them by `perceptual_size`, or set `lambda_perceptual` to "
                "0."
            )
        precision = fast_precision(target.device)
        distance = InversionDistance(
            backbone,
            target,
            degrade,
            tap=tap,
            weight=settings.lambda_perceptual,
            size=settings.perceptual_size,
            precision=precision,
        )
        objective = distance
        if source is not None and settings.lambda_structure:
            structure = StructureDistance(backbone, source, tap=tap, precision=precision)

            def objective(images: Tensor) -> Tensor:
                return distance(images) + settings.lambda_structure * structure(images)

        self.inversion = Inversion(prior, objective, settings, generator)
        count = len(self.inversion.hypotheses)
        if isinstance(settings.decide, int) and settings.decide >= count:
            raise ValueError(f"`decide` is {settings.decide}; this generator has {count} of the hypotheses.")

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.inversion.done

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.inversion.num_steps

    @property
    def reach(self) -> float:
        """Distance beyond which a picture is of another domain; infinite where the checkpoint has no statistics."""
        return math.inf if self.domain is None else self.domain.config["reach"]

    def step(self) -> InversionStep:
        """One update of every hypothesis; see `Inversion.step`."""
        return self.inversion.step()

    def newest(self) -> Tensor | None:
        """The picture of the lowest loss so far, (1, 3, R, R) in [-1, 1]; None before the first step."""
        image = self.inversion.hypotheses[self.inversion.best].image
        return None if image is None else image[None]

    def tensors(self) -> dict[str, Tensor | None]:
        """The pictures that a callback may look at: `newest`."""
        return {"refined": self.newest()}

    def candidates(self) -> list[Candidate]:
        """Every hypothesis with its best picture so far and its score; none before the first step."""
        seen = [(each, each.image) for each in self.inversion.hypotheses if each.image is not None]
        if not seen:
            return []
        images = torch.stack([image for _, image in seen])
        scores = [None] * len(seen) if self.domain is None else self.domain.distance(self.backbone, images)
        return [
            Candidate(each.layer, each.num_codes, image[None], score, each.loss, each.dropped)
            for (each, image), score in zip(seen, scores, strict=True)
        ]

    def choose(self, candidates: list[Candidate]) -> int:
        """Index of the hypothesis that the settings decide for; one that was dropped only where they name it."""
        if isinstance(self.settings.decide, int):
            return self.settings.decide
        left = [index for index, each in enumerate(candidates) if not each.dropped]
        return min(left, key=lambda index: self._rating(candidates[index]))

    def _rating(self, candidate: Candidate) -> float:
        """What decides between candidates; less is better."""
        if self.settings.decide == "frechet" and candidate.score is not None:
            return candidate.score
        return candidate.loss

    def is_foreign(self, candidate: Candidate) -> bool:
        """Whether a picture is further from the domain than the prior's own pictures reach, and nobody chose it."""
        if isinstance(self.settings.decide, int):
            return False
        return candidate.score is not None and candidate.score > self.reach


@dataclass(frozen=True)
class Refiner:
    """What refinements of one call have in common.

    Attributes:
        prior: a working copy of the generator.
        backbone: likewise.
        domain: statistics of natural pictures, or None.
        settings: see `InversionSettings`.
    """

    prior: Prior
    backbone: Backbone
    domain: DomainStatistics | None
    settings: InversionSettings

    @property
    def resolution(self) -> int:
        """Side of the prior's pictures."""
        return self.prior.resolution

    @property
    def num_steps(self) -> int:
        """Steps of a refinement."""
        return self.settings.num_steps

    def begin(
        self, target: Tensor, degrade: Degradation, generator: torch.Generator, source: Tensor | None = None
    ) -> Refinement:
        """A refinement towards `target`; see `Refinement`."""
        return Refinement(self.prior, self.backbone, self.domain, target, degrade, self.settings, generator, source)

    def begin_with_warp(self, warp: Tensor, source: Tensor, generator: torch.Generator) -> Refinement:
        """A refinement towards a warp, brought to the size that it is compared at.

        What is larger is reduced by areas, as `down` does in eq. 12; what is smaller is the target as it is.

        Args:
            warp: (1, 3, H, W) in [-1, 1].
            source: (1, 3, H, W) in [-1, 1], what the warp has its structure from.
            generator: source of the first codes.
        """
        target = reduced_to(min(self.settings.compare_size or self.resolution, self.resolution), warp)
        height, width = target.shape[2:]
        return self.begin(target, area_to((height, width)), generator, source)


def as_hypothesis(candidate: Candidate, picture: Tensor, output_type: str) -> Hypothesis:
    """A candidate as the caller sees it, with its picture (1, 3, H, W) in [-1, 1] at the result's size."""
    image = to_output([picture[0].cpu()], output_type)[0]
    return Hypothesis(candidate.layer, candidate.num_codes, image, candidate.score, candidate.loss, candidate.dropped)


def as_batch(image: Any) -> Any:
    """One picture as `.images` of one picture: a list of PIL images, or an array or tensor with a batch dimension."""
    return [image] if isinstance(image, Image.Image) else image[None]
