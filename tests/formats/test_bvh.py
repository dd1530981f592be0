"""BVH: positions by hand, the order of rotations, round trips, malformed files, a real walk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError, ShapeError
from vitruvian.formats.bvh import BvhClip, read_bvh, read_bvh_clip, write_bvh

_ARM = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT shoulder {
    OFFSET 0 2 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    JOINT wrist
    {
      OFFSET 3 0 0
      CHANNELS 1 Xrotation
      End Site { OFFSET 1 0 0 }
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.04
0 0 0  0 0 0  0 0 0  0
1 1 1  90 0 0  0 0 0  0
0 0 0  0 0 0  90 0 90  45
"""


def _clip(rng: np.random.Generator) -> BvhClip:
    """Random tree, random orders of channels."""
    joints = ("root", "a", "b", "b_end", "c", "d", "d_end")
    orders = ["xyz", "zxy", "yzx", "zyx"]
    rotations = lambda: tuple(f"{axis}rotation" for axis in rng.choice(orders))  # noqa: E731
    place = ("xposition", "yposition", "zposition")
    channels = ((*place, *rotations()), rotations(), rotations(), (), rotations(), (*place, *rotations()), ())
    width = sum(map(len, channels))
    offsets = np.round(rng.normal(size=(7, 3)) * 20, 4)
    return BvhClip(
        joints, (-1, 0, 1, 2, 0, 4, 5), offsets, channels, np.round(rng.normal(size=(5, width)) * 60, 4), 1 / 50
    )


def test_positions_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "arm.bvh"
    path.write_text(_ARM)
    motion = read_bvh(path, unit_mm=1.0)
    assert motion.joints == ("hip", "shoulder", "wrist", "wrist_end")
    assert motion.parents == (-1, 0, 1, 2)
    assert motion.fps == pytest.approx(25)
    assert motion.name == "arm"
    expected = [
        [[0, 0, 0], [0, 2, 0], [3, 2, 0], [4, 2, 0]],
        [[1, 1, 1], [-1, 1, 1], [-1, 4, 1], [-1, 5, 1]],  # a quarter turn about z from the hip on
        [[0, 0, 0], [0, 2, 0], [0, 5, 0], [0, 6, 0]],  # Rz Rx of x: Rx leaves it, Rz makes it y
    ]
    np.testing.assert_allclose(motion.positions_mm, expected, atol=1e-12)
    np.testing.assert_allclose(read_bvh(path).positions_mm, 10 * motion.positions_mm)


def test_rotations_are_multiplied_in_the_order_of_the_file(tmp_path: Path) -> None:
    """With z 90 and x 90, "Z X" leads y by Rx to z, where Rz leaves it; "X Z" by Rz to -x, where Rx leaves it."""
    for order, expected in (("Zrotation Xrotation", [0, 0, 1]), ("Xrotation Zrotation", [-1, 0, 0])):
        path = tmp_path / "two.bvh"
        path.write_text(
            f"HIERARCHY ROOT a {{ OFFSET 0 0 0 CHANNELS 2 {order} End Site {{ OFFSET 0 1 0 }} }}\n"
            "MOTION\nFrames: 1\nFrame Time: 0.1\n90 90\n"
        )
        np.testing.assert_allclose(read_bvh(path, unit_mm=1).positions_mm[0, 1], expected, atol=1e-12)


def test_positions_replace_offsets(rng: np.random.Generator) -> None:
    clip = _clip(rng)
    motion = clip.motion(1.0)
    start = sum(map(len, clip.channels[:5]))
    reach = np.linalg.norm(motion.positions_mm[:, 5] - motion.positions_mm[:, 4], axis=1)
    np.testing.assert_allclose(reach, np.linalg.norm(clip.values[:, start : start + 3], axis=1))
    for i in (1, 2, 3, 4, 6):  # all others keep their bone's length
        reach = np.linalg.norm(motion.positions_mm[:, i] - motion.positions_mm[:, clip.parents[i]], axis=1)
        np.testing.assert_allclose(reach, np.linalg.norm(clip.offsets[i]))


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    clip = _clip(rng)
    again = read_bvh_clip(write_bvh(tmp_path / "new" / "clip.bvh", clip))
    assert (again.joints, again.parents, again.channels) == (clip.joints, clip.parents, clip.channels)
    np.testing.assert_array_equal(again.offsets, clip.offsets)
    np.testing.assert_array_equal(again.values, clip.values)
    assert again.frame_time == pytest.approx(clip.frame_time)
    np.testing.assert_array_equal(again.motion().positions_mm, clip.motion().positions_mm)
    empty = replace(clip, values=clip.values[:0])
    assert len(read_bvh_clip(write_bvh(tmp_path / "empty.bvh", empty)).values) == 0


def test_a_real_file_survives_writing(tmp_path: Path, shared_data: Path) -> None:
    clip = read_bvh_clip(shared_data / "mocap" / "raw" / "cc_002_03.bvh")
    again = read_bvh_clip(write_bvh(tmp_path / "walk.bvh", clip))
    assert (again.joints, again.parents, again.channels) == (clip.joints, clip.parents, clip.channels)
    np.testing.assert_allclose(again.motion().positions_mm, clip.motion().positions_mm, atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("HIERARCHY", "HI", "HIERARCHY"),
        ("MOTION", "", "MOTION"),
        ("JOINT wrist", "JOINT hip", "joint 'hip'"),
        ("JOINT wrist", "ROOT wrist", "one ROOT"),
        ("OFFSET 0 2 0", "OFFSET 0 2 up", "'up'"),
        ("CHANNELS 3", "CHANNELS 4", "channels"),
        ("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation", "wrotation"),
        ("  }\n}", "  }\n", "1 joints open"),
        ("Frames: 3", "Frames: 4", "need 40 values, got 30"),
        ("Frames: 3", "Frames: 2.5", "whole number"),
        ("0.04", "0", "positive time"),
        ("45", "nan", "frame 2"),
        ("45", "4x5", "no number"),
    ],
)
def test_malformed_files_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.bvh"
    path.write_text(_ARM.replace(old, new, 1) if old != "45" else _ARM.replace("45", new))
    with pytest.raises(FormatError, match=said) as error:
        read_bvh(path)
    assert error.value.path == path


def test_files_cut_off_anywhere_give_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.bvh"
    for end in range(len(_ARM.rstrip()) - 2):
        path.write_text(_ARM[:end])
        with pytest.raises(FormatError):
            read_bvh(path)
    with pytest.raises(FormatError, match="no such file"):
        read_bvh(tmp_path / "none.bvh")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a text file"):
        read_bvh(path)


def test_what_bvh_cannot_say_is_not_written(tmp_path: Path, rng: np.random.Generator) -> None:
    clip = _clip(rng)
    swapped = replace(clip, joints=("root", "a", "c", "b", "b_end", "d", "d_end"), parents=(-1, 0, 0, 1, 3, 2, 5))
    channels = tuple(clip.channels[i] for i in (0, 1, 4, 2, 3, 5, 6))
    for bad in (
        replace(swapped, channels=channels),  # breadth first
        replace(clip, joints=("my root", *clip.joints[1:])),
        replace(clip, joints=(*clip.joints[:6], "tip")),
        replace(clip, parents=(-1, 0, 1, 2, -1, 4, 5)),
        replace(clip, parents=(-1, 0, 1, 2, 3, 4, 5)),
    ):
        with pytest.raises(FormatError):
            write_bvh(tmp_path / "bad.bvh", bad)
    assert not (tmp_path / "bad.bvh").exists()
    with pytest.raises(ShapeError, match="values"):
        replace(clip, values=clip.values[:, :-1])
    with pytest.raises(ShapeError, match="frame time"):
        replace(clip, frame_time=0.0)
