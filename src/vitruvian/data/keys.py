"""What a loader asks a data set for: which sample, as which epoch sees it, and the how-manieth time there."""

from __future__ import annotations

import numpy as np

Key = int | tuple[int, int] | tuple[int, int, int]
"""An index, or (index, epoch), or (index, epoch, repeat)."""


def whole_key(key: Key, epoch: int) -> tuple[int, int, int]:
    """(index, epoch, repeat), with ``epoch`` and 0 where the key does not say."""
    if not isinstance(key, tuple):
        return key, epoch, 0
    return (key[0], key[1], 0) if len(key) == 2 else key


def generator_of(seed: int, index: int, epoch: int, repeat: int) -> np.random.Generator:
    """The randomness of one sample: the same for any number of workers, another one each time that it comes."""
    return np.random.default_rng((seed, epoch, index, repeat))
