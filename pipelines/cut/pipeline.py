"""CUT: unpaired translation of single pictures (Park et al.), one pass through a trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from pipelines.base import StepCallback, TranslationOutput, TranslationPipeline, call_step_callback
from pipelines.cut.networks import ResnetGenerator
from pipelines.images.formats import ImageInput, crop_padding, pad_to_multiple, read_images, to_output
from pipelines.images.output import check_output_type


class CUTPipeline(TranslationPipeline):
    """Translation by the generator of CUT, FastCUT or CycleGAN.

    Args:
        generator: a trained `ResnetGenerator`; it is never changed.
    """

    network_classes: ClassVar[dict[str, type]] = {"ResnetGenerator": ResnetGenerator}
    model_cpu_offload_seq = "generator"

    def __init__(self, generator: ResnetGenerator):
        super().__init__()
        self.register_modules(generator=generator)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> TranslationOutput | tuple:
        """Translate pictures of any sizes, one after the other; each result has the size of its picture."""
        check_output_type(output_type)
        images = read_images(image)
        results = []
        for number, source in enumerate(images):
            padded, padding = pad_to_multiple(source.pixels[None], 8 if min(source.height, source.width) <= 4 else 4)
            result = crop_padding(self.generator(padded.to(self._execution_device, self.generator.dtype)), padding)
            results.append(result[0].float().cpu())
            if call_step_callback(callback_on_step_end, self, number, len(images), {"image": result}):
                break
        self.maybe_free_model_hooks()
        output = TranslationOutput(images=to_output(results, output_type))
        return output if return_dict else output.to_tuple()
