"""From joints in space to a BVH clip: bones of constant length, and the rotations that point them where the joints are.

Positions say where a bone points but not how it is twisted about itself: every bone gets the shortest turn from its
rest direction. Where several bones leave a joint (pelvis, thorax), the joint gets the rotation that suits them best
(Kabsch, Acta Cryst. A32, 1976) and each bone a joint of its own at the same place, ``to_<child>``, for what is left;
so every bone points exactly where it should.

The rest pose is a T pose for ``h36m17`` (facing z, y up), the first frame for other joints.
"""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..geometry.procrustes import fit_similarity
from ..skeletons import H36M17
from .bvh import BvhClip
from .motion import Motion

_ROTATIONS = ("zrotation", "xrotation", "yrotation")
_POSITIONS = ("xposition", "yposition", "zposition")

_T_POSE = {
    "left_hip": (1, 0, 0), "right_hip": (-1, 0, 0), "left_knee": (0, -1, 0), "right_knee": (0, -1, 0),
    "left_ankle": (0, -1, 0), "right_ankle": (0, -1, 0), "spine": (0, 1, 0), "thorax": (0, 1, 0),
    "neck_base": (0, 1, 0),
    "head_top": (0, 1, 0), "left_shoulder": (1, 0, 0), "right_shoulder": (-1, 0, 0), "left_elbow": (1, 0, 0),
    "right_elbow": (-1, 0, 0), "left_wrist": (1, 0, 0), "right_wrist": (-1, 0, 0),
}  # fmt: skip


def bvh_from_motion(motion: Motion, unit_mm: float = 10.0) -> BvhClip:
    """A clip with the joints of a take, in units of ``unit_mm`` (10: centimetres).

    `BvhClip.motion` gives the positions back, but for changes of the bones' lengths: each has its median. Joints keep
    their names; a joint without children becomes ``<name>`` with an end site at the same place.

    Raises
    ------
    ShapeError
        Joints that do not hang together from one root, positions that are not finite, no frame, or a unit that is not
        positive.
    """
    positions = motion.positions_mm
    roots = list(motion.parents).count(-1)
    loose = " (no bones, as in marker files: TRC, C3D)" if roots == len(motion.joints) else ""
    if roots != 1 or len(positions) == 0 or not np.isfinite(positions).all() or unit_mm <= 0:
        raise ShapeError(
            f"motion '{motion.name}' cannot become BVH: it needs one root, one or more frames with a position for each "
            f"joint, and a positive unit; got {roots} roots{loose}, {len(positions)} frames, "
            f"{int((~np.isfinite(positions).all((1, 2))).sum())} of them incomplete, unit {unit_mm:g} mm"
        )
    order = _depth_first(motion.parents)
    children = {k: [c for c in order if motion.parents[c] == k] for k in order}
    rest = _rest_offsets(motion)
    builder = _Builder(len(positions), unit_mm)
    places: dict[int, tuple[int, np.ndarray]] = {}  # joint -> its index in the clip, its parent's global rotation
    for k in order:
        at, turn = places.get(k, (-1, np.broadcast_to(np.eye(3), (len(positions), 3, 3))))
        own = _best_turn(rest[children[k]], positions[:, children[k]] - positions[:, k : k + 1], turn)
        offset = np.zeros(3) if at < 0 else rest[k]
        index = builder.add(motion.joints[k], at, offset, own, root=positions[:, k] if at < 0 else None)
        turn = turn @ own
        for child in children[k]:
            bone = positions[:, child] - positions[:, k]
            if len(children[k]) == 1:
                places[child] = (index, turn)
                continue
            swing = shortest_turns(rest[child], np.einsum("fji,fj->fi", turn, bone))
            places[child] = (builder.add(f"to_{motion.joints[child]}", index, np.zeros(3), swing), turn @ swing)
        if not children[k]:
            builder.end(index)
    # Helpers were added beside each other; BVH wants each followed by what hangs on it.
    return builder.clip(1 / motion.fps)


def shortest_turns(start: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotations by the smallest angle that turn direction ``start`` (3,) to each of ``ends`` (F, 3).

    No turn where either has no length; half a turn about any perpendicular axis where they are opposite.
    """
    lengths = np.linalg.norm(ends, axis=1) * np.linalg.norm(start)
    whole = np.where(lengths > 0, lengths, 1.0)
    cross, dot = np.cross(np.broadcast_to(start, ends.shape), ends) / whole[:, None], ends @ start / whole
    dot = np.where(lengths > 0, dot, 1.0)
    skew = np.zeros((len(ends), 3, 3))
    skew[:, [2, 0, 1], [1, 2, 0]] = cross
    skew[:, [1, 2, 0], [2, 0, 1]] = -cross
    opposite = dot < -1 + 1e-12
    turns = np.eye(3) + skew + skew @ skew / np.where(opposite, 1.0, 1 + dot)[:, None, None]
    if opposite.any():
        axis = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
        axis = axis / np.linalg.norm(axis)
        turns[opposite] = 2 * np.outer(axis, axis) - np.eye(3)
    return turns


def euler_zxy_deg(rotations: np.ndarray) -> np.ndarray:
    """(F, 3) degrees z, x, y with Rz Rx Ry = the rotations (F, 3, 3), continuous over frames where they are."""
    x = np.arcsin(np.clip(rotations[:, 2, 1], -1, 1))
    locked = np.abs(rotations[:, 2, 1]) > 1 - 1e-12
    z = np.arctan2(-rotations[:, 0, 1], rotations[:, 1, 1])
    y = np.arctan2(-rotations[:, 2, 0], rotations[:, 2, 2])
    # Looking along x, z and y turn about the same axis: all of the turn is given to z.
    z = np.where(locked, np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]), z)
    y = np.where(locked, 0.0, y)
    return np.rad2deg(np.unwrap(np.stack([z, x, y], axis=1), axis=0))


def _rest_offsets(motion: Motion) -> np.ndarray:
    """(J, 3) mm of each joint from its parent in the rest pose."""
    rest = np.zeros((len(motion.joints), 3))
    for k, parent in enumerate(motion.parents):
        if parent < 0:
            continue
        bone = motion.positions_mm[:, k] - motion.positions_mm[:, parent]
        length = float(np.median(np.linalg.norm(bone, axis=1)))
        first = np.linalg.norm(bone[0])
        direction = bone[0] / first if first > 0 else np.array([0.0, 1.0, 0.0])
        if motion.joints == H36M17.joints:
            direction = np.array(_T_POSE[motion.joints[k]], np.float64)
        rest[k] = direction * length
    return rest


def _best_turn(rest: np.ndarray, bones: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotation, within the parent's, that brings rest offsets (C, 3) nearest to the bones (F, C, 3)."""
    frames = len(bones)
    if len(rest) == 0:
        return np.broadcast_to(np.eye(3), (frames, 3, 3))
    local = np.einsum("fji,fcj->fci", turn, bones)
    if len(rest) == 1:
        return shortest_turns(rest[0], local[:, 0])
    # The joint itself is a point of both sets, so that directions are compared and not places.
    both = [np.concatenate([-points, points], axis=1) for points in (np.tile(rest, (frames, 1, 1)), local)]
    return fit_similarity(*both, scaling=False).rotation


def _depth_first(parents: tuple[int, ...]) -> list[int]:
    order: list[int] = []
    stack = [parents.index(-1)]
    while stack:
        k = stack.pop()
        order.append(k)
        stack += [c for c in range(len(parents) - 1, -1, -1) if parents[c] == k]
    return order


class _Builder:
    """Collects joints in any order, parents first, and puts them depth first in the end."""

    def __init__(self, frames: int, unit_mm: float) -> None:
        self._frames, self._unit = frames, unit_mm
        self._names: list[str] = []
        self._parents: list[int] = []
        self._offsets: list[np.ndarray] = []
        self._channels: list[tuple[str, ...]] = []
        self._values: list[np.ndarray] = []

    def add(
        self, name: str, parent: int, offset_mm: np.ndarray, turns: np.ndarray, root: np.ndarray | None = None
    ) -> int:
        angles = euler_zxy_deg(turns)
        self._names.append(name.replace(" ", "_"))
        self._parents.append(parent)
        self._offsets.append(offset_mm / self._unit)
        self._channels.append(_ROTATIONS if root is None else (*_POSITIONS, *_ROTATIONS))
        self._values.append(angles if root is None else np.concatenate([root / self._unit, angles], axis=1))
        return len(self._names) - 1

    def end(self, parent: int) -> None:
        self._names.append(f"{self._names[parent]}_end")
        self._parents.append(parent)
        self._offsets.append(np.zeros(3))
        self._channels.append(())
        self._values.append(np.zeros((self._frames, 0)))

    def clip(self, frame_time: float) -> BvhClip:
        order = _depth_first(tuple(self._parents))
        new = {old: i for i, old in enumerate(order)} | {-1: -1}
        return BvhClip(
            joints=tuple(self._names[k] for k in order),
            parents=tuple(new[self._parents[k]] for k in order),
            offsets=np.array([self._offsets[k] for k in order]),
            channels=tuple(self._channels[k] for k in order),
            values=np.concatenate([self._values[k] for k in order], axis=1),
            frame_time=frame_time,
        )
