"""Seeds that a visitor gives, or gets."""

import random

from pipelines.images.limits import ImageError

LARGEST_SEED = 2**31 - 1


def new_seed() -> int:
    """Return a seed that nobody can foresee."""
    return random.SystemRandom().randint(0, LARGEST_SEED)


def check_seed(seed: float | None) -> int:
    """Return the seed as it is passed on.

    Raises:
        ImageError: it is not a whole number from 0 to `LARGEST_SEED`.
    """
    if seed is None or not (0 <= seed <= LARGEST_SEED and int(seed) == seed):
        raise ImageError(f"The seed is {seed}; a whole number from 0 to {LARGEST_SEED} is accepted.")
    return int(seed)
