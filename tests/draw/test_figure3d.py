"""Figures in 3D: axes, turning, sides by name, pixels where limbs are, films, pages, plots."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.draw.figure3d import Figure3D, animate3d, bounds, frame3d, side_colors, turned
from vitruvian.draw.page3d import page3d
from vitruvian.draw.palette import CENTRE, LEFT, RIGHT
from vitruvian.draw.pose3d import plot3d
from vitruvian.errors import MissingExtraError, ShapeError
from vitruvian.formats.motion import Motion
from vitruvian.skeletons import H36M17
from vitruvian.types3d import Poses3D


def _walk(rng: np.random.Generator, frames: int = 4) -> Figure3D:
    apart = np.array([[0, 0, 0], [-2000, -2000, 0], [2000, -2000, 0]])  # or one leg may hide the other
    motion = Motion(("hip", "l_foot", "r_foot"), (-1, 0, 0), apart + rng.normal(0, 300, (frames, 3, 3)), 10.0, "walk")
    return Figure3D.of_motion(motion)


def test_axes_of_motion_and_of_cameras() -> None:
    """Up is up, and nothing is mirrored: from the front, what is right in the data is right in the picture."""
    motion = Motion(("a",), (-1,), np.array([[[1.0, 2.0, 3.0]]]), 10.0)
    assert Figure3D.of_motion(motion).points.tolist() == [[[1, -3, 2]]]
    joints = np.zeros((1, 17, 3))
    joints[0, 5] = (1, 2, 3)
    poses = Poses3D(joints, np.ones((1, 17)), H36M17, "r", "a", "s")
    assert Figure3D.of_poses(poses).points[0, 5].tolist() == [1, 3, -2]
    for figure_axes in (np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])):
        assert np.linalg.det(figure_axes) == pytest.approx(1)


def test_in_place_stays_above_one_spot(rng: np.random.Generator) -> None:
    motion = Motion(("hip", "foot"), (-1, 0), rng.normal(0, 300, (5, 2, 3)), 10.0)
    figure = Figure3D.of_motion(motion, in_place=True)
    assert not figure.points[:, 0, :2].any()
    np.testing.assert_array_equal(figure.points[..., 2], motion.positions_mm[..., 1])


def test_turning_by_hand(rng: np.random.Generator) -> None:
    points = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(turned(points, 0, 0), [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-12)
    # From the right-hand side (walked a quarter around), what was away is to the right, what was right is near.
    np.testing.assert_allclose(turned(points, 90, 0), [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)
    # From above, what was away is up, and the top is near.
    np.testing.assert_allclose(turned(points, 0, 90), [[1, 0, 0], [0, 1, 0], [0, 0, 1]], atol=1e-12)
    cloud = rng.normal(size=(9, 3))
    spun = turned(cloud, *rng.uniform(-90, 90, 2))
    np.testing.assert_allclose(np.linalg.norm(spun, axis=1), np.linalg.norm(cloud, axis=1))


@pytest.mark.parametrize(
    ("left", "right"),
    [("left_hip", "right_hip"), ("LeftArm", "RightArm"), ("lfemur", "rfemur"), ("CC_L_Thigh", "CC_R_Thigh"), ("arm.L",
    "arm.R")],
)  # fmt: skip
def test_sides_by_name(left: str, right: str) -> None:
    joints = ("root", left, right, "lowerback")
    assert side_colors(joints, ((0, 1), (0, 2), (0, 3), (1, 2))) == (LEFT, RIGHT, CENTRE, CENTRE)


def test_limbs_are_painted_where_they_project() -> None:
    points = np.array([[[-500.0, 0, 0], [500, 0, 0]]])
    figure = Figure3D("", points, ((0, 1),), ((255, 0, 0),))
    frame = frame3d([figure], size_px=200, azimuth_deg=0, elevation_deg=0)
    middle_row = 26 + 100
    assert frame[middle_row, 30:170].tolist() == [[255, 0, 0]] * 140
    red = (frame == [255, 0, 0]).all(2)
    assert np.flatnonzero(red.any(0)).min() == pytest.approx(100 - 94, abs=3)
    assert np.flatnonzero(red.any(1)).tolist()[0] > middle_row - 6
    both = frame3d([figure, figure], size_px=200)
    assert both.shape == (226, 400, 3)


def test_the_near_limb_covers_the_far_one() -> None:
    points = np.array([[[0.0, -200, -300], [0, -200, 300], [-300, 200, 0], [300, 200, 0]]])
    for edges, colors in (
        (((0, 1), (2, 3)), ((255, 0, 0), (0, 0, 255))),
        (((2, 3), (0, 1)), ((0, 0, 255), (255, 0, 0))),
    ):
        frame = frame3d([Figure3D("", points, edges, colors)], size_px=201, azimuth_deg=0, elevation_deg=0)
        assert frame[26 + 100, 100].tolist() == [255, 0, 0]


def test_missing_joints_are_left_out(rng: np.random.Generator) -> None:
    figure = _walk(rng)
    figure.points[0, 1] = np.nan
    assert not (frame3d([figure]) == LEFT).all(2).any()
    assert (frame3d([figure], 1) == LEFT).all(2).any()
    nowhere = Figure3D("", np.full((1, 3, 3), np.nan), figure.edges, figure.colors)
    assert frame3d([nowhere]).shape[2] == 3
    assert bounds([nowhere])[1] == 1


def test_films(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = animate3d(tmp_path / "walk.gif", [_walk(rng), _walk(rng, 2)], 10.0, turn_deg=90, size_px=64)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (4, (128, 90), 100)  # type: ignore[attr-defined]
    with pytest.raises(ShapeError, match=r"\.gif or \.mp4"):
        animate3d(tmp_path / "walk.avi", [_walk(rng)])
    with pytest.raises(ShapeError, match="positive rate"):
        animate3d(tmp_path / "walk.gif", [], 10)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"vitruvian\[video\]"):
        animate3d(tmp_path / "walk.mp4", [_walk(rng)])


def test_mp4(rng: np.random.Generator, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = animate3d(tmp_path / "walk.mp4", [_walk(rng)], 10.0, size_px=64)
    with av.open(str(path)) as film:
        assert film.streams.video[0].codec_context.name in ("vp9", "mpeg4")
        assert sum(1 for _ in film.decode(video=0)) == 4


def test_pages_hold_everything_and_load_nothing(rng: np.random.Generator) -> None:
    figure = _walk(rng)
    figure.points[2, 1] = np.nan
    evil = Figure3D("</script><b>", figure.points, figure.edges, figure.colors)
    page = page3d([figure, evil], title="a < b", notes=["x & y"], picture=np.zeros((4, 5, 3), np.uint8))
    assert page.count("</script>") == 1
    assert "a &lt; b" in page
    assert "x &amp; y" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in page
    data = json.loads(re.search(r"const DATA = (\{.*?\});\s", page, re.DOTALL)[1])  # type: ignore[index]
    middle, radius = bounds([figure, evil])
    assert data["radius"] == pytest.approx(radius, abs=0.1)
    frames = data["figures"][0]["frames"]
    assert frames[2][1] is None
    np.testing.assert_allclose(frames[1], figure.points[1] - middle, atol=0.51)
    with pytest.raises(ShapeError, match="no figure"):
        page3d([], title="")


def test_plots(rng: np.random.Generator, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = plot3d(tmp_path / "p.png", [_walk(rng), _walk(rng, 1)], frame=3, title="two")
    with Image.open(path) as picture:
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (np.abs(colors.astype(int) - [204, 127, 22]).sum(1) < 60).any()  # orange, darkened for white
    with pytest.raises(ShapeError, match="nothing to plot"):
        plot3d(tmp_path / "p.png", [])


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="1 or more frames"):
        Figure3D("", np.zeros((0, 2, 3)), (), ())
    with pytest.raises(ShapeError, match=r"edge \(0, 2\)"):
        Figure3D("", np.zeros((1, 2, 3)), ((0, 2),), (LEFT,))
