"""int8: close to float on a network that finds what it should, and refused where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("faster_coco_eval")
from click.testing import CliRunner

from vitruvian.cli import main
from vitruvian.codecs import HeatmapCodec
from vitruvian.data.images import write_image
from vitruvian.errors import ExportError
from vitruvian.export import int8
from vitruvian.export.int8 import export_int8
from vitruvian.formats import write
from vitruvian.metrics import MetricResult
from vitruvian.models import build_model
from vitruvian.predict.backends import OrtBackend
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import Skeleton
from vitruvian.types import Person, Record
from vitruvian.weights import Card
from vitruvian.weights.checkpoint import read_card, save_checkpoint

_SKELETON = Skeleton("dots", ("nose", "left_eye", "right_eye"), (), (0.1, 0.1, 0.1))
_SIDE = 64


def _photos(folder: Path, rng: np.random.Generator, count: int) -> list[Record]:
    """Dark noise with a red, a green and a blue dot, whose box is the picture less what the crop adds."""
    folder.mkdir(parents=True)
    records = []
    y, x = np.mgrid[:_SIDE, :_SIDE]
    for i in range(count):
        image = rng.integers(0, 60, (_SIDE, _SIDE, 3), dtype=np.uint8)
        points = rng.uniform(8, _SIDE - 9, (3, 2))
        for k, (u, v) in enumerate(points):
            image[np.hypot(x - u, y - v) < 4] = np.eye(3, dtype=np.uint8)[k] * 220 + 30
        path = write_image(folder / f"{i:012d}.png", image)
        box = np.array([-0.5, -0.5, _SIDE - 0.5, _SIDE - 0.5])
        records.append(Record(path, i, (_SIDE, _SIDE), _SKELETON, (Person(points, [2, 2, 2], box, area_px=900.0),)))
    return records


@pytest.fixture(scope="module")
def finder():
    """A tiny network that finds the dots by construction: no training, no luck."""
    card = Card(
        "dots",
        "dots",
        _SKELETON,
        Preprocess((_SIDE, _SIDE), padding=1.0, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
        HeatmapCodec((_SIDE, _SIDE), stride=4, sigma=1.5),
    )
    return _Dots().eval(), card


class _Dots(torch.nn.Module):
    """Each colour less the others, blurred to a quarter of the size, twice through a convolution and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = torch.nn.Conv2d(3, 8, 1)
        self.blur = torch.nn.Conv2d(8, 8, 8, 4, padding=2, bias=False)  # a cell's centre is between two pixels
        self.head = torch.nn.Conv2d(8, 3, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.colours.weight[:3, :, 0, 0] = 1.5 * torch.eye(3) - 0.5
            self.colours.bias[:3] = -0.2
            for k in range(3):
                bell = torch.exp(-((torch.arange(8) - 3.5) ** 2) / 8)
                self.blur.weight[k, k] = torch.outer(bell, bell) / 25
                self.head.weight[k, k] = 1

    def forward(self, images):
        return {"heatmaps": self.head(torch.relu(self.blur(torch.relu(self.colours(images)))))}


@pytest.fixture
def people(tmp_path, rng):
    return _photos(tmp_path / "images", rng, 24)


def _crops(records, card, count=12):
    from vitruvian.data.images import read_image

    return np.stack([card.preprocess.crop(read_image(r.image_path), r.persons[0].box_xyxy)[0] for r in records[:count]])


def test_int8_finds_what_float_finds(finder, people, tmp_path):
    network, card = finder
    # Of twelve people one at the edge of an OKS level moves AP by some points, either way.
    report = export_int8(
        network,
        card,
        tmp_path / "m.onnx",
        _crops(people, card),
        people[12:],
        metrics=("oks_ap",),
        allowed=20,
        threads=1,
    )
    assert report.kind == "int8"
    assert report.figures["oks_ap"]["float32"] > 0.8
    assert report.figures["oks_ap"]["int8"] > 0.8
    assert abs(report.loss) <= 20
    assert report.people == 12
    assert report.crops == 12
    assert report.speed_up > 0
    written = read_card(tmp_path / "m.onnx")
    assert written.precision == "int8"
    assert written.codec == card.codec
    assert written.provenance["int8"] == {"loss_points": {"oks_ap": round(report.loss, 3)}, "people": 12}
    import onnx

    graph = onnx.load(str(tmp_path / "m.onnx")).graph
    kinds = [node.op_type for node in graph.node]
    assert "QuantizeLinear" in kinds
    weights = {t.name: t.data_type for t in graph.initializer}
    assert weights["blur.weight.int8"] == onnx.TensorProto.INT8
    (last,) = (node for node in graph.node if "heatmaps" in node.output)
    assert last.op_type == "Conv"
    assert weights[last.input[1]] == onnx.TensorProto.FLOAT  # joints are read between the cells of its maps


def test_who_was_judged(finder, people, tmp_path):
    """Not crowds, and people without joints only by a judge of another kind."""
    network, card = finder
    judged = people[12:]
    for i, change in enumerate(({"is_crowd": True}, {"visibility": [0, 0, 0]})):
        judged[i] = replace(judged[i], persons=(replace(judged[i].persons[0], **change),))
    arguments = (network, card, tmp_path / "m.onnx", _crops(people, card), judged)
    for changes, count in (({"metrics": ("oks_ap",)}, 10), ({"judge": lambda *_: {"AP50": 0.5}}, 11)):
        assert export_int8(*arguments, threads=1, force=True, **changes).people == count


@pytest.mark.parametrize(("of_weights", "kind"), [(0.4, "int8 weights"), (0.6, "float16")])
def test_int8_that_loses_too_much_becomes_floats(finder, people, tmp_path, monkeypatch, of_weights, kind):
    network, card = finder
    lossy, less = ({"pck": {"float32": 0.9, "int8": 0.9 - loss / 100, "loss": loss}} for loss in (2.0, of_weights))
    found = iter([lossy, less, lossy, lossy])
    monkeypatch.setattr(int8, "_compared", lambda *_: next(found))
    arguments = (_crops(people, card), people[12:])
    report = export_int8(network, card, tmp_path / "m.onnx", *arguments, metrics=("oks_ap",), threads=1)
    assert (report.kind, report.loss, report.of_weights) == (kind, 2.0, less)
    assert read_card(tmp_path / "m.onnx").precision == "float32"
    import onnx

    types = {t.name: t.data_type for t in onnx.load(str(tmp_path / "m.onnx")).graph.initializer}
    stored = {"int8 weights": ("blur.weight.int8", onnx.TensorProto.INT8)}.get(
        kind, ("blur.weight", onnx.TensorProto.FLOAT16)
    )
    assert types[stored[0]] == stored[1]
    expected = OrtBackend(tmp_path / "m.onnx", threads=1).run(arguments[0]).arrays["heatmaps"]
    with torch.no_grad():
        inputs = torch.from_numpy(arguments[0]).permute(0, 3, 1, 2) / 255
        np.testing.assert_allclose(expected, network(inputs)["heatmaps"], atol=2e-3)
    for changes in ({"force": True}, {"allowed": 2.0}):
        kept = export_int8(network, card, tmp_path / "k.onnx", *arguments, metrics=("oks_ap",), threads=1, **changes)
        assert kept.kind == "int8"
        assert read_card(tmp_path / "k.onnx").provenance["int8"]["loss_points"] == {"pck": 2.0}


def test_int8_without_a_judge_is_refused(finder, people, tmp_path, monkeypatch):
    network, card = finder
    monkeypatch.setattr(int8, "evaluate", lambda *_: {"pck": MetricResult("PCK", None)})
    with pytest.raises(ExportError, match="judge"):
        export_int8(network, card, tmp_path / "m.onnx", _crops(people, card), people, threads=1)
    assert not (tmp_path / "m.onnx").exists()


def test_another_judge(finder, people, tmp_path):
    """Of models that `evaluate` cannot judge; it gets both files and the records."""
    network, card = finder
    seen = []

    def judge(backend, records):
        seen.append((backend.run(_crops(people, card, 1)).arrays["heatmaps"], records))
        return {"AP50": 0.5 + 0.004 * len(seen), "unknown": None}

    report = export_int8(network, card, tmp_path / "m.onnx", _crops(people, card), people[12:], threads=1, judge=judge)
    assert report.figures == {"AP50": {"float32": 0.504, "int8": 0.508, "loss": pytest.approx(-0.4)}}
    assert (report.kind, report.people) == ("int8", 12)
    assert [records for _, records in seen] == [people[12:]] * 2
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_the_command_says_what_it_costs(tmp_path, rng, monkeypatch):
    """Of a network with fresh weights: nothing to lose, but everything has to run."""
    from vitruvian.skeletons import COCO17

    options = {"widths": (8, 16, 16, 16), "neck": (16, 16), "depths": (1, 1, 1)}
    codec = HeatmapCodec((64, 64))
    network = build_model("compact", 17, codec, **options)
    card = Card("tiny", "compact", COCO17, Preprocess((64, 64)), codec, options)
    save_checkpoint(tmp_path / "best.safetensors", network.state_dict(), card)
    records = []
    (tmp_path / "images").mkdir()
    for i in range(8):
        path = write_image(tmp_path / "images" / f"{i:012d}.png", rng.integers(0, 256, (90, 70, 3), dtype=np.uint8))
        keypoints = rng.uniform(10, 60, (17, 2))
        person = Person(keypoints, np.full(17, 2), np.array([5.0, 5, 65, 65]), area_px=2000.0)
        records.append(Record(path, i, (70, 90), COCO17, (person,)))
    annotations = write("coco", records, tmp_path / "people.json")
    arguments = ["export", str(tmp_path / "best.safetensors"), str(tmp_path / "m.onnx")]
    data = ["--int8", "coco", str(annotations), "--images", str(tmp_path / "images"), "--force"]
    done = CliRunner().invoke(main, arguments + data)
    assert done.exit_code == 0, done.output
    for words in ("pck: float32", "oks_ap: float32", "points", "times as fast", "judged on 6 people", "(int8,"):
        assert words in done.output
    assert json.loads(json.dumps(read_card(tmp_path / "m.onnx").provenance["int8"]))["people"] == 6
    assert CliRunner().invoke(main, [*arguments, "--force"]).exit_code == 2
    assert CliRunner().invoke(main, [*arguments, *data, "--weights", "float32"]).exit_code == 2

    lost = iter((0.6, 0.5, 0.598))
    monkeypatch.setattr(int8, "_judge_joints", lambda *_: {"pck": next(lost)})
    done = CliRunner().invoke(main, [*arguments, *data[:-1]])
    assert done.exit_code == 0, done.output
    for words in (
        "pck: float32 0.6000, int8 0.5000, loss +10.00 points",
        "pck with weights alone in 8 bits: 0.5980, loss +0.20 points",
        "int8 loses more than 0.5 points; written for arithmetic in floats, weights stored as int8 (--force",
        "m.onnx (int8 weights, ",
    ):
        assert words in done.output
    assert read_card(tmp_path / "m.onnx").precision == "float32"
