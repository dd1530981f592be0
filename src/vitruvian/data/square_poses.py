"""`SquarePoses`: frames in 3D as square crops with joints in pixels and in millimetres relative to the root."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import VitruvianError
from .keys import Key, generator_of, whole_key
from .poses3d import Frames3D
from .square_crop import SquareCrop


class SquarePoses:
    """What the grid networks train on.

    Parameters
    ----------
    poses : in camera axes; frames whose root is not labelled are left out.
    crop : how a picture becomes an input.
    mirror_prob : how often a picture is mirrored: left and right change places, and x its sign. (A camera whose
        principal point is not the picture's centre would see the mirrored person from a little elsewhere.)
    seed : of the mirroring, which comes from (seed, epoch, index) alone.
    root : the joint that positions are relative to.
    cache_bytes : memory for crops; where they do not all fit, each is made anew every time.

    Raises
    ------
    VitruvianError
        Joints in world axes, no frame with a root, or a skeleton without it.
    """

    def __init__(
        self,
        poses: Frames3D,
        crop: SquareCrop,
        mirror_prob: float = 0.0,
        seed: int = 0,
        root: str = "pelvis",
        cache_bytes: int = 8 * 2**30,
    ) -> None:
        self.root = poses.skeleton.index(root)
        if poses.axes != "camera":
            raise VitruvianError(f"{poses.source}: joints in world axes; give the cameras (`Frames3D.to_camera`)")
        rooted = np.isfinite(poses.joints_mm[:, self.root]).all(axis=1)
        if not rooted.any():
            raise VitruvianError(f"{poses.source or 'the data'}: none of {len(poses)} frames has a labelled {root}")
        self.poses = poses if rooted.all() else poses.select(rooted)
        self.crop, self.mirror_prob, self.seed = crop, mirror_prob, seed
        self.epoch = 0
        """The epoch that a plain index means; a loader that shuffles gives whole keys instead."""
        self.joints_mm = (self.poses.joints_mm - self.poses.joints_mm[:, self.root : self.root + 1]).astype(np.float32)
        """(N, K, 3) relative to the root."""
        width, height = crop.size_wh
        fits = len(self.poses) * width * height * crop.channels <= cache_bytes
        self._crops = np.zeros((len(self.poses), height, width, crop.channels), np.uint8) if fits else None
        self._keypoints_px = np.full(self.poses.keypoints_px.shape, np.nan, np.float32)
        self._made = np.zeros(len(self.poses), bool)

    def __len__(self) -> int:
        return len(self.poses)

    def preload(self, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Make all crops now, if they may be kept (before workers are forked, so that they share the memory)."""
        if self._crops is not None:
            for i in progress(range(len(self))):
                self.prepared(i)

    def prepared(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """((h, w, channels) uint8, (K, 2) float32 joints in its pixels) of a frame, as it is in every epoch."""
        if self._made[index] and self._crops is not None:
            return self._crops[index], self._keypoints_px[index]
        poses = self.poses
        mask = poses.mask(index) if self.crop.background == "black" or poses.masks[index] is not None else None
        points = poses.keypoints_px[index]
        box = self.crop.box(poses.boxes_xyxy[index], mask, points)
        image, frame_to_input = self.crop.crop(poses.picture(index), box, mask)
        keypoints = frame_to_input.apply(points).astype(np.float32)
        if self._crops is not None:
            self._crops[index], self._keypoints_px[index], self._made[index] = image, keypoints, True
        return image, keypoints

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """A sample as arrays that a loader can stack.

        ``image`` (h, w, channels) uint8, ``keypoints_px`` (K, 2) and ``joints_mm`` (K, 3) float32 with NaN where not
        labelled, ``visibility`` (K,) int8 of the pixels, ``index``.
        """
        index, epoch, repeat = whole_key(key, self.epoch)
        image, keypoints = self.prepared(index)
        joints = self.joints_mm[index]
        if self.mirror_prob and generator_of(self.seed, index, epoch, repeat).random() < self.mirror_prob:
            image, keypoints, joints = self.mirrored(image, keypoints, joints)
        return {
            "image": np.ascontiguousarray(image),
            "keypoints_px": np.ascontiguousarray(keypoints),
            "visibility": np.where(np.isfinite(keypoints).all(axis=1), 2, 0).astype(np.int8),
            "joints_mm": np.ascontiguousarray(joints),
            "index": np.int64(index),
        }

    def mirrored(
        self, image: np.ndarray, keypoints_px: np.ndarray, joints_mm: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture, pixels and millimetres of the mirrored person."""
        flip = self.poses.skeleton.flip
        keypoints = keypoints_px[flip] * np.array([-1, 1], np.float32) + np.array([image.shape[1] - 1, 0], np.float32)
        return image[:, ::-1], keypoints, joints_mm[flip] * np.array([-1, 1, 1], np.float32)
