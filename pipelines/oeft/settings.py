"""The settings of correspondence fine-tuning: the paper's value where it gives one, ours where it does not."""

from dataclasses import dataclass, fields, replace
from typing import Any

WHOLE_NUMBERS = {"num_steps", "size", "grid", "render_grid"}
ABOVE_ZERO = {"size", "grid", "render_grid", "alpha", "temperature", "bandwidth", "learning_rate"}


@dataclass(frozen=True)
class OEFTSettings:
    """Everything that decides a run, next to the two images and the seed.

    "Not in the paper" marks values that we chose by looking at real pairs.
    """

    num_steps: int = 200  # OEFT sec. 4.1
    size: int = 256  # side of the square of the same area as the working image, pixels; OEFT sec. 4.1
    grid: int = 64  # side of the square grid of the same number of places; not in the paper
    render_grid: int = 128  # grid of the final warp; not in the paper
    taps: tuple[str, ...] | None = None  # layers that are matched; None: the backbone's own. Not in the paper
    loss_taps: tuple[str, ...] | None = None  # layers of eq. 9; None: the backbone's own. Not in the paper
    context_taps: tuple[str, ...] | None = None  # layers of eq. 10; None: the deepest of loss_taps. Not in the paper
    alpha: float = 100.0  # sharpness of the softmax in eq. 6; CoCosNet's, not in the paper
    temperature: float = 0.07  # tau of eq. 7; not in the paper
    bandwidth: float = 0.5  # h of the contextual loss; Mechrez et al.
    lambda_perceptual: float = 1.0  # eq. 11; not in the paper
    lambda_contextual: float = 1.0  # eq. 11; not in the paper
    lambda_total_variation: float = 0.0  # named, never defined in the paper
    learning_rate: float = 1e-4  # Adam; not in the paper
    augment: bool = True  # OEFT sec. 3.2, fig. 8
    color_jitter: float = 0.2  # largest relative change of contrast, and of brightness, per channel; not in the paper
    noise: float = 0.05  # largest standard deviation of the Gaussian noise, image range [-1, 1]; not in the paper
    scale: float = 0.2  # largest relative change of scale; not in the paper
    rotation: float = 15.0  # largest rotation, degrees; not in the paper
    shear: float = 0.1  # largest shear, tangent of the angle; not in the paper
    translation: float = 0.1  # largest shift, in sides of the image; not in the paper

    def __post_init__(self):
        """Refuse what no run can use, naming the field."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("taps"):
                object.__setattr__(self, field.name, _tap_names(field.name, value))
            elif isinstance(value, bool) != (field.name == "augment") or not isinstance(value, int | float):
                kind = "true or false" if field.name == "augment" else "a number"
                raise ValueError(f"`{field.name}` is {value!r}; it must be {kind}.")
            elif field.name in WHOLE_NUMBERS and not isinstance(value, int):
                raise ValueError(f"`{field.name}` is {value!r}; it must be a whole number.")
            elif value < 0 or (value == 0 and field.name in ABOVE_ZERO):
                raise ValueError(f"`{field.name}` is {value}; it must be {'above 0' if value == 0 else '0 or more'}.")
        for name, value in (("grid", self.grid), ("render_grid", self.render_grid)):
            if value < 8 or self.size % value:
                raise ValueError(f"`{name}` is {value}; it must be 8 or more and divide `size`, {self.size}.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "OEFTSettings":
        """The preset of that name, with some settings changed.

        Args:
            name: One of `PRESETS`.
            **changes: Settings by name.

        Raises:
            ValueError: When the name or a setting is unknown, or a value is out of its range.
        """
        if name not in PRESETS:
            raise ValueError(f"`preset` is {name!r}; accepted are {', '.join(PRESETS)}.")
        known = {field.name for field in fields(cls)}
        for change in changes:
            if change not in known:
                raise ValueError(f"{change!r} is no setting of OEFT; accepted are {', '.join(sorted(known))}.")
        return replace(PRESETS[name], **changes)


def _tap_names(name: str, value: Any) -> tuple[str, ...] | None:
    """Layers as a tuple; JSON knows lists only."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(tap, str) for tap in value):
        raise ValueError(f"`{name}` is {value!r}; it must be a list of names of layers, or None.")
    return tuple(value)


# The coarser grid costs a sixteenth of the similarities, and on the pairs we looked at the result, which is drawn on
# `render_grid` in either case, is hardly worse.
PRESETS = {
    "paper": OEFTSettings(),
    "balanced": OEFTSettings(num_steps=40, grid=32),
    "fast": OEFTSettings(num_steps=15, grid=32, render_grid=64),
}
