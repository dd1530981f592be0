"""`Calibration`: a rising curve that travels in a card."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitruvian.errors import WeightsError
from vitruvian.weights.calibration import Calibration


def test_linear_between_knots():
    curve = Calibration(((0, 0), (0.5, 0.2), (1, 0.9)), right="near", fitted_on="these")
    found = curve(np.array([[0, 0.25, 0.5], [0.75, 1, 0.1]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0.1, 0.2], [0.55, 0.9, 0.04]], atol=1e-7)


def test_plain_data_and_back():
    curve = Calibration(((0, 0.05), (0.3, 0.4), (1, 1)), right="near", fitted_on="these")
    assert Calibration.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve


@pytest.mark.parametrize(
    "knots",
    [
        (),
        ((0, 0),),
        ((0, 0), (1, 0)),
        ((0, 0.5), (1, 0.2)),
        ((0.1, 0), (1, 1)),
        ((0, 0), (0.9, 1)),
        ((0, 0), (0.5, 0.5), (0.5, 0.6), (1, 1)),
        ((0, -0.1), (1, 1)),
        ((0, 0), (1, 1.1)),
        ((0, 0), (float("nan"), 0.5), (1, 1)),
        (0, 1),
        ((0, 0, 0), (1, 1, 1)),
        (("a", 0), (1, 1)),
    ],
)
def test_curves_that_cannot_be_are_refused(knots):
    with pytest.raises(WeightsError, match="knots"):
        Calibration(knots)


def test_joints_move_against_each_other_but_never_among_themselves(rng):
    """By odds: a chance of 1/2 moved by log 3 is 3/4, by -log 3 a quarter."""
    curve = Calibration(((0, 0), (0.5, 0.4), (1, 0.9)), by_joint=(np.log(3), 0.0, -np.log(3)))
    found = curve(np.array([[0.6, 0.6, 0.6], [0, 0, 0]]))
    np.testing.assert_allclose(found, [[0.75, 0.5, 0.25], [0, 0, 0]], atol=1e-6)
    rising = curve(np.repeat(np.linspace(0, 1, 300)[:, None], 3, axis=1))
    assert (np.diff(rising.astype(float), axis=0) > 0).all()
    assert Calibration.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    with pytest.raises(WeightsError, match=r"3 joints got scores \(2, 4\)"):
        curve(rng.random((2, 4)))
    with pytest.raises(WeightsError, match="finite"):
        Calibration(((0, 0), (1, 1)), by_joint=(np.nan,))
