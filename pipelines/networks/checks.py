"""Checks of a network's arguments that more than one method makes."""

from collections.abc import Iterable, Sequence

from torch import Tensor


def check_input(image: Tensor, multiple: int) -> None:
    """Refuse a picture whose sides are not multiples of `multiple`.

    Raises:
        ValueError: with the size and what is accepted.
    """
    height, width = image.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(f"`image` is {width} x {height} pixels; both sides must be multiples of {multiple}.")


def check_layers(layers: Sequence[str], known: Iterable[str]) -> None:
    """Refuse names of layers that a network does not have.

    Raises:
        ValueError: with the first such name and what there is.
    """
    unknown = [name for name in layers if name not in known]
    if unknown:
        raise ValueError(f"`layers` names {unknown[0]!r}; this network has {', '.join(known)}.")
