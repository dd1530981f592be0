"""The project's own detector: boxes back in the photo, odd images, and how a predictor uses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.codecs import BoxesCodec
from vitruvian.data import read_image
from vitruvian.errors import ShapeError, WeightsError
from vitruvian.geometry import boxes as box_tools
from vitruvian.predict import Detections, PersonDetector, Predictor, load, load_detector
from vitruvian.predict.parts import parts_xyxy, said_by
from vitruvian.predict.select import Selection
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import PERSON
from vitruvian.types import Outputs
from vitruvian.weights import Card


class BrightFinder:
    """A network that sees a person around all that is bright, from every point within it, and surest in the middle."""

    def __init__(self, size_wh: tuple[int, int] = (160, 160)) -> None:
        preprocess = Preprocess(size_wh=size_wh, padding=1.0, fill=0)
        self.card = Card("bright", "none", PERSON, preprocess, BoxesCodec(size_wh=size_wh))
        self.description, self.closed = "bright finder", False

    def run(self, crops: np.ndarray) -> Outputs:
        points, _ = self.card.codec.points_px()  # type: ignore[attr-defined]
        people = np.full((len(crops), len(points)), -20, np.float32)
        edges = np.ones((len(crops), len(points), 4), np.float32)
        for i, crop in enumerate(crops):
            bright = crop[..., 0] >= 128
            if bright.any():
                rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
                box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - 0.5
                inside = (points > box[:2]).all(1) & (points < box[2:]).all(1)
                far = np.abs(points - (box[:2] + box[2:]) / 2).max(axis=1) / 200
                people[i] = np.where(inside, 2 - far, -20)
                edges[i] = np.concatenate([points - box[:2], box[2:] - points], axis=1)
        return Outputs({"people": people, "edges": edges})

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size_wh", [(160, 160), (640, 480), (333, 517), (90, 400)])
def test_boxes_come_back_in_the_photo(size_wh: tuple[int, int], rng: np.random.Generator) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    low = (rng.uniform(0.1, 0.4, 2) * size_wh).astype(int)
    high = (rng.uniform(0.6, 0.9, 2) * size_wh).astype(int)
    image[low[1] : high[1], low[0] : high[0]] = 255
    boxes, scores = PersonDetector(BrightFinder())(image)
    assert boxes.shape == (1, 4)  # the others overlap with the best
    np.testing.assert_allclose(boxes[0], [*(low - 0.5), *(high - 0.5)], atol=1.01 * max(size_wh) / 160)
    assert 0.8 < scores[0] < 0.9


def test_what_is_not_sure_enough_is_left_out() -> None:
    image = np.full((50, 50, 3), 255, np.uint8)
    assert len(PersonDetector(BrightFinder(), min_score=0.95)(image)[0]) == 0
    assert len(PersonDetector(BrightFinder(), max_iou=1.0)(image)[0]) > 100
    with pytest.raises(ShapeError, match="0..1"):
        PersonDetector(BrightFinder(), min_score=1.5)


def test_a_predictor_asks_its_detector(finder, rng: np.random.Generator) -> None:
    detector = PersonDetector(BrightFinder())
    with Predictor(finder, detector) as predictor:
        dark, bright = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)
        bright[10:50, 20:60] = 255
        nobody, somebody = predictor.predict([dark, bright])
        assert (len(nobody), nobody.boxes_from) == (0, "detector")
        assert (len(somebody), somebody.boxes_from) == (1, "detector")
        np.testing.assert_allclose(somebody.boxes[0], [19.5, 9.5, 59.5, 49.5], atol=1)
        mixed = predictor.predict([bright, bright], boxes=[None, np.array([[0.0, 0, 30, 30]])])
        assert [poses.boxes_from for poses in mixed] == ["detector", "given"]
        streamed = [result.poses for result in predictor.stream([dark, bright], boxes=[None, None])]
        assert [len(poses) for poses in streamed if poses is not None] == [0, 1]
    assert not detector._backend.closed  # type: ignore[attr-defined]  # not the predictor's own


def test_what_a_detector_mistook_for_a_person_is_dropped(finder) -> None:
    """By the pose model's own figure, where a detector has looked; not in boxes that users gave."""
    bright = np.zeros((60, 80, 3), np.uint8)
    bright[10:50, 20:60] = 200
    boxes = np.array([[19.5, 9.5, 59.5, 49.5]])
    with Predictor(finder, PersonDetector(BrightFinder())) as predictor:
        card, mean = predictor.card, float(predictor.predict(bright).scores.mean())
        given = [boxes, Detections(boxes, np.array([0.9]))]
        for above, found in ((mean - 0.01, 1), (mean + 0.01, 0), (None, 1)):
            predictor.card = replace(card, person_above=above)
            assert len(predictor.predict(bright)) == found
            assert [len(predictor.predict(bright, boxes=one)) for one in given] == [1, 1]
        predictor.card = replace(card, person_above=mean + 0.01)
        assert len(predictor.predict(bright, select=None)) == 1
        assert len(predictor.predict(bright, select=Selection(person_above=0.0))) == 1
        predictor.card = card


def test_a_box_that_the_detector_doubts_needs_surer_joints(finder) -> None:
    """By the figure that the detector says; one that says none is believed."""
    bright = np.zeros((60, 80, 3), np.uint8)
    bright[10:50, 20:60] = 200
    box = np.array([[19.5, 9.5, 59.5, 49.5]])

    class Doubt:
        sure_box: object = None

        def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return box, np.array([0.2])

    detector = Doubt()
    with Predictor(finder) as predictor:
        mean = float(predictor.predict(bright, boxes=box).scores.mean())
        for sure, selection, found in (
            (None, Selection(), 1),
            (0.2, Selection(), 1),
            (0.25, Selection(), 0),
            (0.25, Selection(sure_box=0.2), 1),
            (0.25, Selection(sure_box=0.0), 1),
            (None, Selection(sure_box=0.25), 0),
            (0.25, Selection(person_above=mean * 0.8), 1),
            (0.8, Selection(person_above=mean * 0.8), 0),
        ):
            predictor.card = replace(predictor.card, person_above=mean - 0.001)
            detector.sure_box = sure
            assert len(predictor.predict(bright, boxes=detector, select=selection)) == found
        for wrong in (80, 0, "no", lambda: 0.5):
            detector.sure_box = wrong
            (result,) = predictor.stream([bright], boxes=detector)
            assert "image 0: a detector's sure_box must be None, or above 0 and at most 1" in str(result.error)
    own = BrightFinder()
    assert PersonDetector(own).sure_box is None
    own.card = replace(own.card, codec=replace(own.card.codec, sure_box=0.7))
    assert PersonDetector(own).sure_box == 0.7
    for wrong in (0, 1.5):
        with pytest.raises(ShapeError, match="sure_box must be None, or above 0"):
            replace(own.card.codec, sure_box=wrong)


# --- parts of the image ----------------------------------------------------------------------------------------------


@pytest.fixture
def looked() -> tuple[PersonDetector, list[int]]:
    """A detector, and how many crops each of its looks had."""
    finder, looks = BrightFinder(), []
    run = finder.run
    finder.run = lambda crops: (looks.append(len(crops)), run(crops))[1]  # type: ignore[method-assign]
    return PersonDetector(finder), looks


@pytest.mark.parametrize("input_wh", [(320, 320), (416, 256), (192, 256)])
def test_parts_cover_the_image_and_are_larger_for_the_network(input_wh, rng: np.random.Generator) -> None:
    preprocess = Preprocess(size_wh=input_wh, padding=1.0)
    for _ in range(50):
        size_wh = (int(rng.integers(20, 4000)), int(rng.integers(20, 4000)))
        found = parts_xyxy(size_wh, input_wh)
        assert len(found) in (2, 4)
        points = rng.uniform(-0.5, np.array(size_wh) - 0.5, (500, 2))
        assert ((found[:, None, :2] <= points) & (points <= found[:, None, 2:])).all(axis=2).any(axis=0).all()
        whole = preprocess.frame_to_input(box_tools.whole_image(size_wh))
        for part in found:
            zoom = (preprocess.frame_to_input(part).determinant / whole.determinant) ** 0.5
            assert 1.7 / 1.15 - 1e-9 <= zoom <= 1.7 + 1e-9


def test_whoever_is_small_is_said_by_a_part(rng: np.random.Generator) -> None:
    """Up to 0.254 of a part's side (0.3 - 2 * 0.02 * 1.15), anywhere in the photo, its edges included."""
    for _ in range(50):
        size_wh = (int(rng.integers(20, 4000)), int(rng.integers(20, 4000)))
        found, side = parts_xyxy(size_wh, (320, 320)), max(size_wh) / 1.7
        size = rng.uniform(0, 0.2539 * side, (300, 2)).clip(max=size_wh)
        low = rng.uniform(-0.5, np.array(size_wh) - 0.5 - size)
        low[:100] = np.where(rng.random((100, 2)) < 0.5, -0.5, np.array(size_wh) - 0.5 - size[:100])
        people = np.concatenate([low, low + size], axis=1)
        assert np.any([said_by(part, people, size_wh) for part in found], axis=0).all()


@pytest.mark.parametrize(
    ("size_wh", "bright", "looks"),
    [
        ((640, 480), (100, 100, 140, 150), [1, 4]),
        ((640, 360), (100, 100, 140, 150), [1, 2]),
        ((640, 425), (100, 100, 140, 150), [1, 2]),  # a second row would be nearly the first
        ((300, 900), (100, 100, 140, 150), [1, 2]),
        ((640, 480), None, [1, 4]),  # nobody there, as far as one can see
        ((640, 480), (100, 50, 150, 400), [1]),  # somebody large
        ((160, 120), (20, 20, 40, 40), [1]),  # there is no more to see from nearer
        ((161, 120), (20, 20, 40, 40), [1, 4]),
    ],
)
def test_parts_are_looked_at_where_nobody_is_large(size_wh, bright, looks, looked) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    if bright is not None:
        x0, y0, x1, y1 = bright
        image[y0:y1, x0:x1] = 255
    detector, seen = looked
    boxes, _ = detector(image)
    assert seen == looks
    assert len(boxes) == (bright is not None)
    PersonDetector(detector._backend, once=True)(image)
    assert seen == [*looks, 1]


def test_only_likely_people_make_a_portrait(looked) -> None:
    """Not those below the network's own threshold, nor those below one's own."""
    image = np.zeros((480, 640, 3), np.uint8)
    image[50:400, 100:150] = 255  # seen at 0.88
    detector, seen = looked
    finder = detector._backend
    for own, asked, looks in ((0.4, 0.01, 1), (0.95, 0.01, 2), (0.01, 0.95, 2)):
        finder.card = replace(finder.card, codec=replace(finder.card.codec, min_score=own))
        seen.clear()
        PersonDetector(finder, min_score=asked)(image)
        assert len(seen) == looks


def test_parts_tell_apart_what_the_whole_does_not(looked) -> None:
    """The finder draws one box around all it sees, so two people need two looks."""
    image = np.zeros((480, 640, 3), np.uint8)
    truth = np.array([[130, 130, 160, 190], [420, 150, 444, 200]])
    for x0, y0, x1, y1 in truth:
        image[y0:y1, x0:x1] = 255
    boxes, _ = looked[0](image)
    both = [*truth.min(axis=0)[:2], *truth.max(axis=0)[2:]]
    expected = np.array([both, *truth]) - 0.5
    assert len(boxes) == 3
    assert (box_tools.iou(expected, boxes).max(axis=1) > 0.8).all()


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((20, 20, 60, 90), True),
        ((-0.5, -0.5, 60, 90), True),  # at the image's edge there is no more of a person
        ((300, 20, 376, 90), False),  # it ends where the part does
        ((300, 20, 380, 90), False),
        ((20, 20, 60, 207), True),
        ((20, 20, 60, 209), False),  # the whole image shows those
    ],
)
def test_what_a_part_may_say(box, said) -> None:
    """The first of four; and the same mirrored, of the last."""
    size_wh = (640, 480)
    first, *_, last = parts_xyxy(size_wh, (320, 320))
    np.testing.assert_allclose(first, [-0.5, -0.5, 640 / 1.7 - 0.5, 640 / 1.7 - 0.5])
    np.testing.assert_allclose(last, [639.5 - 640 / 1.7, 479.5 - 640 / 1.7, 639.5, 479.5])
    box = np.array([box], np.float64)
    assert said_by(first, box, size_wh) == [said]
    mirrored = np.array([639, 479, 639, 479]) - box[:, [2, 3, 0, 1]]
    assert said_by(last, mirrored, size_wh) == [said]


def test_without_a_detector_an_image_is_one_person(finder) -> None:
    poses = Predictor(finder).predict(np.zeros((60, 80, 3), np.uint8))
    assert (len(poses), poses.boxes_from) == (1, "whole image")


def test_detectors_and_pose_models_are_not_mistaken_for_each_other(finder) -> None:
    with pytest.raises(WeightsError, match="is no person detector: it finds heatmap"):
        PersonDetector(finder)
    with pytest.raises(WeightsError, match="detector='bright'"):
        Predictor(BrightFinder())


# --- the shipped one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> PersonDetector:
    return load_detector(threads=1)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 900), (3, 2), (8000, 40), (8000, 6000)])
def test_odd_sizes_and_nobody(shipped: PersonDetector, size_wh: tuple[int, int]) -> None:
    """Flat pictures from a pixel to 48 megapixels have nobody in them."""
    boxes, scores = shipped(np.full((size_wh[1], size_wh[0], 3), 90, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_nobody_gives_an_empty_result(shipped: PersonDetector) -> None:
    with load(detector=shipped, threads=1) as model:
        poses = model.predict(np.full((240, 320, 3), 90, np.uint8))
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 19, 2)


def test_it_finds_people_who_fill_the_photo_are_small_or_cut_off(shipped: PersonDetector, shared_data: Path) -> None:
    """Street photos of one person each: whole, as a tenth of a large grey picture, and without the lower half."""
    from vitruvian.data.mask_folder import read_mask_folder

    records = read_mask_folder(shared_data / "photos" / "ccp" / "dev")[:40]
    found = {"whole": 0, "small": 0, "cut": 0}
    for record in records:
        assert record.image_path is not None
        image, truth = read_image(record.image_path), record.persons[0].box_xyxy
        assert truth is not None
        height, width = image.shape[:2]
        large = np.full((height * 5, width * 5, 3), 120, np.uint8)
        large[2 * height : 3 * height, width : 2 * width] = image
        middle = int((truth[1] + truth[3]) / 2)
        cases = {
            "whole": (image, truth),
            "small": (large, truth + np.array([width, 2 * height] * 2)),
            "cut": (image[:middle], np.minimum(truth, [np.inf, np.inf, np.inf, middle - 0.5])),
        }
        for name, (picture, box) in cases.items():
            boxes, _ = shipped(picture)
            found[name] += bool(len(boxes)) and bool(box_tools.iou(box[None], boxes).max() >= 0.5)
    assert found["whole"] >= 36
    assert found["small"] >= 28
    assert found["cut"] >= 24
