"""The precisions that a visitor can choose."""

from pipelines.images.limits import ImageError

PRECISIONS = [("the faster one here", "auto"), ("fp32", "fp32"), ("bf16", "bf16")]


def as_argument(precision: str) -> str | None:
    """Return what a pipeline takes; None lets it decide.

    Raises:
        ImageError: it is none of `PRECISIONS`.
    """
    if precision not in [value for _, value in PRECISIONS]:
        raise ImageError(f"The precision is {precision!r}; auto, fp32 or bf16 is accepted.")
    return None if precision == "auto" else precision
