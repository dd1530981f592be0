"""Skinning and kinematics against closed forms; files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.errors import FormatError, ShapeError
from vitruvian.synth.humans import rotations as rot
from vitruvian.synth.humans.body import PARTS, BodyModel, skin, vertex_normals


def first_shape(body: BodyModel) -> np.ndarray:
    return np.eye(len(body))[0]


def random_turns(rng, count: int) -> np.ndarray:
    return rot.from_vector(rng.normal(0, 0.8, (count, 3)))


def test_no_turn_leaves_the_body_at_rest(body):
    vertices, heads = body.rest(first_shape(body))
    transforms = body.transforms(heads, np.tile(np.eye(3), (len(body.bones), 1, 1)))
    np.testing.assert_allclose(skin(transforms, body.weights, vertices), vertices, atol=1e-3)


def test_one_turn_for_all_bones_turns_the_whole_about_the_root(body, rng):
    vertices, heads = body.rest(first_shape(body))
    turn = random_turns(rng, 1)[0]
    transforms = body.transforms(heads, np.tile(turn, (len(body.bones), 1, 1)))
    expected = (vertices - heads[0]) @ turn.T + heads[0]
    np.testing.assert_allclose(skin(transforms, body.weights, vertices), expected, atol=1e-2)


def test_bones_keep_their_lengths_and_meet(body, rng):
    _, heads = body.rest(first_shape(body))
    turns = random_turns(rng, len(body.bones))
    transforms = body.transforms(heads, turns)
    posed = np.einsum("bij,bj->bi", transforms[..., :3], heads) + transforms[..., 3]
    for i, parent in enumerate(body.parents):
        if parent >= 0:
            np.testing.assert_allclose(posed[i] - posed[parent], turns[parent] @ (heads[i] - heads[parent]), atol=1e-3)


def test_weights_blend_what_the_bones_do(body, rng):
    _, heads = body.rest(first_shape(body))
    transforms = body.transforms(heads, random_turns(rng, len(body.bones)))
    weights = rng.dirichlet(np.ones(len(body.bones)), 20).astype(np.float32)
    points = rng.normal(0, 500, (20, 3)).astype(np.float32)
    each = np.einsum("bij,vj->vbi", transforms[..., :3], points) + transforms[None, ..., 3]
    np.testing.assert_allclose(skin(transforms, weights, points), np.einsum("vb,vbi->vi", weights, each), atol=0.02)


def test_normals_turn_and_do_not_move(body, rng):
    vertices, heads = body.rest(first_shape(body))
    turn = random_turns(rng, 1)[0]
    transforms = body.transforms(heads, np.tile(turn, (len(body.bones), 1, 1)))
    _, turned = skin(transforms, body.weights, vertices, body.normals)
    np.testing.assert_allclose(turned, body.normals @ turn.T, atol=1e-4)


def test_mixtures_are_means(body):
    shares = np.zeros(len(body))
    shares[[0, 4]] = 0.25, 0.75
    vertices, heads = body.rest(shares)
    for mixed, stored in ((vertices, body.shapes), (heads, body.heads)):
        np.testing.assert_allclose(mixed, (0.25 * stored[0] + 0.75 * stored[4]) * 0.1, atol=1e-2)
    with pytest.raises(ShapeError, match="sum to 1"):
        body.rest(shares * 2)


def test_parts_follow_the_bones(body):
    for name, part in (("wrist.L", "left_hand"), ("upperleg01.R", "right_thigh"), ("head", "head"), ("root", "torso")):
        moved = body.weights[:, body.bone_index[name]] > 0.9
        assert moved.any()
        assert set(body.vertex_part[moved]) == {1 + PARTS.index(part)}


def test_normals_of_a_flat_square_point_up():
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 0, -1], [0, 0, -1], [9, 9, 9]], np.float32)
    normals = vertex_normals(points, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals, [[0, 1, 0]] * 4 + [[0, 0, 0]], atol=1e-6)


def test_files_give_the_body_back(body, tmp_path):
    again = BodyModel.load(body.save(tmp_path / "deep" / "body.npz"))
    assert again.bones == body.bones
    assert again.landmarks == body.landmarks
    np.testing.assert_array_equal(again.shapes, body.shapes)
    np.testing.assert_array_equal(again.weights, body.weights)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "body.npz").write_bytes(b"PK no")
    np.savez(tmp_path / "other.npz", bones=np.zeros(3))
    for name in ("body.npz", "other.npz", "none.npz"):
        with pytest.raises(FormatError, match="not a baked body"):
            BodyModel.load(tmp_path / name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", np.zeros((3, 3))),
        ("triangles", np.full((1, 3), 10**6)),
        ("parents", np.arange(36)),
    ],
)
def test_contradictions_are_refused(body, field, value):
    with pytest.raises(ShapeError):
        replace(body, **{field: value, **({"triangle_eye": np.zeros(1, bool)} if field == "triangles" else {})})
