"""Joints as system 3 reads them off its heatmaps: enlarge, smooth, cut, take the highest pixel.

Source: robertklee/COCO-Human-Pose, evaluation.py (`heatmaps_to_keypoints`), after yuanyuanli85's
Stacked_Hourglass_Network_Keras: bilinear enlargement to the input's size, Gaussian smoothing of 1 pixel, zero below
0.2, 3x3 non-maximum suppression, the largest value.

Two things need no work of their own. The suppression removes what is smaller than a neighbour, which the largest value
never is. And enlarging and smoothing are both linear and separable, so each axis is one matrix: a map H becomes
A H B^T, for all maps in two products.

What it costs against the refined codec: a bilinear surface is highest at a cell's centre or flat between two, so joints
come out within half a cell of the truth, not below; and one that is less than a cell from the border is pulled to it,
as the surface is flat beyond the outermost cells' centres.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_SMOOTHING_PX = 1.0
_LEAST = 0.2
_MAPS_AT_A_TIME = 64
"""Bounds the memory: 64 enlarged maps of 256 x 256 are 34 MB."""


def peaks_upsampled(maps: np.ndarray, size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Highest pixels of enlarged and smoothed maps.

    Parameters
    ----------
    maps : (M, h, w) floats.
    size_wh : (width, height) of the network's input, a multiple of (w, h).

    Returns
    -------
    (M, 2) float32 whole input pixels, the first in reading order where several are highest, and (M,) float32 scores in
    [0, 1]: the height there, and 0 where it is below 0.2. The system puts such joints at (0, 0), which is a place like
    any other; here they keep the place of the highest pixel.
    """
    width, height = size_wh
    down, across = _enlarge(maps.shape[1], height), _enlarge(maps.shape[2], width).T
    index, peak = np.empty(len(maps), np.int64), np.empty(len(maps))
    for start in range(0, len(maps), _MAPS_AT_A_TIME):
        part = slice(start, start + _MAPS_AT_A_TIME)
        # In double precision: in single, rounding would choose among the pixels about a peak midway between two cells.
        large = (down @ (maps[part].astype(np.float64) @ across)).reshape(-1, height * width)
        index[part] = large.argmax(1)
        peak[part] = np.take_along_axis(large, index[part, None], axis=1)[:, 0]
    keypoints = np.stack([index % width, index // width], axis=1).astype(np.float32)
    return keypoints, np.where(peak >= _LEAST, np.minimum(peak, 1), 0).astype(np.float32)


@lru_cache(maxsize=16)
def _enlarge(cells: int, pixels: int) -> np.ndarray:
    """(pixels, cells) the matrix that enlarges a row bilinearly, cells by their centres, and smooths it."""
    centre = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    left = np.minimum(centre.astype(int), max(cells - 2, 0))
    bilinear, rows = np.zeros((pixels, cells)), np.arange(pixels)
    bilinear[rows, np.minimum(left + 1, cells - 1)] = centre - left
    bilinear[rows, left] += 1 - (centre - left)
    matrix = _smooth(bilinear)
    matrix.setflags(write=False)
    return matrix


def _smooth(rows: np.ndarray) -> np.ndarray:
    """A Gaussian along the first axis, cut at 4 sigma, the border mirrored with its pixel: scipy's "reflect"."""
    reach = int(4 * _SMOOTHING_PX + 0.5)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * _SMOOTHING_PX**2))
    padded = np.pad(rows, ((reach, reach), (0, 0)), "symmetric")
    return np.sum([w * padded[i : i + len(rows)] for i, w in enumerate(kernel / kernel.sum())], axis=0)
