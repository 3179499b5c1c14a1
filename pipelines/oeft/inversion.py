"""Multi-code GAN inversion: several hypotheses about composing layer and number of codes, side by side.

OEFT sec. 3.3, eq. 12; mGANprior (Gu et al., arXiv 1912.07116), eq. 1-5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from pipelines.base import DivergedError
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.priors import Prior

PIXELS_AT_ONCE = 2**20  # of the pictures of one pass: 256 of 64 pixels on a side, one of 1024
Objective = Callable[[Tensor], Tensor]  # pictures (H, 3, R, R) in [-1, 1] to a loss of each, (H,)


@dataclass
class Code:
    """The variables of one hypothesis, and the best that they gave so far.

    Attributes:
        layer: the composing layer.
        codes: (N, *code), what the head turns into maps.
        importance: (N, C), of every channel of every code's map ("alpha").
        tail: (1, *code), read by the layers behind the split; has no effect in a generator where those read none.
        image: (3, R, R) in [-1, 1], the picture of the lowest loss; None before the first step.
        loss: that loss.
        dropped: whether it was given up.
    """

    layer: int
    codes: Tensor
    importance: Tensor
    tail: Tensor
    image: Tensor | None = None
    loss: float = math.inf
    dropped: bool = False

    @property
    def num_codes(self) -> int:
        """How many codes are composed."""
        return len(self.codes)

    def variables(self) -> list[Tensor]:
        """What is optimized."""
        return [variable for variable in (self.codes, self.importance, self.tail) if variable.requires_grad]


@dataclass(frozen=True)
class InversionStep:
    """What one step reports.

    Attributes:
        step: number of the step, from 1.
        num_steps: steps of the whole run.
        losses: of every hypothesis that is still there, by its index, before the update.
        seconds: what the step took.
    """

    step: int
    num_steps: int
    losses: dict[int, float]
    seconds: float

    @property
    def loss(self) -> float:
        """The lowest of them."""
        return min(self.losses.values())


@dataclass
class Inversion:
    """A run of inversion; call `step` until `done`, or stop earlier.

    Hypotheses of the same composing layer share one pass through the generator: all their codes are one batch in the
    head, the composed maps are one in the tail. They are optimized apart all the same: no loss depends on another's
    variables.

    Attributes:
        prior: the generator, without gradients of its own.
        objective: what is minimized, for every picture.
        settings: see `InversionSettings`.
        hypotheses: in the order of the settings, those of unknown layers left out.
        steps_done: steps that are done.

    Args:
        prior: see above.
        objective: see above.
        settings: see above.
        generator: source of the first codes; nothing else is random.

    Raises:
        ValueError: the generator has none of the composing layers.
    """

    prior: Prior
    objective: Objective
    settings: InversionSettings
    generator: torch.Generator
    steps_done: int = 0
    hypotheses: list[Code] = field(init=False)

    def __post_init__(self):
        known = [pair for pair in self.settings.hypotheses if pair[0] in self.prior.layers]
        if not known:
            wanted = sorted({layer for layer, _ in self.settings.hypotheses})
            raise ValueError(
                f"`hypotheses` has the composing layers {wanted}; this generator has {list(self.prior.layers)}."
            )
        nearest = self._nearest(max(count for _, count in known)) if self.settings.num_draws else None
        self.hypotheses = [self._begin(layer, count, nearest) for layer, count in known]
        optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[self.settings.optimizer]
        self._optimizers = [optimizer(each.variables(), lr=self.settings.learning_rate) for each in self.hypotheses]

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.num_steps

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self.num_steps

    @property
    def best(self) -> int:
        """Index of the hypothesis of the lowest loss so far."""
        return min(range(len(self.hypotheses)), key=lambda index: self.hypotheses[index].loss)

    def step(self) -> InversionStep:
        """One update of every hypothesis that is still there.

        Raises:
            DivergedError: the losses of all hypotheses are no longer finite.
        """
        started = time.perf_counter()
        indices = [index for index, each in enumerate(self.hypotheses) if not each.dropped]
        losses: dict[int, float] = {}
        device = next(self.prior.generator.parameters()).device
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for batch in self._batches(indices):
                losses |= self._update(batch)
        self.steps_done += 1
        self._drop_what_is_behind()
        if all(each.dropped for each in self.hypotheses):
            raise DivergedError(f"No loss is finite any more after {self.steps_done} steps of inversion.")
        return InversionStep(self.steps_done, self.num_steps, losses, time.perf_counter() - started)

    def _batches(self, indices: list[int]) -> Iterator[list[int]]:
        """Hypotheses that share a pass: those of one composing layer, as many as memory allows."""
        at_once = max(1, PIXELS_AT_ONCE // self.prior.resolution**2)
        by_layer = sorted(indices, key=lambda index: self.hypotheses[index].layer)
        for _, group in groupby(by_layer, key=lambda index: self.hypotheses[index].layer):
            members = list(group)
            yield from (members[first : first + at_once] for first in range(0, len(members), at_once))

    @torch.no_grad()
    def _nearest(self, at_least: int) -> Tensor:
        """Codes from the latents' distribution, in the order of the losses of their own pictures."""
        parameter = next(self.prior.generator.parameters())
        codes = self.prior.draw(max(self.settings.num_draws, at_least), self.generator).to(parameter.device)
        layer = min(self.prior.layers)
        losses = []
        with torch.autocast(parameter.device.type, enabled=False):
            for some in codes.to(parameter.dtype).split(max(1, PIXELS_AT_ONCE // self.prior.resolution**2)):
                losses.append(self.objective(self.prior.tail(self.prior.head(some, layer), some, layer).float()))
        return codes[torch.cat(losses).argsort(stable=True)]

    def _begin(self, layer: int, count: int, nearest: Tensor | None) -> Code:
        """Codes from the latents' distribution; every channel of every code counts the same."""
        parameter = next(self.prior.generator.parameters())
        if nearest is None:
            codes = self.prior.draw(count, self.generator).to(parameter.device)
        else:
            codes = nearest[:count].clone()
        importance = torch.full((count, self.prior.layers[layer][0]), 1 / count, device=parameter.device)
        # The mean of codes at random is where the layers behind the split do least on their own account.
        tail = codes.mean(dim=0, keepdim=True) if nearest is None else codes[:1].clone()
        return Code(
            layer,
            codes.requires_grad_(),
            importance.requires_grad_(),
            tail.detach().requires_grad_(self.prior.tail_has_codes),
        )

    def _update(self, indices: list[int]) -> dict[int, float]:
        """Step the hypotheses of one composing layer."""
        group = [self.hypotheses[index] for index in indices]
        images = compose(self.prior, group, self.settings.divide_by_codes)
        losses = self.objective(images)
        for index in indices:
            self._optimizers[index].zero_grad(set_to_none=True)
        losses.sum().backward()
        values = losses.detach().tolist()
        for index, hypothesis, image, value in zip(indices, group, images.detach(), values, strict=True):
            if not math.isfinite(value):
                hypothesis.dropped = True
                continue
            if value < hypothesis.loss:
                hypothesis.loss, hypothesis.image = value, image.clone()
            self._optimizers[index].step()
        return dict(zip(indices, values, strict=True))

    def _drop_what_is_behind(self) -> None:
        """Give up hypotheses that are clearly worse than the best: their time is better spent on the others."""
        if not self.settings.drop_ratio or self.steps_done < self.settings.drop_after * self.num_steps:
            return
        limit = self.settings.drop_ratio * self.hypotheses[self.best].loss
        for hypothesis in self.hypotheses:
            hypothesis.dropped = hypothesis.dropped or hypothesis.loss > limit


def compose(prior: Prior, group: Sequence[Code], divide_by_codes: bool = False) -> Tensor:
    """Pictures of several hypotheses of one composing layer (mGANprior eq. 3-4).

    Args:
        prior: the generator.
        group: the hypotheses.
        divide_by_codes: see `InversionSettings`.

    Returns:
        (H, 3, R, R) in [-1, 1], fp32.
    """
    layer = group[0].layer
    dtype = next(prior.generator.parameters()).dtype
    maps = prior.head(torch.cat([each.codes for each in group]).to(dtype), layer)
    composed = []
    for each, own in zip(group, maps.split([each.num_codes for each in group]), strict=True):
        # sum_n F_n * alpha_n, over the codes n, as one product for every channel.
        mixed = torch.einsum("nchw,nc->chw", own, each.importance.to(dtype))
        composed.append(mixed / each.num_codes if divide_by_codes else mixed)
    hidden = torch.stack(composed).contiguous(memory_format=torch.channels_last)
    return prior.tail(hidden, torch.cat([each.tail for each in group]).to(dtype), layer).float()
