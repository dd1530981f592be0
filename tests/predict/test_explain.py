"""`explain`: maps that peak where the joints were found, and the attention of networks that have some."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.predict import Detections, load
from vitruvian.predict.explain import explain, joint_maps
from vitruvian.types import Outputs


def test_maps_lie_under_the_joints(rng, predictor, person):
    image, boxes, hands = person(rng, 2)
    poses, people = explain(predictor, image, Detections(boxes, np.array([0.5, 1.0])))
    assert len(poses) == len(people) == 2
    np.testing.assert_allclose(poses.keypoints, hands[::-1], atol=0.25)  # the surest first
    for i, one in enumerate(people):
        assert one.names == predictor.skeleton.names
        assert one.score == pytest.approx(float(poses.person_scores[i]))
        assert not one.has_attention
        expected, frame_to_input = predictor.card.preprocess.crop(image, poses.boxes[i])
        np.testing.assert_array_equal(one.crop, expected)
        np.testing.assert_allclose(one.keypoints_px, frame_to_input.apply(poses.keypoints[i]), atol=1e-3)
        for k in range(2):
            y, x = np.unravel_index(one.heatmaps[k].argmax(), one.heatmaps[k].shape)
            peak_px = (np.array([x, y]) + 0.5) * 4 - 0.5
            assert np.abs(peak_px - one.keypoints_px[k]).max() <= 2.5  # of a map of every fourth pixel
    assert len(explain(predictor, image, boxes, max_people=1)[1]) == 1
    assert explain(predictor, image, [])[1] == []


def test_attention_comes_from_the_network(predictor, finder, person, rng, monkeypatch):
    image, boxes, _ = person(rng, 3)
    seen = []

    def attention(crops):
        seen.append(crops)
        count = len(crops)
        holistic = np.arange(count * 12.0).reshape(count, 1, 4, 3)
        return {"holistic": holistic, "part": np.stack([holistic[:, 0] + 100, holistic[:, 0] + 200], axis=1)}

    monkeypatch.setattr(finder, "attention", attention, raising=False)
    _, people = explain(predictor, image, boxes)
    np.testing.assert_array_equal(np.concatenate(seen), [one.crop for one in people])
    for i, one in enumerate(people):
        np.testing.assert_array_equal(one.holistic, np.arange(12.0).reshape(4, 3) + 12 * i)
        np.testing.assert_array_equal(one.part, [one.holistic + 100, one.holistic + 200])
    monkeypatch.setattr(finder, "attention", lambda crops: {"holistic": np.ones((len(crops), 1, 4, 3))})
    one = explain(predictor, image, boxes)[1][0]
    assert one.part is None
    assert one.has_attention


def test_attention_of_the_torch_backend(tiny_checkpoint, rng):
    torch = pytest.importorskip("torch")
    crops = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with load(tiny_checkpoint, threads=1) as predictor:
        backend = predictor.backend
        assert backend.attention(crops) == {}
        backend._network.attention_maps = lambda images: {"holistic": images.mean(dim=1, keepdim=True)}
        found = backend.attention(crops)
        normalised = predictor.card.preprocess.normalise(crops)
        np.testing.assert_allclose(found["holistic"], normalised.mean(axis=1, keepdims=True), atol=1e-5)
        image = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
        _, (one,) = explain(predictor, image, np.array([[0.0, 0, 69, 89]]))
        np.testing.assert_allclose(
            one.holistic, predictor.card.preprocess.normalise(one.crop[None])[0].mean(0), atol=1e-5
        )
    assert torch.is_inference_mode_enabled() is False


def encoded(codec, keypoints):
    return codec.encode(np.asarray(keypoints, np.float32)[None], np.full((1, len(keypoints)), 2)).arrays


@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_a_perfect_answer_reaches_one(rng, activation):
    codec = HeatmapCodec(size_wh=(96, 128), activation=activation)
    joints = codec.to_input(rng.integers([6, 6], [18, 26], (5, 2)).astype(np.float32))  # middles of map pixels
    target = encoded(codec, joints)["heatmaps"]
    said = np.log(np.maximum(target, 1e-30)) if activation == "softmax" else target
    maps = joint_maps(Outputs({"heatmaps": said}), codec)
    np.testing.assert_allclose(maps.max(axis=(2, 3)), 1, atol=2e-3)
    for k, joint in enumerate(joints):
        y, x = np.unravel_index(maps[0, k].argmax(), maps.shape[2:])
        np.testing.assert_array_equal(codec.to_input(np.array([x, y])), joint)
    nothing = np.zeros_like(target)
    assert joint_maps(Outputs({"heatmaps": nothing}), codec).max() < 0.05  # of logits: the same everywhere


def test_simcc_is_multiplied(rng):
    codec = SimccCodec(size_wh=(96, 128))
    joints = rng.uniform([20, 20], [70, 100], (4, 2))
    said = {name: np.log(np.maximum(array, 1e-30)) for name, array in encoded(codec, joints).items()}
    maps = joint_maps(Outputs(said), codec)
    assert maps.shape == (1, 4, 32, 24)
    np.testing.assert_allclose(maps.max(axis=(2, 3)), 1, atol=0.02)
    for k, joint in enumerate(joints):
        y, x = np.unravel_index(maps[0, k].argmax(), (32, 24))
        assert np.abs((np.array([x, y]) + 0.5) * 4 - 0.5 - joint).max() <= 2.5


def test_other_codecs_have_no_maps():
    class Regression:
        kind = "regression"

    with pytest.raises(VitruvianError, match="codec 'regression' does not have"):
        joint_maps(Outputs({}), Regression())
