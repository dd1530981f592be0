"""Connected pieces of a mask, without any library: runs of pixels in rows, joined where they touch the row above.

Source: Rosenfeld and Pfaltz, JACM 1966, "Sequential Operations in Digital Picture Processing", section 4.2.
"""

from __future__ import annotations

import numpy as np


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the pieces of an (H, W) bool mask, whose pixels touch along an edge.

    Returns
    -------
    (H, W) int32, 0 outside of the mask and 1 ... n in its pieces; (n,) int64, their pixels.
    """
    rows, starts, ends = _runs(mask)
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1)).tolist()  # where each row's runs begin
    left, right = starts.tolist(), ends.tolist()
    for row in range(1, mask.shape[0]):
        above, below = first[row - 1], first[row]
        while above < first[row] and below < first[row + 1]:
            if left[above] < right[below] and left[below] < right[above]:
                parent[root(below)] = root(above)
            if right[above] < right[below]:
                above += 1
            else:
                below += 1
    roots = np.array([root(i) for i in range(len(rows))], dtype=np.int64)
    names, number = np.unique(roots, return_inverse=True)
    areas = np.bincount(number, weights=ends - starts, minlength=len(names)).astype(np.int64)
    labels = np.zeros(mask.size, np.int32)
    labels[mask.ravel()] = np.repeat(number + 1, ends - starts)
    return labels.reshape(mask.shape), areas


def without_shreds(share: np.ndarray, least: float) -> np.ndarray:
    """An (H, W) probability map without pieces above 1/2 that have less than ``least`` of the largest one's area."""
    labels, areas = pieces(share >= 0.5)
    if len(areas) < 2:
        return share
    small = np.concatenate([[False], areas < least * areas.max()])
    return np.where(small[labels], np.minimum(share, np.float32(0.5 - 1e-3)), share)


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first and last + 1 column of each run of set pixels, row by row."""
    edge = np.zeros((mask.shape[0], 1), np.int8)
    steps = np.diff(np.concatenate([edge, mask.astype(np.int8), edge], axis=1), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]
