"""Protocol 1 and the system's own split, on the numbers of frames that the system states."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.data.h36m import READERS
from vitruvian.data.h36m.names import OF_32, action_of
from vitruvian.data.h36m.splits import PROTOCOL1, SYSTEM_FRAMES, leak, take_part
from vitruvian.data.poses3d import Frames3D
from vitruvian.errors import ShapeError
from vitruvian.skeletons import H36M17, Skeleton

_DOT = Skeleton("dot", ("pelvis",), (), (0.1,))
_WALKING = {"S1": 26_440, "S5": 22_084, "S6": 25_456, "S7": 29_036, "S8": 29_278, "S9": 16_232, "S11": 13_032}


def _frames(counts: dict[str, int], order: list[str] | None = None) -> Frames3D:
    subject = np.concatenate([np.full(counts[name], name) for name in order or counts])
    count = len(subject)
    labels = {"action": np.full(count, "Walking"), "sequence": subject, "frame": np.arange(count)}
    return Frames3D(_DOT, np.zeros((count, 1, 3)), subject, **labels)


def test_the_subset_of_17_joints_as_the_system_counts_them() -> None:
    from_one = [1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 16, 18, 19, 20, 26, 27, 28]
    assert [k + 1 for k in OF_32] == from_one
    assert len(OF_32) == len(H36M17)


def test_actions() -> None:
    spelled = {
        "Walking": ("Walking 1", "Walking-1", "Walking"),
        "WalkDog": ("WalkingDog 1", "WalkDog"),
        "Photo": ("TakingPhoto", "Photo 1"),
        "WalkTogether": ("WalkTogether 1",),
        "SittingDown": ("SittingDown 2",),
    }
    for action, takes in spelled.items():
        assert {action_of(take) for take in takes} == {action}


def test_protocol_1_is_by_subject() -> None:
    frames = _frames(dict.fromkeys(_WALKING, 3))
    train, test = (take_part(frames, "protocol1", part) for part in ("train", "test"))
    assert set(train.subject) == {"S1", "S5", "S6", "S7", "S8"}
    assert set(test.subject) == {"S9", "S11"}
    assert len(train) + len(test) == len(frames)
    assert not set(PROTOCOL1["train"]) & set(PROTOCOL1["test"])
    assert leak(frames, "protocol1") == ""


def test_the_systems_split_and_its_leak() -> None:
    """With the counts of the paper: 6,526 frames of S9, a training subject, are in the test slice."""
    assert sum(_WALKING.values()) == SYSTEM_FRAMES
    frames = _frames(_WALKING, order=["S11", "S9", "S8", "S7", "S6", "S5", "S1"])  # it has an order of its own
    train, val, test = (take_part(frames, "system", part) for part in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (141_999, 19_999, SYSTEM_FRAMES - 142_000)
    assert set(val.frame) <= set(train.frame)
    assert not set(test.frame) & set(train.frame)
    assert dict(zip(*np.unique(test.subject, return_counts=True), strict=True)) == {"S9": 6_526, "S11": 13_032}
    assert "S9" in set(train.subject)
    said = leak(frames, "system")
    assert "all 19999 validation frames are training frames too" in said
    assert "6526 of 19558 test frames are of S9" in said


def test_fewer_frames_are_split_in_proportion() -> None:
    frames = _frames({name: count // 50 for name, count in _WALKING.items()})
    train, val, test = (take_part(frames, "system", part) for part in ("train", "val", "test"))
    assert abs(len(train) - 141_999 / 50) < 10
    assert set(val.frame) <= set(train.frame)
    assert len(train) + len(test) == pytest.approx(len(frames), abs=1)


def test_refusals() -> None:
    frames = _frames({"S1": 2})
    for split, part, said in (
        ("protocol1", "val", "hold back a subject"),
        ("protocol1", "test", "no frame"),
        ("system", "dev", "parts train, val, test"),
        ("protocol2", "train", "protocol1, system"),
    ):
        with pytest.raises(ShapeError, match=said):
            take_part(frames, split, part)


def test_readers_are_the_files_of_the_folder() -> None:
    from pathlib import Path

    import vitruvian.data.h36m as folder

    files = {p.stem for p in Path(folder.__file__).parent.glob("*.py")} - {"__init__"}
    shared = {"names", "cameras", "restricted", "splits"}
    assert {name.removeprefix("h36m_") for name in READERS} == files - shared
