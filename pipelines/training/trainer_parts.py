"""What trainers of several networks are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The precision of a run's network calls: "bf16" or "fp32"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def states(items: Mapping[str, Any]) -> dict[str, Any]:
    """The `state_dict` of each item, by name."""
    return {name: item.state_dict() for name, item in items.items()}


def load_states(items: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Put back what `states` returned."""
    for name, item in items.items():
        item.load_state_dict(saved[name])
