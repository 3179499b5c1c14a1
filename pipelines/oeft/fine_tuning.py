"""Correspondence fine-tuning of one pair of images (OEFT sec. 3.2)."""

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from pipelines.base import DivergedError
from pipelines.hub.precision import fast_precision
from pipelines.images.geometry import fit_to_area, resize
from pipelines.networks.resnet import ResNetBackbone
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.augmentation import geometric, photometric
from pipelines.oeft.correspondence import from_patches, to_patches, warp
from pipelines.oeft.features import describe, feature_maps
from pipelines.oeft.losses import context_loss, contrastive_loss, perceptual_loss, total_variation
from pipelines.oeft.settings import OEFTSettings

Backbone = VGGBackbone | ResNetBackbone
MEMORY_FORMAT = torch.channels_last  # the layout in which convolutions are fastest


@dataclass(frozen=True)
class FineTuningStep:
    """What one step reports.

    Attributes:
        step: Number of the step, from 1.
        num_steps: Steps of the whole run.
        losses: The losses of the original pair by name, before the step's update; `total` is what is optimized.
        seconds: What the step took.
    """

    step: int
    num_steps: int
    losses: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Descriptors:
    """Unit descriptors of a pair of images on their grids.

    Attributes:
        query: The source's, (1, h * w, C).
        key: The exemplar's, (1, h' * w', C).
        query_grid: (h, w).
        key_grid: (h', w').
    """

    query: Tensor
    key: Tensor
    query_grid: tuple[int, int]
    key_grid: tuple[int, int]

    def stored(self) -> Self:
        """The same on the CPU in half precision, to be kept with a result: its cosines differ by less than 0.001."""
        return replace(self, query=self.query.half().cpu(), key=self.key.half().cpu())


class FineTuning:
    """A run of correspondence fine-tuning: its own copies of the network, its own optimizer, its own random numbers.

    Call `step` until `done`, or stop earlier; `descriptors` come from the best networks so far.

    Attributes:
        settings: What the run works with.
        num_steps: Steps of the whole run.
        steps_done: Steps that are done.
        best_step: Number of updates behind the best networks so far.
        warped: The newest warp, (1, 3, h, w) of working size; None before the first step.
        precision: What the networks compute in.

    Args:
        backbone: The pretrained network. It is copied, never changed.
        source: (1, 3, H, W), range [-1, 1]; gives the structure.
        exemplar: (1, 3, H', W'), range [-1, 1]; gives the style.
        settings: See `OEFTSettings`.
        generator: Source of every random number.

    Raises:
        RuntimeError: Under `torch.inference_mode`, where nothing can be optimized.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: Tensor,
        exemplar: Tensor,
        settings: OEFTSettings,
        generator: torch.Generator,
    ):
        _refuse_inference_mode()
        self.settings, self.num_steps = settings, settings.num_steps
        self.steps_done = self.best_step = self._judged_step = 0
        self._generator = generator
        device = next(backbone.parameters()).device
        self.precision = fast_precision(device)

        self._taps = _layers_of(backbone, settings.taps or backbone.taps)
        self._loss_taps = _layers_of(backbone, settings.loss_taps or backbone.taps)
        self._context_taps = _layers_of(backbone, settings.context_taps or self._loss_taps[-1:])
        self._source = _working_image(source.to(device), settings)
        self._exemplar = _working_image(exemplar.to(device), settings)

        self._frozen = _own_copy(backbone).requires_grad_(False)
        # W_S and W_T start from the same weights and are optimized separately (eq. 1-2).
        self._networks = nn.ModuleList([_own_copy(backbone), _own_copy(backbone)])
        self._best_networks, self._best_loss = self._networks, math.inf
        self.warped: Tensor | None = None
        self._optimizer = torch.optim.Adam(
            self._networks.parameters(), lr=settings.learning_rate, fused=device.type in ("cpu", "cuda")
        )
        with torch.no_grad():
            self._exemplar_maps = self._loss_maps(self._exemplar)

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self.num_steps

    def step(self) -> FineTuningStep:
        """One iteration: the losses of the original and of the augmented pair, then one update of both networks.

        Raises:
            DivergedError: When a loss is not finite; the run is of no use then.
            RuntimeError: Under `torch.inference_mode`.
        """
        _refuse_inference_mode()
        started = time.perf_counter()
        self._optimizer.zero_grad(set_to_none=True)
        # Half precision is chosen here, part by part; a caller's autocast would reach the losses too.
        with torch.enable_grad(), torch.autocast(self._source.device.type, enabled=False):
            losses, self.warped = self._losses(self._source, self._exemplar, self._exemplar_maps)
            values = {name: loss.item() for name, loss in losses.items()}
            objective = losses["total"]
            if self.settings.augment:
                objective = (objective + self._augmented_losses()["total"]) / 2
            if not torch.isfinite(objective):
                raise DivergedError(f"The loss is no longer finite after {self.steps_done} steps: {values}.")
            self._keep_the_best(values["total"])
            objective.backward()
            self._optimizer.step()
        self.steps_done += 1
        return FineTuningStep(self.steps_done, self.num_steps, values, time.perf_counter() - started)

    def _keep_the_best(self, loss: float) -> None:
        """Keep a copy of the networks if their loss is the lowest so far."""
        self._judged_step = self.steps_done
        if loss < self._best_loss:
            self._best_loss, self.best_step = loss, self.steps_done
            self._best_networks = copy.deepcopy(self._networks)

    @torch.no_grad()
    def descriptors(self, grid: int | None = None) -> Descriptors:
        """Descriptors of the original pair by the best networks so far, those of the last update included.

        Args:
            grid: As in `OEFTSettings.grid`, which is the default.
        """
        side = self.settings.size // (grid or self.settings.grid)
        with torch.autocast(self._source.device.type, enabled=False):
            if self._judged_step < self.steps_done:
                losses, self.warped = self._losses(self._source, self._exemplar, self._exemplar_maps)
                self._keep_the_best(losses["total"].item())
            pairs = zip(self._best_networks, (self._source, self._exemplar), strict=True)
            query, key = (self._describe(network, image, side) for network, image in pairs)
        return Descriptors(query, key, _grid(self._source, side), _grid(self._exemplar, side))

    def _describe(self, network: nn.Module, image: Tensor, side: int) -> Tensor:
        return describe(network, image, _grid(image, side), self._taps, self.precision)

    def _losses(
        self, source: Tensor, exemplar: Tensor, exemplar_maps: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of eq. 7-11 for one pair, by name, and the warp."""
        settings, side = self.settings, self.settings.size // self.settings.grid
        source_network, target_network = self._networks
        query = self._describe(source_network, source, side)
        key = self._describe(target_network, exemplar, side)
        patches = warp(query, key, to_patches(exemplar, side), settings.alpha, gradient_dtype=self.precision)
        warped = from_patches(patches, _grid(source, side), side)

        warped_maps = self._loss_maps(warped)
        losses = {
            "contrastive": contrastive_loss(
                query, self._describe(target_network, warped, side), settings.temperature, self.precision
            ),
            "perceptual": perceptual_loss(warped_maps, exemplar_maps, self._loss_taps),
            "contextual": context_loss(warped_maps, exemplar_maps, self._context_taps, settings.bandwidth),
        }
        losses["total"] = (
            losses["contrastive"]
            + settings.lambda_perceptual * losses["perceptual"]
            + settings.lambda_contextual * losses["contextual"]
        )
        if settings.lambda_total_variation:
            losses["total_variation"] = total_variation(warped)
            losses["total"] = losses["total"] + settings.lambda_total_variation * losses["total_variation"]
        return losses, warped.detach()

    def _augmented_losses(self) -> dict[str, Tensor]:
        """The losses of another exposure of the source and the exemplar seen from elsewhere (sec. 3.2, fig. 6)."""
        source = photometric(self._source, self.settings, self._generator)
        exemplar = geometric(self._exemplar, self.settings, self._generator)
        with torch.no_grad():
            exemplar_maps = self._loss_maps(exemplar)
        return self._losses(source, exemplar, exemplar_maps)[0]

    def _loss_maps(self, image: Tensor) -> dict[str, Tensor]:
        """Features of the frozen network for the perceptual and the contextual loss, in one pass."""
        taps = tuple(dict.fromkeys(self._loss_taps + self._context_taps))
        return feature_maps(self._frozen, image, taps, self.precision)


def _refuse_inference_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise RuntimeError("OEFT optimizes networks and cannot run under torch.inference_mode(); leave it.")


def _layers_of(backbone: Backbone, taps: tuple[str, ...]) -> tuple[str, ...]:
    """The names of layers, if the backbone has them all."""
    for tap in taps:
        if tap not in backbone.layers:
            raise ValueError(f"The settings name the layer {tap!r}; the backbone has {', '.join(backbone.layers)}.")
    return tuple(taps)


def _own_copy(backbone: Backbone) -> Backbone:
    """A copy in fp32, trainable; in evaluation mode, because statistics of single images mean nothing."""
    return copy.deepcopy(backbone).eval().float().requires_grad_(True).to(memory_format=MEMORY_FORMAT)


def _working_image(image: Tensor, settings: OEFTSettings) -> Tensor:
    """The image at the working size: its own aspect, the area of `size` squared, whole patches."""
    height, width = fit_to_area(*image.shape[2:], area=settings.size**2, multiple=settings.size // settings.grid)
    return resize(image, (height, width)).contiguous(memory_format=MEMORY_FORMAT)


def _grid(image: Tensor, side: int) -> tuple[int, int]:
    """Rows and columns of the patches of that side."""
    return image.shape[2] // side, image.shape[3] // side
