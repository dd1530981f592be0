"""`compare` and `side_by_side` at places known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.draw import compare, palette, side_by_side
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.skeletons import COCO17, LSP14
from vitruvian.types import Person, Poses, Record

GREY = 90
SIZE_WH = (200, 160)
LEFT_ARM = {"left_elbow": (40, 60), "left_wrist": (140, 60)}


def gray_image(size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)


def make_poses(joints: dict[str, tuple[float, float]], score: float = 0.9) -> Poses:
    """A COCO person of the named joints; all others are NaN with score 0."""
    keypoints, scores = np.full((1, 17, 2), np.nan), np.zeros((1, 17))
    for name, place in joints.items():
        keypoints[0, COCO17.index(name)], scores[0, COCO17.index(name)] = place, score
    return Poses(keypoints, scores, np.zeros((1, 4)), COCO17, SIZE_WH, boxes_from="whole image")


def person(joints: dict[str, tuple[float, float]], skeleton=COCO17, visibility: int = 2) -> Person:
    keypoints, codes = np.zeros((len(skeleton), 2)), np.zeros(len(skeleton), int)
    for name, place in joints.items():
        keypoints[skeleton.index(name)], codes[skeleton.index(name)] = place, visibility
    return Person(keypoints, codes)


def test_compare_colours_truth_and_prediction():
    lower = {name: (x, y + 60) for name, (x, y) in LEFT_ARM.items()}
    truth = person(LEFT_ARM)
    record = Record(None, 1, SIZE_WH, COCO17, (truth,))
    image = gray_image()
    drawn = compare(image, truth, make_poses(lower), legend=False)
    assert tuple(drawn[60, 90]) == palette.TRUTH
    assert tuple(drawn[120, 90]) == palette.PREDICTION
    assert (image == GREY).all()
    for same in ([truth], record, truth.keypoints_px, truth.keypoints_px[None]):
        np.testing.assert_array_equal(compare(image, same, make_poses(lower), legend=False), drawn)
    assert tuple(compare(image, truth, make_poses(LEFT_ARM), legend=False)[60, 90]) == palette.PREDICTION
    low = compare(image, truth, make_poses(lower, score=0.19), legend=False)
    assert (low[100:] == GREY).all()


def test_compare_marks_hidden_joints_and_has_a_legend():
    nobody = Poses(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4)), COCO17, SIZE_WH)
    seen = compare(gray_image(), person(LEFT_ARM), nobody, legend=False)
    hidden = compare(gray_image(), person(LEFT_ARM, visibility=1), nobody, legend=False)
    assert tuple(seen[60, 40]) == palette.TRUTH
    assert hidden[60, 40].sum() < seen[60, 40].sum()
    with_legend = compare(gray_image(), person(LEFT_ARM), nobody)
    for color in (palette.TRUTH, palette.PREDICTION):
        assert (with_legend[:50, :90] == color).all(axis=2).sum() > 20


def test_compare_across_skeletons():
    arm = {"left_elbow": (40, 100), "left_wrist": (140, 100)}
    truth = person(arm, LSP14)
    record = Record(None, 1, SIZE_WH, LSP14, (truth,))
    drawn = compare(gray_image(), record, make_poses(LEFT_ARM), legend=False)
    assert tuple(drawn[100, 90]) == palette.TRUTH
    np.testing.assert_array_equal(
        compare(gray_image(), truth, make_poses(LEFT_ARM), skeleton=LSP14, legend=False), drawn
    )
    with pytest.raises(ShapeError, match=r"14 joints.*'coco17' has 17"):
        compare(gray_image(), truth, make_poses(LEFT_ARM))
    with pytest.raises(ShapeError, match=r"\(N, 17, 2\)"):
        compare(gray_image(), truth.keypoints_px, make_poses(LEFT_ARM))


# --- marks ---------------------------------------------------------------------------------------------------------


def arms(drawn: np.ndarray, color: tuple[int, int, int], center: tuple[int, int], reach: int = 3) -> set[int]:
    """Directions, of 24 by 15 degrees (y down), in which a pixel ``reach`` off the centre has the colour."""
    found = set()
    for degrees in range(0, 360, 15):
        angle = np.deg2rad(degrees)
        x, y = round(center[0] + reach * np.cos(angle)), round(center[1] + reach * np.sin(angle))
        if np.abs(drawn[y, x].astype(int) - color).max() < 40:
            found.add(degrees)
    return found


def test_marks_are_a_star_and_a_cross():
    """On an image ten times as large, where strokes are thick enough to be told apart by direction."""
    size_wh = (2000, 1600)
    elbow = COCO17.index("left_elbow")
    truth, found = np.full((17, 2), np.nan), np.full((1, 17, 2), np.nan)
    truth[elbow], found[0, elbow] = (600, 500), (1400, 900)
    box = np.array([[0.0, 0, 1000, 1500]])
    poses = Poses(found, np.isfinite(found).all(axis=2) * 0.9, box, COCO17, size_wh)
    person = Person(truth, np.isfinite(truth).all(axis=1) * 2, box_xyxy=box[0])
    drawn = compare(gray_image(size_wh), person, poses, legend=False, marks=True)
    assert arms(drawn, palette.TRUTH, (600, 500), 17) == {30, 90, 150, 210, 270, 330}
    assert arms(drawn, palette.PREDICTION, (1400, 900), 17) == {45, 135, 225, 315}
    assert tuple(drawn[500, 600]) == palette.TRUTH
    hidden = Person(truth, np.isfinite(truth).all(axis=1) * 1, box_xyxy=box[0])
    assert tuple(compare(gray_image(size_wh), hidden, poses, legend=False, marks=True)[500, 600]) == palette.DARK


def test_marks_keep_the_skeleton():
    lower = {name: (x, y + 60) for name, (x, y) in LEFT_ARM.items()}
    drawn = compare(gray_image(), person(LEFT_ARM), make_poses(lower), legend=False, marks=True)
    for y, color in ((60, palette.TRUTH), (120, palette.PREDICTION)):
        line = drawn[y, 60:120].astype(int) - GREY
        assert (line @ (np.array(color) - GREY) > 0).all()  # the limb's colour, along the whole limb
    with_legend = compare(gray_image(), person(LEFT_ARM), make_poses(lower), marks=True)
    plain_legend = compare(gray_image(), person(LEFT_ARM), make_poses(lower))
    assert (with_legend[:45, :100] != plain_legend[:45, :100]).any()  # it shows the signs


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_a_scaled_picture_has_its_joints_where_the_pixel_centre_rule_puts_them(factor):
    height = round(160 * factor)
    drawn = compare(gray_image(), person(LEFT_ARM), make_poses({}), legend=False, height_px=height)
    assert drawn.shape == (height, round(200 * factor), 3)
    red = (drawn[..., 0] > 200) & (drawn[..., 1] < 80)
    middle = np.argwhere(red).mean(axis=0)[::-1]  # of the arm, which is symmetric about its middle
    np.testing.assert_allclose(middle, (np.array([90, 60]) + 0.5) * factor - 0.5, atol=0.51)


# --- side by side --------------------------------------------------------------------------------------------------


def test_side_by_side_is_compare_under_titles():
    higher = {name: (x, y + 40) for name, (x, y) in LEFT_ARM.items()}
    first, second = make_poses(LEFT_ARM), make_poses(higher)
    truth = person(LEFT_ARM)
    for marks in (True, False):
        picture = side_by_side(gray_image(), truth, {"supervised": first, "sane": second}, marks=marks, gap=5)
        title = picture.shape[0] - 160 - 10
        assert picture.shape[1] == 2 * 200 + 3 * 5
        assert 10 < title < 40
        for i, poses in enumerate((first, second)):
            panel = picture[5 + title : 5 + title + 160, 5 + 205 * i : 205 + 205 * i]
            np.testing.assert_array_equal(panel, compare(gray_image(), truth, poses, legend=i == 0, marks=marks))
        words = [picture[5 : 5 + title, 5 + 205 * i : 205 + 205 * i] for i in (0, 1)]
        assert min(w.max() for w in words) > 180
        assert (words[0] != words[1]).any()
        assert (picture[:5] == picture[0, 0]).all()  # and nothing written into the gap


def test_side_by_side_of_one_and_scaled():
    one = side_by_side(gray_image(), person(LEFT_ARM), {"only": make_poses(LEFT_ARM)}, height_px=320)
    assert one.shape[1] == 400 + 2 * 8


def test_what_cannot_be_compared():
    with pytest.raises(VitruvianError, match="a prediction at least"):
        side_by_side(gray_image(), person(LEFT_ARM), {})
    with pytest.raises(ShapeError, match="height_px must be 1 or more"):
        compare(gray_image(), person(LEFT_ARM), make_poses(LEFT_ARM), height_px=0)
    with pytest.raises(ShapeError, match="was it resized"):
        side_by_side(gray_image((100, 80)), person(LEFT_ARM), {"a": make_poses(LEFT_ARM)})
