"""`Predictor.stream`: bad images, order, and how much is alive at a time."""

from __future__ import annotations

import threading
import weakref
from itertools import repeat

import numpy as np
import pytest

from vitruvian.data.images import as_image, write_image
from vitruvian.errors import ImageError, ShapeError
from vitruvian.predict import Detections, Predictor


def test_stream_goes_on_after_bad_images(rng, predictor, person, tmp_path):
    image, boxes, hands = person(rng)
    good = write_image(tmp_path / "good.png", image)
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:200])
    sources = [good, cut, tmp_path / "none.png", good, np.zeros((4, 4)), good]
    results = list(predictor.stream(sources, [boxes] * 5 + [[[1, 1, 1, 1]]], batch=2))
    assert [r.index for r in results] == list(range(6))
    assert [r.poses is not None for r in results] == [True, False, False, True, False, False]
    assert [r.path for r in results] == [good, cut, tmp_path / "none.png", good, None, good]
    for i in (0, 3):
        np.testing.assert_allclose(results[i].poses.keypoints, hands, atol=0.25)
        assert results[i].error is None
    assert isinstance(results[1].error, ImageError)
    assert "cut.png" in str(results[1].error)
    assert isinstance(results[2].error, ImageError)
    assert isinstance(results[4].error, ShapeError)
    assert "good.png: box 0" in str(results[5].error)
    with pytest.raises(ImageError, match=r"cut\.png"):
        predictor.predict(sources[:3])


def test_stream_keeps_images_on_request(rng, predictor, person):
    image, boxes, _ = person(rng)
    (kept,) = predictor.stream([image], [boxes], keep_images=True)
    np.testing.assert_array_equal(kept.image, image)
    (dropped,) = predictor.stream([image], [boxes])
    assert dropped.image is None


@pytest.mark.parametrize(
    "seen_as", [np.asarray, memoryview, lambda frame: frame.view(np.recarray), lambda frame: frame[:]]
)
def test_stream_of_a_reused_camera_buffer(rng, predictor, person, seen_as):
    scenes = [person(rng) for _ in range(6)]

    def camera():
        frame = np.empty_like(scenes[0][0])
        for image, _, _ in scenes:
            frame[...] = image
            yield seen_as(frame)

    for result, (_, _, hands) in zip(predictor.stream(camera(), [s[1] for s in scenes]), scenes, strict=True):
        np.testing.assert_allclose(result.poses.keypoints, hands, atol=0.25)


def test_scores_that_are_none_fail_their_image_alone(rng, predictor, person):
    image, boxes, hands = person(rng)
    given = [Detections(boxes, np.array([score])) for score in (0.5, 1.2, np.nan, 1.0)]
    results = list(predictor.stream([image] * 4, given))
    assert [result.error is None for result in results] == [True, False, False, True]
    assert "image 1: the boxes' scores must lie in [0, 1], got [1.2]" in str(results[1].error)
    np.testing.assert_allclose(results[3].poses.keypoints, hands, atol=0.25)


def test_stream_reads_only_a_bounded_way_ahead(rng, predictor, person):
    image, boxes, _ = person(rng)
    taken = 0

    def source():
        nonlocal taken
        while True:  # endless: a stream that gathers it all would never return
            taken += 1
            yield image

    results = predictor.stream(source(), repeat(boxes), batch=4, prefetch=3)
    for seen in range(1, 30):
        next(results)
        assert taken <= seen + 4 + 3 + 2
    results.close()
    assert not [t for t in threading.enumerate() if t.name == "vitruvian-prefetch"]


def test_images_without_people_do_not_pile_up(rng, predictor, person):
    image, boxes, _ = person(rng)
    taken = 0

    def source():
        nonlocal taken
        while taken < 200:
            taken += 1
            yield image

    empty = np.zeros((0, 4))
    first = next(predictor.stream(source(), [boxes] + [empty] * 199, batch=8, prefetch=2))
    assert first.index == 0
    assert taken <= 2 * 8 + 2 + 2


def test_few_of_a_thousand_images_are_alive_at_once(finder, monkeypatch, tmp_path):
    predictor = Predictor(type(finder)(size_wh=(32, 32)))
    path = write_image(tmp_path / "photo.png", np.zeros((24, 30, 3), np.uint8))
    alive: set[int] = set()
    most = 0

    def counted(source):
        nonlocal most
        image, path = as_image(source)
        key = len(alive) and max(alive) + 1
        alive.add(key)
        weakref.finalize(image, alive.discard, key)
        most = max(most, len(alive))
        return image, path

    monkeypatch.setattr("vitruvian.predict.loading.as_image", counted)
    for keep in (False, True):
        results = predictor.stream((path for _ in range(500)), batch=8, prefetch=6, keep_images=keep)
        assert sum(r.poses is not None for r in results) == 500
        assert most <= 6 + 3 + (2 * 8 if keep else 0)
    assert not alive


def test_an_error_of_the_source_itself_is_raised(rng, predictor, person):
    def source():
        yield person(rng)[0]
        raise RuntimeError("camera unplugged")

    with pytest.raises(RuntimeError, match="camera unplugged"):
        list(predictor.stream(source()))
    with pytest.raises(ValueError, match="shorter"):
        list(predictor.stream([person(rng)[0]] * 3, [None]))
