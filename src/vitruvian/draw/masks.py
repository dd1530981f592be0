"""Pictures by means of person masks: people cut out, a blurred background, and white people on black."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ..errors import ShapeError
from ..types import Poses

_FEATHER_PX = 1.0
_BLUR_SHARE = 0.02  # of the image's longer side


def cut_out(image: np.ndarray, poses: Poses, feather_px: float = _FEATHER_PX) -> np.ndarray:
    """(H, W, 4) uint8 RGBA: the people alone, all else transparent.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, of the poses.
    poses : with masks.
    feather_px : standard deviation by which the edge is softened; 0 for a hard one.

    Raises
    ------
    ShapeError
        Poses without masks, or an image of another size.
    """
    share = _share(image, poses, feather_px)
    alpha = np.rint(share * 255).astype(np.uint8)
    return np.concatenate([image, alpha[..., None]], axis=2)


def blur_background(
    image: np.ndarray, poses: Poses, radius_px: float | None = None, feather_px: float = _FEATHER_PX
) -> np.ndarray:
    """(H, W, 3) uint8: the people sharp, all else blurred.

    People do not shine into the background around them: its blur is made of background alone.

    Parameters
    ----------
    image, poses, feather_px : as of `cut_out`.
    radius_px : standard deviation of the blur; None takes 2 % of the longer side.
    """
    share = _share(image, poses, feather_px)[..., None]
    radius = _BLUR_SHARE * max(image.shape[:2]) if radius_px is None else radius_px
    outside = (1 - share) * 255
    part = _blurred(np.rint(image * (outside / 255)).astype(np.uint8), radius)
    whole = _blurred(np.rint(np.broadcast_to(outside, image.shape)).astype(np.uint8), radius)
    background = np.where(whole >= 1, part * 255 / np.maximum(whole, 1), image)
    return np.clip(np.rint(share * image + (1 - share) * background), 0, 255).astype(np.uint8)


def silhouette(poses: Poses) -> np.ndarray:
    """(H, W, 3) uint8: people white on black, which system 0 draws its skeletons over.

    Raises `ShapeError` for poses without masks.
    """
    width, height = poses.size_wh
    picture = np.zeros((height, width, 3), np.uint8)
    for mask in _masks(poses):
        picture[mask] = 255
    return picture


def _masks(poses: Poses) -> np.ndarray:
    if poses.masks is None:
        raise ShapeError("these poses have no masks; `predict.load_masks` finds them, on the command line --masks")
    return np.asarray(poses.masks, bool)


def _share(image: np.ndarray, poses: Poses, feather_px: float) -> np.ndarray:
    """(H, W) float64: how much of each pixel is people."""
    masks = _masks(poses)
    if image.shape != (*poses.size_wh[::-1], 3):
        raise ShapeError(f"the poses are of an image of {poses.size_wh}, got an array of {image.shape}")
    person = masks.any(axis=0) if len(masks) else np.zeros(image.shape[:2], bool)
    grey = Image.fromarray(person.astype(np.uint8) * 255)
    if feather_px > 0:
        grey = grey.filter(ImageFilter.GaussianBlur(feather_px))
    return np.asarray(grey, dtype=np.float64) / 255


def _blurred(image: np.ndarray, radius_px: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius_px)), dtype=np.float64)
