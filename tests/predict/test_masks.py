"""Masks come back to the photo where the crop was, by every road; what has none says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec, PixelsCodec
from vitruvian.errors import ShapeError, WeightsError
from vitruvian.formats import coco, rle
from vitruvian.metrics.masks import dice
from vitruvian.predict.masks import MaskFinder
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import LSP14
from vitruvian.types import Outputs, Poses
from vitruvian.weights.card import Card


class _Red:
    """A network that takes red pixels for the person."""

    description = "for tests"

    def __init__(self, stride: int = 2, colour: str = "rgb") -> None:
        codec = PixelsCodec((96, 128), stride=stride, heads=("mask",))
        self.card = Card("red", "unet", LSP14, Preprocess((96, 128), colour=colour), codec)
        self.batches: list[int] = []

    def run(self, crops: np.ndarray) -> Outputs:
        stride, channel = self.card.codec.stride, 2 if self.card.preprocess.colour == "bgr" else 0  # type: ignore[union-attr]
        red = crops[..., channel].astype(np.float32) / 255
        batch, height, width = red.shape
        share = red.reshape(batch, height // stride, stride, width // stride, stride).mean((2, 4))
        logit = np.log(np.clip(share, 1e-4, 1 - 1e-4) / np.clip(1 - share, 1e-4, 1))
        self.batches.append(batch)
        return Outputs({"mask": np.stack([-logit / 2, logit / 2], axis=1)})

    def close(self) -> None:
        self.batches.append(-1)


def _people(count: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo with red discs on blue, their masks, and a box around each."""
    y, x = np.mgrid[:200, :300]
    centres = np.array([[60.0, 90.0], [160.0, 110.0], [250.0, 70.0]])[:count]
    masks = np.array([np.hypot(x - u, y - v) <= 30 for u, v in centres])
    image = np.where(masks.any(0)[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8)
    return image, masks, np.concatenate([centres - 31, centres + 31], axis=1)


def _poses(boxes: np.ndarray, **changes) -> Poses:
    count = len(boxes)
    keypoints = np.tile(np.array([50.0, 60.0], np.float32), (count, 14, 1))
    return Poses(keypoints, np.full((count, 14), 0.9), boxes, LSP14, (300, 200), **changes)


@pytest.mark.parametrize(("stride", "colour"), [(1, "rgb"), (2, "bgr"), (4, "rgb")])
def test_a_mask_lies_where_its_person_is(stride: int, colour: str) -> None:
    image, masks, boxes = _people()
    network = _Red(stride, colour)
    with MaskFinder(network) as finder:
        poses = finder(image, _poses(boxes), batch=2)
        flipped = finder(image, _poses(boxes), flip=True)
    assert poses.masks is not None
    assert flipped.masks is not None
    assert dice(poses.masks, masks).min() > 0.97
    assert dice(flipped.masks, masks).min() > 0.97
    assert network.batches == [2, 1, 3, 3, -1]
    np.testing.assert_array_equal(poses.keypoints, _poses(boxes).keypoints)


def test_the_edge_is_at_half(rng: np.random.Generator) -> None:
    """No systematic shift: the centre of the mask is the person's to a tenth of a pixel, at any sub-pixel box."""
    image, masks, boxes = _people(1)
    for flip in (False, True):
        for _ in range(5):
            moved = boxes + rng.uniform(-3, 3, (1, 2)).repeat(2, axis=0).reshape(1, 4)
            found = MaskFinder(_Red(2))(image, _poses(moved), flip=flip).masks
            assert found is not None
            for axis in (1, 2):
                centre = [np.nonzero(m)[axis - 1].mean() for m in (found[0], masks[0])]
                assert abs(centre[0] - centre[1]) < 0.25


def test_the_second_look_is_mirrored_and_nearer() -> None:
    """What both see is the mean, what the first sees alone is its own; a model without a margin looks as before."""

    class Halves(_Red):
        """Sure of the left three quarters of what it sees, half sure of the rest; keeps its crops."""

        def run(self, crops: np.ndarray) -> Outputs:
            self.seen = [*getattr(self, "seen", []), crops.copy()]
            logit = np.full((len(crops), 64, 48), 4.0, np.float32)
            logit[:, :, 36:] = 0
            return Outputs({"mask": np.stack([-logit / 2, logit / 2], axis=1)})

    image, boxes = np.zeros((200, 300, 3), np.uint8), np.array([[100.0, 50, 160, 130]])  # of the crop's aspect ratio
    image[50:130, 100:130] = 255
    network = Halves()
    said = MaskFinder(network).shares(image, boxes, flip=True)[0].astype(float)
    once = MaskFinder(network).shares(image, boxes)[0].astype(float)
    first, second, _ = network.seen
    white = [(crop > 127).mean() for crop in (first[0, :, :48], second[0, :, 48:])]
    assert white[0] == pytest.approx(1 / 1.25**2, abs=0.03)  # the left half of the box, in the crop's left half
    assert white[1] == pytest.approx(1 / (1.25 * 0.91) ** 2, abs=0.03)  # and in the mirrored one's right half, larger
    assert not (first[0, :, 50:] > 127).any()
    assert not (second[0, :, :46] > 127).any()
    margin, middle = said[90, 94], said[90, 130]  # the near crop ends at 96; both looks are sure of the middle
    assert margin == pytest.approx(once[90, 94], abs=2)
    assert middle == pytest.approx(once[90, 130], abs=2)
    assert said[90, 105] < once[90, 105] - 1  # where the mirrored look is half sure
    network.card = replace(network.card, preprocess=Preprocess((96, 128), padding=0.95))
    network.seen = []
    MaskFinder(network).shares(image, boxes, flip=True)
    np.testing.assert_array_equal(network.seen[0][:, :, ::-1], network.seen[1])


def test_outside_of_the_crop_there_is_no_person() -> None:
    image = np.full((200, 300, 3), (255, 0, 0), np.uint8)
    shares = MaskFinder(_Red())(image, _poses(np.array([[100.0, 50, 140, 100]]))).masks
    assert shares is not None
    assert shares[0, 60:90, 105:135].all()
    assert not shares[0, :, 200:].any()
    assert not shares[0, 150:].any()


def test_nobody_has_no_masks() -> None:
    poses = MaskFinder(_Red())(np.zeros((200, 300, 3), np.uint8), _poses(np.zeros((0, 4))))
    assert poses.masks is not None
    assert poses.masks.shape == (0, 200, 300)


def test_what_has_no_masks_is_refused() -> None:
    network = _Red()
    network.card = Card("joints", "compact", LSP14, Preprocess((96, 128)), HeatmapCodec((96, 128)))
    with pytest.raises(WeightsError, match="'joints' finds no masks"):
        MaskFinder(network)
    with pytest.raises(ShapeError, match="1 or more people"):
        MaskFinder(_Red())(np.zeros((200, 300, 3), np.uint8), _poses(np.zeros((0, 4))), batch=0)


def test_results_carry_run_lengths(tmp_path, rng: np.random.Generator) -> None:
    masks = rng.random((2, 200, 300)) < 0.4
    poses = _poses(np.array([[0.0, 0, 50, 60], [5, 5, 80, 90]]), masks=masks)
    path = coco.write_results([poses, replace(poses, masks=None)], tmp_path / "r.json", ["a", "b"])
    import json

    rows = json.loads(path.read_text(encoding="utf-8"))
    for row, mask in zip(rows[:2], masks, strict=True):
        assert isinstance(row["segmentation"]["counts"], str)
        np.testing.assert_array_equal(rle.decode(row["segmentation"]), mask)
    assert all("segmentation" not in row for row in rows[2:])
