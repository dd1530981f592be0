"""Rotations against their definitions."""

from __future__ import annotations

import numpy as np

from vitruvian.synth.humans import rotations as rot


def random_vectors(rng, count: int = 200) -> np.ndarray:
    axis = rng.normal(size=(count, 3))
    return axis / np.linalg.norm(axis, axis=1, keepdims=True) * rng.uniform(0, np.pi, (count, 1))


def test_vectors_survive_matrices(rng):
    vectors = random_vectors(rng)
    np.testing.assert_allclose(rot.to_vector(rot.from_vector(vectors)), vectors, atol=1e-6)


def test_half_turns_and_none():
    for axis in np.eye(3):
        turn = rot.from_vector(axis * np.pi)
        np.testing.assert_allclose(np.abs(rot.to_vector(turn)), axis * np.pi, atol=1e-9)
    np.testing.assert_allclose(rot.to_vector(np.eye(3)), 0, atol=1e-12)


def test_a_quarter_about_y_takes_z_to_x():
    np.testing.assert_allclose(rot.about_y(np.pi / 2) @ (0, 0, 1), (1, 0, 0), atol=1e-12)


def test_quaternions_are_half_angles(rng):
    vectors = random_vectors(rng)
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    quaternion = np.concatenate([vectors / angle * np.sin(angle / 2), np.cos(angle / 2)], axis=1)
    stretched = quaternion * rng.uniform(0.5, 2, (len(vectors), 1))
    np.testing.assert_allclose(rot.from_quaternion(stretched), rot.from_vector(vectors), atol=1e-10)


def test_between_is_the_shortest_turn(rng):
    start, end = rng.normal(size=(2, 100, 3))
    turn = rot.between(start, end)
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(np.einsum("nij,nj->ni", turn, unit(start)), unit(end), atol=1e-9)
    expected = np.arccos(np.clip((unit(start) * unit(end)).sum(axis=1), -1, 1))
    np.testing.assert_allclose(rot.angle(turn), expected, atol=1e-6)


def test_between_opposites_is_a_half_turn():
    for axis in np.eye(3):
        turn = rot.between(axis, -axis)
        np.testing.assert_allclose(turn @ axis, -axis, atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)


def test_nearest_leaves_rotations_and_never_mirrors(rng):
    turns = rot.from_vector(random_vectors(rng, 50))
    np.testing.assert_allclose(rot.nearest(turns * 1.7), turns, atol=1e-9)
    found = rot.nearest(rng.normal(size=(50, 3, 3)))
    np.testing.assert_allclose(np.linalg.det(found), 1, atol=1e-9)
