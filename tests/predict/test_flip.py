"""The flip test in its ways: by maps, by coordinates, and shifted by a pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.codecs import SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.predict import Predictor


def test_flip_test_agrees_with_an_equivariant_network(rng, predictor, finder, person):
    image, boxes, hands = person(rng, 2)
    plain = predictor.predict(image, boxes)
    flipped = predictor.predict(image, boxes, flip=True)
    np.testing.assert_allclose(flipped.keypoints, plain.keypoints, atol=0.06)
    np.testing.assert_allclose(flipped.keypoints, hands, atol=0.25)
    assert finder.batches == [2, 2, 2]  # the flip test is a second look at the same two people


def test_flip_test_averages_arrays_before_decoding(rng, predictor, finder):
    crops = rng.integers(0, 256, (3, 128, 96, 3), dtype=np.uint8)
    codec, skeleton = predictor.card.codec, predictor.skeleton
    plain, mirrored = finder.run(crops), codec.flip(finder.run(np.ascontiguousarray(crops[:, :, ::-1])), skeleton)
    mean = type(plain)({"heatmaps": (plain.arrays["heatmaps"] + mirrored.arrays["heatmaps"]) / 2})
    for got, expected in zip(predictor.run_crops(crops, flip=True), codec.decode(mean), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("way", ["maps", "coordinates"])
def test_ways_of_flipping_agree_with_an_equivariant_network(rng, predictor, finder, person, way):
    image, boxes, _ = person(rng, 2)
    plain = predictor.predict(image, boxes)
    flipped = predictor.predict(image, boxes, flip=way)
    (streamed,) = predictor.stream([image], [boxes], flip=way)
    np.testing.assert_allclose(flipped.keypoints, plain.keypoints, atol=0.06)
    np.testing.assert_array_equal(streamed.poses.keypoints, flipped.keypoints)
    assert finder.batches == [2] * 5
    if way == "maps":
        np.testing.assert_array_equal(predictor.predict(image, boxes, flip=True).keypoints, flipped.keypoints)
        np.testing.assert_array_equal(predictor.predict(image, boxes, flip=np.True_).scores, flipped.scores)


def test_flipping_by_coordinates_averages_where_both_are_sure(predictor, finder, monkeypatch):
    """Left hand: 4 px apart in the two pictures and sure in both. Right hand: unsure in either picture, or in both."""

    def answer(hands, scores):
        """Maps whose peaks lie at ``hands`` (left, right) with heights ``scores``, for one crop."""
        codec = predictor.card.codec
        maps = codec.encode(np.array([hands], np.float32), np.full((1, 2), 2)).arrays["heatmaps"]
        return type(finder.run(blank))({"heatmaps": maps * np.array(scores, np.float32)[None, :, None, None]})

    blank, width = np.zeros((1, 128, 96, 3), np.uint8), 96
    for first, second, both in ((0.9, 0.1, False), (0.1, 0.9, False), (0.1, 0.1, False), (0.6, 0.6, True)):
        plain = answer([[61.5, 21.5], [21.5, 61.5]], [0.8, first])
        # In the mirrored picture the left hand is seen as a right one, and the other way round.
        mirrored = answer([[width - 1 - 29.5, 61.5], [width - 1 - 65.5, 21.5]], [second, 0.5])
        answers = iter([plain, mirrored])
        monkeypatch.setattr(finder, "run", lambda crops, answers=answers: next(answers))
        keypoints, scores = predictor.run_crops(blank, flip="coordinates")
        monkeypatch.undo()
        np.testing.assert_allclose(keypoints[0], [[63.5, 21.5], [25.5 if both else 21.5, 61.5]], atol=0.01)
        np.testing.assert_allclose(scores, [[0.8, first]], atol=1e-3)  # the plain picture's


def test_the_shift_by_a_pixel(rng, predictor, finder):
    """System 1's legacy against its loop; here, where centres are mapped exactly, it moves joints instead."""
    crops = rng.integers(0, 256, (2, 128, 96, 3), dtype=np.uint8)
    plain = finder.run(crops).arrays["heatmaps"]
    other = finder.run(np.ascontiguousarray(crops[:, :, ::-1])).arrays["heatmaps"]
    mean = np.empty_like(plain)
    for joint, pair in enumerate((1, 0)):  # the hands change places
        for u in range(24):
            twin = other[:, pair, :, 23 - (u - 1)] if u > 0 else other[:, pair, :, 23]
            mean[:, joint, :, u] = (plain[:, joint, :, u] + twin) / 2
    expected = predictor.card.codec.decode(type(finder.run(crops))({"heatmaps": mean}))
    for got, value in zip(predictor.run_crops(crops, flip="maps_shifted"), expected, strict=True):
        np.testing.assert_allclose(got, value, atol=1e-6)


def test_the_shift_is_none_of_ours(rng, predictor, person):
    image, boxes, _ = person(rng, 2)
    plain = predictor.predict(image, boxes)
    step = predictor.predict(image, boxes, flip="maps_shifted").keypoints - plain.keypoints
    per_pixel = [1 / predictor.card.preprocess.frame_to_input(box).matrix[0, 0] for box in boxes]
    half_a_map_pixel = np.array(per_pixel)[:, None] * predictor.card.codec.stride / 2
    np.testing.assert_allclose(step[..., 0], half_a_map_pixel * np.ones((1, 2)), rtol=0.1)
    np.testing.assert_allclose(step[..., 1], 0, atol=0.05)


def test_only_heatmaps_are_shifted(finder):
    finder.card = replace(finder.card, codec=SimccCodec(size_wh=(96, 128)))
    predictor = Predictor(finder)
    with pytest.raises(VitruvianError, match="'simcc'; use 'maps'"):
        predictor.predict([], flip="maps_shifted")
    assert predictor.predict([], flip="maps") == []


@pytest.mark.parametrize("flip", ["maybe", "", None, 1])
def test_other_ways_of_flipping_are_refused_at_once(predictor, finder, flip):
    for start in (lambda: predictor.predict([], flip=flip), lambda: predictor.stream([], flip=flip)):
        with pytest.raises(VitruvianError, match="'maps', 'coordinates', 'maps_shifted'"):
            start()
    assert finder.batches == []
