"""Feature maps of several layers on one scale, so that each has the same say in a cosine."""

from torch import Tensor


def equalize(level: Tensor, channels: int, positions: tuple[int, ...]) -> Tensor:
    """Center the vectors of one layer over positions and divide them by their root mean square length (OEFT eq. 4-5).

    The paper leaves the scaling open. A layer that is the same everywhere becomes zero, with a finite gradient.

    Args:
        level: Vectors of one layer, any layout.
        channels: The dimension that holds a vector.
        positions: The dimensions that number the vectors.

    Returns:
        The same shape; over positions the mean is 0 and the mean square length is 1.
    """
    level = level - level.mean(dim=positions, keepdim=True)
    power = level.square().sum(dim=channels, keepdim=True).mean(dim=positions, keepdim=True)
    return level / (power + 1e-8).sqrt()
