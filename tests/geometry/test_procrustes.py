"""Procrustes: an independent SVD, known similarities recovered, mirrors refused, masks, degenerate sets."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.geometry.procrustes import align, fit_similarity


def _rotations(rng: np.random.Generator, count: int, dims: int = 3) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(count, dims, dims)))[0]
    q[:, :, 0] *= np.sign(np.linalg.det(q))[:, None]
    return q


def _by_hand(source: np.ndarray, target: np.ndarray, scaling: bool) -> np.ndarray:
    """One set, textbook form: Kabsch's rotation on row vectors, then the scale by projection."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    flip = np.eye(source.shape[1])
    flip[-1, -1] = np.sign(np.linalg.det(u @ vt))
    turned = a @ u @ flip @ vt
    scale = (turned * b).sum() / (a * a).sum() if scaling else 1.0
    return scale * turned + target.mean(0)


@pytest.mark.parametrize("scaling", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
def test_equals_an_independent_solution(dims: int, scaling: bool, rng: np.random.Generator) -> None:
    source, target = rng.normal(size=(2, 30, 9, dims)) * 300 + 50
    target[10:20] = source[10:20] * np.array([-1.0, *[1] * (dims - 1)])  # mirror images, which no rotation reaches
    found = align(source, target, scaling=scaling)
    for n in range(30):
        np.testing.assert_allclose(found[n], _by_hand(source[n], target[n], scaling), atol=1e-8)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_known_similarity_is_recovered(dims: int, rng: np.random.Generator) -> None:
    source = rng.normal(size=(20, 6, dims)) * 500
    rotation, scale, shift = _rotations(rng, 20, dims), rng.uniform(0.2, 3, 20), rng.normal(size=(20, dims)) * 1000
    target = scale[:, None, None] * np.einsum("nij,nkj->nki", rotation, source) + shift[:, None]
    found = fit_similarity(source, target)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-10)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-10)
    np.testing.assert_allclose(found.translation, shift, atol=1e-7)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-8)


def test_no_small_change_does_better(rng: np.random.Generator) -> None:
    """The sum of squares is least: moving any parameter a little only adds to it."""
    source, target = rng.normal(size=(2, 1, 8, 3))
    found = fit_similarity(source, target)
    cost = lambda s, r, t: ((s * source[0] @ r.T + t - target[0]) ** 2).sum()  # noqa: E731
    best = cost(found.scale[0], found.rotation[0], found.translation[0])
    for _ in range(50):
        axis = rng.normal(size=3) * 1e-3
        skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        turn = np.linalg.solve(np.eye(3) - skew / 2, np.eye(3) + skew / 2)  # Cayley: a rotation
        moved = found.translation[0] + rng.normal(size=3) * 1e-3
        assert cost(found.scale[0] * (1 + rng.normal() * 1e-3), turn @ found.rotation[0], moved) >= best


def test_a_mirror_image_is_not_matched(rng: np.random.Generator) -> None:
    source = rng.normal(size=(5, 10, 3))
    found = fit_similarity(source, source * [-1, 1, 1])
    np.testing.assert_allclose(np.linalg.det(found.rotation), 1)
    assert np.abs(found.apply(source) - source * [-1, 1, 1]).max() > 0.1


def test_masked_pairs_do_not_count(rng: np.random.Generator) -> None:
    source, target = rng.normal(size=(2, 12, 8, 3))
    valid = rng.random((12, 8)) < 0.6
    valid[:, :4] = True
    target[~valid] = np.nan
    found = fit_similarity(source, target)
    for n in range(12):
        keep = valid[n]
        alone = fit_similarity(source[n : n + 1, keep], target[n : n + 1, keep])
        np.testing.assert_allclose(found.rotation[n], alone.rotation[0], atol=1e-9)
        np.testing.assert_allclose(found.translation[n], alone.translation[0], atol=1e-9)
        np.testing.assert_allclose(found.scale[n], alone.scale[0])
    np.testing.assert_array_equal(fit_similarity(source, np.nan_to_num(target), valid).rotation, found.rotation)


def test_degenerate_sets(rng: np.random.Generator) -> None:
    target = rng.normal(size=(1, 5, 3))
    point = np.full((1, 5, 3), 7.0)
    np.testing.assert_allclose(align(point, target), np.broadcast_to(target.mean(1), (1, 5, 3)))
    np.testing.assert_allclose(align(target, point), point)  # shrunk to nothing
    line = np.linspace(0, 1, 5)[None, :, None] * rng.normal(size=3)
    np.testing.assert_allclose(align(line, 3 * line[..., ::-1]), 3 * line[..., ::-1], atol=1e-12)
    nothing = align(target, np.full((1, 5, 3), np.nan))
    np.testing.assert_allclose(nothing, target)
    assert align(np.zeros((0, 5, 3)), np.zeros((0, 5, 3))).shape == (0, 5, 3)


def test_refusals() -> None:
    good = np.zeros((2, 4, 3))
    for source, target in ((good, good[:1]), (good[0], good[0]), (good[..., :1], good[..., :1])):
        with pytest.raises(ShapeError, match="same shape"):
            align(source, target)
    with pytest.raises(ShapeError, match="expected valid"):
        align(good, good, np.ones((2, 3)))
    with pytest.raises(ShapeError, match="not finite"):
        align(good, np.full_like(good, np.nan), np.ones((2, 4), bool))
