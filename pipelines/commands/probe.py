"""How long a run will take here, from a few real steps of it, or from a whole one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipelines.cut.pipeline import CUTPipeline
from pipelines.deepi2i.adaptor_pipeline import PRECISIONS
from pipelines.deepi2i.pipeline import DeepI2IPipeline
from pipelines.deepi2i.rendering import choose_batch_size
from pipelines.deepi2i.stylegan_pipeline import DeepI2IStyleGANPipeline
from pipelines.oeft.pipeline import OEFTPipeline
from pipelines.oeft.settings import PRESETS
from pipelines.sincut.pipeline import SinCUTPipeline
from pipelines.sincut.settings import PRESETS as SINCUT_PRESETS
from pipelines.sincut.settings import SinCUTSettings

PROBE_SECONDS = 7.0  # no further measurement begins after that


@dataclass(frozen=True)
class Estimate:
    """What one run of a checkpoint will take.

    Attributes:
        checkpoint: its id.
        run: what is run, in words.
        estimated_seconds: for pictures of 256 x 256 pixels; None where it was not measured.
        reason: why it was not measured.
    """

    checkpoint: str
    run: str
    estimated_seconds: float | None
    reason: str | None = None


def estimate_exemplar(checkpoint_id: str, pipe: OEFTPipeline, limit: float = PROBE_SECONDS) -> list[Estimate]:
    """Estimate a run with every preset: the start and the rendering, and one step times their number.

    Args:
        checkpoint_id: named in the estimates.
        pipe: on its device.
        limit: seconds after which nothing more is measured; the presets begin with the shortest.
    """
    generator = torch.Generator().manual_seed(0)
    image, exemplar = torch.rand(2, 3, 256, 256, generator=generator)
    begin = time.perf_counter()
    fixed: dict[tuple, float] = {}  # seconds for start and rendering; presets that render alike share them
    estimates = []
    for name, settings in sorted(PRESETS.items(), key=lambda item: item[1].num_steps):
        run_name = f"preset {name}, {settings.num_steps} steps"
        how = (settings.size, settings.render_grid, settings.taps)
        seconds = None
        if time.perf_counter() - begin < limit:
            start = time.perf_counter()
            run = pipe.start(image, exemplar, settings=settings, generator=generator)
            starting = time.perf_counter() - start
            step = run.step().seconds
            if how not in fixed and time.perf_counter() - begin < limit:
                start = time.perf_counter()
                run.result()
                fixed[how] = starting + time.perf_counter() - start
            if how in fixed:
                seconds = round(fixed[how] + settings.num_steps * step, 3)
        reason = _too_late(begin) if seconds is None else None
        estimates.append(Estimate(checkpoint_id, run_name, seconds, reason))
    return estimates


def estimate_unpaired(checkpoint_id: str, pipe: CUTPipeline | DeepI2IStyleGANPipeline) -> list[Estimate]:
    """Time the translation of one picture, the second: the first also converts the weights.

    Args:
        checkpoint_id: named in the estimate.
        pipe: on its device.
    """
    pipe(_picture())
    seconds, output = _seconds(pipe, _picture())
    return [Estimate(checkpoint_id, f"one picture in {output.arguments['precision']}", round(seconds, 3))]


def estimate_single_image(checkpoint_id: str, pipe: SinCUTPipeline, limit: float = PROBE_SECONDS) -> list[Estimate]:
    """Estimate a training with every preset; of a pipeline that is trained, time the translation of one picture.

    Args:
        checkpoint_id: named in the estimates.
        pipe: on its device.
        limit: seconds after which nothing more is measured; the presets begin with the shortest.
    """
    if pipe.generator is not None:
        pipe(_picture())
        seconds, _ = _seconds(pipe, _picture())
        return [Estimate(checkpoint_id, "one picture", round(seconds, 3))]
    begin = time.perf_counter()
    presets = {name: SinCUTSettings(**changes) for name, changes in SINCUT_PRESETS.items()}
    estimates = []
    for name, settings in sorted(presets.items(), key=lambda item: item[1].num_steps):
        run_name = f"preset {name}, {settings.num_steps} steps"
        if time.perf_counter() - begin < limit:
            estimates.append(Estimate(checkpoint_id, run_name, _training_seconds(pipe, settings)))
        else:
            estimates.append(Estimate(checkpoint_id, run_name, None, _too_late(begin)))
    return estimates


def _training_seconds(pipe: SinCUTPipeline, settings: SinCUTSettings) -> float:
    """Two steps times their number: the first of a run has the R1 penalty, as every `r1_every`-th has."""
    generator = torch.Generator().manual_seed(0)
    image, exemplar = torch.rand(2, 3, 256, 256, generator=generator)
    pipe.start(image, exemplar, settings=settings, generator=generator).step()  # chooses kernels
    run = pipe.start(image, exemplar, settings=settings, generator=generator)
    penalized, plain = run.step().seconds, run.step().seconds
    return round(settings.num_steps * (plain + (penalized - plain) / settings.r1_every), 3)


def estimate_many_class(checkpoint_id: str, pipe: DeepI2IPipeline) -> list[Estimate]:
    """Time the translation of one picture into one class, and by one batch of classes into all of them.

    Args:
        checkpoint_id: named in the estimates.
        pipe: on its device.
    """
    image, num_classes = _picture(), len(pipe.class_names)
    pipe(image, 0)  # converts the weights
    single, output = _seconds(pipe, image, 0)
    precision = output.arguments["precision"]
    estimates = [Estimate(checkpoint_id, f"one picture to one class in {precision}", round(single, 3))]
    if num_classes > 1:
        size = choose_batch_size(pipe.generator, pipe._execution_device, PRECISIONS[precision], num_classes)
        _seconds(pipe, image, list(range(size)))  # a first batch of a size also chooses its kernels
        batch, _ = _seconds(pipe, image, list(range(size)))
        seconds = round(batch * math.ceil(num_classes / size), 3)
        run = f"one picture to all {num_classes} classes in {precision}"
        estimates.append(Estimate(checkpoint_id, run, seconds))
    return estimates


def _seconds(pipe: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    output = pipe(*arguments)
    return time.perf_counter() - start, output


def _too_late(begin: float) -> str:
    return f"not measured: {time.perf_counter() - begin:.0f} s of probing were over"


def _picture() -> Tensor:
    return torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
