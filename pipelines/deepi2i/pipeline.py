"""DeepI2I: translation of a picture into any of many classes (Wang et al.)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipelines.base import StepCallback
from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.adaptor_pipeline import AdaptorPipeline, check_count, check_fit
from pipelines.deepi2i.animation import DeepI2IAnimation, linear_steps, spherical_steps
from pipelines.deepi2i.class_names import read_class_names, resolve_classes
from pipelines.deepi2i.class_titles import read_class_titles
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.deepi2i.level_factors import LEVEL_WEIGHT, Factors, per_level
from pipelines.deepi2i.output import DeepI2IOutput, join
from pipelines.deepi2i.rendering import Make
from pipelines.deepi2i.square import find_square, read_squares
from pipelines.images.formats import ImageInput, read_image
from pipelines.images.output import check_output_type
from pipelines.networks.biggan import BigGANGenerator


class DeepI2IPipeline(AdaptorPipeline):
    """Translation into the classes of a class-conditional generator (DeepI2I sec. 3.1).

    The encoder's features of the picture pass through the adaptor and are added to the generator's maps. The
    registered networks are never changed: a call computes with copies in its precision, their spectral norms divided
    out, which are kept until the weights change.

    Args:
        encoder: gives the picture's features.
        adaptor: a sub-network for every level that is added; a part of the encoder's levels will do.
        generator: a class-conditional generator.
        class_names: of the generator's classes from 0 on; see `pipelines.deepi2i.class_names.read_class_names`. In the
            config they stand by number, because a list would be taken for a component.
        level_weights: w_l of eq. 5 by level; 0.1 where it is not given.
        class_titles: by name, what people read; see `pipelines.deepi2i.class_titles.read_class_titles`.

    Raises:
        ValueError: the networks do not fit together, or the names, titles or weights do not fit them.
    """

    network_classes: ClassVar[dict[str, type]] = {
        "DeepI2IEncoder": DeepI2IEncoder,
        "DeepI2IAdaptor": DeepI2IAdaptor,
        "BigGANGenerator": BigGANGenerator,
    }

    def __init__(
        self,
        encoder: DeepI2IEncoder,
        adaptor: DeepI2IAdaptor,
        generator: BigGANGenerator,
        class_names: Sequence[str] | Mapping[str, str] | None = None,
        level_weights: Mapping[str, float] | None = None,
        class_titles: Mapping[str, str] | None = None,
    ):
        super().__init__()
        check_fit(encoder, adaptor, generator, adaptor.config["in_channels"], adaptor.config["out_channels"])
        names = read_class_names(class_names, generator.config["num_classes"])
        read_class_titles(class_titles, names)
        self.register_modules(encoder=encoder, adaptor=adaptor, generator=generator)
        self.register_to_config(
            class_names={str(number): name for number, name in enumerate(names)},
            level_weights=per_level(level_weights, self._levels, name="level_weights", default=LEVEL_WEIGHT),
            class_titles=dict(class_titles or {}),
        )

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        names = self.config["class_names"]
        return [names[str(number)] for number in range(len(names))]

    @property
    def class_titles(self) -> list[str]:
        """Titles of the classes, in the order of their numbers."""
        return read_class_titles(self.config["class_titles"], self.class_names)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Sequence[ImageInput],
        target_class: str | int | Iterable[str | int],
        num_images_per_class: int = 1,
        truncation: float = 1.0,
        strength: Factors | None = None,
        crop: Sequence[int] | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> DeepI2IOutput | tuple:
        """Translate pictures into classes; every result is a square of the checkpoint's resolution.

        Args:
            image: one picture, or a list, a folder, a batch; sizes may differ. See
                `pipelines.images.formats.read_images` for what a picture may be.
            target_class: a class by its name, its title, its number, or a part of the name or title of it alone; a
                list of these; or "all".
            num_images_per_class: draws of the latent. They are the same for all pictures and classes; more draws
                begin with those of fewer.
            truncation: factor on the latents, 0 to 1: less is closer to the mean of the class.
            strength: how much of the picture is added, as a factor on the checkpoint's level weights: one number,
                one by level, or one a level from fine to coarse. None: 1.
            crop: (left, top, side) in pixels of the square to translate; None: the largest one in the center.
            precision: "fp32" or "bf16"; None: bf16 where the device computes faster in it.
            batch_size: results that the generator makes at a time; a last batch is filled up to it, so that rounding
                does not depend on how many there are. None: batches of even size, in bounded memory.
            generator: source of the latents, on the CPU. None: a new one with a random seed.
            output_type: "pil"; "np" for (B, H, W, 3) or "pt" for (B, 3, H, W) in [0, 1].
            return_dict: False returns the output as a tuple.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every batch, counted from 0 through
                all pictures; `tensors["images"]` holds its results, (B, 3, R, R) in [-1, 1], and
                `tensors["class_ids"]` their classes, (B,). It may return `{"stop": True}`: the results so far are
                returned.

        Returns:
            `DeepI2IOutput`: `.images`, `.classes`, `.class_ids`, `.notes`, `.arguments`.

        Raises:
            ImageError: a picture, the crop or the output type cannot be used; nothing is translated then.
            UnknownClassError: a class is not there; the closest ones are named.
            ValueError: another argument is out of its range.
        """
        check_output_type(output_type)
        check_count("num_images_per_class", num_images_per_class)
        names = self.class_names
        wanted = resolve_classes(target_class, names, self.class_titles)
        class_ids = [number for number in wanted for _ in range(num_images_per_class)]  # of one picture's results
        arguments = self._decide(truncation, strength, crop, precision, batch_size, len(class_ids))
        sources = read_squares(image, crop)

        latents = self._draw(num_images_per_class, generator).repeat(len(wanted), 1)  # [N, latent_dim]
        embeddings = self._embeddings(class_ids, arguments)
        results, notes = self._translate(
            sources,
            self._make(latents, embeddings, arguments),
            len(class_ids),
            arguments,
            callback_on_step_end,
            output_type,
            labels={"class_ids": torch.tensor(class_ids)},
        )
        made_ids = (class_ids * len(sources))[: len(results)]
        output = DeepI2IOutput(
            images=join(results, output_type),
            classes=[names[number] for number in made_ids],
            class_ids=made_ids,
            notes=notes,
            arguments={
                "target_class": [names[number] for number in wanted],
                "num_images_per_class": num_images_per_class,
                **arguments,
            },
        )
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def interpolate(
        self,
        image: ImageInput,
        start_class: str | int,
        end_class: str | int,
        num_frames: int = 16,
        seeds: tuple[int, int] | None = None,
        truncation: float = 1.0,
        strength: Factors | None = None,
        crop: Sequence[int] | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        generator: torch.Generator | None = None,
        callback_on_step_end: StepCallback | None = None,
    ) -> DeepI2IAnimation:
        """Translate one picture into what lies between two classes, between two latents, or both (appendix D).

        Class embeddings are interpolated linearly, latents along the arc between them. The first and the last frame
        are what a call gives for these classes with these seeds: with the same `batch_size` bit for bit.

        Args:
            image: one picture.
            start_class: of the first frame, as a `target_class`.
            end_class: of the last one; it may be the same.
            num_frames: at least 2.
            seeds: of the first and the last latent. None: all frames have one latent, drawn from `generator`.
            truncation: as in a call, and so the other arguments.
            strength: see there.
            crop: see there.
            precision: see there.
            batch_size: see there.
            generator: see there; not beside `seeds`.
            callback_on_step_end: `callback(pipe, step, num_steps, tensors)` after every batch; `tensors["images"]`
                holds its frames, (B, 3, R, R) in [-1, 1]. It may return `{"stop": True}`: the frames so far are
                returned.

        Raises:
            ImageError: the picture or the crop cannot be used.
            UnknownClassError: a class is not there; the closest ones are named.
            ValueError: another argument is out of its range.
        """
        check_count("num_frames", num_frames, least=2)
        if seeds is not None and generator is not None:
            raise ValueError("`seeds` and `generator` are both given; give one of them.")
        if seeds is not None and not _are_seeds(seeds):
            raise ValueError(f"`seeds` is {seeds!r}; two whole numbers, or None, is accepted.")
        names = self.class_names
        ends = resolve_classes([start_class, end_class], names, self.class_titles)
        arguments = self._decide(truncation, strength, crop, precision, batch_size, num_frames)
        source = read_image(image)
        sources = [(source, find_square(source, crop))]

        start, end = self._embeddings(ends, arguments).float()
        embeddings = linear_steps(start, end, num_frames)
        if seeds is None:
            latents = self._draw(1, generator).expand(num_frames, -1)
        else:
            first, last = (self._draw(1, torch.Generator().manual_seed(seed))[0] for seed in seeds)
            latents = spherical_steps(first, last, num_frames)
        make = self._make(latents, embeddings, arguments)
        frames, notes = self._translate(sources, make, num_frames, arguments, callback_on_step_end)
        own = {"start_class": names[ends[0]], "end_class": names[ends[1]], "num_frames": num_frames, "seeds": seeds}
        return DeepI2IAnimation(frames, notes[0], {**own, **arguments})

    def _embeddings(self, class_ids: list[int], arguments: Mapping[str, Any]) -> Tensor:
        """(N, embedding_dim)."""
        network = self._working_copy("generator", arguments)
        return network.embedding(torch.tensor(class_ids, device=network.device))

    def _make(self, latents: Tensor, embeddings: Tensor, arguments: Mapping[str, Any]) -> Make:
        network = self._working_copy("generator", arguments)
        latents = (latents * arguments["truncation"]).to(network.device, network.dtype)
        embeddings = embeddings.to(network.dtype)
        return lambda chosen, features: network(latents[chosen], embeddings[chosen], features)


def _are_seeds(seeds: Any) -> bool:
    return isinstance(seeds, Sequence) and len(seeds) == 2 and all(isinstance(seed, int) for seed in seeds)
