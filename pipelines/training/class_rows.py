"""Class embeddings of a trained network for other classes: which row each class begins from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipelines.networks.spectral_norm import power_iterate


def embedding_rows(before: Sequence[str], after: Sequence[str], num_rows: int) -> list[int | None]:
    """Which row of a pretrained embedding each class begins from.

    A class of the same name keeps its row. The others take the rows that are left, in their order, as DeepI2I's
    authors re-use those of ImageNet; once there are none left, None: the mean of all.

    Args:
        before: names of the first rows.
        after: names of the classes that are wanted.
        num_rows: of the pretrained embedding.
    """
    known = {name: row for row, name in enumerate(before)}
    left = iter([row for row in range(num_rows) if row >= len(before) or before[row] not in after])
    return [known[name] if name in known else next(left, None) for name in after]


def describe_rows(before: Sequence[str], after: Sequence[str], num_rows: int) -> str:
    """One sentence on what became of a pretrained GAN's classes."""
    rows = embedding_rows(before, after, num_rows)
    kept = sum(name in before for name in after)
    mean = sum(row is None for row in rows)
    reused, dropped = len(after) - kept - mean, num_rows - len({row for row in rows if row is not None})
    return (
        f"{kept} of {len(after)} classes keep the pretrained GAN's embedding of the same name, {reused} begin from "
        f"that of another class, {mean} from the mean of all; {dropped} of its {num_rows} are dropped."
    )


@torch.no_grad()
def load_by_rows(tensors: Mapping[str, Tensor], target: nn.Module, rows: Sequence[int | None]) -> None:
    """Load weights by name, those of the class embedding by rows.

    Args:
        tensors: "embedding.weight" among them; what of the target they leave out stays as it is.
        target: generator or discriminator, with a row of its `embedding` for each of `rows`.
        rows: see `embedding_rows`.
    """
    state = {**target.state_dict(), **tensors}
    table = tensors["embedding.weight"]
    state["embedding.weight"] = torch.stack([table.mean(dim=0) if row is None else table[row] for row in rows])
    if "embedding.u" in state:
        state["embedding.u"] = target.get_buffer("embedding.u").clone()
    target.load_state_dict(state)
    if "embedding.u" in state:  # another matrix has another largest singular value
        power_iterate(target.get_submodule("embedding"))
