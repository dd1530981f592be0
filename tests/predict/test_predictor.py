"""The pipeline finds painted spots where they were painted, whatever the batching, and fails image by image."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.codecs import SimccCodec
from vitruvian.data.images import as_image, write_image
from vitruvian.errors import ImageError, ShapeError, VitruvianError, WeightsError
from vitruvian.predict import Detections, Predictor, load
from vitruvian.types import Poses
from vitruvian.weights.calibration import Calibration


def test_joints_come_back_in_photo_pixels(rng, predictor, person):
    image, boxes, hands = person(rng, 3)
    poses = predictor.predict(image, boxes)
    assert isinstance(poses, Poses)
    np.testing.assert_allclose(poses.keypoints, hands, atol=0.25)
    assert poses.scores.min() > 0.3
    np.testing.assert_allclose(poses.boxes, boxes, rtol=1e-6)
    assert poses.boxes_from == "given"
    assert poses.size_wh == (image.shape[1], image.shape[0])
    assert poses.skeleton.names == ("left_hand", "right_hand")


def test_flip_test_agrees_with_an_equivariant_network(rng, predictor, finder, person):
    image, boxes, hands = person(rng, 2)
    plain = predictor.predict(image, boxes)
    flipped = predictor.predict(image, boxes, flip=True)
    np.testing.assert_allclose(flipped.keypoints, plain.keypoints, atol=0.02)
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
    np.testing.assert_allclose(flipped.keypoints, plain.keypoints, atol=0.02)
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


def test_batches_run_across_images_and_change_nothing(rng, predictor, finder, person):
    scenes = [person(rng, count) for count in (2, 0, 3, 1, 0, 4)]
    images, boxes = [s[0] for s in scenes], [s[1] for s in scenes]
    alone = [predictor.predict(image, box) for image, box in zip(images, boxes, strict=True)]
    finder.batches.clear()
    together = predictor.predict(images, boxes, batch=4)
    assert finder.batches == [4, 4, 2]
    for one, other, (_, _, hands) in zip(alone, together, scenes, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_allclose(other.keypoints, hands, atol=0.25)


def test_without_boxes_the_image_is_one_person(rng, predictor, person):
    image, _, hands = person(rng)
    middle = round(float(hands[0, :, 0].mean()))  # of the crop, where the finder tells left from right
    cut = image[10:290, middle - 80 : middle + 80]
    poses = predictor.predict(cut)
    assert poses.boxes_from == "whole image"
    np.testing.assert_allclose(poses.boxes, [[-0.5, -0.5, 159.5, 279.5]])
    np.testing.assert_allclose(poses.keypoints[0], hands[0] - [middle - 80, 10], atol=0.4)


@pytest.mark.parametrize("empty", [[], np.zeros((0, 4)), ()])
def test_no_boxes_is_no_phantom(rng, predictor, finder, person, empty):
    poses = predictor.predict(person(rng)[0], empty)
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 2, 2)
    assert poses.boxes_from == "given"
    assert finder.batches == []


def test_every_kind_of_source(rng, predictor, person, tmp_path):
    image, boxes, _ = person(rng)
    path = write_image(tmp_path / "photo.png", image)
    expected = predictor.predict(image, boxes)
    for source in (path, str(path), Image.fromarray(image)):
        np.testing.assert_array_equal(predictor.predict(source, boxes).keypoints, expected.keypoints)
    assert predictor.predict(path, boxes).path == path
    assert expected.path is None
    assert predictor.predict([], []) == []
    assert isinstance(predictor.predict((path,), None), list)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[10, 10, 10, 50]], "box 0 .* has no area"),
        ([[10, 10, 40, 50], [5, 5, 5, 5]], "box 1 .* has no area"),
        ([[10, 10, 40, 50], [2000, 10, 2100, 90]], "box 1 .* outside of the image, which is 280 x 300"),
        ([[-90, -90, -1, -1]], "box 0 .* outside"),
        ([[0, 0, np.nan, 9]], "finite"),
        ([[50, 50, 20, 20]], "x, y, width, height"),
        (np.zeros((2, 5)), r"\(N, 4\)"),
        ("people", r"\(N, 4\)"),
    ],
)
def test_bad_boxes_are_named(rng, predictor, person, boxes, words):
    with pytest.raises(ShapeError, match=words) as caught:
        predictor.predict([person(rng)[0]] * 2, [None, boxes])
    assert "image 1" in str(caught.value)


def test_boxes_must_fit_the_list(rng, predictor, person):
    image, boxes, _ = person(rng)
    with pytest.raises(ShapeError, match="one entry for each of 2 images"):
        predictor.predict([image, image], [boxes])
    with pytest.raises(ShapeError, match="for a list of images"):
        predictor.predict([image, image], boxes)
    with pytest.raises(ShapeError, match="batch"):
        predictor.predict(image, boxes, batch=0)


def test_boxes_partly_outside_are_fine(rng, predictor, person):
    image, boxes, hands = person(rng)
    box = boxes[0].copy()
    box[1] = -60.0
    np.testing.assert_allclose(predictor.predict(image, box).keypoints[0], hands[0], atol=0.6)


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


def test_closing(rng, predictor, finder, person):
    image = person(rng)[0]
    with predictor as same:
        assert same is predictor
        same.predict(image)
    assert finder.closed
    predictor.close()
    with pytest.raises(VitruvianError, match="closed"):
        predictor.predict(image)
    with pytest.raises(VitruvianError, match="closed"):
        predictor.stream([image])


def test_the_detector_is_loaded_once(finder, monkeypatch):
    """However many threads ask for it at a time; and not at all by a predictor that was closed."""
    loaded = []

    class Slow:
        closed = False

        def __init__(self, name, threads):
            loaded.append(self)
            time.sleep(0.05)  # the others come in the meantime

        def close(self):
            self.closed = True

    monkeypatch.setattr("vitruvian.predict.predictor.load_detector", Slow)
    predictor = Predictor(finder, "default")
    threads = 4
    start = threading.Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda _: (start.wait(), predictor.detector)[1], range(threads)))
    assert found == loaded * threads
    predictor.close()
    assert loaded[0].closed
    closed = Predictor(finder, "default")
    closed.close()
    for ask in (lambda: closed.stream([]), lambda: closed.predict(np.zeros((9, 9, 3), np.uint8))):
        with pytest.raises(VitruvianError, match="closed"):
            ask()
    assert len(loaded) == 1


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_load_a_file(tiny_model: Path, rng, backend):
    image = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    with load(tiny_model, backend=backend, threads=1) as model:
        poses = model.predict([image] * 3, [[[5, 5, 60, 80], [0, 0, 30, 30]]] * 3, flip=True, batch=4)
        assert model.card.name == "tiny"
        assert "1 thread" in model.description
        assert "tiny" in repr(model)
    assert [p.keypoints.shape for p in poses] == [(2, 19, 2)] * 3
    np.testing.assert_allclose(poses[2].keypoints, poses[0].keypoints, atol=0.05)
    assert all(np.isfinite(p.keypoints).all() for p in poses)


def test_load_a_run_folder(tiny_checkpoint, tiny_model, rng):
    image = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    with load(tiny_checkpoint, None, 1, None) as checkpoint, load(str(tiny_model), None, 1, None) as exported:
        assert checkpoint.description.startswith("torch")
        a, b = checkpoint.predict(image), exported.predict(image)
    assert len(a) == len(b) == 1
    np.testing.assert_allclose(a.scores, b.scores, atol=0.02)  # the exported weights are rounded to float16


def test_load_says_what_is_wrong(tiny_model):
    with pytest.raises(WeightsError, match="vitruvian-s"):
        load("vitruvian-z")
    with pytest.raises(VitruvianError, match="unknown backend"):
        load(tiny_model, backend="tensorflow")


def test_scores_go_through_the_cards_calibration(rng, predictor, person):
    """Every score, in every way of flipping; positions stay, and the flip test's own threshold is of plain scores."""
    image, boxes, _ = person(rng, 3)
    curve = Calibration(((0, 0), (0.5, 0.05), (1, 0.1)))
    for flip in (False, True, "coordinates"):
        plain = predictor.predict(image, boxes, flip=flip)
        card, predictor.card = predictor.card, replace(predictor.card, calibration=curve)
        found = predictor.predict(image, boxes, flip=flip)
        predictor.card = card
        np.testing.assert_array_equal(found.keypoints, plain.keypoints)
        np.testing.assert_allclose(found.scores, curve(plain.scores), atol=1e-7)
        assert found.scores.max() <= 0.1


def test_presence_comes_with_the_person_and_the_flip_averages_it(rng, predictor, finder, person, monkeypatch):
    """Whether batches run across images or not; left and right change places in the mirrored picture."""
    run, codec = finder.run, replace(predictor.card.codec, presence=True)
    logits = iter(np.arange(100.0, dtype=np.float32) / 20 - 2)

    def answer(crops):
        presence = np.array([[next(logits), next(logits)] for _ in crops], np.float32)
        return type(run(crops))({**run(crops).arrays, "presence": presence})

    monkeypatch.setattr(finder, "run", answer)
    predictor.card = replace(predictor.card, codec=codec, present_above=0.4)
    image, boxes, _ = person(rng, 3)
    chance = lambda x: 1 / (1 + np.exp(-np.asarray(x)))  # noqa: E731
    first, second = predictor.predict([image, image], [boxes[:2], boxes[2:]], batch=2)
    steps = np.arange(6).reshape(3, 2) / 20 - 2
    np.testing.assert_allclose(np.concatenate([first.presence, second.presence]), chance(steps), atol=1e-6)
    assert not first.present.any()
    assert first.shown(0.1).all()  # a threshold is about scores
    both = predictor.predict(image, boxes[:1], flip=True)
    plain, mirrored = np.array([6, 7]) / 20 - 2, np.array([9, 8]) / 20 - 2
    np.testing.assert_allclose(both.presence[0], chance((plain + mirrored) / 2), atol=1e-6)
    np.testing.assert_array_equal(first.select([1]).presence, first.presence[1:])
    assert predictor.predict(image, np.zeros((0, 4))).presence.shape == (0, 2)
    half = replace(second, presence=np.array([[0.39, 0.41]], np.float32))
    np.testing.assert_array_equal(half.present, [[False, True]])
    turned = half.to_skeleton(replace(half.skeleton, joints=("right_hand", "left_hand")))
    np.testing.assert_array_equal(turned.presence, half.presence[:, ::-1])
    assert half.to_coco()[0]["presence"] == [0.39, 0.41]
    assert [row["presence"] for row in half.to_rows()] == pytest.approx([0.39, 0.41])
    s = half.scores[0].astype(float)
    assert half.mean_scores[0] == pytest.approx((0.39 * s[0] + 0.41 * s[1]) / 0.8)
    assert replace(half, presence=None).mean_scores[0] == pytest.approx(s.mean())
    assert half.to_coco()[0]["present_above"] == 0.4
    assert "presence" not in replace(half, presence=None).to_coco()[0]
    assert replace(half, presence=None).to_rows()[0]["presence"] is None
    for wrong in (np.zeros((1, 3)), np.array([[0.5, 1.5]])):
        with pytest.raises(ShapeError, match="presence must be"):
            replace(half, presence=wrong)
