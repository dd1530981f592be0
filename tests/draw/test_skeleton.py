"""`draw` at places known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitruvian.draw import draw, palette, strokes
from vitruvian.draw.masks import silhouette
from vitruvian.draw.skeleton import Figure, figures_of, line_width, paint_figure
from vitruvian.errors import ImageError, ShapeError, VitruvianError
from vitruvian.geometry import Affine
from vitruvian.skeletons import COCO17, SKELETONS
from vitruvian.types import Poses

GREY = 90
SIZE_WH = (200, 160)


def gray_image(size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)


def make_poses(joints: dict[str, tuple[float, float]] | list[dict], score: float = 0.9, **options) -> Poses:
    """COCO people from the named joints; all others are NaN with score 0."""
    people = joints if isinstance(joints, list) else [joints]
    size_wh = options.pop("size_wh", SIZE_WH)
    keypoints = np.full((len(people), 17, 2), np.nan)
    scores = np.zeros((len(people), 17))
    for i, person in enumerate(people):
        for name, place in person.items():
            keypoints[i, COCO17.index(name)] = place
            scores[i, COCO17.index(name)] = score
    boxes = options.pop("boxes", np.tile([-0.5, -0.5, size_wh[0] - 0.5, size_wh[1] - 0.5], (len(people), 1)))
    options.setdefault("boxes_from", "whole image")
    return Poses(keypoints, scores, boxes, COCO17, size_wh, **options)


LEFT_ARM = {"left_elbow": (40, 60), "left_wrist": (140, 60)}
RIGHT_ARM = {"right_elbow": (40, 60), "right_wrist": (140, 60)}


# --- draw ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("joints", "color"),
    [
        (LEFT_ARM, palette.LEFT),
        (RIGHT_ARM, palette.RIGHT),
        ({"left_hip": (40, 60), "right_hip": (140, 60)}, palette.CENTRE),
    ],
)
def test_the_middle_of_a_limb_has_its_colour_and_far_pixels_none(joints, color):
    image = gray_image()
    drawn = draw(image, make_poses(joints))
    assert tuple(drawn[60, 90]) == color
    changed = (drawn != image).any(axis=2)
    assert changed[:, 90].any()
    assert not changed[:45].any()
    assert not changed[75:].any()
    assert not changed[:, :30].any()
    assert not changed[:, 151:].any()
    assert tuple(drawn[60, 40]) == palette.WHITE  # one person: white joints
    assert (image == GREY).all()  # the input stays as it is


def test_a_limb_is_symmetric_about_its_axis():
    drawn = draw(gray_image(), make_poses(LEFT_ARM)).astype(int)
    np.testing.assert_array_equal(drawn[61:80, 60:120], drawn[41:60, 60:120][::-1])


def test_threshold():
    poses = make_poses(LEFT_ARM, score=0.3)
    assert (draw(gray_image(), poses, threshold=0.3) != GREY).any()
    assert (draw(gray_image(), poses, threshold=0.31) == GREY).all()
    for above, there in ((0.3, True), (0.31, False)):  # not given: the model's own figure
        drawn = draw(gray_image(), replace(poses, present_above=above))
        assert bool((drawn != GREY).any()) == there
    one_low = replace(poses, scores=poses.scores.copy())
    one_low.scores[0, COCO17.index("left_wrist")] = 0.1
    drawn = draw(gray_image(), one_low)
    assert (drawn[60, 60:] == GREY).all()  # neither the joint nor the limb to it
    assert tuple(drawn[60, 40]) == palette.WHITE  # but the other joint


def test_nan_joints_are_left_out():
    poses = make_poses(LEFT_ARM)
    poses.scores[:] = 0.9  # also of the joints that are NaN
    np.testing.assert_array_equal(draw(gray_image(), poses), draw(gray_image(), make_poses(LEFT_ARM)))
    half = poses.keypoints.copy()
    half[0, COCO17.index("left_wrist"), 1] = np.nan
    drawn = draw(gray_image(), replace(poses, keypoints=half))
    assert (drawn[:, 60:] == GREY).all()
    half[0, COCO17.index("left_wrist")] = np.inf
    np.testing.assert_array_equal(draw(gray_image(), replace(poses, keypoints=half)), drawn)


def test_nobody_gives_an_identical_copy(rng):
    image = rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)
    nobody = Poses(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4)), COCO17, SIZE_WH)
    for options in ({}, {"boxes": True, "names": True}, {"style": "joints", "color_by": "person"}):
        drawn = draw(image, nobody, **options)
        np.testing.assert_array_equal(drawn, image)
        assert not np.shares_memory(drawn, image)


def test_joints_outside_of_the_image():
    just = draw(gray_image(), make_poses({"left_elbow": (40, 60), "left_wrist": (230, 60)}))
    assert tuple(just[60, 199]) == palette.LEFT  # the limb leads out of the picture
    far = draw(gray_image(), make_poses({"left_elbow": (40, 60), "left_wrist": (260, 60)}))
    assert (far[:, 60:] == GREY).all()
    for place in ((1e30, 60.0), (-1e30, -1e30), (3.4e38, 3.4e38)):
        drawn = draw(gray_image(), make_poses({"left_elbow": (40, 60), "left_wrist": place}), names=True)
        assert (drawn[:, 120:] == GREY).all()


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_tiny_images(size_wh):
    joints = {"left_elbow": (0, 0), "left_wrist": (size_wh[0] - 1, size_wh[1] - 1)}
    boxes = np.array([[0, 0, size_wh[0], size_wh[1]]])
    poses = make_poses(joints, size_wh=size_wh, boxes=boxes, boxes_from="given", ids=np.array([3]))
    drawn = draw(gray_image(size_wh), poses, boxes=True, names=True)
    assert drawn.shape == (size_wh[1], size_wh[0], 3)
    assert (drawn != GREY).any()


def test_grey_images_and_files(tmp_path):
    poses = make_poses(LEFT_ARM)
    expected = draw(gray_image(), poses)
    np.testing.assert_array_equal(draw(gray_image()[..., 0], poses), expected)
    Image.fromarray(gray_image()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(draw(tmp_path / "a.png", poses), expected)
    np.testing.assert_array_equal(draw(Image.fromarray(gray_image()), poses), expected)
    read_only = gray_image()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(draw(read_only, poses), expected)
    with pytest.raises(ImageError, match=r"none\.png"):
        draw(tmp_path / "none.png", poses)


def test_styles():
    poses = make_poses(LEFT_ARM)
    joints = draw(gray_image(), poses, style="joints")
    assert tuple(joints[60, 40]) == palette.WHITE
    assert (joints[:, 60:120] == GREY).all()
    limbs = draw(gray_image(), poses, style="limbs")
    assert tuple(limbs[60, 40]) == tuple(limbs[60, 90]) == palette.LEFT
    with pytest.raises(VitruvianError, match=r"'dots'.*skeleton, joints, limbs, silhouette"):
        draw(gray_image(), poses, style="dots")
    with pytest.raises(VitruvianError, match="'age'"):
        draw(gray_image(), poses, color_by="age")


def test_silhouettes_are_limbs_over_white_people_on_black():
    """No photo, no tint; a limb of the middle, which is white elsewhere, is dark on the white person."""
    trunk = {"left_shoulder": (100, 20), "right_shoulder": (140, 20)}
    mask = np.zeros((1, 160, 200), bool)
    mask[0, 10:80, 20:150] = True
    poses = replace(make_poses({**LEFT_ARM, **trunk}), masks=mask)
    drawn = draw(gray_image(), poses, style="silhouette")
    assert tuple(drawn[60, 90]) == palette.LEFT
    assert tuple(drawn[20, 120]) == palette.DARK
    assert tuple(drawn[75, 25]) == palette.WHITE
    assert tuple(drawn[150, 190]) == (0, 0, 0)
    no_limbs = replace(poses, scores=np.zeros_like(poses.scores))
    np.testing.assert_array_equal(draw(gray_image(), no_limbs, style="silhouette"), silhouette(poses))
    with pytest.raises(ShapeError, match="no masks"):
        draw(gray_image(), make_poses(LEFT_ARM), style="silhouette")


def test_several_people_are_told_apart():
    lower = {name: (x, y + 60) for name, (x, y) in LEFT_ARM.items()}
    poses = make_poses([LEFT_ARM, lower])
    drawn = draw(gray_image(), poses)
    assert tuple(drawn[60, 90]) == tuple(drawn[120, 90]) == palette.LEFT
    assert tuple(drawn[60, 40]) == palette.person_color(0)
    assert tuple(drawn[120, 40]) == palette.person_color(1)
    by_person = draw(gray_image(), poses, color_by="person")
    assert tuple(by_person[60, 90]) == palette.person_color(0)
    assert tuple(by_person[120, 90]) == palette.person_color(1)
    with_ids = draw(gray_image(), replace(poses, ids=np.array([5, 2])), color_by="person", ids=False)
    assert tuple(with_ids[60, 90]) == palette.person_color(5)
    assert tuple(with_ids[120, 90]) == palette.person_color(2)


def test_the_surest_person_lies_on_top():
    poses = make_poses([LEFT_ARM, RIGHT_ARM])
    poses.scores[0] *= 0.6
    assert tuple(draw(gray_image(), poses)[60, 90]) == palette.RIGHT
    poses.scores[1] *= 0.4
    assert tuple(draw(gray_image(), poses)[60, 90]) == palette.LEFT


def test_boxes_ids_and_names():
    box = np.array([[30, 40, 150, 100]])
    poses = make_poses(LEFT_ARM, boxes=box, boxes_from="given", box_scores=np.array([0.5]))
    plain, boxed = draw(gray_image(), poses), draw(gray_image(), poses, boxes=True)
    changed = (plain != boxed).any(axis=2)
    assert changed[100, 31:150].all()
    assert changed[40:100, 150].all()
    assert not changed[50:90, 40:140].any()
    assert tuple(boxed[90, 150]) == palette.person_color(0)
    assert changed[20:38, 30:70].any()  # the score above the corner
    whole = replace(poses, boxes_from="whole image")
    np.testing.assert_array_equal(draw(gray_image(), whole, boxes=True), draw(gray_image(), whole))
    numbered = replace(poses, ids=np.array([7]))
    assert (draw(gray_image(), numbered)[20:38, 30:60] != GREY).any()
    assert (draw(gray_image(), numbered, ids=False)[20:38, 30:60] == GREY).all()
    named = (draw(gray_image(), poses, names=True) != plain).any(axis=2)
    assert named[50:70, 150:].any()  # outwards of the wrist
    assert named[50:70, :36].any()  # and of the elbow


def test_masks_tint():
    masks = np.zeros((1, 160, 200), bool)
    masks[0, 100:150, 20:180] = True
    poses = replace(make_poses(LEFT_ARM), masks=masks)
    drawn = draw(gray_image(), poses)
    color = np.array(palette.person_color(0))
    np.testing.assert_allclose(drawn[125, 100], GREY + 0.35 * (color - GREY), atol=1)
    assert (drawn[155] == GREY).all()
    np.testing.assert_array_equal(draw(gray_image(), poses, masks=False), draw(gray_image(), make_poses(LEFT_ARM)))
    with pytest.raises(ShapeError, match=r"\(1, 160, 200\).*\(1, 10, 10\)"):
        draw(gray_image(), replace(poses, masks=np.zeros((1, 10, 10), bool)))


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"200 x 160.*160 x 200.*turned"):
        draw(gray_image((160, 200)), make_poses(LEFT_ARM))


def test_line_width_follows_the_person_and_the_option():
    wide = draw(gray_image(), make_poses(LEFT_ARM), width=12)
    assert (wide[55:66, 90] == palette.LEFT).all()
    skeleton = COCO17
    sizes = [
        line_width(Figure(np.zeros((17, 2)), np.zeros(17, bool), skeleton, s), (4000, 3000)) for s in (200, 400, 800)
    ]
    assert sizes[1] == pytest.approx(2 * sizes[0])
    assert sizes[2] == pytest.approx(4 * sizes[0])
    assert line_width(Figure(np.zeros((17, 2)), np.zeros(17, bool), skeleton, 1.0), (4000, 3000)) == 1.0


def test_lines_on_a_small_person_leave_the_body_to_be_seen():
    """A limb is a pixel wide then, with half of that as rim: its neighbour rows are dimmed, the next ones untouched."""
    arm = {"left_elbow": (10, 15), "left_wrist": (30, 15)}
    drawn = draw(gray_image((40, 30)), make_poses(arm, size_wh=(40, 30)), style="limbs")
    assert tuple(drawn[15, 20]) == palette.LEFT
    assert (drawn[[14, 16], 20] < GREY).all()
    assert (drawn[[14, 16], 20] > 0.6 * GREY).all()
    assert (drawn[[13, 17], 20] == GREY).all()
    whole = draw(gray_image((40, 30)), make_poses(arm, size_wh=(40, 30)))
    assert tuple(whole[15, 10]) == palette.WHITE
    assert (whole[[12, 18], 10] == GREY).all()  # a joint is no wider than five pixels


@pytest.mark.parametrize("name", SKELETONS)
def test_every_skeleton_and_every_edge(name, rng):
    """Each edge alone, between two random places, colours its middle."""
    skeleton = SKELETONS[name]
    for (a, b), color in zip(skeleton.edges, palette.edge_colors(skeleton), strict=True):
        keypoints = np.full((1, len(skeleton), 2), np.nan)
        keypoints[0, a], keypoints[0, b] = rng.uniform(10, 60, 2), rng.uniform(100, 150, 2)
        scores = np.ones((1, len(skeleton)))
        poses = Poses(keypoints, scores, np.zeros((1, 4)), skeleton, SIZE_WH, boxes_from="whole image")
        x, y = np.round(keypoints[0, [a, b]].mean(axis=0)).astype(int)
        assert tuple(draw(gray_image(), poses, width=6)[y, x]) == color


def test_a_large_photo_pays_only_for_the_pixels_under_the_strokes(rng, monkeypatch):
    """Counted, not timed: limbs across a whole photo touch about as many pixels as it has, not ten times as many."""
    size_wh = (2000, 1500)
    keypoints = rng.uniform((0, 0), size_wh, (1, 17, 2))
    poses = Poses(keypoints, np.ones((1, 17)), np.array([[0, 0, 1999, 1499]]), COCO17, size_wh)
    touched = []
    real = strokes.blend
    monkeypatch.setattr(
        strokes, "blend", lambda region, *rest: (touched.append(region.shape[0] * region.shape[1]), real(region, *rest))
    )
    draw(gray_image(size_wh), poses, boxes=True, names=True)
    assert 0 < sum(touched) < 1.5 * size_wh[0] * size_wh[1]
    assert max(touched) <= 32 * size_wh[0]


def test_moved_figures_follow_the_pixel_centre_rule(rng):
    figure = figures_of(make_poses(LEFT_ARM), 0.3)[0]
    moved = figure.moved(Affine.resize(SIZE_WH, (100, 80)))
    elbow = COCO17.index("left_elbow")
    np.testing.assert_allclose(moved.keypoints_px[elbow], [(40 + 0.5) / 2 - 0.5, (60 + 0.5) / 2 - 0.5])
    assert moved.size_px == pytest.approx(figure.size_px / 2)
    canvas = gray_image((100, 80))
    colors = palette.edge_colors(COCO17)
    paint_figure(canvas, moved, limb_colors=colors, joint_color=palette.WHITE, width=3)
    assert tuple(canvas[30, 45]) == palette.LEFT
