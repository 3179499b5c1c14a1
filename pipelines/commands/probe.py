"""How long a run will take here, from a few real steps of it."""

import time
from dataclasses import dataclass

import torch

from pipelines.oeft.pipeline import OEFTPipeline
from pipelines.oeft.settings import PRESETS

PROBE_SECONDS = 6.0  # no further measurement begins after that


@dataclass(frozen=True)
class Estimate:
    """What one run of a checkpoint will take.

    Attributes:
        checkpoint: its id.
        run: what is run, in words.
        estimated_seconds: for one pair of images of 256 x 256 pixels; None where it was not measured.
        reason: why it was not measured.
    """

    checkpoint: str
    run: str
    estimated_seconds: float | None
    reason: str | None = None


def estimate_exemplar(checkpoint_id: str, pipe: OEFTPipeline, limit: float = PROBE_SECONDS) -> list[Estimate]:
    """Estimate a run with every preset: the second of two steps times their number, plus start and rendering.

    Args:
        checkpoint_id: named in the estimates.
        pipe: on its device.
        limit: seconds after which no further preset is begun, and no second step; the presets begin with the shortest.
    """
    generator = torch.Generator().manual_seed(0)
    image, exemplar = torch.rand(2, 3, 256, 256, generator=generator)
    begin = time.perf_counter()
    rendering: dict[tuple, float] = {}  # seconds; presets that render alike are measured once
    estimates = []
    for name, settings in sorted(PRESETS.items(), key=lambda item: item[1].num_steps):
        run_name = f"preset {name}, {settings.num_steps} steps"
        if time.perf_counter() - begin > limit:
            reason = f"not measured: the {limit:.0f} s of the probe were over"
            estimates.append(Estimate(checkpoint_id, run_name, None, reason))
            continue
        start = time.perf_counter()
        run = pipe.start(image, exemplar, settings=settings, generator=generator)
        starting = time.perf_counter() - start
        step = run.step().seconds  # grows the heap and picks kernels: the second one counts where there is time
        if time.perf_counter() - begin < limit:
            step = run.step().seconds
        how = (settings.size, settings.render_grid, settings.taps)
        if how not in rendering:
            start = time.perf_counter()
            run.result()
            rendering[how] = time.perf_counter() - start
        seconds = starting + settings.num_steps * step + rendering[how]
        estimates.append(Estimate(checkpoint_id, run_name, round(seconds, 1)))
    return estimates
