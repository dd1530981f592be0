"""Poses of synthetic people: global rotations of 36 bones, from a bank of rotations, from motion capture, or a prior.

A `Poses3D` holds, for each pose, what turns MakeHuman's body from rest, bone by bone (see `body`). Sources:

- `read_bank`: the bone-rotation bank (``.npz`` with ``quaternion_xyzw``, ``bone``, ``source``, ``limb``,
  ``source_limb_direction``; z up). Its rotations are those of the captured skeleton, whose limbs at rest point
  elsewhere than MakeHuman's: a limb's turn is the stored one after the shortest turn between the two rests.
- `read_motion`: BVH, ASF/AMC or the mocap ``.npz`` of `formats`, by the directions between joints (`retarget`).
- `prior.PosePrior`: shipped with the package; needs no data.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import FormatError, ShapeError
from . import rotations as rot
from .body import BodyModel

SPINE = ("root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head")
ARM = ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
LEG = ("pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")
POSED = (*SPINE, *(f"{b}.L" for b in (*ARM, *LEG)), *(f"{b}.R" for b in (*ARM, *LEG)))
"""The 36 bones of a pose, in the order of the bank."""
AT = {name: i for i, name in enumerate(POSED)}

MIRRORED = np.array([AT[n[:-1] + {"L": "R", "R": "L"}[n[-1]]] if n[-2:] in (".L", ".R") else AT[n] for n in POSED])
_LIMBS = {  # bone whose direction counts: (where it ends, bones that turn with it)
    "upperarm01": ("lowerarm01", ("upperarm02",)),
    "lowerarm01": ("wrist", ("lowerarm02", "wrist")),
    "upperleg01": ("lowerleg01", ("upperleg02",)),
    "lowerleg01": ("foot", ("lowerleg02",)),
}
_NECK_DEG = 65.0
_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@dataclass(frozen=True, eq=False)
class Poses3D:
    """N poses.

    Attributes
    ----------
    rotations : (N, 36, 3, 3) float32, global, of `POSED`; y up, a turn of 1 faces +z.
    take : (N,) int32, which recording each is from; ``names`` are theirs.
    """

    rotations: np.ndarray
    take: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.rotations.shape[1:] != (len(POSED), 3, 3) or self.take.shape != self.rotations.shape[:1]:
            raise ShapeError(
                f"poses need rotations (N, {len(POSED)}, 3, 3) and takes (N,), got {self.rotations.shape} and "
                f"{self.take.shape}"
            )
        if self.take.size and (self.take.min() < 0 or self.take.max() >= len(self.names)):
            raise ShapeError(f"takes must be 0 ... {len(self.names) - 1}, got {self.take.min()} ... {self.take.max()}")

    def __len__(self) -> int:
        return len(self.rotations)

    def of_takes(self, takes: Sequence[int]) -> Poses3D:
        """The poses of some takes only."""
        keep = np.isin(self.take, takes)
        return Poses3D(self.rotations[keep], self.take[keep], self.names)


def join(poses: Sequence[Poses3D]) -> Poses3D:
    """Several sources as one; takes keep apart. `ShapeError` for none."""
    if not poses:
        raise ShapeError("no poses to join; give at least one source")
    starts = np.cumsum([0, *(len(p.names) for p in poses)])
    return Poses3D(
        np.concatenate([p.rotations for p in poses]),
        np.concatenate([p.take + start for p, start in zip(poses, starts, strict=False)]).astype(np.int32),
        tuple(name for p in poses for name in p.names),
    )


def mirrored(rotations: np.ndarray) -> np.ndarray:
    """(..., 36, 3, 3) the poses of the mirror image: left and right change places."""
    sign = np.array([-1.0, 1.0, 1.0])
    return rotations[..., MIRRORED, :, :] * (sign[:, None] * sign)


def rest_directions(body: BodyModel) -> dict[str, np.ndarray]:
    """Unit directions of the four limb bones a side at rest, of the mean shape, by the bone's name."""
    heads = body.heads.mean(axis=0)
    out = {}
    for bone, (end, _) in _LIMBS.items():
        for side in "LR":
            way = heads[body.bone_index[f"{end}.{side}"]] - heads[body.bone_index[f"{bone}.{side}"]]
            out[f"{bone}.{side}"] = way / np.linalg.norm(way)
    return out


def read_bank(path: str | os.PathLike, body: BodyModel) -> Poses3D:
    """Read a bone-rotation bank for a body; `FormatError` where it is not one."""
    names = ("quaternion_xyzw", "bone", "source", "source_name", "limb", "source_limb_direction")
    try:
        with np.load(path, allow_pickle=False) as file:
            quaternions, bones, source, source_name, limbs, directions = (file[name] for name in names)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(path, f"is not a bone-rotation bank ({error}); expected arrays {', '.join(names)}") from error
    column = {str(bone): i for i, bone in enumerate(bones)}
    if quaternions.shape[1:] != (len(bones), 4) or not set(POSED) <= set(column):
        raise FormatError(path, f"expected quaternions (N, B, 4) of the bones {', '.join(POSED)}")
    turns = rot.from_quaternion(quaternions[:, [column[name] for name in POSED]])
    turns = _TO_Y_UP @ turns @ _TO_Y_UP.T
    directions = np.asarray(directions, np.float64) @ _TO_Y_UP.T  # (sources, limbs, 3)
    for i, limb in enumerate(str(name) for name in limbs):
        bone, _, side = limb.partition(".")
        fix = rot.between(rest_directions(body)[limb], directions[:, i])[source]
        for turned in (bone, *_LIMBS[bone][1]):
            turns[:, AT[f"{turned}.{side}"]] = turns[:, AT[f"{turned}.{side}"]] @ fix
    turns, source = turns.astype(np.float32), source.astype(np.int32)
    # Captured heads are now and then where no neck allows: markers that slipped.
    sane = rot.angle(np.swapaxes(turns[:, AT["spine01"]], 1, 2) @ turns[:, AT["head"]]) < np.deg2rad(_NECK_DEG)
    return Poses3D(turns[sane], source[sane], tuple(str(n) for n in source_name))


def read_poses(path: str | os.PathLike, body: BodyModel) -> Poses3D:
    """Read poses from a file by its kind: bank or mocap ``.npz``, ``.bvh``, or ``.amc`` (its ``.asf`` beside it).

    Raises `FormatError` for another kind of file, one that cannot be read, or a skeleton whose joints are not known.
    """
    from .retarget import read_motion

    path = Path(path)
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                bank = "quaternion_xyzw" in file.files
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise FormatError(path, f"cannot be read as .npz ({error})") from error
        if bank:
            return read_bank(path, body)
    return read_motion(path, body)


def global_rotations(body: BodyModel, pose: np.ndarray, curl: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """(B, 3, 3) float64 of all the body's bones for one pose (36, 3, 3).

    Parameters
    ----------
    curl : how far the (left, right) fingers are bent, 0 flat ... 1 a fist. Other bones turn with their parents.
    """
    out = np.empty((len(body.bones), 3, 3))
    axes = finger_axes(body)
    bends = [curl[0 if n.endswith(".L") else 1] * (0.5 if n.startswith("finger1") else 1.35) for n in axes]
    bent = rot.from_vector(np.reshape(list(axes.values()), (-1, 3)) * np.reshape(bends, (-1, 1)))
    fingers = dict(zip(axes, bent, strict=True))
    for i, (name, parent) in enumerate(zip(body.bones, body.parents, strict=True)):
        if name in AT:
            out[i] = pose[AT[name]]
            continue
        out[i] = out[parent] if parent >= 0 else np.eye(3)
        if name in fingers:
            out[i] = out[i] @ fingers[name]
    return out


def finger_axes(body: BodyModel) -> dict[str, np.ndarray]:
    """For each finger bone of the body the axis, at rest, about which a positive angle bends it into the palm."""
    cached = _AXES.get(id(body))
    if cached is not None and cached[0] is body:
        return cached[1]
    heads, index = body.heads.mean(axis=0), body.bone_index
    out: dict[str, np.ndarray] = {}
    for side in "LR":
        if f"finger2-1.{side}" not in index:
            continue
        wrist, first, last = (heads[index[f"{b}.{side}"]] for b in ("wrist", "finger2-1", "finger5-1"))
        # Out of the back of the hand: the first finger is in front of the last where arms hang.
        normal = np.cross(first - wrist, last - wrist) * (-1 if side == "L" else 1)
        for finger in range(1, 6):
            start, end = (heads[index[f"finger{finger}-{link}.{side}"]] for link in (1, 3))
            axis = np.cross(end - start, normal)
            axis /= np.linalg.norm(axis)
            out |= {f"finger{finger}-{link}.{side}": axis for link in (1, 2, 3)}
    _AXES.clear()
    _AXES[id(body)] = (body, out)
    return out


_AXES: dict[int, tuple[BodyModel, dict[str, np.ndarray]]] = {}
