"""Joints painted into single pictures, one label or height a pixel: the target kinds of system 0.

Source: github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection, HeatmapCreator. The Gaussian filter is that of
``scipy.ndimage.gaussian_filter(mode="nearest")``, written as one matrix an axis, since the core does without scipy.

Every function takes keypoints (K, 2) in pixels of the picture, NaN where missing. A joint is painted at the pixel it
lies in; one outside of the picture is left out. Labels are 1 ... K in the skeleton's order, 0 is the background.
"""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError

THRESHOLD = 0.01
"""Height of the Gaussian above which a pixel is a joint's. 0 makes squares: the filter ends at four sigma."""

_MOST_LABELS = 255


def center_pixels(keypoints_px: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """JOINTCENTERPIXELS: (H, W) uint8, a joint's label at its pixel alone; of two in one pixel, the later one's."""
    labels = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    pixels, numbers = _pixels(keypoints_px, size_wh)
    labels[pixels[:, 1], pixels[:, 0]] = numbers  # numpy lets the last of equal indices win
    return labels


def blurred_impulses(keypoints_px: np.ndarray, size_wh: tuple[int, int], sigma: float = 1.0) -> np.ndarray:
    """(H, W) float64: 1 at each joint's pixel, smoothed. A lone joint's height is 1 / (2 pi sigma^2): 0.159 at 1."""
    impulses = (center_pixels(keypoints_px, size_wh) > 0).astype(np.float64)
    return blur_matrix(size_wh[1], sigma) @ impulses @ blur_matrix(size_wh[0], sigma).T


def heatmap(keypoints_px: np.ndarray, size_wh: tuple[int, int], sigma: float = 1.0, peak: float = 1.0) -> np.ndarray:
    """HEATMAPS: (H, W) float64, all joints in one map whose highest pixel is ``peak``; zeros without joints."""
    return _scaled(blurred_impulses(keypoints_px, size_wh, sigma), peak)


def joint_heatmaps(keypoints_px: np.ndarray, size_wh: tuple[int, int], sigma: float = 1.0) -> np.ndarray:
    """(K, H, W) float32, one map a joint with a peak of 1; zeros where a joint is missing."""
    keypoints = np.asarray(keypoints_px, dtype=np.float64)
    maps = np.zeros((len(keypoints), size_wh[1], size_wh[0]), np.float32)
    (pixels, numbers), down, across = _pixels(keypoints, size_wh), *_blurs(size_wh, sigma)
    for (x, y), k in zip(pixels, numbers.astype(int) - 1, strict=True):
        maps[k] = _scaled(down[:, y, None] * across[None, :, x], 1.0)
    return maps


def nearest_labels(
    keypoints_px: np.ndarray, size_wh: tuple[int, int], sigma: float = 1.0, threshold: float = THRESHOLD
) -> np.ndarray:
    """HEATMAPSOFTMAX: (H, W) uint8, the nearest joint's label where `blurred_impulses` are above ``threshold``.

    With a threshold of 0 they are JOINTGAUSSIANS. Of equally near joints the first in the skeleton counts.
    """
    pixels, numbers = _pixels(keypoints_px, size_wh)
    labels = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    y, x = np.nonzero(blurred_impulses(keypoints_px, size_wh, sigma) > threshold)
    if len(pixels):
        distance = (x[:, None] - pixels[:, 0]) ** 2 + (y[:, None] - pixels[:, 1]) ** 2
        labels[y, x] = numbers[distance.argmin(axis=1)]
    return labels


def class_values(labels: np.ndarray, heights: np.ndarray, joints: int, rest: bool = True) -> np.ndarray:
    """Experiment 3: (1 + K, H, W) float32, each labelled pixel's height in its joint's channel, background in front.

    Parameters
    ----------
    labels : (H, W) of `nearest_labels`.
    heights : (H, W) in [0, 1], of `heatmap`.
    joints : K.
    rest : the background is what is left to 1, so that every pixel sums to 1. False is the system's own: 1 where the
        label is 0, else 0, so that pixels off a joint's centre sum to less than 1.

    Raises
    ------
    ShapeError
        Labels and heights of different shapes, or labels above K.
    """
    if labels.shape != heights.shape or labels.ndim != 2 or (labels.size and labels.max() > joints):
        raise ShapeError(
            f"expected labels 0 ... {joints} and heights of one shape (H, W), got {labels.shape} with labels up to "
            f"{labels.max() if labels.size else 0}, and {heights.shape}"
        )
    values = np.zeros((joints + 1, *labels.shape), np.float32)
    y, x = np.nonzero(labels)
    values[labels[y, x], y, x] = heights[y, x]
    values[0] = 1 - values.sum(axis=0) if rest else labels == 0
    return values


def blur_matrix(length: int, sigma: float) -> np.ndarray:
    """(L, L) float64: what smooths a column of L pixels, cut at four sigma, the outermost pixels repeated outwards.

    Column i is what an impulse at pixel i becomes.
    """
    if not sigma > 0:
        raise ShapeError(f"sigma must be a positive number of pixels, got {sigma}")
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((length, length))
    rows = np.repeat(np.arange(length), len(offsets))
    columns = np.clip(np.arange(length)[:, None] + offsets, 0, length - 1).ravel()
    np.add.at(matrix, (rows, columns), np.tile(kernel, length))
    return matrix


def _blurs(size_wh: tuple[int, int], sigma: float) -> tuple[np.ndarray, np.ndarray]:
    return blur_matrix(size_wh[1], sigma), blur_matrix(size_wh[0], sigma)


def _scaled(heights: np.ndarray, peak: float) -> np.ndarray:
    top = heights.max() if heights.size else 0.0
    return heights * (peak / top) if top > 0 else heights


def _pixels(keypoints_px: np.ndarray, size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """((M, 2) whole x and y, (M,) uint8 labels) of the joints inside."""
    keypoints = np.asarray(keypoints_px, dtype=np.float64)
    if keypoints.ndim != 2 or keypoints.shape[1] != 2 or len(keypoints) > _MOST_LABELS:
        raise ShapeError(f"expected keypoints (K, 2) of at most {_MOST_LABELS} joints, got {keypoints.shape}")
    pixels = np.floor(keypoints + 0.5)
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= 0) & (pixels < np.array(size_wh))).all(axis=1)
    return pixels[inside].astype(int), (np.flatnonzero(inside) + 1).astype(np.uint8)
