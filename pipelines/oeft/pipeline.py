"""OEFT: online exemplar fine-tuning (Kang et al.), optimized on the given pair of images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from diffusers.models.modeling_utils import ModelMixin

from pipelines.base import StepCallback, TranslationPipeline, call_step_callback
from pipelines.images.formats import ImageInput, ReadImage, read_images
from pipelines.images.limits import ImageError
from pipelines.images.output import check_output_type
from pipelines.networks.resnet import ResNetBackbone
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.output import OEFTOutput
from pipelines.oeft.run import OEFTRun
from pipelines.oeft.settings import OEFTSettings

MAX_ASPECT = 8  # of a narrower image the deepest layer would see less than one place across


class OEFTPipeline(TranslationPipeline):
    """Exemplar-based translation by correspondence fine-tuning (OEFT sec. 3.2).

    Two copies of a pretrained backbone are fine-tuned on the source and the exemplar until places of the one find
    their counterparts in the other; the exemplar's colors are then brought to the source's places. The registered
    backbone is never changed.

    Args:
        backbone: A `VGGBackbone` or a `ResNetBackbone`.
        preset: Name of the default settings, see `pipelines.oeft.settings`.
    """

    network_classes: ClassVar[dict[str, type]] = {"VGGBackbone": VGGBackbone, "ResNetBackbone": ResNetBackbone}

    def __init__(self, backbone: ModelMixin, preset: str = "balanced"):
        super().__init__()
        OEFTSettings.preset(preset)  # refuses an unknown name
        self.register_modules(backbone=backbone)
        self.register_to_config(preset=preset)

    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        exemplar: ImageInput | Sequence[ImageInput],
        num_steps: int | None = None,
        preset: str | None = None,
        settings: OEFTSettings | Mapping[str, Any] | None = None,
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
            generator: Source of the random numbers; a list holds one for each pair. None: a new one with a random
                seed. The global random state is neither used nor changed.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every step; the steps of all pairs
                are counted through, from 0. `tensors["warped"]` is the newest warp, (1, 3, h, w) in [-1, 1], and
                `tensors["loss"]` its total loss. It may return `{"stop": True}`: the pairs that were begun end with
                their best so far, the others are warped without fine-tuning.

        Returns:
            `OEFTOutput`: `.images`, `.warped`, `.correspondence(x, y, index)`, `.notes`.

        Raises:
            ImageError: An image cannot be used, or the numbers of images and exemplars do not fit.
            ValueError: An argument is out of its range.
            RuntimeError: Under `torch.inference_mode`.
            DivergedError: A loss is no longer finite.
        """
        check_output_type(output_type)
        settings = self._settings(num_steps, preset, settings)
        pairs, generators = self.check_inputs(image, exemplar, generator)
        total = settings.num_steps * len(pairs)
        outputs, stopped = [], False
        with self.progress_bar(total=total) as progress:
            for (source, target), own_generator in zip(pairs, generators, strict=True):
                run = OEFTRun(self.backbone, source, target, settings, own_generator)
                while not (run.done or stopped):
                    report = run.step()
                    progress.update()
                    tensors = {"warped": run.warped(), "loss": torch.tensor(report.losses["total"])}
                    step = len(outputs) * settings.num_steps + report.step - 1
                    stopped = call_step_callback(callback_on_step_end, self, step, total, tensors)
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
        generator: torch.Generator | None = None,
    ) -> OEFTRun:
        """Begin with one pair and leave the stepping to the caller: for live previews. Arguments as in `__call__`.

        Raises:
            ImageError, ValueError, RuntimeError: As `__call__`.
        """
        settings = self._settings(num_steps, preset, settings)
        pairs, generators = self.check_inputs(image, exemplar, generator)
        if len(pairs) != 1:
            raise ImageError(f"`image` holds {len(pairs)} images; `start` takes one pair.")
        return OEFTRun(self.backbone, *pairs[0], settings, generators[0])

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
            generator = torch.Generator()
            generator.seed()
        generators = generator if isinstance(generator, list) else [generator] * len(sources)
        if len(generators) != len(sources):
            raise ValueError(f"`generator` holds {len(generators)} generators for {len(sources)} images.")
        return list(zip(sources, exemplars, strict=True)), generators

    def _settings(
        self, num_steps: int | None, preset: str | None, settings: OEFTSettings | Mapping[str, Any] | None
    ) -> OEFTSettings:
        steps = {} if num_steps is None else {"num_steps": num_steps}
        if not isinstance(settings, OEFTSettings):
            return OEFTSettings.preset(preset or self.config["preset"], **{**(settings or {}), **steps})
        if preset is not None:
            raise ValueError("`preset` and an `OEFTSettings` are both given; give one, or change the preset by name.")
        return replace(settings, **steps)
