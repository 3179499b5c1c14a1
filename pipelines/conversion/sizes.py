"""Sizes of a network, read from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor


def size(state: Mapping[str, Tensor], *places: tuple[str, int]) -> int | None:
    """The first size that is there, of (name, dimension)."""
    for key, dim in places:
        if key in state and state[key].ndim > dim:
            return state[key].shape[dim]
    return None


def count_numbered(state: Mapping[str, Tensor], pattern: str) -> int:
    r"""How many parts of a kind there are: one more than the highest number.

    Args:
        state: tensors by name.
        pattern: what names of such parts begin with; its first group is the number, such as `layer(\d{1,2})\.`.
    """
    matches = (re.match(pattern, key) for key in state)
    return max((int(match[1]) for match in matches if match), default=-1) + 1
