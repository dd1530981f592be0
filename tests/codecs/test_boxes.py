"""Boxes: points by closed form, boxes back from perfect outputs, and the mirror image of a network's answer."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.codecs import BoxesCodec, codec_from_dict, codec_to_dict
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.skeletons import PERSON
from vitruvian.types import Outputs


def _perfect(codec: BoxesCodec, box_xyxy: np.ndarray, score: float) -> Outputs:
    """A network that draws one box from every point within it, equally sure of each."""
    points = codec.points_px()[0]
    inside = (points > box_xyxy[:2]).all(1) & (points < box_xyxy[2:]).all(1)
    people = np.where(inside, np.log(score / (1 - score)), -20.0)
    edges = np.concatenate([points - box_xyxy[:2], box_xyxy[2:] - points], axis=1)
    return Outputs({"people": people[None].astype(np.float32), "edges": edges[None].astype(np.float32)})


def test_points_are_the_middles_of_cells_row_by_row_and_grid_by_grid() -> None:
    points, strides = BoxesCodec(size_wh=(32, 16), strides=(8, 16)).points_px()
    # A cell of 8 pixels 0..7 has its middle at 3.5.
    assert points[:5].tolist() == [[3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [27.5, 3.5], [3.5, 11.5]]
    assert points[8:].tolist() == [[7.5, 7.5], [23.5, 7.5]]
    assert strides.tolist() == [8] * 8 + [16] * 2


def test_boxes_come_back_sorted_and_above_the_score(rng: np.random.Generator) -> None:
    codec = BoxesCodec(size_wh=(96, 64))
    for _ in range(20):
        low = rng.uniform(0, 30, 2)
        box = np.concatenate([low, low + rng.uniform(20, 33, 2)])
        score = rng.uniform(0.3, 0.95)
        outputs = _perfect(codec, box, score)
        ((boxes, scores),) = codec.decode_boxes(outputs, 0.2)
        assert len(boxes) > 0
        np.testing.assert_allclose(boxes, np.broadcast_to(box, boxes.shape), atol=1e-4)
        np.testing.assert_allclose(scores, score, atol=1e-5)
        assert len(codec.decode_boxes(outputs, 0.96)[0][0]) == 0
        centre, sure = codec.decode(outputs)
        np.testing.assert_allclose(centre[0, 0], (box[:2] + box[2:]) / 2, atol=1e-4)
        assert sure.shape == (1, 1)


def test_the_best_box_comes_first(rng: np.random.Generator) -> None:
    codec = BoxesCodec(size_wh=(64, 64))
    count = len(codec.points_px()[0])
    people = rng.normal(size=(2, count)).astype(np.float32)
    outputs = Outputs({"people": people, "edges": rng.uniform(1, 9, (2, count, 4)).astype(np.float32)})
    for row, (boxes, scores) in zip(people, codec.decode_boxes(outputs, 0.5), strict=True):
        assert (np.diff(scores) <= 0).all()
        assert len(boxes) == len(scores) == (row >= 0).sum()


def test_flip_is_what_the_mirrored_picture_would_have_given(rng: np.random.Generator) -> None:
    codec = BoxesCodec(size_wh=(96, 64))
    box = np.array([10.0, 8.0, 47.0, 60.0])
    mirrored = np.array([95 - box[2], box[1], 95 - box[0], box[3]])
    back = codec.flip(_perfect(codec, mirrored, 0.8), PERSON)
    want = _perfect(codec, box, 0.8)
    np.testing.assert_allclose(back.arrays["people"], want.arrays["people"])
    np.testing.assert_allclose(back.arrays["edges"], want.arrays["edges"], atol=1e-4)


def test_twice_mirrored_is_the_same(rng: np.random.Generator) -> None:
    codec = BoxesCodec(size_wh=(64, 96))
    count = len(codec.points_px()[0])
    arrays = {"people": rng.normal(size=(2, count)), "edges": rng.random((2, count, 4))}
    twice = codec.flip(codec.flip(Outputs(arrays), PERSON), PERSON)
    assert all(np.array_equal(twice.arrays[name], array) for name, array in arrays.items())


def test_torch_tensors_decode_too() -> None:
    torch = pytest.importorskip("torch")
    codec = BoxesCodec(size_wh=(64, 64))
    outputs = _perfect(codec, np.array([5.0, 6.0, 50.0, 61.0]), 0.7)
    tensors = Outputs({k: torch.from_numpy(v).bfloat16() for k, v in outputs.arrays.items()})
    assert len(codec.decode_boxes(tensors, 0.5)[0][0]) == len(codec.decode_boxes(outputs, 0.5)[0][0])


def test_it_survives_a_card_and_says_what_it_cannot() -> None:
    codec = BoxesCodec(size_wh=(64, 96), strides=(8, 16))
    assert codec_from_dict(codec_to_dict(codec)) == codec
    assert codec.resized((96, 96)).size_wh == (96, 96)
    with pytest.raises(VitruvianError, match="learns boxes"):
        codec.encode(np.zeros((1, 1, 2)), np.ones((1, 1)))
    for bad in ({"size_wh": (64, 60)}, {"strides": (16, 8)}, {"strides": ()}, {"strides": (8, 8)}):
        with pytest.raises(ShapeError, match="strides"):
            BoxesCodec(**bad)  # type: ignore[arg-type]
