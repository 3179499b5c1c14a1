"""Names of classes: what a checkpoint may call them, and which are meant by what a caller gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

ALL = "all"
MAX_NAMED = 6  # classes that an error lists


class UnknownClassError(ValueError):
    """A class that a checkpoint does not have, or a part of several names; the message lists what is close."""


def read_class_names(names: Sequence[str] | Mapping[str, str] | None, num_classes: int) -> list[str]:
    """The names of the classes from number 0 on.

    Args:
        names: in the order of their numbers, or by number, "0" and so on. It may be shorter than `num_classes`: the
            other classes have no name and cannot be asked for. None: every class is called by its number.
        num_classes: rows of the generator's class embedding.

    Raises:
        ValueError: more names than classes, none at all, a number left out, a name that is empty, not a text or
            "all", or one that stands twice.
    """
    if names is None:
        return [str(number) for number in range(num_classes)]
    if isinstance(names, Mapping):
        wanted = {str(number) for number in range(len(names))}
        if wanted != set(names):
            raise ValueError(f"`class_names` has no name for class {min(wanted - set(names), key=int)}.")
        names = [names[str(number)] for number in range(len(names))]
    if isinstance(names, str) or not 0 < len(names) <= num_classes:
        given = repr(names) if isinstance(names, str) else f"{len(names)} names"
        raise ValueError(f"`class_names` is {given}; a list of 1 to {num_classes} names, one a class, is accepted.")
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or name == ALL:
            raise ValueError(
                f"`class_names[{number}]` is {name!r}; a text that is neither empty nor {ALL!r} is accepted."
            )
        if name in names[:number]:
            raise ValueError(f"`class_names` has {name!r} twice: as {names.index(name)} and as {number}.")
    return list(names)


def resolve_classes(
    target: str | int | Iterable[str | int], class_names: Sequence[str], class_titles: Sequence[str] = ()
) -> list[int]:
    """The numbers of the classes that a caller means.

    Args:
        target: a class, a list of classes, or "all". A class is its name, its title, its number, or a part of the name
            or title of one class alone; of parts, case does not matter, and "_", "-" and a space are the same. What
            is a name or a title is never taken for a number or a part.
        class_names: in the order of their numbers.
        class_titles: likewise; see `pipelines.deepi2i.class_titles`. None at all: the names alone count.

    Returns:
        At least one number, in the order given.

    Raises:
        UnknownClassError: no class is meant, or more than one.
        ValueError: no class is given.
    """
    if isinstance(target, str) and target == ALL:
        return list(range(len(class_names)))
    if isinstance(target, str) or not isinstance(target, Iterable):
        return [_resolve(target, class_names, class_titles)]
    numbers = [_resolve(item, class_names, class_titles) for item in target]
    if not numbers:
        raise ValueError(f"`target_class` is empty; a name, a number, a list of these, or {ALL!r} is accepted.")
    return numbers


def _resolve(target: str | int, class_names: Sequence[str], class_titles: Sequence[str]) -> int:
    if isinstance(target, bool) or not isinstance(target, str | int):
        raise UnknownClassError(f"`target_class` has {target!r}; the name or the number of a class is accepted.")
    for known in (class_names, class_titles):
        if target in known:
            return known.index(target)
    if isinstance(target, int) or target.isdecimal():
        if 0 <= int(target) < len(class_names):
            return int(target)
        raise UnknownClassError(
            f"`target_class` is {target}; the classes of this checkpoint are 0 to {len(class_names) - 1}."
        )
    wanted = _plain(target)
    called = [(_plain(text), number) for known in (class_names, class_titles) for number, text in enumerate(known)]
    same = {number for text, number in called if text == wanted}
    if len(same) == 1:
        return same.pop()
    shown = [_shown(*each) for each in zip(class_names, class_titles or class_names, strict=True)]
    holding = sorted({number for text, number in called if wanted and wanted in text})
    if len(holding) == 1:
        return holding[0]
    if holding:
        raise UnknownClassError(
            f"`target_class` is {target!r}, which is a part of {len(holding)} names: "
            f"{_listed([shown[number] for number in holding])}; give more of one."
        )
    raise UnknownClassError(
        f"`target_class` is {target!r}, which is no class of this checkpoint; {_closest(wanted, dict(called), shown)}"
    )


def _shown(name: str, title: str) -> str:
    """A class for an error: its title, and its name where that is another."""
    return name if title == name else f"{title} ({name})"


def _closest(wanted: str, called: Mapping[str, int], shown: Sequence[str]) -> str:
    """The classes that a text may have meant; some of all, where none is close."""
    close = difflib.get_close_matches(wanted, called, n=3, cutoff=0.5)
    if not close:
        return f"there are {len(shown)}: {_listed(shown)}."
    meant = dict.fromkeys(shown[called[text]] for text in close)
    return f"did you mean {' or '.join(meant)}?"


def _plain(name: str) -> str:
    """A name for comparison with what somebody types."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
