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
