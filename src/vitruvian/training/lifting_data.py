"""What lifters learn from: motion capture, seen by random cameras, as batches of 2D joints and the 3D joints behind
them.

Each pose is mirrored half of the time, its bones are made longer or shorter (both sides alike), it is brought to the
standard size, and a camera from anywhere around (`geometry.cameras.random_camera`) looks at it and follows it. Part of
the 2D joints get the noise of our own 2D model (`lifting_noise`), and some go missing.

Randomness comes from (seed, epoch, batch) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from ..errors import FormatError
from ..formats.mocap_npz import read_mocap_npz
from ..formats.motion import Motion
from ..geometry.cameras import random_camera
from ..skeletons import H36M17
from ..transforms.lifting import INPUT_JOINTS, input_joints, lifter_inputs, standard_size
from .lifting_noise import NoiseModel

_PARENTS = np.array([-1, *({b: a for a, b in H36M17.edges}[k] for k in range(1, len(H36M17)))])

# Bones that change together: both sides of a body are alike, and so are a bone and its mirror image.
_BONES = {joint: joint.removeprefix("left_").removeprefix("right_") for joint in H36M17.joints[1:]}
_GROUPS = sorted(set(_BONES.values()))
_GROUP_OF = np.array([0, *(_GROUPS.index(_BONES[joint]) for joint in H36M17.joints[1:])])

_LOWER = tuple(INPUT_JOINTS.index(f"{side}_{j}") for side in ("left", "right") for j in ("knee", "ankle"))
_HEAD = (INPUT_JOINTS.index("neck"), INPUT_JOINTS.index("head_top"))


@dataclass(frozen=True)
class Views:
    """How poses are seen; see `random_camera` for the ranges. Poses are of a person of the standard size.

    ``cameras`` is how many are drawn each epoch, ``aside_mm`` how far (standard deviation) they look past the pelvis.
    ``bones`` is the standard deviation of the logarithm of bone lengths. ``noisy`` is the share of poses with 2D noise
    (of any strength up to the measured one), ``joint_missing`` the share of joints that are lost in a third of the
    poses; a tenth each lack neck and head, or knees and ankles.
    """

    cameras: int = 2048
    distance_mm: tuple[float, float] = (2000.0, 9000.0)
    elevation_deg: tuple[float, float] = (-20.0, 50.0)
    roll_deg: float = 8.0
    aside_mm: float = 150.0
    bones: float = 0.06
    noisy: float = 0.6
    joint_missing: float = 0.15


def read_takes(path: str, patterns: Sequence[str]) -> list[Motion]:
    """The takes of a motion capture ``.npz`` whose names match one of the patterns (``02_*``); `FormatError` where a
    pattern matches none.
    """
    takes = read_mocap_npz(path)
    for pattern in patterns:
        if not any(fnmatchcase(take.name, pattern) for take in takes):
            raise FormatError(path, f"no take matches '{pattern}'; names are like {takes[0].name}, {takes[-1].name}")
    return [take for take in takes if any(fnmatchcase(take.name, pattern) for pattern in patterns)]


def mirrored(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) bodies in a mirror: x turned, left and right exchanged."""
    return joints[..., H36M17.flip, :] * np.array([-1.0, 1.0, 1.0])


def stretched(joints: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Bodies (B, T, 17, 3) with the same limb directions and other bone lengths: (B, G) factors, one for each of the
    bones in `_GROUPS`.
    """
    out = np.zeros_like(joints)
    for joint in range(1, joints.shape[-2]):
        bone = joints[..., joint, :] - joints[..., _PARENTS[joint], :]
        out[..., joint, :] = out[..., _PARENTS[joint], :] + bone * factors[:, _GROUP_OF[joint], None, None]
    return out


class CameraPool:
    """Cameras of an epoch as arrays: rotation (C, 3, 3), position (C, 3); focal lengths do not matter to a lifter."""

    def __init__(self, rng: np.random.Generator, views: Views) -> None:
        drawn = [
            random_camera(
                rng,
                rng.normal(0, views.aside_mm, 3),
                distance_mm=views.distance_mm,
                elevation_deg=views.elevation_deg,
                roll_deg=views.roll_deg,
            )
            for _ in range(views.cameras)
        ]
        self.rotation = np.stack([camera.rotation for camera in drawn])
        self.position = np.stack([camera.position_mm for camera in drawn])

    def see(self, joints: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bodies (B, T, 17, 3) around the pelvis, by the cameras (B,): (B, T, 17, 2) on the plane at depth 1, and the
        joints (B, T, 17, 3) relative to the pelvis in the camera's axes.
        """
        turned = np.einsum("bij,btkj->btki", self.rotation[which], joints)
        away = -np.einsum("bij,bj->bi", self.rotation[which], self.position[which])
        placed = turned + away[:, None, None]
        return placed[..., :2] / placed[..., 2:], turned


class LiftingBatches:
    """A map-style data set of whole batches: item i is ``(inputs, joints_mm)`` of batch i of the epoch.

    Parameters
    ----------
    takes : motion capture of ``h36m17``.
    frames : poses that one result needs; 1 gives inputs (B, 14, 3) and joints (B, 17, 3), more give rows of ``frames +
        extra`` poses and ``extra + 1`` results.
    results : results in a batch.
    views, noise : see there.
    seed : all of an epoch depends on it and ``epoch``, an attribute to be set.
    extra : results of one row beyond the first.
    """

    def __init__(
        self,
        takes: Sequence[Motion],
        frames: int,
        results: int,
        views: Views,
        noise: NoiseModel,
        seed: int,
        extra: int = 15,
    ) -> None:
        self.frames, self.views, self.noise, self.seed, self.epoch = frames, views, noise, seed, 0
        self._extra = 0 if frames == 1 else extra
        poses = [standard_size(take.positions_mm) for take in takes]
        margin = frames // 2
        # Ends are repeated, as they will be when a lifter is used.
        padded = [np.concatenate([p[:1].repeat(margin, 0), p, p[-1:].repeat(margin + self._extra, 0)]) for p in poses]
        lengths = np.array([len(p) for p in padded])
        begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self._poses = np.concatenate(padded)
        step = 1 + self._extra
        self._starts = np.concatenate([b + np.arange(0, len(p), step) for b, p in zip(begins, poses, strict=True)])
        self._first = np.repeat(begins, [len(range(0, len(p), step)) for p in poses])  # of each row's take
        self._rows = max(1, results // step)
        self._pool: tuple[int, CameraPool] | None = None

    def __len__(self) -> int:
        return -(-len(self._starts) // self._rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self._starts))
        rng = np.random.default_rng((self.seed, self.epoch, index))
        picked = order[index * self._rows : (index + 1) * self._rows]
        # Without a shift, rows would begin at the same poses in every epoch.
        shift = rng.integers(0, self._extra + 1, len(picked))
        starts = np.maximum(self._starts[picked] - shift, self._first[picked])
        rows = self._poses[starts[:, None] + np.arange(self.frames + self._extra)]
        flips = rng.random(len(rows)) < 0.5
        rows[flips] = mirrored(rows[flips])
        rows = standard_size(stretched(rows, np.exp(rng.normal(0, self.views.bones, (len(rows), len(_GROUPS))))))
        pool = self._cameras()
        plane, seen = pool.see(rows, rng.integers(self.views.cameras, size=len(rows)))
        inputs = disturbed(rng, input_joints(plane), self.views, self.noise)
        joints = seen[:, self.frames // 2 : self.frames // 2 + 1 + self._extra].astype(np.float32)
        return (inputs[:, 0], joints[:, 0]) if self.frames == 1 else (inputs, joints)

    def _cameras(self) -> CameraPool:
        if self._pool is None or self._pool[0] != self.epoch:
            rng = np.random.default_rng((self.seed, self.epoch, 1, 0))
            self._pool = (self.epoch, CameraPool(rng, self.views))
        return self._pool[1]


def disturbed(rng: np.random.Generator, joints: np.ndarray, views: Views, noise: NoiseModel) -> np.ndarray:
    """Exact 2D joints (B, T, 14, 2) to a lifter's inputs (B, T, 14, 3) with noise and missing joints.

    All poses of a row are noisy, or none; so are joints missing for a whole row or pose by pose.
    """
    rows, length, count = joints.shape[:3]
    strength = np.where(rng.random(rows) < views.noisy, rng.random(rows), 0.0)
    noisy, scores = noise.apply(rng, joints.reshape(-1, count, 2), np.repeat(strength, length))
    exact = np.repeat(strength == 0, length)[:, None]
    points = np.where(exact[..., None], joints.reshape(-1, count, 2), noisy).reshape(joints.shape)
    scores = np.where(exact, 1.0, scores).reshape(rows, length, count)
    kind = rng.random(rows)
    lost = rng.random((rows, length, count)) < views.joint_missing
    lost &= (kind < 1 / 3)[:, None, None]
    lost[(kind > 0.8) & (kind <= 0.9)] |= np.isin(np.arange(count), _HEAD)
    lost[kind > 0.9] |= np.isin(np.arange(count), _LOWER)
    return lifter_inputs(points, np.where(lost, 0.0, scores))
