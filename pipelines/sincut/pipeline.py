"""SinCUT: translation between two single pictures (Park et al.), trained on these two alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch

from pipelines.base import StepCallback, TranslationPipeline, call_step_callback, new_generator
from pipelines.hub.devices import pick_device
from pipelines.images.formats import ImageInput, ReadImage, read_images, to_output
from pipelines.images.limits import ImageError
from pipelines.images.output import check_output_type
from pipelines.networks.working_copy import WorkingCopies
from pipelines.sincut.networks import SinCUTGenerator
from pipelines.sincut.output import SinCUTOutput
from pipelines.sincut.run import SinCUTRun
from pipelines.sincut.settings import SinCUTSettings, with_length
from pipelines.sincut.strips import translate_in_strips


class SinCUTPipeline(TranslationPipeline):
    """Single-image translation (CUT sec. 4.3, appendix B): a generator learns from crops of two pictures.

    With an exemplar, a call trains networks of its own and returns them in `.pipeline`; the registered generator is
    neither used nor changed. Without one, the registered generator translates.

    Args:
        generator: A trained `SinCUTGenerator`; None: the pipeline is untrained.
        preset: Name of the default settings, see `pipelines.sincut.settings`.
    """

    network_classes: ClassVar[dict[str, type]] = {"SinCUTGenerator": SinCUTGenerator}
    model_cpu_offload_seq = "generator"
    _optional_components: ClassVar[list[str]] = ["generator"]

    def __init__(self, generator: SinCUTGenerator | None = None, preset: str = "cpu"):
        super().__init__()
        SinCUTSettings.preset(preset)  # refuses an unknown name
        self.register_modules(generator=generator)
        self.register_to_config(preset=preset)
        self._copies = WorkingCopies()
        self._place: torch.device | None = None

    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        exemplar: ImageInput | None = None,
        num_steps: int | None = None,
        preset: str | None = None,
        settings: SinCUTSettings | Mapping[str, Any] | None = None,
        minutes: float | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> SinCUTOutput | tuple:
        """Translate a picture into the kind of picture that the exemplar is, or more pictures with what was learned.

        The same seed and number of steps give the same pixels. Nothing is random in a translation itself: the noise
        of the training, where there is any, stays away.

        Args:
            image: The picture to translate; without an exemplar also a list, a folder, a batch, and sizes may differ.
                See `pipelines.images.formats.read_images` for what a picture may be.
            exemplar: The one picture of the other domain. None: translate with the registered generator.
            num_steps: Steps of training. None: as `minutes` or the preset has it.
            preset: "paper" or "cpu"; None: the checkpoint's default.
            settings: Changes to the preset by name, such as `{"crop_size": 128}`; or a `SinCUTSettings`, which is all
                settings at once, instead of a preset.
            minutes: Time of training, instead of steps; 5, 20 and 60 are usual. The number of steps is fixed after
                a tenth of it. `.arguments` of the output says how many it were, for a repetition.
            generator: Source of the random numbers, on the CPU. None: a new one with a random seed. The global random
                state is neither used nor changed.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every step, counted from 0;
                `tensors` holds the losses by name. It may return `{"stop": True}`: the training ends there. Without
                an exemplar after every picture, with `tensors["image"]`, (1, 3, H, W) in [-1, 1].

        Returns:
            `SinCUTOutput`: `.images`, `.notes`, `.pipeline`, `.arguments`.

        Raises:
            ImageError: An image cannot be used, or more than one pair is given.
            ValueError: An argument is out of its range, or needs an exemplar; or there is no exemplar and the pipeline
                is untrained.
            RuntimeError: Under `torch.inference_mode`, with an exemplar.
            DivergedError: A loss is no longer finite.
        """
        check_output_type(output_type)
        if exemplar is None:
            given = {"num_steps": num_steps, "preset": preset, "settings": settings, "minutes": minutes}
            output = self._translate(image, given, output_type, callback_on_step_end)
        else:
            run = self.start(image, exemplar, num_steps, preset, settings, minutes, generator)
            output = self._train(run, output_type, callback_on_step_end)
        self.maybe_free_model_hooks()
        return output if return_dict else output.to_tuple()

    def start(
        self,
        image: ImageInput,
        exemplar: ImageInput,
        num_steps: int | None = None,
        preset: str | None = None,
        settings: SinCUTSettings | Mapping[str, Any] | None = None,
        minutes: float | None = None,
        generator: torch.Generator | None = None,
    ) -> SinCUTRun:
        """Begin a training and leave the stepping to the caller: for live previews. Arguments as in `__call__`.

        Raises:
            ImageError, ValueError, RuntimeError: As `__call__`.
        """
        chosen = self._settings(num_steps, preset, settings, minutes)
        source, target, generator = self.check_inputs(image, exemplar, generator)
        return SinCUTRun(
            source,
            target,
            chosen,
            preset or self.config["preset"],
            generator,
            self._execution_device,
            wrap=lambda network: type(self)(network, self.config["preset"]),
        )

    def check_inputs(
        self, image: ImageInput, exemplar: ImageInput, generator: torch.Generator | None
    ) -> tuple[ReadImage, ReadImage, torch.Generator]:
        """Read the pair; arguments as in `__call__`.

        Raises:
            ImageError: An image cannot be used, or there is more than one of a kind.
            ValueError: The generator is not on the CPU.
        """
        pair = []
        for name, value in (("image", image), ("exemplar", exemplar)):
            images = read_images(value, name=name)
            if len(images) > 1:
                raise ImageError(
                    f"`{name}` holds {len(images)} images; SinCUT trains on one pair. Train on one, and translate "
                    "the others with `.pipeline` of the output."
                )
            pair += images
        if generator is None:
            generator = new_generator()
        if generator.device.type != "cpu":
            raise ValueError(f"`generator` is on {generator.device}; one on the CPU is accepted.")
        return pair[0], pair[1], generator

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move as `DiffusionPipeline.to` does; an untrained pipeline, which has nothing to move, trains there."""
        where = {name: value for name, value in kwargs.items() if name in ("device", "dtype")}
        self._place = torch.empty(0).to(*args, **where).device
        return super().to(*args, **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the generator is; of an untrained pipeline where it trains, the best device here by default."""
        return (self._place or pick_device()) if self.generator is None else super().device

    def _train(self, run: SinCUTRun, output_type: str, callback: StepCallback | None) -> SinCUTOutput:
        stopped = False
        with self.progress_bar(total=run.num_steps or 1) as progress:
            while not (run.done or stopped):
                report = run.step()
                progress.total = report.num_steps
                progress.update()
                tensors = {name: torch.tensor(value) for name, value in report.losses.items()}
                stopped = call_step_callback(callback, self, report.step - 1, report.num_steps, tensors)
        return run.result(output_type)

    def _translate(
        self,
        image: ImageInput | Sequence[ImageInput],
        given: Mapping[str, Any],
        output_type: str,
        callback: StepCallback | None,
    ) -> SinCUTOutput:
        """Translate with the registered generator; `given` are arguments that only a training takes."""
        if self.generator is None:
            raise ValueError(
                "`exemplar` is missing: this pipeline is untrained. Give the one picture of the other domain to train "
                "on, or load a pipeline that was trained and saved."
            )
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"`{name}` is given without `exemplar`; only a training takes it.")
        network = self._copies.get(self.generator, self._execution_device, torch.float32)
        sources = read_images(image)
        results = []
        with self.progress_bar(total=len(sources)) as progress:
            for step, source in enumerate(sources):
                results.append(translate_in_strips(network, source.pixels[None]))
                progress.update()
                if call_step_callback(callback, self, step, len(sources), {"image": results[-1]}):
                    break
        images = to_output([result[0] for result in results], output_type)
        return SinCUTOutput(images, [source.notes for source in sources[: len(results)]], self, {})

    def _settings(
        self,
        num_steps: int | None,
        preset: str | None,
        settings: SinCUTSettings | Mapping[str, Any] | None,
        minutes: float | None,
    ) -> SinCUTSettings:
        given = {"num_steps": num_steps, "minutes": minutes}
        length = {name: value for name, value in given.items() if value is not None}
        if not isinstance(settings, SinCUTSettings):
            return SinCUTSettings.preset(preset or self.config["preset"], **{**(settings or {}), **length})
        if preset is not None:
            raise ValueError("`preset` and a `SinCUTSettings` are both given; give one, or change the preset by name.")
        return replace(settings, **with_length(length))
