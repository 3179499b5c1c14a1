"""Titles of classes: what people read where a name, the key of records and calls, would be hard to read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pipelines.deepi2i.class_names import ALL


def in_words(name: str) -> str:
    """Return a name with spaces for "-" and "_"."""
    return re.sub(r"[\s_-]+", " ", name).strip() or name


def read_class_titles(titles: Mapping[str, str] | None, class_names: Sequence[str]) -> list[str]:
    """The titles of the classes from number 0 on, each another one.

    Args:
        titles: by name. A class that is left out has its name in words, or the name itself where several would have
            the same title then.
        class_names: in the order of their numbers.

    Raises:
        ValueError: no titles by name, a name that no class has, a title that is empty, not a text or "all", or one
            that is the title or the name of another class.
    """
    if titles is None:
        titles = {}
    if not isinstance(titles, Mapping):
        raise ValueError(f"`class_titles` is a {type(titles).__name__}; titles by the names of classes are accepted.")
    for name, title in titles.items():
        if name not in class_names:
            raise ValueError(f"`class_titles` has a title for {name!r}, which is no class.")
        if not isinstance(title, str) or not title.strip() or title == ALL:
            raise ValueError(
                f"`class_titles[{name!r}]` is {title!r}; a text that is neither empty nor {ALL!r} is accepted."
            )
        if title != name and title in class_names:
            raise ValueError(f"`class_titles[{name!r}]` is {title!r}, which is the name of another class.")
    words = [in_words(name) for name in class_names]
    defaults = {name: text if words.count(text) == 1 else name for name, text in zip(class_names, words, strict=True)}
    found = [titles.get(name, defaults[name]) for name in class_names]
    for number, title in enumerate(found):
        if title in found[:number]:
            first, second = class_names[found.index(title)], class_names[number]
            raise ValueError(f"`class_titles` has {title!r} twice: for {first!r} and for {second!r}.")
    return found
