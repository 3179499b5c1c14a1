"""Checks of what is asked for, by the page or by a script, before anything waits for its turn."""

from collections.abc import Mapping, Sequence

from demo.classes_layout import MOST_DRAWS
from demo.classes_model import ClassModel
from demo.classes_run import Look
from demo.precisions import as_argument
from demo.seeds import check_seed
from pipelines.deepi2i.class_names import resolve_classes
from pipelines.deepi2i.level_factors import per_level
from pipelines.images.limits import ImageError

MOST_PICTURES = 1200  # of one run


def names_of(model: ClassModel, classes: Sequence[str] | str, draws: int) -> tuple[str, ...]:
    """Return the names of the classes that are asked for.

    Args:
        model: the checkpoint.
        classes: names, titles, numbers, or parts of a name or title; or "all".
        draws: pictures of each.

    Raises:
        UnknownClassError: a class is not there.
        ImageError: none, or too many pictures.
    """
    if not classes:
        raise ImageError("Choose a class first.")
    if draws not in range(1, MOST_DRAWS + 1):  # a whole number, then
        raise ImageError(f"`num_images_per_class` is {draws}; 1 to {MOST_DRAWS} are accepted.")
    numbers = dict.fromkeys(resolve_classes(classes, model.class_names, model.class_titles))
    if len(numbers) * draws > MOST_PICTURES:
        raise ImageError(
            f"These are {len(numbers) * draws:.0f} pictures, {draws} of each class; at most {MOST_PICTURES} are made "
            "at once."
        )
    return tuple(model.class_names[number] for number in numbers)


def look_of(
    model: ClassModel,
    seed: int,
    truncation: float,
    strength: float | Mapping[int, float] | Sequence[float],
    precision: str,
) -> Look:
    """Return what decides about the pictures beside photo and class.

    Args:
        model: the checkpoint.
        seed: of the run.
        truncation: 0..1.
        strength: factor of the photo's features: one, one by level, or one a level from fine to coarse.
        precision: one of `demo.precisions.PRECISIONS`.

    Raises:
        ImageError: one of them cannot be used.
    """
    if not 0 <= truncation <= 1:
        raise ImageError(f"`truncation` is {truncation}; a number from 0 to 1 is accepted.")
    try:
        factors = per_level(strength, model.levels, name="strength", default=1.0)
    except ValueError as error:
        raise ImageError(str(error)) from error
    return Look(check_seed(seed), float(truncation), factors, as_argument(precision))
