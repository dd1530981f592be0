"""Where to cut a probability map into a mask: not at 1/2, but where the Dice coefficient is expected to be largest.

Source: Lipton, Elkan and Naryanaswamy, ECML PKDD 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure",
theorem 1: the best limit is half the best value that can be reached, so it is near 1/2 for somebody who is clearly seen
and lower for somebody who is not. Dice is F1 over pixels.
"""

from __future__ import annotations

import numpy as np

_LEVELS = 256


def best_limit(share: np.ndarray) -> float:
    """The limit for which the pixels at or above it are expected to have the largest Dice with the truth.

    Parameters
    ----------
    share : (H, W) probabilities, taken to be right and independent; they are looked at in steps of 1/255.

    Returns
    -------
    In (0, 1/2]. 1/2 where nothing has a probability.
    """
    level = np.rint(np.clip(share, 0, 1) * (_LEVELS - 1)).astype(np.int64)
    count = np.bincount(level.ravel(), minlength=_LEVELS)[::-1].astype(np.float64)  # from the surest down
    value = np.arange(_LEVELS)[::-1] / (_LEVELS - 1)
    hits = np.cumsum(count * value)
    if hits[-1] == 0:
        return 0.5
    expected = 2 * hits / (np.cumsum(count) + hits[-1])
    return float(np.clip(expected.max() / 2, 1 / _LEVELS, 0.5))


def recentred(share: np.ndarray, limit: float) -> np.ndarray:
    """Probabilities with their odds divided by those of ``limit``, so that this becomes 1/2; 0 and 1 stay."""
    out = share * (1 - limit)
    return (out / np.maximum(out + (1 - share) * limit, 1e-12)).astype(share.dtype)
