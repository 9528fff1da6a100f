"""The seeds of what draws without one of its own."""

import random

import numpy as np

_LARGEST_SEED = 2**32


def seeded(seed: int) -> None:
    """What draws without a seed of its own draws the same numbers in every attempt."""
    random.seed(seed)
    np.random.seed(seed % _LARGEST_SEED)
