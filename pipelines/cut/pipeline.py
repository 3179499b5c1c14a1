"""CUT: unpaired translation by one pass through a trained generator (Park et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from pipelines.base import StepCallback, TranslationOutput, TranslationPipeline, call_step_callback
from pipelines.cut.networks import ResnetGenerator
from pipelines.cut.strips import translate_in_strips
from pipelines.hub.precision import fast_precision
from pipelines.images.formats import ImageInput, crop_padding, pad_to_multiple, read_images, resize, to_output
from pipelines.images.geometry import enlarge
from pipelines.images.output import check_output_type
from pipelines.networks.working_copy import WorkingCopies

MAX_PIXELS = 1_000_000  # in one piece: 3.1 GB in fp32 and 1.3 GB in bf16, for 64 channels
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class CUTOutput(TranslationOutput):
    """What `CUTPipeline` returns.

    Attributes:
        images: the translated pictures, each at the size of its picture; format by `output_type`.
        notes: sentences on what was done to a picture, one tuple a picture.
        arguments: `size`, `precision`, `max_pixels` and `compile` as they were decided, for provenance: the same
            pixels come out when they are passed again.
    """

    notes: list[tuple[str, ...]]
    arguments: dict[str, Any]


class CUTPipeline(TranslationPipeline):
    """Unpaired translation with a generator that was trained by CUT, FastCUT or CycleGAN.

    The registered generator is never changed: a call computes with a copy in its precision, which is kept until the
    generator's weights change.

    Args:
        generator: a trained `ResnetGenerator`. One with a single input channel sees the picture's luminance; a single
            output channel is a grey picture.
        size: shorter side in pixels that the generator was trained at; larger pictures are reduced to it before they
            are translated, and the result is enlarged, because stripes or fur have their size in pixels. None:
            pictures are translated as they are.

    Raises:
        ValueError: the generator has other than 1 or 3 channels.
    """

    network_classes: ClassVar[dict[str, type]] = {"ResnetGenerator": ResnetGenerator}
    model_cpu_offload_seq = "generator"

    def __init__(self, generator: ResnetGenerator, size: int | None = None):
        super().__init__()
        for name in ("in_channels", "out_channels"):
            if generator.config[name] not in (1, 3):
                raise ValueError(
                    f"`generator` has {generator.config[name]} {name}; pictures have 3, and 1 is taken for grey."
                )
        self.register_modules(generator=generator)
        self.register_to_config(size=size)
        self._copies = WorkingCopies()

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        size: int | None = None,
        precision: str | None = None,
        max_pixels: int | None = None,
        compile: bool = False,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> CUTOutput | tuple:
        """Translate pictures of any sizes, one after the other; every result has the size of its picture.

        Args:
            image: one picture, or a list, a folder, a batch; sizes may differ. See
                `pipelines.images.formats.read_images` for what a picture may be.
            size: shorter side in pixels at which to translate; larger pictures are reduced to it and their results
                enlarged. 0: every picture as it is. None: as the checkpoint was trained.
            precision: "fp32" or "bf16"; None: bf16 where the device computes faster in it. On photographs a trained
                generator's bf16 was 55 dB from its fp32; with random weights of full contrast it is 44 dB.
            max_pixels: larger pictures are translated in strips, in bounded memory; that agrees with the whole
                picture to rounding. None: 1,000,000 pixels, on every machine.
            compile: compile the generator, for many pictures of one size: the first one takes longer (256 x 256
                pixels on two cores: 26 s), the others are faster (0.085 s instead of 0.186 s). The first eight
                sizes are compiled, each anew; pictures in strips never are. A CPU needs a C++ compiler.
            generator: not used, nothing here is random; every pipeline takes one.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every picture, counted from 0;
                `tensors["image"]` is its result, (1, 3, H, W) in [-1, 1]. It may return `{"stop": True}`: the
                pictures so far are returned.

        Returns:
            `CUTOutput`: `.images`, `.notes`, `.arguments`.

        Raises:
            ImageError: a picture or the output type cannot be used; nothing is translated then.
            ValueError: `size`, `precision` or `max_pixels` is out of its range.
        """
        check_output_type(output_type)
        arguments = self._decide(size, precision, max_pixels, compile)
        images = read_images(image)
        network = self._copies.get(
            self.generator, self._execution_device, PRECISIONS[arguments["precision"]], compiled=compile
        )
        results, notes = [], []
        with self.progress_bar(total=len(images)) as progress:
            for step, source in enumerate(images):
                height, width = _working_size(source.height, source.width, arguments["size"])
                in_strips = height * width > arguments["max_pixels"]
                result = _translate(network, resize(source.pixels[None], (height, width)), in_strips)
                reduced = (height, width) != (source.height, source.width)
                if reduced:
                    result = enlarge(result, (source.height, source.width))
                results.append(result[0])
                scaled = (f"Translated at {width} x {height} pixels and enlarged.",) if reduced else ()
                notes.append((*source.notes, *scaled, _route(arguments, in_strips)))
                progress.update()
                if call_step_callback(callback_on_step_end, self, step, len(images), {"image": result}):
                    break
        self.maybe_free_model_hooks()
        output = CUTOutput(to_output(results, output_type), notes, arguments)
        return output if return_dict else output.to_tuple()

    def _decide(
        self, size: int | None, precision: str | None, max_pixels: int | None, compile: bool
    ) -> dict[str, Any]:
        """The arguments that decide about pixels, with what None stands for here."""
        if size is None:
            size = self.config["size"] or 0
        elif isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"`size` is {size!r}; a whole number of pixels, 0 for none, or None, is accepted.")
        if precision is None:
            precision = "bf16" if fast_precision(self._execution_device) is torch.bfloat16 else "fp32"
        elif precision not in PRECISIONS:
            raise ValueError(f"`precision` is {precision!r}; one of {', '.join(PRECISIONS)}, or None, is accepted.")
        if max_pixels is None:
            max_pixels = MAX_PIXELS
        elif isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
            raise ValueError(
                f"`max_pixels` is {max_pixels!r}; a whole number of pixels above 0, or None, is accepted."
            )
        return {"size": size, "precision": precision, "max_pixels": max_pixels, "compile": bool(compile)}


def _working_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width at which to translate: the shorter one `size`, but never larger than the picture."""
    shorter = min(height, width)
    if not size or shorter <= size:
        return height, width
    return round(height * size / shorter), round(width * size / shorter)


def _translate(network: ResnetGenerator, pixels: Tensor, in_strips: bool) -> Tensor:
    """(1, 3, H, W) of any size, in [-1, 1], to the same size, on the CPU in fp32."""
    narrow = min(pixels.shape[-2:]) <= network.multiple  # the deepest map needs two rows for its reflected border
    if network.config["in_channels"] == 1:
        pixels = rgb_to_grayscale(pixels)
    padded, padding = pad_to_multiple(pixels, network.multiple * 2 if narrow else network.multiple)
    padded = padded.to(network.device, network.dtype).contiguous(memory_format=torch.channels_last)
    with torch.autocast(network.device.type, enabled=False):  # a caller's would change the precision
        result = translate_in_strips(network, padded) if in_strips else network(padded)
    return crop_padding(result, padding).float().cpu().expand(-1, 3, -1, -1)


def _route(arguments: dict[str, Any], in_strips: bool) -> str:
    how = "strips, with the statistics of the whole picture" if in_strips else "one piece"
    compiled = ", compiled" if arguments["compile"] and not in_strips else ""
    return f"Computed in {arguments['precision']}{compiled}, in {how}."
