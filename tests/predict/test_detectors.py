"""Boxes from detectors of other makers, through the letterbox and back, and on to the people in them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vitruvian.errors import ShapeError, VitruvianError, WeightsError
from vitruvian.predict import Detections, OnnxDetector, Selection, detectors, from_callable
from vitruvian.predict.detector_layouts import LAYOUTS
from vitruvian.predict.detectors import INPUTS, checked_detections
from vitruvian.preprocess import Preprocess


class Session:
    """An ONNX session that answers with what a function says of its input."""

    def __init__(self, answer, shape, kind: str = "tensor(uint8)", others=(), outputs=()) -> None:
        self._answer, self._outputs = answer, [SimpleNamespace(name=name) for name in outputs]
        inputs = [("images", shape, kind), *others]
        self._inputs = [SimpleNamespace(name=name, shape=shape, type=kind) for name, shape, kind in inputs]
        self.seen: list[np.ndarray] = []
        self.others: list[dict[str, np.ndarray]] = []

    def get_inputs(self):
        return self._inputs

    def get_outputs(self):
        return self._outputs

    def run(self, names, feeds):
        self.seen.append(feeds["images"])
        self.others.append({name: value for name, value in feeds.items() if name != "images"})
        return self._answer(feeds["images"])


@pytest.fixture
def onnx(monkeypatch):
    """Makes an `OnnxDetector` around a `Session`."""

    def make(answer, *, shape=(1, "h", "w", 3), kind="tensor(uint8)", others=(), outputs=(), **options):
        session = Session(answer, list(shape), kind, others, outputs)
        monkeypatch.setattr(detectors, "open_session", lambda path, threads, what: session)
        return OnnxDetector("any.onnx", **options), session

    return make


def bright_box(images: np.ndarray) -> np.ndarray:
    """The extent of what is brighter than half, as edges at integers: what a YOLO would say, exactly."""
    rows, columns = np.nonzero(images[0].max(axis=2) > 127)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def as_yolo(images: np.ndarray) -> list[np.ndarray]:
    x0, y0, x1, y1 = bright_box(images)
    return [np.array([[[(x0 + x1) / 2], [(y0 + y1) / 2], [x1 - x0], [y1 - y0], [0.9]]], np.float32)]


@pytest.mark.parametrize("photo_wh", [(640, 320), (300, 900), (160, 160), (1500, 200)])
def test_bright_patch_comes_back_where_it_was(rng, onnx, photo_wh):
    detector, session = onnx(as_yolo, preprocess=Preprocess(size_wh=(320, 320), padding=1.0, fill=0))
    width, height = photo_wh
    x0, y0 = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
    x1, y1 = x0 + width // 3, y0 + height // 3
    photo = np.zeros((height, width, 3), np.uint8)
    photo[y0:y1, x0:x1] = 255
    boxes, scores = detector(photo)
    per_pixel = max(photo_wh) / 320  # photo pixels in one of the letterbox, whose edges the box is rounded to
    np.testing.assert_allclose(boxes, [[x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5]], atol=max(0.51 * per_pixel, 0.51))
    np.testing.assert_allclose(scores, [0.9], rtol=1e-6)
    assert session.seen[0].shape == (1, 320, 320, 3)


def test_letterbox_is_grey_and_in_the_middle(onnx):
    detector, session = onnx(lambda _: [np.zeros((1, 5, 0), np.float32)], shape=(1, 64, 96, 3))
    boxes, scores = detector(np.full((50, 50, 3), 250, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    seen = session.seen[0][0]
    assert seen.shape == (64, 96, 3)  # the size that is fixed in the file
    assert (seen[2:-2, 19:77] == 250).all()
    assert (seen[:, :15] == 114).all()
    assert (seen[:, 81:] == 114).all()


def test_float_inputs_are_normalised_and_channels_go_first(rng, onnx):
    photo = np.empty((32, 32, 3), np.uint8)
    photo[...] = (255, 51, 0)
    nothing = lambda _: [np.zeros((1, 5, 0), np.float32)]  # noqa: E731
    for shape, expected in (((1, 3, 32, 32), (1, 3, 32, 32)), ((3, 32, 32), (3, 32, 32))):
        detector, session = onnx(nothing, shape=shape, kind="tensor(float)")
        detector(photo)
        assert session.seen[0].shape == expected
        assert session.seen[0].dtype == np.float32
        planes = session.seen[0].reshape(3, -1)
        np.testing.assert_allclose(planes, np.array([[1.0], [0.2], [0.0]]) * np.ones(32 * 32), atol=1e-6)
    bgr = Preprocess(size_wh=(32, 32), padding=1.0, mean=(0, 0, 0), std=(1, 1, 1), colour="bgr")
    detector, session = onnx(nothing, shape=(1, 32, 32, 3), kind="tensor(float)", preprocess=bgr)
    detector(photo)
    np.testing.assert_allclose(session.seen[0][0, 5, 5], [0, 51, 255], atol=1e-4)


def test_layouts_read_the_same_boxes(rng):
    """Five boxes in the ways that files have them; the second class is a person."""
    corners = rng.uniform(0, 50, (4, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 50, (4, 2))], axis=1).astype(np.float32)
    scores, other = rng.uniform(0.5, 1, 4).astype(np.float32), rng.uniform(0, 0.4, 4).astype(np.float32)
    centres = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    rows = np.concatenate([centres, other[:, None], scores[:, None]], axis=1)
    objectness = np.full((4, 1), 0.5, np.float32)
    with_objectness = np.concatenate([centres, objectness, other[:, None], 2 * scores[:, None]], axis=1)
    labels = np.array([1, 0, 1, 1], np.int64)
    people = labels == 1
    for name, outputs, kept in (
        ("yolo", [rows[None]], slice(None)),
        ("yolo_transposed", [rows.T[None]], slice(None)),
        ("yolo_objectness", [with_objectness[None]], slice(None)),
        ("boxes_scores_labels", [boxes, labels, scores], people),
        ("boxes_scores_labels", [scores[None], boxes[None]], slice(None)),  # four boxes: scores of length 4
        ("boxes_scored", [np.concatenate([boxes, scores[:, None]], axis=1)[None], labels[None]], people),
        ("boxes_scored", [np.concatenate([boxes, scores[:, None]], axis=1)], slice(None)),
    ):
        got_boxes, got_scores = LAYOUTS[name](outputs, 1)
        np.testing.assert_allclose(got_boxes, boxes[kept], rtol=1e-4, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(got_scores, scores[kept], rtol=1e-5, err_msg=name)
    for name in LAYOUTS:
        with pytest.raises(WeightsError, match="expected"):
            LAYOUTS[name]([np.zeros((1, 3, 3), np.float32)], 0)


def _logits(scores: np.ndarray) -> np.ndarray:
    """Of a sigmoid."""
    return np.log(scores / (1 - scores)).astype(np.float32)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("layout", ["detr", "detr_sigmoid"])
def test_detrs_boxes_are_shares_of_the_input(rng, onnx, layout, swapped):
    """Four logits, of three classes and nobody: boxes are told by their output's name. Masks are left alone."""
    low = rng.uniform(0, 0.5, (5, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.5, (5, 2))], axis=1)
    centres = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    classes = rng.dirichlet(np.ones(4), 5) if layout == "detr" else rng.uniform(0.01, 0.99, (5, 4))
    logits = np.log(classes) + rng.normal(0, 5, (5, 1)) if layout == "detr" else _logits(classes)
    outputs = {
        "masks": np.zeros((1, 5, 8, 8), np.float32),
        "labels": logits[None].astype(np.float32),
        "dets": centres[None].astype(np.float32),
    }
    if swapped:
        outputs = dict(reversed(outputs.items()))
    detector, _ = onnx(
        lambda _: list(outputs.values()), shape=(1, 3, 80, 200), kind="tensor(float)", outputs=outputs,
        layout=layout, person=1, min_score=0.0, max_iou=None,
    )  # fmt: skip
    boxes, scores = detector(np.zeros((40, 100, 3), np.uint8))  # half the input's size, so there is no border
    best = np.argsort(-classes[:, 1])
    np.testing.assert_allclose(scores, classes[best, 1], rtol=1e-4)
    np.testing.assert_allclose(boxes, corners[best] * [100, 40, 100, 40] - 0.5, atol=1e-3)


@pytest.mark.parametrize("layout", ["detr", "detr_sigmoid"])
def test_a_person_that_detrs_classes_do_not_have(layout):
    outputs = [np.zeros((1, 5, 4), np.float32), np.zeros((1, 5, 3), np.float32)]
    LAYOUTS[layout](outputs, 1)
    with pytest.raises(WeightsError, match="logits"):
        LAYOUTS[layout](outputs, 2 if layout == "detr" else 3)


def test_certain_logits_do_not_overflow():
    outputs = [np.full((1, 2, 4), 0.5, np.float32), np.array([[[-1e4, 0], [1e4, 0]]], np.float32)]
    np.testing.assert_array_equal(LAYOUTS["detr_sigmoid"](outputs, 0)[1], [0, 1])
    np.testing.assert_array_equal(LAYOUTS["detr"](outputs, 0)[1], [0, 1])


def test_further_inputs_get_the_size_or_a_mask(onnx):
    """RT-DETR's file scales its boxes to a size that it is told: here its input's, so that they are in its pixels."""
    found = [np.array([1, 0]), np.array([[8, 4, 24, 12], [0, 0, 9, 9]], np.float32), np.array([0.9, 0.8], np.float32)]
    others = [("orig_target_sizes", ["N", 2], "tensor(int64)"), ("pixel_mask", ["N", 64, "w"], "tensor(bool)")]
    detector, session = onnx(
        lambda _: found, shape=("N", 3, 32, 64), kind="tensor(float)", others=others, layout="boxes_scores_labels",
        person=1,
    )  # fmt: skip
    boxes, _ = detector(np.zeros((64, 128, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[15.5, 7.5, 47.5, 23.5]])
    size, mask = session.others[0]["orig_target_sizes"], session.others[0]["pixel_mask"]
    np.testing.assert_array_equal(size, [[64, 32]])
    assert size.dtype == np.int64
    assert mask.dtype == bool
    assert mask.shape == (1, 64, 64)
    assert mask.all()
    with pytest.raises(WeightsError, match=r"input 'scale_factor' \[1, 2\]; beside the image"):
        onnx(as_yolo, others=[("scale_factor", [1, 2], "tensor(float)")])


def test_a_real_file_that_is_told_the_size(tmp_path):
    """As RT-DETR's script exports it: somebody in the left half, in shares of the size that it is told."""
    parser = pytest.importorskip("onnx.parser")
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 13]>
        detector (float[N, 3, 64, 64] images, int64[N, 2] orig_target_sizes)
            => (int64[N, 1] labels, float[N, 1, 4] boxes, float[N, 1] scores) {
            share = Constant<value = float[1, 1, 4] {0.0, 0.25, 0.5, 0.75}>()
            axis = Constant<value = int64[1] {1}>()
            size = Cast<to = 1>(orig_target_sizes)
            twice = Concat<axis = 1>(size, size)
            row = Unsqueeze(twice, axis)
            boxes = Mul(share, row)
            labels = Constant<value = int64[1, 1] {0}>()
            scores = Constant<value = float[1, 1] {0.75}>()
        }""")
    (tmp_path / "rtdetr.onnx").write_bytes(model.SerializeToString())
    detector = OnnxDetector(tmp_path / "rtdetr.onnx", "boxes_scores_labels", threads=1)
    boxes, scores = detector(np.zeros((128, 256, 3), np.uint8))  # letterboxed: 64 rows of 256 above and below
    np.testing.assert_allclose(boxes, [[-0.5, -0.5, 127.5, 127.5]], atol=1e-3)
    np.testing.assert_allclose(scores, [0.75])


def test_faint_flat_and_double_boxes_go(onnx):
    found = np.array([[10, 10, 60, 60, 0.9], [11, 10, 60, 60, 0.8], [70, 70, 90, 90, 0.7], [5, 5, 9, 9, 0.1],
                      [20, 20, 20, 50, 0.9], [np.nan, 0, 9, 9, 0.9]], np.float32)  # fmt: skip
    detector, _ = onnx(lambda _: [found], shape=(1, 100, 100, 3), layout="boxes_scored", first_centre=0.0)
    boxes, scores = detector(np.zeros((100, 100, 3), np.uint8))
    np.testing.assert_allclose(boxes, found[[0, 2], :4], atol=1e-9)
    np.testing.assert_allclose(scores, [0.9, 0.7], rtol=1e-6)


def test_a_layout_of_ones_own_and_other_refusals(onnx):
    own, _ = onnx(
        lambda _: [],
        shape=(1, 64, 64, 3),
        layout=lambda outputs, person: (np.array([[1.5, 1.5, 9.5, 9.5]]), np.ones(1)),
    )
    np.testing.assert_allclose(own(np.zeros((64, 64, 3), np.uint8))[0], [[1, 1, 9, 9]])
    with pytest.raises(VitruvianError, match="unknown layout 'yolo99'; known: yolo, "):
        onnx(as_yolo, layout="yolo99")
    with pytest.raises(WeightsError, match="3 channels"):
        onnx(as_yolo, shape=(1, 10))


def test_half_precision_inputs_get_half_precision(onnx):
    detector, session = onnx(lambda images: as_yolo(images * 255), shape=(1, "h", "w", 3), kind="tensor(float16)")
    image = np.zeros((64, 64, 3), np.uint8)
    image[10:30, 20:40] = 255
    assert len(detector(image)[0]) == 1
    assert session.seen[0].dtype == np.float16


def test_what_a_file_says_of_an_image_it_cannot_take(onnx):
    def answer(images):
        raise RuntimeError("unexpected input data type")

    detector, _ = onnx(answer)
    with pytest.raises(WeightsError, match=r"any\.onnx: the detector fails on an image: unexpected input"):
        detector(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("rgb-1", 200 / 255, 50 / 255),
        ("rgb-255", 200, 50),
        ("bgr-255", 50, 200),
        ("rgb-imagenet", (200 / 255 - 0.485) / 0.229, (50 / 255 - 0.406) / 0.225),
        ("bgr-imagenet", (50 / 255 - 0.406) / 0.225, (200 / 255 - 0.485) / 0.229),
    ],
)
def test_inputs_by_name(onnx, name, first, last):
    """Channels of a plain orange photo as the detector's makers say, written out."""
    nobody = [np.zeros((1, 5, 0), np.float32)]
    detector, session = onnx(lambda _: nobody, shape=(1, 3, 64, 64), kind="tensor(float)", preprocess=INPUTS[name])
    detector(np.full((64, 64, 3), (200, 100, 50), np.uint8))
    assert session.seen[0].shape == (1, 3, 64, 64)
    np.testing.assert_allclose(session.seen[0][0, 0], first, rtol=1e-5)
    np.testing.assert_allclose(session.seen[0][0, 2], last, rtol=1e-5)


@pytest.mark.parametrize(("name", "first"), [("rgb-1", 200), ("bgr-255", 50), ("bgr-imagenet", 50)])
@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 64, 64, 3)])
def test_inputs_of_bytes_take_the_colours_alone(onnx, shape, name, first):
    """A file that takes uint8 scales by itself; the order of its colours nobody but the user knows."""
    nobody = [np.zeros((1, 5, 0), np.float32)]
    detector, session = onnx(lambda _: nobody, shape=shape, preprocess=INPUTS[name])
    detector(np.full((64, 64, 3), (200, 100, 50), np.uint8))
    colours = np.moveaxis(session.seen[0], shape.index(3), -1).reshape(-1, 3)
    assert session.seen[0].dtype == np.uint8
    np.testing.assert_array_equal(colours, np.broadcast_to([first, 100, 250 - first], colours.shape))


def test_a_real_file(one_person_onnx, tmp_path):
    """Run by ONNX Runtime."""
    boxes, scores = OnnxDetector(one_person_onnx, threads=1)(np.zeros((128, 128, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[39.5, 3.5, 87.5, 123.5]], atol=1e-6)
    np.testing.assert_allclose(scores, [0.75])
    with pytest.raises(WeightsError, match="no such detector"):
        OnnxDetector(tmp_path / "gone.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot be read|not an ONNX model"):
        OnnxDetector(Path(tmp_path / "bad.onnx"))


class Tensor:
    """What torch gives back, as far as this package may know."""

    def __init__(self, array) -> None:
        self.array = np.asarray(array)

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.array


def test_from_callable():
    boxes = [[0, 0, 10, 20], [1, 0, 10, 20], [50, 0, 60, 20], [80, 0, 90, 20]]
    scores, labels = [0.9, 0.8, 0.95, 0.2], [1, 1, 18, 1]
    image = np.zeros((100, 100, 3), np.uint8)
    found = {"boxes": Tensor(boxes), "scores": Tensor(scores), "labels": Tensor(labels)}
    for given in (found, (boxes, scores, labels)):
        got, sure = from_callable(lambda _, given=given: given, person_label=1)(image)
        np.testing.assert_array_equal(got, [boxes[0], boxes[1]])
        np.testing.assert_array_equal(sure, [0.9, 0.8])
    got, _ = from_callable(lambda _: found, person_label=1, max_iou=0.5, min_score=0.1)(image)
    np.testing.assert_array_equal(got, [boxes[0], boxes[3]])
    assert len(from_callable(lambda _: (boxes, scores))(image)[0]) == 3
    assert from_callable(lambda _: ([], []))(image)[0].shape == (0, 4)
    with pytest.raises(VitruvianError, match="returns no labels"):
        from_callable(lambda _: (boxes, scores), person_label=1)(image)
    with pytest.raises(ShapeError, match=r"boxes \(N, 4\), scores"):
        from_callable(lambda _: (boxes, scores[:2]))(image)


def test_people_in_the_boxes_of_a_detector(rng, predictor, person):
    image, boxes, hands = person(rng, 3)
    outside = np.array([[-90, -90, -9, -9]])
    twice = np.concatenate([boxes, boxes[:1] + 0.5, outside])
    scores = np.array([0.9, 0.8, 0.7, 0.5, 0.99])
    detect = lambda photo: (twice, scores)  # noqa: E731
    poses = predictor.predict(image, detect)
    assert poses.boxes_from == "detector"
    np.testing.assert_allclose(poses.keypoints, hands, atol=0.25)
    np.testing.assert_allclose(poses.box_scores, scores[:3], rtol=1e-6)
    every = predictor.predict(image, boxes=detect, select=None)
    assert len(every) == 4
    assert every.rescore_above is None
    (streamed,) = predictor.stream([image], detect)
    np.testing.assert_array_equal(streamed.poses.keypoints, poses.keypoints)
    given = predictor.predict([image, image], [Detections(twice[:4], scores[:4]), boxes])
    np.testing.assert_array_equal(given[0].keypoints, poses.keypoints)
    assert given[0].boxes_from == given[1].boxes_from == "given"
    np.testing.assert_array_equal(given[1].box_scores, 1)
    assert given[1].rescore_above is None  # boxes without scores: as many people, and their plain scores
    strict = predictor.predict(image, detect, select=Selection(rescore_above=1.0))
    np.testing.assert_array_equal(strict.person_scores, 0)


def test_nobody_there_is_no_phantom(rng, predictor, finder, person):
    nobody = lambda photo: (np.zeros((0, 4)), np.zeros(0))  # noqa: E731
    poses = predictor.predict([person(rng)[0]] * 2, nobody)
    assert [len(p) for p in poses] == [0, 0]
    assert poses[0].keypoints.shape == (0, 2, 2)
    assert poses[0].boxes_from == "detector"
    assert finder.batches == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "must return boxes"),
        ((np.zeros((2, 4)), np.ones(1)), "one score"),
        ((np.array([[0, 0, 9, 9]]), np.array([1.5])), "1.5"),
        ((np.array([[0, 0, 9, 9]]), np.array([np.nan])), "one score"),
        ((np.array([[9, 9, 0, 0]]), np.ones(1)), "x1 >= x0"),
        ((np.zeros((2, 5)), np.ones(2)), r"\(N, 4\)"),
    ],
)
def test_what_a_detector_may_not_return(rng, predictor, person, found, said):
    with pytest.raises(ShapeError, match=said) as caught:
        predictor.predict([person(rng)[0]], lambda photo: found)
    assert "image 0" in str(caught.value)
    with pytest.raises(ShapeError):
        checked_detections(found, (100, 100), "x")
    with pytest.raises(ShapeError, match="1 boxes and scores of shape"):
        predictor.predict(np.zeros((20, 20, 3), np.uint8), Detections(np.array([[0, 0, 9, 9]]), np.ones(2)))
