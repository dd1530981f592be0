"""`Skeleton`: joint names, edges, left/right pairs and OKS sigmas, checked at construction.

A skeleton that exists is consistent: its flip is an involution, every edge is in range, and the sigmas have one
entry a joint. Skeletons are compared and mapped by joint *name*, never by position.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import SkeletonError


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named joints and what is known about them.

    Parameters
    ----------
    name : short identifier, e.g. ``"coco17"``.
    joints : K joint names in ``snake_case``; a side is a prefix: ``left_``, ``right_``.
    edges : pairs of joint indices that are drawn as limbs.
    sigmas : K OKS standard deviations (COCO's per-joint sigma, not its doubled ``2 * sigma``).

    Raises
    ------
    SkeletonError
        Duplicate or empty names, an edge out of range or from a joint to itself, sigmas of the wrong length or not
        positive, or a ``left_`` joint without its ``right_`` partner (the flip would not be an involution).
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.joints)
        if count == 0 or len(set(self.joints)) != count or not all(self.joints):
            raise SkeletonError(
                f"skeleton '{self.name}': joint names must be present, non-empty and unique, got {self.joints}"
            )
        if len(self.sigmas) != count:
            raise SkeletonError(
                f"skeleton '{self.name}': got {len(self.sigmas)} sigmas, expected one for each of {count} joints"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.sigmas):
            raise SkeletonError(f"skeleton '{self.name}': sigmas must be positive and finite, got {self.sigmas}")
        for a, b in self.edges:
            if not (0 <= a < count and 0 <= b < count) or a == b:
                raise SkeletonError(
                    f"skeleton '{self.name}': edge ({a}, {b}) must join two different joints of 0..{count - 1}"
                )
        for joint in self.joints:
            partner = _mirrored(joint)
            if partner not in self.joints:
                raise SkeletonError(
                    f"skeleton '{self.name}': '{joint}' has no mirror partner '{partner}', so a flip would lose it"
                )

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def names(self) -> tuple[str, ...]:
        """The joint names, in order (an alias of ``joints`` that reads well in user code)."""
        return self.joints

    @cached_property
    def flip(self) -> np.ndarray:
        """(K,) int64: after a left-right flip, joint k is found where joint ``flip[k]`` was."""
        flip = np.array([self.joints.index(_mirrored(j)) for j in self.joints], dtype=np.int64)
        flip.setflags(write=False)  # it is cached and shared
        return flip

    def index(self, joint: str) -> int:
        """Index of a joint by name; `SkeletonError` names the skeleton's joints when it has none of that name."""
        if joint not in self.joints:
            raise SkeletonError(f"skeleton '{self.name}' has no joint '{joint}'; it has {', '.join(self.joints)}")
        return self.joints.index(joint)

    def source_of(self, source: Skeleton) -> np.ndarray:
        """(K,) int64: for each joint of this skeleton its index in ``source``, -1 where ``source`` lacks it."""
        return np.array([source.joints.index(j) if j in source.joints else -1 for j in self.joints], dtype=np.int64)

    def take(self, source: Skeleton, values: np.ndarray, axis: int, missing: float) -> np.ndarray:
        """Reorder ``values`` from ``source``'s joints to this skeleton's along ``axis``.

        Joints that ``source`` lacks are filled with ``missing``; the caller chooses it, so that nothing absent can
        pass for a joint at (0, 0).
        """
        if values.shape[axis] != len(source):
            raise SkeletonError(
                f"cannot remap '{source.name}' to '{self.name}': axis {axis} has {values.shape[axis]} entries, "
                f"expected {len(source)}"
            )
        index = self.source_of(source)
        out = np.take(values, np.maximum(index, 0), axis=axis)
        lacking = [slice(None)] * out.ndim
        lacking[axis] = index < 0  # type: ignore[call-overload]
        if (index < 0).any():
            dtype = np.result_type(out.dtype, np.min_scalar_type(missing))
            if out.dtype.kind in "iu" and dtype.kind in "iu":  # no need to widen for a 0, which counts as unsigned
                held = np.iinfo(out.dtype)
                dtype = out.dtype if held.min <= missing <= held.max else dtype
            out = out.astype(dtype)
            out[tuple(lacking)] = missing
        return out

    def to_dict(self) -> dict:
        """Plain data for a card; `Skeleton.from_dict` is its inverse."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "edges": [list(e) for e in self.edges],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, data: dict) -> Skeleton:
        """Rebuild a skeleton from `to_dict`'s output, checking it again."""
        try:
            return cls(
                name=str(data["name"]),
                joints=tuple(str(j) for j in data["joints"]),
                edges=tuple((int(a), int(b)) for a, b in data["edges"]),
                sigmas=tuple(float(s) for s in data["sigmas"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SkeletonError):
                raise
            raise SkeletonError(
                f"not a skeleton record ({error!r}); expected the keys name, joints, edges, sigmas"
            ) from error


def _mirrored(joint: str) -> str:
    if joint.startswith("left_"):
        return "right_" + joint[5:]
    if joint.startswith("right_"):
        return "left_" + joint[6:]
    return joint


def edges_by_name(joints: tuple[str, ...], *chains: str) -> tuple[tuple[int, int], ...]:
    """Edges from chains of joint names: ``"a b c"`` gives a-b and b-c. For writing skeleton files readably.

    Raises `SkeletonError` for a name that is no joint.
    """
    edges: list[tuple[int, int]] = []
    for chain in chains:
        unknown = [j for j in chain.split() if j not in joints]
        if unknown:
            raise SkeletonError(f"edge chain '{chain}': no joint '{unknown[0]}'; the joints are {', '.join(joints)}")
        indices = [joints.index(j) for j in chain.split()]
        edges += pairwise(indices)
    return tuple(edges)
