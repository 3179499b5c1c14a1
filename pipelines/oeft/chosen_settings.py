"""The settings that the arguments of a call choose: the checkpoint's, a preset's, or the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.settings import OEFTSettings


def choose_settings(
    default_preset: str,
    num_steps: int | None,
    preset: str | None,
    settings: OEFTSettings | Mapping[str, Any] | None,
) -> OEFTSettings:
    """Of fine-tuning; see `OEFTPipeline.__call__`.

    Args:
        default_preset: the checkpoint's.
        num_steps: as in the call, like those that follow.
        preset: likewise.
        settings: likewise.

    Raises:
        ValueError: the preset or a setting is unknown or out of its range, or all settings and a preset are given.
    """
    changes = _changes(num_steps)
    if not isinstance(settings, OEFTSettings):
        return OEFTSettings.preset(preset or default_preset, **{**(settings or {}), **changes})
    if preset is not None:
        raise ValueError("`preset` and an `OEFTSettings` are both given; give one, or change the preset by name.")
    return replace(settings, **changes)


def choose_inversion_settings(
    defaults: Mapping[str, Any] | None,
    num_steps: int | None,
    settings: InversionSettings | Mapping[str, Any] | str | None,
) -> InversionSettings:
    """Of inversion; see `OEFTPipeline.invert`.

    Args:
        defaults: the checkpoint's changes to the preset "balanced", by name.
        num_steps: as in the call.
        settings: likewise.

    Raises:
        ValueError: the preset or a setting is unknown or out of its range.
    """
    changes = _changes(num_steps)
    if isinstance(settings, InversionSettings):
        return replace(settings, **changes)
    if isinstance(settings, str):
        return InversionSettings.preset(settings, **changes)
    return InversionSettings.preset("balanced", **{**(defaults or {}), **(settings or {}), **changes})


def _changes(num_steps: int | None) -> dict[str, Any]:
    return {} if num_steps is None else {"num_steps": num_steps}
