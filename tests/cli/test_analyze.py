"""``vitruvian analyze`` on real files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vitruvian.cli import main
from vitruvian.data import write_image
from vitruvian.formats import write
from vitruvian.formats.coco import write_results
from vitruvian.skeletons import COCO17
from vitruvian.types import Person, Poses, Record
from vitruvian.weights.checkpoint import read_card


@pytest.fixture
def data(tmp_path, rng):
    """Annotations of four photos with a person each."""
    (tmp_path / "images").mkdir()
    records = []
    for i in range(1, 5):
        path = write_image(tmp_path / "images" / f"{i:012d}.png", rng.integers(0, 256, (120, 100, 3), dtype=np.uint8))
        keypoints = rng.uniform(20, 80, (17, 2))
        box = np.concatenate([keypoints.min(axis=0) - 5, keypoints.max(axis=0) + 5])
        person = Person(keypoints, np.full(17, 2), box, area_px=2000.0)
        records.append(Record(path, i, (100, 120), COCO17, (person,)))
    return records, write("coco", records, tmp_path / "people.json")


def analyze(*arguments: object) -> Result:
    done = CliRunner().invoke(main, ["analyze", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_results_of_any_tool(data, tmp_path):
    records, annotations = data
    poses = [
        Poses(r.persons[0].keypoints_px[None], np.ones((1, 17)), r.persons[0].box_xyxy[None], COCO17, (100, 120))
        for r in records
    ]
    results = write_results(poses, tmp_path / "found.json", [r.image_id for r in records])
    out = tmp_path / "report.json"
    done = analyze(results, "coco", annotations, "--images", tmp_path / "images", "--out", out)
    assert done.exit_code == 0, done.output
    assert "OKS AP 100.0" in done.output
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["model"] == "found.json"
    assert report["all_joints"] == {"labelled": 68, "good": 1, "jitter": 0, "inversion": 0, "swap": 0, "miss": 0}
    assert report["calibration"] is None


def test_a_model_with_everything_that_can_be_written(data, tiny_model, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnx")
    _, annotations = data
    page, plot, model = tmp_path / "page.html", tmp_path / "plot.png", tmp_path / "calibrated.onnx"
    written = ["--page", page, "--reliability", plot, "--calibrate", model]
    done = analyze(tiny_model, "coco", annotations, "--images", tmp_path / "images", "--threads", 1, *written)
    assert done.exit_code == 0, done.output
    assert "matched: " in done.output
    assert "ECE" in done.output
    assert "Mistakes of tiny" in page.read_text(encoding="utf-8")
    assert plot.stat().st_size > 5000
    card = read_card(model)
    assert card.calibration is not None
    assert "people.json" in card.calibration.fitted_on
    assert read_card(tiny_model).calibration is None
    # Fitted again, it is the scores of the network that are looked at, not those of the first curve.
    again = tmp_path / "again.onnx"
    done = analyze(model, "coco", annotations, "--images", tmp_path / "images", "--threads", 1, "--calibrate", again)
    assert done.exit_code == 0, done.output
    assert read_card(again).calibration == card.calibration


def test_misuse(data, tiny_checkpoint, tmp_path):
    _, annotations = data
    here = ("coco", annotations, "--images", tmp_path / "images")
    assert analyze(tmp_path / "x.json", *here, "--flip").exit_code == 2
    done = analyze(tiny_checkpoint, *here, "--calibrate", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert ".onnx" in done.output
    done = analyze(tmp_path / "nothing.json", *here)
    assert done.exit_code == 1
    assert "nothing.json" in done.output
