"""`SimccCodec`: closed forms of the target, the parabola, and the score."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.codecs import SimccCodec
from vitruvian.errors import ShapeError
from vitruvian.types import Outputs


def test_targets_are_gaussians_over_bins_that_sum_to_one(rng: np.random.Generator) -> None:
    codec = SimccCodec(size_wh=(48, 64), split=2.0, sigma=3.0)
    x, y = rng.uniform(0, [47, 63])
    arrays = codec.encode(np.array([[[x, y]]]), np.array([[1]])).arrays
    for name, position, size in (("simcc_x", x, 48), ("simcc_y", y, 64)):
        pixels = [(b + 0.5) / 2 - 0.5 for b in range(2 * size)]
        weights = [np.exp(-((p - position) ** 2) / (2 * 3.0**2)) for p in pixels]
        np.testing.assert_allclose(arrays[name][0, 0], np.array(weights) / sum(weights), rtol=2e-3, atol=1e-7)
        assert arrays[name].sum() == pytest.approx(1, rel=1e-5)


def test_the_parabola_is_exact_for_gaussians_and_bounded_for_noise(rng: np.random.Generator) -> None:
    codec = SimccCodec(size_wh=(48, 64))
    logits = {k: rng.normal(size=(5, *s)).astype(np.float32) for k, s in codec.shapes(7).items()}
    refined, _ = codec.decode(Outputs(logits))
    plain, _ = SimccCodec(size_wh=(48, 64), refine="argmax").decode(Outputs(logits))
    assert np.abs(refined - plain).max() <= 0.5 / codec.split + 1e-5  # never beyond half a bin of the best one
    assert np.abs(refined - plain).max() > 0.1 / codec.split
    best = np.array([[[3.0, 10.2, 9.6]]], np.float32)
    row = np.full((1, 1, 96), -20, np.float32)
    row[..., 40:43] = best
    column = np.full((1, 1, 128), -20, np.float32)
    column[..., 0] = 5  # at the end: no neighbour, no step
    found, _ = codec.decode(Outputs({"simcc_x": row, "simcc_y": column}))
    left, middle, right = best[0, 0]
    vertex = 41 + (left - right) / (2 * (left - 2 * middle + right))
    np.testing.assert_allclose(found[0, 0], [(vertex + 0.5) / 2 - 0.5, -0.25], atol=1e-4)


def test_a_joint_is_as_sure_as_its_less_sure_coordinate() -> None:
    codec = SimccCodec(size_wh=(192, 256))
    points = np.array([[[50.25, 60.25]], [[150.25, 200.25]]])
    arrays = codec.encode(points, np.full((2, 1), 2)).arrays
    x = np.log(np.maximum(0.7 * arrays["simcc_x"][:1] + 0.3 * arrays["simcc_x"][1:], 1e-30))
    y = np.log(np.maximum(arrays["simcc_y"][:1], 1e-30))
    found, score = codec.decode(Outputs({"simcc_x": x, "simcc_y": y}))
    np.testing.assert_allclose(found[0], points[0], atol=0.05)
    assert score[0, 0] == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"refine": "dark"},
        {"split": 0},
        {"split": -2.0},
        {"sigma": 0},
        {"sigma": float("nan")},
        {"split": float("nan")},
        # 192 x 1.3 is no whole number of bins: the mirrored bins would sit 0.3 px off, and flip averaging blur joints.
        {"split": 1.3},
        {"size_wh": (75, 100), "split": 0.5},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ShapeError):
        SimccCodec(**options)
