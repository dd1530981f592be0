"""Who trains and who tests on Human3.6M.

``protocol1`` is the usual one, by subject: S1, S5, S6, S7 and S8 train, S9 and S11 test (as in Martinez et al., ICCV
2017, section 4.1). ``system`` is what system 4's code does with its list of Walking frames, subject after subject:
frames [0, 141999) train, [122000, 141999) are its validation, [142000, 161899) its test. It is here to compare with the
figures published for it, and for nothing else, since it leaks twice; `leak` says how.
"""

from __future__ import annotations

import numpy as np

from ...errors import ShapeError
from ..poses3d import Frames3D

PROTOCOL1: dict[str, tuple[str, ...]] = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
SYSTEM_ORDER = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
SYSTEM: dict[str, tuple[int, int]] = {"train": (0, 141_999), "val": (122_000, 141_999), "test": (142_000, 161_899)}
"""First and past-the-last frame of each part, of the 161,558 that there are (the last slice ends beyond them)."""

SYSTEM_FRAMES = 161_558
SPLITS = ("protocol1", "system")


def take_part(poses: Frames3D, split: str, part: str) -> Frames3D:
    """The frames of one part of a split.

    ``system`` puts the subjects in its order and keeps the order of frames otherwise; for another number of frames than
    its own (another action, or fewer frames a second) its limits are moved in proportion.

    Raises `ShapeError` for a split or part that there is not, or where nothing is left.
    """
    if split == "protocol1":
        if part not in PROTOCOL1:
            raise ShapeError(f"protocol1 has the parts train and test, got '{part}'; hold back a subject of train")
        rows = np.flatnonzero(np.isin(poses.subject, PROTOCOL1[part]))
    elif split == "system":
        if part not in SYSTEM:
            raise ShapeError(f"split 'system' has the parts {', '.join(SYSTEM)}, got '{part}'")
        subject_rows = [np.flatnonzero(poses.subject == subject) for subject in SYSTEM_ORDER]
        order = np.concatenate(subject_rows)
        first, end = (round(limit * len(order) / SYSTEM_FRAMES) for limit in SYSTEM[part])
        rows = order[first : min(end, len(order))]
    else:
        raise ShapeError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
    if not len(rows):
        raise ShapeError(f"no frame of {poses.source or 'the data'} belongs to part '{part}' of split '{split}'")
    return poses.select(rows)


def leak(poses: Frames3D, split: str) -> str:
    """What is wrong with a split, in a sentence with the numbers of these frames; empty for one without a leak."""
    if split != "system":
        return ""
    train, val, test = (take_part(poses, split, part) for part in ("train", "val", "test"))
    common = sorted(set(train.subject) & set(test.subject))
    shared = int(np.isin(test.subject, common).sum())
    return (
        f"split 'system': all {len(val)} validation frames are training frames too, and {shared} of {len(test)} test "
        f"frames are of {', '.join(common) or 'no subject'}, whose other frames are trained on; do not compare its "
        "figures with those of protocol1"
    )
