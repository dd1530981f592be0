"""The pipeline finds painted spots where they were painted, whatever the batching, and fails image by image."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.data.images import write_image
from vitruvian.errors import ShapeError, VitruvianError, WeightsError
from vitruvian.predict import Predictor, load
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
    same = np.abs(a.keypoints - b.keypoints).max(axis=2) < 1  # of two peaks as high, rounding may take the other
    assert same.sum() >= 15
    np.testing.assert_allclose(a.scores[same], b.scores[same], atol=0.02)  # the exported weights are rounded to float16


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
