"""ASF/AMC: positions by hand, rigid bones, malformed files, and the same walk as in BVH."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError
from vitruvian.formats.asf_amc import read_asf, read_asf_amc
from vitruvian.formats.bvh import read_bvh

_ASF = """# a comment
:version 1.10
:units
  mass 1.0
  length 0.5
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name upper
     direction 2 0 0
     length 3
     axis 0 0 90 XYZ
     dof rx rz
     limits (-90 90)
            (-90 90)
  end
  begin
     name lower
     direction 0 1 0
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
_AMC = """#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
upper 0 0
2
root 1 2 3 0 0 0
upper 90 0
3
root 0 0 0 0 90 0
upper 0 90
4
root 0 0 0 0 0 0
upper 90 90
"""

_LIMBS = {  # ends of the same bones, in the names of either file
    f"{side}_{limb}": (
        tuple(side[0] + bone for bone in acclaim),
        tuple(f"CC_Base_{side[0].upper()}_{j}" for j in names),
    )
    for side in ("left", "right")
    for limb, acclaim, names in (
        ("thigh", ("hipjoint", "femur"), ("Thigh", "Calf")),
        ("shin", ("femur", "tibia"), ("Calf", "Foot")),
        ("upper_arm", ("clavicle", "humerus"), ("Upperarm", "Forearm")),
        ("forearm", ("humerus", "wrist"), ("Forearm", "Hand")),
    )
}


def _files(folder: Path, asf: str = _ASF, amc: str = _AMC) -> tuple[Path, Path]:
    paths = folder / "a.asf", folder / "a_01.amc"
    for path, text in zip(paths, (asf, amc), strict=True):
        path.write_text(text)
    return paths


def test_positions_by_hand(tmp_path: Path) -> None:
    """The upper bone points to x; its own axes are turned by 90 degrees about z, so its x axis is the world's y."""
    motion = read_asf_amc(*_files(tmp_path), unit_mm=1.0)
    assert motion.joints == ("root", "upper", "lower")
    assert motion.parents == (-1, 0, 1)
    assert (motion.fps, motion.name) == (120, "a_01")
    expected = [
        [[0, 0, 0], [3, 0, 0], [3, 1, 0]],
        [[1, 2, 3], [1, 2, 0], [1, 3, 0]],  # about y by 90: x goes to -z; the lower bone stays along y
        [[0, 0, 0], [0, 3, 0], [0, 3, 1]],  # about z by 90, then the root about y: x -> y, and y -> -x -> z
        [[0, 0, 0], [0, 0, -3], [-1, 0, -3]],  # rx is applied first: x -> -z by y, y stays, then y -> -x by z
    ]
    np.testing.assert_allclose(motion.positions_mm, expected, atol=1e-12)
    np.testing.assert_allclose(read_asf_amc(*_files(tmp_path)).positions_mm, 50.8 * motion.positions_mm)


def test_radians(tmp_path: Path) -> None:
    asf = _ASF.replace("angle deg", "angle rad").replace("0 0 90 XYZ", f"0 0 {np.pi / 2} XYZ")
    amc = _AMC.replace(":DEGREES", ":RADIANS").replace("90", str(np.pi / 2))
    expected = read_asf_amc(*_files(tmp_path)).positions_mm
    np.testing.assert_allclose(read_asf_amc(*_files(tmp_path, asf, amc)).positions_mm, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":hierarchy", ":tree", "hierarchy"),
        ("length 0.5", "length 0", "positive length"),
        ("angle deg", "angle grad", "deg or rad"),
        ("direction 2 0 0", "direction 2 0", "record upper: expected 3 numbers"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XYY", "order like XYZ"),
        ("dof rx rz", "dof rx rx", "rx rx"),
        ("dof rx rz", "dof rx tz", "only the root"),
        ("name lower", "name upper", "name of its own"),
        ("    upper lower\n", "", "without a parent: lower"),
        ("upper lower", "lower upper", "must come before"),
        ("  end\n:hier", ":hier", "no 'end'"),
    ],
)
def test_malformed_skeletons_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert _ASF.count(old) >= 1
    asf, _ = _files(tmp_path, _ASF.replace(old, new, 1))
    with pytest.raises(FormatError, match=said):
        read_asf(asf)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("upper 90 0\n", "upper 90\n", "frame 2, bone 'upper': expected 2 numbers"),
        ("upper 90 0\n", "", "frame 2, bone 'upper': the bone is missing"),
        ("upper 90 0\n", "upper 90 0\nupper 90 0\n", "frame 2, bone 'upper'"),
        ("upper 90 0\n", "finger 3\n", "bone 'finger'"),
        ("upper 90 0\n", "upper 90 inf\n", "numbers"),
    ],
)
def test_malformed_takes_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=said) as error:
        read_asf_amc(*_files(tmp_path, amc=_AMC.replace(old, new, 1)))
    assert error.value.path == tmp_path / "a_01.amc"


def test_files_that_are_missing_or_empty(tmp_path: Path) -> None:
    asf, amc = _files(tmp_path, amc=":DEGREES\n")
    with pytest.raises(FormatError, match="no frame"):
        read_asf_amc(asf, amc)
    with pytest.raises(FormatError, match="no such file"):
        read_asf_amc(asf, tmp_path / "none.amc")
    with pytest.raises(FormatError, match="root"):
        read_asf(amc)
    for end in range(0, len(_ASF.rstrip()) - 30, 3):  # the last lines may miss their 'end'
        asf.write_text(_ASF[:end])
        with pytest.raises(FormatError):
            read_asf(asf)


def test_a_real_person_is_rigid_and_of_a_mans_size(shared_data: Path) -> None:
    raw = shared_data / "mocap" / "raw"
    motion = read_asf_amc(raw / "02.asf", raw / "02_03.amc")
    assert len(motion) == 173
    for i, parent in enumerate(motion.parents):
        if parent >= 0:
            length = np.linalg.norm(motion.positions_mm[:, i] - motion.positions_mm[:, parent], axis=1)
            np.testing.assert_allclose(length, length[0])
    height = np.ptp(motion.positions_mm[..., 1], axis=1)
    assert 1500 < np.median(height) < 1900


def test_the_same_walk_in_both_formats(shared_data: Path) -> None:
    """Frame i of the BVH (60 Hz) is frame 2 i + 1 of the AMC (120 Hz); both have y up and face the same way.

    The BVH is of another body that was made to walk alike, so that knees and hips differ by a little more.
    """
    raw = shared_data / "mocap" / "raw"
    acclaim, bvh = read_asf_amc(raw / "02.asf", raw / "02_03.amc"), read_bvh(raw / "cc_002_03.bvh")
    assert bvh.fps == pytest.approx(60, rel=1e-3)
    angles = {}
    for limb, (ours, theirs) in _LIMBS.items():
        directions = []
        for joints in (acclaim.pick(ours)[1::2][: len(bvh)], bvh.pick(theirs)):
            step = joints[:, 1] - joints[:, 0]
            directions.append(step / np.linalg.norm(step, axis=1, keepdims=True))
        angles[limb] = np.degrees(np.arccos(np.clip((directions[0] * directions[1]).sum(axis=1), -1, 1)))
    together = np.concatenate(list(angles.values()))
    assert together.size == 8 * 86
    assert np.median(together) < 1
    assert together.mean() < 1.5
    assert max(a.mean() for a in angles.values()) < 3
    assert angles["right_forearm"].mean() < 0.5
