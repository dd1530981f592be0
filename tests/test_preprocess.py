"""`Preprocess`: one object, exact numbers, there and back."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError, WeightsError
from vitruvian.preprocess import Preprocess


def test_normalising_is_its_formula(rng):
    preprocess = Preprocess(size_wh=(24, 32), mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    crops = rng.integers(0, 256, (3, 32, 24, 3), dtype=np.uint8)
    expected = ((crops.astype(np.float64) - preprocess.mean) / preprocess.std).transpose(0, 3, 1, 2)
    got = preprocess.normalise(crops)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_crop_shows_the_padded_box_in_the_middle():
    """A white person box on black: in the crop it fills 1 / padding of the side that limits it."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:160] = 255
    preprocess = Preprocess(size_wh=(96, 128), padding=1.25)
    crop, frame_to_input = preprocess.crop(image, np.array([99.5, 59.5, 159.5, 139.5]))
    lit = crop[..., 0] > 127
    assert lit.any(axis=1).sum() == pytest.approx(128 / 1.25, abs=1)
    assert lit.any(axis=0).sum() == pytest.approx(128 / 1.25 * 60 / 80, abs=1)
    rows, columns = np.nonzero(lit)
    assert (columns.mean(), rows.mean()) == pytest.approx((47.5, 63.5), abs=0.5)
    np.testing.assert_allclose(frame_to_input.apply(np.array([129.5, 99.5])), [47.5, 63.5], atol=1e-9)


def test_bgr_models_get_bgr():
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    box = np.array([9.5, 9.5, 49.5, 49.5])
    rgb, _ = Preprocess(size_wh=(16, 16)).crop(image, box)
    bgr, _ = Preprocess(size_wh=(16, 16), colour="bgr").crop(image, box)
    assert rgb[8, 8].tolist() == [200, 0, 0]
    assert bgr[8, 8].tolist() == [0, 0, 200]


def test_there_and_back():
    preprocess = Preprocess(size_wh=(96, 128), padding=1.1, fill=7, colour="bgr")
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
    with pytest.raises(WeightsError, match="gamma"):
        Preprocess.from_dict({**preprocess.to_dict(), "gamma": 2})


@pytest.mark.parametrize(
    "wrong", [{"size_wh": (4, 128)}, {"padding": 0}, {"std": (1.0, 0.0, 1.0)}, {"fill": 256}, {"colour": "hsv"}]
)
def test_refusals(wrong):
    with pytest.raises(ShapeError):
        Preprocess(**wrong)
