"""One run of the Exemplar tab, away from the screen: it may be computed in a forked worker that has the GPU.

So everything that goes in and comes out can be pickled and lies on the CPU.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from demo.devices import device_manager, on_gpu
from demo.exemplar_clock import StageClock
from demo.pictures import to_pil
from pipelines.images.provenance import make_record
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.output import CorrespondenceLookup, Hypothesis
from pipelines.oeft.run import OEFTRun

SECONDS_BETWEEN_PREVIEWS = 0.25
REFINE_STEPS = InversionSettings().num_steps


@dataclass(frozen=True)
class Job:
    """What a visitor asked for.

    Attributes:
        checkpoint: an id of the registry.
        image: the source: a file, or a picture.
        exemplar: likewise.
        names: file names of the two, for the record.
        preset: a name of `PRESETS`.
        num_steps: at most so many steps of fine-tuning.
        augment: the switch of online augmentation.
        seed: of the run's generator.
        stop_file: the run ends with its best so far when this file appears.
        refine: whether the warp is refined, where the checkpoint has a prior.
        num_refine_steps: at most so many steps of refinement.
    """

    checkpoint: str
    image: str | Image.Image
    exemplar: str | Image.Image
    names: tuple[str, str]
    preset: str
    num_steps: int
    augment: bool
    seed: int
    stop_file: Path
    refine: bool = True
    num_refine_steps: int = REFINE_STEPS


@dataclass(frozen=True)
class Preview:
    """A run on its way, and the numbers of the progress line.

    Attributes:
        stage: "warp" or "refine"; None where the warp is all there will be.
        step: of the run, over both stages.
        num_steps: of both stages.
        loss: of the step.
        seconds_left: until the end of the last stage.
        picture: the newest warp, or the best hypothesis so far.
    """

    stage: str | None
    step: int
    num_steps: int
    loss: float
    seconds_left: float
    picture: Image.Image


@dataclass(frozen=True)
class Finished:
    """The end of a run.

    Attributes:
        image: the result: the chosen hypothesis, or the warp.
        warped: the warp at the source's size.
        hypotheses: every refinement of it; none where it was not refined.
        chosen: which of them is the result, by index; None: the warp.
        lookup: where the result's colors came from.
        record: for the PNG, see `pipelines.images.provenance`.
        steps: steps that were done, in both stages.
        best_step: how many updates the networks of the warp have seen.
        stopped: whether the visitor ended it.
        seconds: of the whole run.
    """

    image: Image.Image
    warped: Image.Image
    hypotheses: tuple[Hypothesis, ...]
    chosen: int | None
    lookup: CorrespondenceLookup
    record: dict[str, Any]
    steps: int
    best_step: int
    stopped: bool
    seconds: float


def gpu_seconds(job: Job) -> int:
    """Return how long a run may take on a GPU, with room for loading and for the largest result."""
    per_step = 0.25 if job.preset == "paper" else 0.15
    refining = 0.1 * job.num_refine_steps if job.refine else 0
    return min(120, 20 + round(per_step * job.num_steps + refining))


@on_gpu(duration=gpu_seconds)
def translate(job: Job) -> Iterator[Preview | Finished]:
    """Fine-tune one pair, warp the exemplar and refine the warp where the checkpoint can.

    Yields previews, at most four a second, and at last the result.
    """
    with device_manager().use(job.checkpoint) as pipe:
        generator = torch.Generator().manual_seed(job.seed)
        arguments = _arguments(pipe, job)
        run = pipe.start(job.image, job.exemplar, **arguments, generator=generator)
        warp_steps = run.settings.num_steps
        clock = StageClock(job.checkpoint, {"warp": warp_steps, "refine": run.num_steps - warp_steps})
        steps, shown = 0, 0.0
        while not (run.done or job.stop_file.exists()):
            report = run.step()
            steps = report.step
            clock.tick(report.stage)
            if time.monotonic() - shown >= SECONDS_BETWEEN_PREVIEWS:
                stage = None if run.refine_settings is None else report.stage
                picture = to_pil((run.warped() if report.stage == "warp" else run.refined())[0])
                left = clock.seconds_left()
                yield Preview(stage, steps, run.num_steps, report.losses["total"], left, picture)
                shown = time.monotonic()
        output = run.result()
        notes = list(dict.fromkeys(output.notes[0]))
        yield Finished(
            output.images[0],
            output.warped[0],
            output.hypotheses[0],
            output.chosen[0],
            output.lookups[0],
            _record(pipe, run, job, _repeating(arguments, run, steps), notes),
            steps,
            run.best_step,
            stopped=not run.done,
            seconds=clock.seconds(),
        )


def _arguments(pipe: Any, job: Job) -> dict[str, Any]:
    """The arguments of the pipeline's call; those of refinement only where there is a prior."""
    arguments: dict[str, Any] = {"preset": job.preset, "num_steps": job.num_steps}
    if not job.augment:
        arguments["settings"] = {"augment": False}
    if pipe.prior is None:
        return arguments
    return {**arguments, "refine": job.refine} | ({"num_refine_steps": job.num_refine_steps} if job.refine else {})


def _repeating(arguments: dict[str, Any], run: OEFTRun, steps: int) -> dict[str, Any]:
    """The arguments that repeat a run, also one that was stopped after so many steps."""
    warp_steps = min(steps, run.settings.num_steps)
    arguments = {**arguments, "num_steps": warp_steps}
    settings, refine_steps = run.refine_settings, steps - warp_steps
    if settings is None or refine_steps == settings.num_steps:
        return arguments
    if refine_steps == 0:
        del arguments["num_refine_steps"]
        return {**arguments, "refine": False}
    # Hypotheses are given up from the same step on, which is another share of fewer steps.
    first = math.ceil(settings.drop_after * settings.num_steps)
    drop_after = max(0.0, first - 0.5) / refine_steps
    return {**arguments, "num_refine_steps": refine_steps, "refine_settings": {"drop_after": drop_after}}


def _record(pipe: Any, run: OEFTRun, job: Job, arguments: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Describe the run; `arguments` repeat it."""
    named = [
        replace(image, path=Path(name)) for image, name in zip((run.source, run.exemplar), job.names, strict=True)
    ]
    inputs = {"image": named[:1], "exemplar": named[1:]}
    return make_record(pipe, inputs=inputs, arguments=arguments, seed=job.seed, notes=notes)
