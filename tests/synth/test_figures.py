"""Drawn people: joints lie on their own pieces, left is left, and which way they face can be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitruvian.skeletons import VITRUVIAN19
from vitruvian.synth.bodies import SEGMENTS, Body, Pose
from vitruvian.synth.figures import LABELS, Figure, Outfit, make_figure
from vitruvian.synth.painting import OVERSAMPLING, label_map, paint_parts

REST = (0.0, 8.0, 0.0, 5.0)
STILL = Pose("standing", 0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (REST, REST), (REST, REST))
SIZE_WH = (161, 240)


def draw(rng: np.random.Generator, pose: Pose, outfit: Outfit | None = None) -> Figure:
    return make_figure(Body(dict(SEGMENTS), 1.0), pose, outfit or Outfit.sample(rng), 200.0, (80.0, 112.0))


def joint(figure: Figure, name: str) -> np.ndarray:
    return figure.keypoints_px[VITRUVIAN19.index(name)]


def painted(figure: Figure, canvas_colour: tuple[int, int, int]) -> np.ndarray:
    canvas = Image.new("RGB", (SIZE_WH[0] * OVERSAMPLING, SIZE_WH[1] * OVERSAMPLING), canvas_colour)
    paint_parts(canvas, figure.parts)
    return np.asarray(canvas.reduce(OVERSAMPLING)).astype(int)


def shown(figure: Figure) -> dict[str, bool]:
    return dict(zip(VITRUVIAN19.joints, figure.shown(label_map(figure.parts, SIZE_WH)).tolist(), strict=True))


@pytest.mark.parametrize(("yaw", "sign"), [(0.0, 1), (35.0, 1), (-35.0, 1), (180.0, -1), (150.0, -1), (-150.0, -1)])
def test_left_is_on_the_right_of_the_picture_exactly_when_facing_the_viewer(
    yaw: float, sign: int, rng: np.random.Generator
) -> None:
    figure = draw(rng, replace(STILL, yaw=yaw))
    for name in ("shoulder", "hip", "knee", "ankle", "elbow", "wrist"):
        assert sign * (joint(figure, f"left_{name}")[0] - joint(figure, f"right_{name}")[0]) > 0, name


def test_all_joints_of_someone_facing_the_viewer_are_shown(rng: np.random.Generator) -> None:
    assert all(shown(draw(rng, STILL)).values())


def test_from_behind_the_face_is_hidden_and_the_rest_is_not(rng: np.random.Generator) -> None:
    seen = shown(draw(rng, replace(STILL, yaw=180.0)))
    assert {name for name, value in seen.items() if not value} == {"nose", "left_eye", "right_eye"}


@pytest.mark.parametrize(("yaw", "near", "far"), [(90.0, "right", "left"), (-90.0, "left", "right")])
def test_from_the_side_only_the_near_half_is_shown(yaw: float, near: str, far: str, rng: np.random.Generator) -> None:
    swing, back, reach = (25.0, 5.0, 0.0, 5.0), (-25.0, 5.0, 0.0, 5.0), (60.0, 5.0, 0.0, 5.0)  # hands off the hips
    seen = shown(draw(rng, replace(STILL, yaw=yaw, arms=(reach, reach), legs=(swing, back))))
    for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert seen[f"{near}_{name}"], name
    for name in ("eye", "ear", "shoulder", "elbow", "hip"):
        assert not seen[f"{far}_{name}"], name
    assert seen["nose"]


def test_an_arm_behind_the_back_is_hidden_and_one_before_the_belly_is_shown(rng: np.random.Generator) -> None:
    across = (20.0, 0.0, 70.0, 95.0)
    pose = replace(STILL, arms=(across, REST))
    assert shown(draw(rng, pose))["left_wrist"]
    assert not shown(draw(rng, replace(pose, yaw=180.0)))["left_wrist"]


def test_faces_have_skin_and_backs_of_heads_have_hair(rng: np.random.Generator) -> None:
    outfit = replace(Outfit.sample(rng), skin=(240, 200, 170), hair=(30, 20, 20))
    for yaw, colour in ((0.0, outfit.skin), (180.0, outfit.hair)):
        figure = draw(rng, replace(STILL, yaw=yaw), outfit)
        nose, top = joint(figure, "nose"), joint(figure, "head_top")
        forehead = np.rint(nose + 0.45 * (top - nose)).astype(int)
        found = painted(figure, (0, 0, 255))[forehead[1], forehead[0]]
        assert np.abs(found - colour).max() <= 12, f"yaw {yaw}: {found}"


def test_the_opening_of_a_shirt_is_on_its_front_only(rng: np.random.Generator) -> None:
    outfit = replace(Outfit.sample(rng), shirt=(20, 60, 120), pattern="plain")
    for yaw, differs in ((0.0, True), (180.0, False)):
        figure = draw(rng, replace(STILL, yaw=yaw), outfit)
        shoulders, hips = ((joint(figure, f"left_{n}") + joint(figure, f"right_{n}")) / 2 for n in ("shoulder", "hip"))
        x, y = np.rint(hips + 0.6 * (shoulders - hips)).astype(int)
        strip = painted(figure, (255, 0, 255))[y, x - 3 : x + 4]
        assert (np.abs(strip - outfit.shirt).max() > 30) == differs


def test_picture_and_label_map_agree(rng: np.random.Generator) -> None:
    # What is painted is what hides the canvas: the same on a black and on a white one.
    for _ in range(10):
        figure = make_figure(Body.sample(rng), Pose.sample(rng), Outfit.sample(rng), 150.0, (80.0, 112.0))
        covered = (painted(figure, (0, 0, 0)) == painted(figure, (255, 255, 255))).all(axis=2)
        touched = (painted(figure, (255, 255, 255)) - painted(figure, (0, 0, 0)) < 255).any(axis=2)
        mask = label_map(figure.parts, SIZE_WH) > 0
        assert (mask & covered).sum() >= 0.98 * covered.sum()
        assert not (mask & ~touched).sum() > 0.02 * mask.sum()


def test_every_shown_joint_lies_on_paint_of_its_own_piece(rng: np.random.Generator) -> None:
    for _ in range(10):
        figure = make_figure(Body.sample(rng), Pose.sample(rng), Outfit.sample(rng), 150.0, (80.0, 112.0))
        labels = label_map(figure.parts, SIZE_WH)
        different = (painted(figure, (255, 255, 255)) - painted(figure, (0, 0, 0))).max(axis=2)
        for name, seen, (x, y) in zip(VITRUVIAN19.joints, figure.shown(labels), figure.keypoints_px, strict=True):
            if seen:
                column, row = round(x), round(y)
                assert different[row, column] == 0, f"the canvas shows through {name}"
                side = name.partition("_")[0]
                piece = LABELS[labels[row, column] - 1]
                assert side not in ("left", "right") or piece in ("torso", "head") or piece.startswith(side)


def test_limbs_are_painted_from_far_to_near(rng: np.random.Generator) -> None:
    figure = draw(rng, Pose.sample(rng))
    depths = [part.depth for part in figure.parts]
    assert depths == sorted(depths)
    assert {part.label for part in figure.parts} == set(range(1, len(LABELS) + 1))


def test_projected_bones_are_never_longer_than_the_bones(rng: np.random.Generator) -> None:
    body = Body.sample(rng)
    figure = make_figure(body, Pose.sample(rng), Outfit.sample(rng), 150.0, (80.0, 112.0))
    for side in ("left", "right"):
        for bone, a, b in (
            ("upper_arm", "shoulder", "elbow"),
            ("forearm", "elbow", "wrist"),
            ("thigh", "hip", "knee"),
            ("shin", "knee", "ankle"),
        ):
            length = np.linalg.norm(joint(figure, f"{side}_{a}") - joint(figure, f"{side}_{b}"))
            assert length <= 150.0 * body.lengths[bone] + 1e-9
