"""DeepI2I on StyleGAN: translation of a picture into the domain of an unconditional generator (appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipelines.base import StepCallback, new_generator
from pipelines.deepi2i.adaptor_pipeline import AdaptorPipeline, check_count, check_fit
from pipelines.deepi2i.level_factors import LEVEL_WEIGHT, Factors, per_level
from pipelines.deepi2i.output import DeepI2IStyleGANOutput, join
from pipelines.deepi2i.rendering import Make
from pipelines.deepi2i.square import read_squares
from pipelines.deepi2i.stylegan import LEVEL_WEIGHTS, StyleGANAdaptor, StyleGANEncoder
from pipelines.images.formats import ImageInput
from pipelines.images.output import check_output_type
from pipelines.networks.stylegan import StyleGANGenerator, mix_styles


class DeepI2IStyleGANPipeline(AdaptorPipeline):
    """Translation between two domains, without classes (DeepI2I appendix E).

    The encoder's features of the picture pass through the adaptor and are added to the maps of a StyleGAN of the
    other domain; the style, which is drawn, decides on what the picture leaves open. The registered networks are
    never changed: a call computes with copies in its precision, which are kept until the weights change.

    Args:
        encoder: gives the picture's features.
        adaptor: a sub-network for every level that is added; a part of the encoder's levels will do.
        generator: of the target domain.
        level_weights: w_l of eq. 5 by level. Where it is not given: 0.1, and 0 at 64 pixels, as the authors have it.

    Raises:
        ValueError: the networks do not fit together, or the weights do not fit them.
    """

    network_classes: ClassVar[dict[str, type]] = {
        "StyleGANEncoder": StyleGANEncoder,
        "StyleGANAdaptor": StyleGANAdaptor,
        "StyleGANGenerator": StyleGANGenerator,
    }

    def __init__(
        self,
        encoder: StyleGANEncoder,
        adaptor: StyleGANAdaptor,
        generator: StyleGANGenerator,
        level_weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        check_fit(encoder, adaptor, generator, adaptor.config["channels"], adaptor.config["channels"])
        self.register_modules(encoder=encoder, adaptor=adaptor, generator=generator)
        weights = {str(level): LEVEL_WEIGHTS.get(level, LEVEL_WEIGHT) for level in self._levels}
        given = {str(level): weight for level, weight in (level_weights or {}).items()}
        self.register_to_config(
            level_weights=per_level({**weights, **given}, self._levels, name="level_weights", default=LEVEL_WEIGHT)
        )

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        num_images: int = 1,
        truncation: float = 1.0,
        crossover: int = 0,
        noise: bool = True,
        strength: Factors | None = None,
        crop: Sequence[int] | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> DeepI2IStyleGANOutput | tuple:
        """Translate pictures; every result is a square of the checkpoint's resolution.

        Args:
            image: one picture, or a list, a folder, a batch; sizes may differ. See
                `pipelines.images.formats.read_images` for what a picture may be.
            num_images: results of every picture, each with a style of its own. The styles are the same for all
                pictures; more of them begin with those of fewer.
            truncation: from the mean style, 0, to the style that was drawn, 1.
            crossover: style mixing: so many layers, from the coarsest on, have the first style in all results; two
                layers make up a resolution. 0: none.
            noise: whether noise is added in the generator, drawn anew for every style. False: the noise that the
                generator holds, or none.
            strength: how much of the picture is added, as a factor on the checkpoint's level weights: one number,
                one by level, or one a level from fine to coarse. None: 1.
            crop: (left, top, side) in pixels of the square to translate; None: the largest one in the center.
            precision: "fp32" or "bf16"; None: fp32. With random weights at 256 pixels bf16 was 23 dB from it, at half
                the time; trained weights were never tried.
            batch_size: results that the generator makes at a time; a last batch is filled up to it, so that rounding
                does not depend on how many there are. None: batches of even size, in bounded memory.
            generator: source of styles and noise, on the CPU. None: a new one with a random seed.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every batch, counted from 0 through
                all pictures; `tensors["images"]` holds its results, (B, 3, R, R), as the generator gave them: trained
                towards [-1, 1], but nothing keeps them there. It may return `{"stop": True}`: the results so far are
                returned.

        Returns:
            `DeepI2IStyleGANOutput`: `.images`, `.notes`, `.arguments`.

        Raises:
            ImageError: a picture, the crop or the output type cannot be used; nothing is translated then.
            ValueError: another argument is out of its range.
        """
        check_output_type(output_type)
        check_count("num_images", num_images)
        own = {"num_images": num_images, "crossover": self._check_crossover(crossover), "noise": bool(noise)}
        arguments = {**own, **self._decide(truncation, strength, crop, precision, batch_size, num_images)}
        sources = read_squares(image, crop)

        make = self._make(*self._draw_styles(num_images, generator), arguments)
        results, notes = self._translate(sources, make, num_images, arguments, callback_on_step_end, output_type)
        output = DeepI2IStyleGANOutput(join(results, output_type), notes, arguments)
        return output if return_dict else output.to_tuple()

    def _default_precision(self) -> str:
        return "fp32"

    def _check_crossover(self, crossover: int) -> int:
        layers = self.generator.num_styles
        if isinstance(crossover, bool) or not isinstance(crossover, int) or not 0 <= crossover <= layers:
            raise ValueError(f"`crossover` is {crossover!r}; a whole number from 0 to {layers} is accepted.")
        return crossover

    def _draw_styles(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, list[int]]:
        """Latents, (count, latent_dim), and the seed of the noise of each, which is drawn when it is needed."""
        generator = generator or new_generator()
        draws = [(self._draw(1, generator)[0], _draw_seed(generator)) for _ in range(count)]
        return torch.stack([latent for latent, _ in draws]), [seed for _, seed in draws]

    def _make(self, latents: Tensor, seeds: list[int], arguments: Mapping[str, Any]) -> Make:
        network = self._working_copy("generator", arguments)
        latents = latents.to(network.device, network.dtype)

        def make(chosen: Tensor, features: Mapping[int, Tensor]) -> Tensor:
            first, styles = (
                network.style(latents[numbers], arguments["truncation"]) for numbers in (chosen * 0, chosen)
            )
            noise = _draw_noise(network, [seeds[number] for number in chosen]) if arguments["noise"] else None
            return network.synthesize(mix_styles(first, styles, arguments["crossover"]), features, noise)

        return make


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))


def _draw_noise(network: StyleGANGenerator, seeds: list[int]) -> dict[int, Tensor]:
    """Noise of every seed, (B, 1, resolution, resolution) by resolution."""
    drawn = [network.draw_noise(1, torch.Generator().manual_seed(seed)) for seed in seeds]
    return {size: torch.cat([noise[size] for noise in drawn]) for size in drawn[0]}
