"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class EMA(Generic[Module]):
    """A running average of `module`'s parameters; buffers (batch-norm statistics) are copied as they are.

    Args:
        module: the network to follow; not changed.
        decay: 0..1, the share of the old average that a step keeps.
        warm_up: follow faster early on, by `min(decay, (1 + n) / (10 + n))` after n updates, so that the average is
            of use before `1 / (1 - decay)` steps are over.
    """

    def __init__(self, module: Module, decay: float, *, warm_up: bool = True):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.warm_up = decay, warm_up
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average toward `module` as it is now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warm_up else self.decay
        self.updates += 1
        for average, value in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(value, 1 - decay)
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates it has seen."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]
