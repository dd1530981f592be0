"""`Preprocess`: a box becomes the network's input, by numbers written out in float64."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitruvian.data import PoseDataset
from vitruvian.errors import ShapeError, WeightsError
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import COCO17
from vitruvian.transforms import warp
from vitruvian.types import Person, Record


def _photo(rng: np.random.Generator, width: int = 120, height: int = 90) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_padded_box_fills_the_input(rng: np.random.Generator) -> None:
    """Centre on centre; the side that decides is 1 / padding of the input; the scale is the same on both axes."""
    for size_wh, padding in (((192, 256), 1.25), ((64, 64), 1.0), ((96, 72), 1.5)):
        preprocess = Preprocess(size_wh=size_wh, padding=padding)
        for _ in range(20):
            low = rng.uniform(-50, 50, 2)
            box = np.concatenate([low, low + rng.uniform(2, 100, 2)])
            frame_to_input = preprocess.frame_to_input(box)
            corners = frame_to_input.apply(box.reshape(2, 2))
            np.testing.assert_allclose(corners.mean(axis=0), [(size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2], atol=1e-9)
            share = (corners[1] - corners[0]) / size_wh
            assert share.max() == pytest.approx(1 / padding)
            assert frame_to_input.matrix[0, 0] == pytest.approx(frame_to_input.matrix[1, 1])


def test_crop_and_normalise_against_float64(rng: np.random.Generator) -> None:
    preprocess = Preprocess(size_wh=(48, 64), mean=(120.5, 100.0, 90.0), std=(50.0, 60.25, 70.0), fill=33)
    photo, box = _photo(rng), np.array([100.0, -20.0, 140.0, 50.0])
    crop, frame_to_input = preprocess.crop(photo, box)
    np.testing.assert_array_equal(crop, warp(photo, frame_to_input, (48, 64), fill=33))
    assert (crop == 33).all(axis=2).any()  # outside of the photo
    inputs = preprocess.normalise(np.stack([crop, crop[:, ::-1]]))
    assert inputs.shape == (2, 3, 64, 48)
    assert inputs.dtype == np.float32
    assert inputs.flags.c_contiguous
    for c, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        np.testing.assert_allclose(inputs[0, c], (crop[..., c].astype(np.float64) - mean) / std, atol=1e-6)
        np.testing.assert_array_equal(inputs[1, c], inputs[0, c][:, ::-1])
    assert preprocess.normalise(np.zeros((0, 64, 48, 3), np.uint8)).shape == (0, 3, 64, 48)


def test_a_crop_shows_the_padded_box_in_the_middle() -> None:
    """A white person box on black: in the crop it fills 1 / padding of the side that limits it."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:160] = 255
    crop, frame_to_input = Preprocess(size_wh=(96, 128), padding=1.25).crop(image, np.array([99.5, 59.5, 159.5, 139.5]))
    lit = crop[..., 0] > 127
    assert lit.any(axis=1).sum() == pytest.approx(128 / 1.25, abs=1)
    assert lit.any(axis=0).sum() == pytest.approx(128 / 1.25 * 60 / 80, abs=1)
    rows, columns = np.nonzero(lit)
    assert (columns.mean(), rows.mean()) == pytest.approx((47.5, 63.5), abs=0.5)
    np.testing.assert_allclose(frame_to_input.apply(np.array([129.5, 99.5])), [47.5, 63.5], atol=1e-9)


def test_training_and_prediction_see_the_same_pixels(rng: np.random.Generator) -> None:
    preprocess, photo, box = Preprocess(size_wh=(48, 64), fill=9), _photo(rng), np.array([10.0, 12, 80, 60])
    person = Person(rng.uniform(20, 50, (17, 2)), np.full(17, 2), box_xyxy=box)
    record = Record(None, "one", (120, 90), COCO17, (person,))
    sample = PoseDataset([record], COCO17, preprocess, decode=lambda _: photo).sample(0)
    crop, frame_to_input = preprocess.crop(photo, box)
    np.testing.assert_array_equal(sample.image, crop)
    assert sample.frame_to_input == frame_to_input
    back = frame_to_input.inverse().apply(sample.keypoints_px.astype(np.float64))
    np.testing.assert_allclose(back, person.keypoints_px, atol=1e-4)


def test_bgr_exchanges_channels_and_mean_follows_the_order(rng: np.random.Generator) -> None:
    photo, box = _photo(rng), np.array([10.0, 12, 80, 60])
    rgb = Preprocess(size_wh=(48, 64), mean=(1, 2, 3), std=(4, 5, 6))
    bgr = Preprocess(size_wh=(48, 64), mean=(3, 2, 1), std=(6, 5, 4), colour="bgr")
    crop, other = rgb.crop(photo, box)[0], bgr.crop(photo, box)[0]
    np.testing.assert_array_equal(other, crop[..., ::-1])
    assert other.flags.c_contiguous  # as backends take it
    np.testing.assert_array_equal(bgr.normalise(other[None]), rgb.normalise(crop[None])[:, ::-1])


def test_record_survives_json() -> None:
    preprocess = Preprocess(
        size_wh=(288, 384), padding=1.1, mean=(0, 0, 0), std=(255, 255, 255), fill=114, colour="bgr"
    )
    again = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict())))
    assert again == preprocess
    assert hash(again) == hash(preprocess)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(WeightsError, match="interpolation"):
        Preprocess.from_dict({**Preprocess().to_dict(), "interpolation": "cubic"})


@pytest.mark.parametrize(
    "options",
    [
        {"size_wh": (192,)},
        {"size_wh": (192, 256, 3)},
        {"size_wh": (192, 7)},
        {"padding": 0},
        {"padding": -1.0},
        {"padding": float("nan")},
        {"std": (1.0, 0.0, 1.0)},
        {"std": (1.0, float("nan"), 1.0)},
        {"std": (1.0, 1.0)},
        {"mean": (1.0, 2.0)},
        {"mean": (1.0, 2.0, float("nan"))},
        {"mean": (0.0, 0.0, 0.0, 0.0)},
        {"fill": -1},
        {"fill": 256},
        {"colour": "rbg"},
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ShapeError):
        Preprocess(**options)


@pytest.mark.parametrize(
    "crops", [np.zeros((64, 48, 3), np.uint8), np.zeros((1, 64, 48, 4), np.uint8), np.zeros((1, 3, 64, 48), np.uint8)]
)
def test_crops_of_another_layout_are_refused(crops: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"\(B, h, w, 3\)"):
        Preprocess(size_wh=(48, 64)).normalise(crops)
