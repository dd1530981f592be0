"""Skeletons of files that bring their own joint names, and records moved from one skeleton to another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import FormatError
from ..skeletons import SKELETONS, Skeleton, match_skeleton
from ..types import Record

DEFAULT_SIGMA = 0.072
"""OKS sigma of a joint no known skeleton has: the median of COCO's 17."""


def joint_name(text: str) -> str:
    """A joint's name as skeletons spell it: snake_case with the side in front.

    ``LeftEye``, ``left eye``, ``l_eye``, ``eye-left`` and ``eye_l`` all become ``left_eye``. A side that is not
    recognised would make the joint its own mirror image, and flipping an image would then teach wrong sides.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text.strip())
    parts = [part for part in re.split(r"[^0-9a-zA-Z]+", words.lower()) if part]
    sides = {"l": "left", "r": "right", "left": "left", "right": "right"}
    if len(parts) > 1 and parts[0] in sides:
        parts[0] = sides[parts[0]]
    elif len(parts) > 1 and parts[-1] in sides:
        parts = [sides[parts[-1]], *parts[:-1]]
    return "_".join(parts)


def skeleton_from_names(names: Sequence[str], edges: Iterable[Sequence[int]] = (), label: str = "custom") -> Skeleton:
    """The known skeleton with these joints in this order, or a new one.

    A new one takes each sigma from the known skeletons by joint name, and `DEFAULT_SIGMA` where none has the joint.

    Parameters
    ----------
    names : K joint names in any spelling `joint_name` understands.
    edges : pairs of joint indices from 0.
    label : the name of a new skeleton.

    Raises
    ------
    SkeletonError
        Names that are empty or not unique, a side without its partner, an edge out of range.
    """
    joints = tuple(joint_name(name) for name in names)
    known = match_skeleton(tuple(names)) or match_skeleton(joints)
    if known is not None:
        return known
    sigmas = {joint: sigma for s in SKELETONS.values() for joint, sigma in zip(s.joints, s.sigmas, strict=True)}
    return Skeleton(
        name=label,
        joints=joints,
        edges=tuple((int(a), int(b)) for a, b in edges),
        sigmas=tuple(sigmas.get(joint, DEFAULT_SIGMA) for joint in joints),
    )


def remap(records: Iterable[Record], skeleton: Skeleton) -> list[Record]:
    """The same records in another skeleton, by joint name; joints it adds are not labelled.

    What a writer of a format with fixed joints (LSP, MPII, OpenPose) needs before records of another skeleton.
    """
    out = []
    for record in records:
        persons = tuple(
            replace(
                person,
                keypoints_px=skeleton.take(record.skeleton, person.keypoints_px, axis=0, missing=np.nan),
                visibility=skeleton.take(record.skeleton, person.visibility, axis=0, missing=0),
            )
            for person in record.persons
        )
        out.append(replace(record, skeleton=skeleton, persons=persons))
    return out


def require_skeleton(records: Sequence[Record], skeleton: Skeleton | None, path: object) -> Skeleton:
    """The one skeleton of all ``records``, which must be ``skeleton`` unless that is None; else `FormatError`."""
    if not records and skeleton is None:
        raise FormatError(path, "there are no records to write, so their joints are not known")
    wanted = skeleton or records[0].skeleton
    for record in records:
        if record.skeleton.joints != wanted.joints:
            raise FormatError(
                path,
                f"its joints are '{record.skeleton.name}' ({len(record.skeleton)}), but this file needs "
                f"'{wanted.name}' ({len(wanted)}); convert with vitruvian.formats.remap(records, skeleton)",
                record=f"image {record.image_id}",
            )
    return wanted
