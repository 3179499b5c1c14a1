"""OEFT: online exemplar fine-tuning (Kang et al.), optimized on the given pair of images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.modeling_utils import ModelMixin

from pipelines.base import StepCallback, TranslationPipeline, call_step_callback, new_generator
from pipelines.hub.precision import fast_precision
from pipelines.images.formats import ImageInput, ReadImage, read_images
from pipelines.images.limits import ImageError
from pipelines.images.output import check_output_type
from pipelines.networks.resnet import ResNetBackbone
from pipelines.networks.vgg import VGGBackbone
from pipelines.networks.working_copy import WorkingCopies
from pipelines.oeft.chosen_settings import choose_inversion_settings, choose_settings
from pipelines.oeft.domain import DomainStatistics
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.output import OEFTOutput
from pipelines.oeft.priors import GENERATORS, prior_of
from pipelines.oeft.refinement import Refinement, Refiner
from pipelines.oeft.restoration import InversionOutput, inverted, make_task, read_mask
from pipelines.oeft.run import OEFTRun
from pipelines.oeft.settings import OEFTSettings

MAX_ASPECT = 8  # of a narrower image the deepest layer would see less than one place across


class OEFTPipeline(TranslationPipeline):
    """Exemplar-based translation by correspondence fine-tuning (OEFT sec. 3.2).

    Two copies of a pretrained backbone are fine-tuned on the source and the exemplar until places of the one find
    their counterparts in the other; the exemplar's colors are then brought to the source's places. With a prior, the
    warp is refined by multiple GAN inversion (sec. 3.3). The registered networks are never changed.

    Args:
        backbone: A `VGGBackbone` or a `ResNetBackbone`.
        prior: A generator of the domain, one of `pipelines.oeft.priors.GENERATORS`; None: warps only.
        domain: Statistics of natural pictures of that domain, by which hypotheses are judged.
        preset: Name of the default settings, see `pipelines.oeft.settings`.
        prior_class: Class of a prior that has classes.
        refine_settings: Changes to the defaults of refining warps that suit the prior, by name.
    """

    network_classes: ClassVar[dict[str, type]] = {
        "VGGBackbone": VGGBackbone,
        "ResNetBackbone": ResNetBackbone,
        "DomainStatistics": DomainStatistics,
        **GENERATORS,
    }
    _optional_components = ["prior", "domain"]  # noqa: RUF012 (diffusers reads a list)

    def __init__(
        self,
        backbone: ModelMixin,
        prior: ModelMixin | None = None,
        domain: DomainStatistics | None = None,
        preset: str = "balanced",
        prior_class: int = 0,
        refine_settings: dict[str, Any] | None = None,
    ):
        super().__init__()
        OEFTSettings.preset(preset)  # refuses an unknown name
        InversionSettings.preset("balanced", **(refine_settings or {}))
        if prior is not None:
            prior_of(prior, prior_class)
        self.register_modules(backbone=backbone, prior=prior, domain=domain)
        self.register_to_config(preset=preset, prior_class=prior_class, refine_settings=refine_settings)
        self._copies = {"backbone": WorkingCopies(), "prior": WorkingCopies()}

    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        exemplar: ImageInput | Sequence[ImageInput],
        num_steps: int | None = None,
        preset: str | None = None,
        settings: OEFTSettings | Mapping[str, Any] | None = None,
        refine: bool | None = None,
        num_refine_steps: int | None = None,
        refine_settings: InversionSettings | Mapping[str, Any] | str | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> OEFTOutput | tuple:
        """Translate images so that they look like their exemplars.

        Every pair is optimized on its own, one after the other: a batch gives what its pairs give alone when every
        pair has a generator of its own.

        Args:
            image: What gives the structure: one image, or a list, a folder, a batch. See
                `pipelines.images.formats.read_images` for what an image may be.
            exemplar: What gives the style: one for all images, or one for each. Sizes may differ.
            num_steps: Steps of fine-tuning; 0 warps with the pretrained features. None: as the preset has it.
            preset: "paper", "balanced" or "fast"; None: the checkpoint's default.
            settings: Changes to the preset by name, such as `{"augment": False}`; or an `OEFTSettings`, which is all
                settings at once, instead of a preset.
            refine: Whether the warp is refined; None: where the checkpoint has a prior.
            num_refine_steps: Steps of every hypothesis; None: as the settings have it.
            refine_settings: Changes by name to the checkpoint's settings of refinement, such as
                `{"hypotheses": [[6, 20]]}`; the name of a preset; or an `InversionSettings`, which is all of them.
            generator: Source of the random numbers; a list holds one for each pair. None: a new one with a random
                seed. The global random state is neither used nor changed.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every step; the steps of all pairs
                are counted through, from 0. `tensors["warped"]` is the newest warp, (1, 3, h, w) in [-1, 1], and
                `tensors["loss"]` the loss of the step; in refinement `tensors["refined"]` is the best picture so far,
                (1, 3, R, R) in [-1, 1]. It may return `{"stop": True}`: the pairs that were begun end with their best
                so far, the others are warped without fine-tuning.

        Returns:
            `OEFTOutput`: `.images`, `.warped`, `.hypotheses`, `.chosen`, `.correspondence(x, y, index)`, `.notes`.

        Raises:
            ImageError: An image cannot be used, or the numbers of images and exemplars do not fit.
            ValueError: An argument is out of its range.
            RuntimeError: Under `torch.inference_mode`.
            DivergedError: A loss is no longer finite.
        """
        check_output_type(output_type)
        settings = choose_settings(self.config["preset"], num_steps, preset, settings)
        refiner = self._refiner_of_warps(refine, num_refine_steps, refine_settings)
        pairs, generators = self.check_inputs(image, exemplar, generator)
        num_steps = settings.num_steps + (0 if refiner is None else refiner.num_steps)
        total = num_steps * len(pairs)
        outputs, stopped = [], False
        with self.progress_bar(total=total) as progress:
            for (source, target), own_generator in zip(pairs, generators, strict=True):
                run = OEFTRun(self.backbone, source, target, settings, own_generator, refiner)
                first = len(outputs) * num_steps
                stopped = stopped or self._step(run, first, total, progress, callback_on_step_end)
                outputs.append(run.result(output_type))
        self.maybe_free_model_hooks()
        output = OEFTOutput.join(outputs)
        return output if return_dict else output.to_tuple()

    def start(
        self,
        image: ImageInput,
        exemplar: ImageInput,
        num_steps: int | None = None,
        preset: str | None = None,
        settings: OEFTSettings | Mapping[str, Any] | None = None,
        refine: bool | None = None,
        num_refine_steps: int | None = None,
        refine_settings: InversionSettings | Mapping[str, Any] | str | None = None,
        generator: torch.Generator | None = None,
    ) -> OEFTRun:
        """Begin with one pair and leave the stepping to the caller: for live previews. Arguments as in `__call__`.

        Raises:
            ImageError, ValueError, RuntimeError: As `__call__`.
        """
        settings = choose_settings(self.config["preset"], num_steps, preset, settings)
        refiner = self._refiner_of_warps(refine, num_refine_steps, refine_settings)
        pairs, generators = self.check_inputs(image, exemplar, generator)
        if len(pairs) != 1:
            raise ImageError(f"`image` holds {len(pairs)} images; `start` takes one pair.")
        return OEFTRun(self.backbone, *pairs[0], settings, generators[0], refiner)

    def invert(
        self,
        image: ImageInput | Sequence[ImageInput],
        degradation: str = "none",
        mask: Any = None,
        factor: int | None = None,
        num_steps: int | None = None,
        settings: InversionSettings | Mapping[str, Any] | str | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> InversionOutput:
        """Find the prior's picture behind a given one (OEFT eq. 12; mGANprior sec. 4).

        Args:
            image: One image, a list, a folder or a batch, of the prior's domain and framed as its pictures are.
            degradation: "none"; "super-resolution" of a small image; "colorization" of a gray one; "inpainting".
            mask: For inpainting: a picture of the image's size, white where pixels are missing.
            factor: Of super-resolution, 4 by default: the image is taken as that many times smaller than the prior's.
            num_steps: Steps of every hypothesis; None: as the settings have it.
            settings: As `refine_settings` of `__call__`; but what the checkpoint has is for warps, and left out here.
            generator: Source of the random numbers; None: a new one with a random seed.
            output_type: "pil", "np" or "pt".
            callback_on_step_end: As in `__call__`; `tensors["refined"]` is the best picture so far. When it says stop,
                the images that were not begun have one step each.

        Returns:
            `InversionOutput`: `.images`, `.hypotheses`, `.chosen`, `.notes`. Colorization keeps the image's luma and
            inpainting its known pixels; the others are pictures of the prior, enlarged to the image's size.

        Raises:
            ImageError: An image cannot be used.
            ValueError: An argument is out of its range, or the checkpoint has no prior.
            DivergedError: A loss is no longer finite.
        """
        check_output_type(output_type)
        refiner = self._refiner({}, num_steps, settings)
        if generator is None:
            generator = new_generator()
        tasks = []
        for each in (images := read_images(image)):
            missing = None if mask is None else read_mask(mask, each.height, each.width).to(self.backbone.device)
            pixels = each.pixels[None].to(self.backbone.device)
            tasks.append(make_task(pixels, refiner.resolution, degradation, missing, factor))
        total = refiner.num_steps * len(tasks)
        outputs, stopped = [], False
        with self.progress_bar(total=total) as progress:
            for each, task in zip(images, tasks, strict=True):
                run = refiner.begin(task.target, task.degrade, generator)
                if stopped:
                    run.step()  # there is no picture before the first
                else:
                    first = len(outputs) * refiner.num_steps
                    stopped = self._step(run, first, total, progress, callback_on_step_end)
                outputs.append(inverted(run, task, each.notes, output_type))
        self.maybe_free_model_hooks()
        return InversionOutput.join(outputs)

    def _step(
        self, run: OEFTRun | Refinement, first: int, total: int, progress: Any, callback: StepCallback | None
    ) -> bool:
        """Step a run until it is done, or the callback says stop; True then. Its steps count from `first`."""
        while not run.done:
            report = run.step()
            progress.update()
            tensors = {**run.tensors(), "loss": torch.tensor(report.loss)}
            if call_step_callback(callback, self, first + report.step - 1, total, tensors):
                return True
        return False

    def check_inputs(
        self,
        image: ImageInput | Sequence[ImageInput],
        exemplar: ImageInput | Sequence[ImageInput],
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> tuple[list[tuple[ReadImage, ReadImage]], list[torch.Generator]]:
        """Read the images and pair them with each other and with generators; arguments as in `__call__`.

        Raises:
            ImageError: An image cannot be used, or the numbers of images and exemplars do not fit.
            ValueError: The number of generators does not fit.
        """
        sources, exemplars = read_images(image), read_images(exemplar, name="exemplar")
        if len(exemplars) == 1:
            exemplars = exemplars * len(sources)
        if len(sources) != len(exemplars):
            raise ImageError(
                f"`image` holds {len(sources)} images and `exemplar` {len(exemplars)}; give one exemplar for all "
                "images, or one for each."
            )
        for name, images in (("image", sources), ("exemplar", exemplars)):
            for each in images:
                if max(each.height, each.width) > MAX_ASPECT * min(each.height, each.width):
                    raise ImageError(
                        f"`{name}` is {each.width} x {each.height} pixels; one side may be at most {MAX_ASPECT} times "
                        "the other."
                    )
        if generator is None:
            generator = new_generator()
        generators = generator if isinstance(generator, list) else [generator] * len(sources)
        if len(generators) != len(sources):
            raise ValueError(f"`generator` holds {len(generators)} generators for {len(sources)} images.")
        return list(zip(sources, exemplars, strict=True)), generators

    def _refiner_of_warps(
        self,
        refine: bool | None,
        num_steps: int | None,
        settings: InversionSettings | Mapping[str, Any] | str | None,
    ) -> Refiner | None:
        """How a warp is refined; None where it is not."""
        is_left_out = refine is False and self.prior is not None
        is_asked_for = refine or num_steps is not None or settings is not None
        if is_left_out or (self.prior is None and not is_asked_for):
            return None
        return self._refiner(self.config["refine_settings"], num_steps, settings)

    def _refiner(
        self,
        defaults: Mapping[str, Any] | None,
        num_steps: int | None,
        settings: InversionSettings | Mapping[str, Any] | str | None,
    ) -> Refiner:
        """What inverts with the prior.

        Raises:
            ValueError: There is none, or a setting is unknown or out of its range.
        """
        if self.prior is None:
            raise ValueError(
                "This checkpoint has no prior, which refinement and `invert` need: `python -m pipelines add-prior` "
                "gives it one."
            )
        chosen = choose_inversion_settings(defaults, num_steps, settings)
        device = self.backbone.device
        generator = self._copies["prior"].get(self.prior, device, fast_precision(device))
        backbone = self._copies["backbone"].get(self.backbone, device, torch.float32)
        return Refiner(prior_of(generator, self.config["prior_class"]), backbone, self.domain, chosen)
