"""Landmarks are what they say: bone heads, skin vertices, and means of them, posed."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import SkeletonError
from vitruvian.skeletons import BODY25, LSP14, SKELETONS, Skeleton
from vitruvian.synth.humans import landmarks
from vitruvian.synth.humans import rotations as rot
from vitruvian.synth.humans.body import skin

NAMES = landmarks.NAMES


def posed(body, rng):
    vertices, heads = body.rest(np.eye(len(body))[0])
    transforms = body.transforms(heads, rot.from_vector(rng.normal(0, 0.6, (len(body.bones), 3))))
    bones = np.einsum("bij,bj->bi", transforms[..., :3], heads) + transforms[..., 3]
    return bones, skin(transforms, body.weights, vertices)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_every_skeleton_has_all_its_joints(skeleton):
    assert len(set(landmarks.for_skeleton(skeleton).tolist())) == len(skeleton)


def test_names_that_mean_two_things():
    neck = [NAMES[landmarks.for_skeleton(s)[s.index("neck")]] for s in (BODY25, LSP14)]
    assert neck == ["mid_shoulder", "neck"]


def test_an_unknown_joint_is_named():
    odd = Skeleton(name="odd", joints=("nose", "tail"), edges=(), sigmas=(0.1, 0.1))
    with pytest.raises(SkeletonError, match="tail"):
        landmarks.for_skeleton(odd)


def test_places_are_heads_vertices_and_means(body, rng):
    bones, vertices = posed(body, rng)
    found = dict(zip(NAMES, landmarks.locate(body, bones, vertices), strict=True))
    at = {bone: bones[i] for bone, i in body.bone_index.items()}
    on = dict(zip(body.landmarks, vertices[body.landmark_vertex], strict=True))
    expected = {
        "left_wrist": at["wrist.L"], "right_knee": at["lowerleg01.R"], "left_shoulder": at["upperarm01.L"],
        "nose": on["nose"], "right_ear": on["right_ear"], "left_big_toe": on["left_big_toe"],
        "pelvis": (at["upperleg01.L"] + at["upperleg01.R"]) / 2, "thorax": at["neck01"],
        "mid_shoulder": (at["upperarm01.L"] + at["upperarm01.R"]) / 2, "neck": (at["neck01"] + at["head"]) / 2,
    }  # fmt: skip
    for name, place in expected.items():
        np.testing.assert_allclose(found[name], place, atol=1e-2, err_msg=name)


def test_left_is_left(body):
    vertices, heads = body.rest(np.eye(len(body))[0])
    places = landmarks.locate(body, heads, vertices)
    for i, name in enumerate(NAMES):
        if name.startswith("left_"):
            other = places[NAMES.index(name.replace("left", "right"))]
            assert places[i, 0] > 0
            np.testing.assert_allclose(places[i] * (-1, 1, 1), other, atol=1e-6)


def test_joints_inside_may_lie_deeper_than_points_on_the_skin(body):
    vertices, heads = body.rest(np.eye(len(body))[0])
    deep = dict(zip(NAMES, landmarks.radii(body, heads, vertices), strict=True))
    assert deep["left_hip"] > deep["left_wrist"]
    assert all(value >= 30 for value in deep.values())
