"""models, data, train, evaluate and export, on real files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

import vitruvian.cli.train
from vitruvian.data import read_image, write_image
from vitruvian.formats import FORMATS, write
from vitruvian.synth import synthetic_records
from vitruvian.weights.checkpoint import read_card


@pytest.fixture(scope="module")
def annotations(tmp_path_factory) -> Path:
    """A COCO file of four drawn people, and the pictures beside it."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "images").mkdir()
    records = []
    for record in synthetic_records(4, seed=3, size_wh=(96, 128)):
        path = write_image(folder / "images" / f"{record.image_id}.png", record.extra["pixels"]())
        records.append(replace(record, image_path=path, extra={}))
    return write("coco", records, folder / "annotations.json")


@pytest.mark.parametrize("verb", ["data", "evaluate"])
def test_help_names_every_format(call, verb):
    words = " ".join(call(verb, "--help").output.split())
    assert f"{', '.join(FORMATS)}" in words


def test_models_prints_a_card(call, tiny_model, tiny_checkpoint):
    for path in (tiny_model, tiny_checkpoint):
        done = call("models", path)
        assert done.exit_code == 0
        assert done.output.startswith("tiny: family 'compact', computes in float32, ")
        for words in (
            "19, skeleton 'vitruvian19': nose,",
            "64 x 64 px",
            "heatmap: stride 4",
            "terms: none",
            "For tests.",
        ):
            assert words in done.output
    card = json.loads(call("models", tiny_model, "--json").output)
    assert card == json.loads(read_card(tiny_model).to_json())


def test_a_card_says_what_8_bits_lost(call, tiny_model, tmp_path):
    from vitruvian.weights.onnx_file import write_card

    record = {"loss_points": {"pck": -0.19, "oks_ap": 0.05}, "people": 500}
    card = read_card(tiny_model)
    path = write_card(tiny_model, tmp_path / "m.onnx", replace(card, provenance={**card.provenance, "int8": record}))
    said = call("models", path).output
    assert said.startswith("tiny: family 'compact', computes in int8, ")
    assert "int8       loses, in points: pck -0.19, oks_ap +0.05 (500 people)" in said
    for written in ({}, {"loss_points": {}}, "by someone else"):
        path = write_card(path, path, replace(card, provenance={"int8": written}))
        assert "int8       what it loses is not on record" in call("models", path).output


def test_a_card_says_what_its_scores_are(call, tiny_model, tmp_path):
    from vitruvian.weights.calibration import Calibration
    from vitruvian.weights.onnx_file import write_card

    assert "person" not in call("models", tiny_model).output
    curve = Calibration(((0, 0), (1, 1)), right="within 0.2 torso lengths", fitted_on="these")
    card = replace(read_card(tiny_model), person_above=0.46, present_above=0.35, calibration=curve)
    said = call("models", write_card(tiny_model, tmp_path / "m.onnx", card)).output
    assert "person     mean score of joints 0.46 or more; in a detector's boxes others are dropped" in said
    assert "present    joints that score 0.35 or more; others are not drawn" in said
    many = replace(card, provenance={"averaged_with": [{"date": "x" * 900}, {}]})
    assert (
        "averaged_with: 2 entries, see --json"
        in call("models", write_card(tiny_model, tmp_path / "n.onnx", many)).output
    )
    assert "scores     calibrated: the chance that a joint is right (within 0.2 torso lengths), fitted on these" in said


def test_models_lists_the_shipped_ones(call, tiny_model, monkeypatch):
    from vitruvian.weights import zoo

    monkeypatch.setattr(zoo, "FILES", tiny_model.parent)
    monkeypatch.setattr(zoo, "ZOO", {"vitruvian-s": "tiny.onnx", "other": "tiny.onnx"})
    done = call("models")
    assert done.exit_code == 0
    assert "vitruvian-s (default)" in done.output
    assert "19 (vitruvian19)" in done.output
    assert "other (default)" not in done.output
    assert set(json.loads(call("models", "--json").output)) == {"vitruvian-s", "other"}


def test_data(call, annotations, tmp_path):
    sheet = tmp_path / "new" / "sheet.png"
    done = call("data", "coco", annotations, "--sheet", sheet, "--count", 3)
    assert done.exit_code == 0
    assert "4 images, 4 persons" in done.output
    assert "people an image: 1 ... 1 ... 1 (mean 1.0); 0 images without any" in done.output
    rows = json.loads(annotations.read_text())["annotations"]
    shares = [row["keypoints"][2] > 0 for row in rows]  # of the nose, the first joint
    (nose,) = [line for line in done.output.splitlines() if "nose" in line]
    assert nose.split("│")[2:4] == [f"{sum(shares):>9} ", f" {np.mean(shares):>5.0%} "]
    assert min(read_image(sheet).shape[:2]) > 240


def test_data_says_what_was_left_out(call, annotations, tmp_path):
    data = json.loads(annotations.read_text())
    data["annotations"][1]["keypoints"] = [0] * 57
    data["annotations"][2]["bbox"] = [1, 1, 0, 5]
    data["images"][3]["file_name"] = "gone.png"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(data))
    done = call("data", "coco", broken, "--images", annotations.parent / "images")
    assert done.exit_code == 0
    for words in ("annotation without joints", "zero-area box", "image missing", "gone.png", "2 images without any"):
        assert words in done.output
    assert call("data", "kokko", broken).exit_code == 1
    broken.write_text("{")
    assert "line 1" in call("data", "coco", broken).stderr


def test_evaluate(call, annotations, tiny_model, tmp_path):
    out = tmp_path / "figures" / "result.json"
    done = call(
        "evaluate", tiny_model, "coco", annotations, "--metric", "pck", "--metric", "epe", "--flip", "--threads", 1,
        "--out", out, "--limit", 3,
    )  # fmt: skip
    assert done.exit_code == 0
    assert "PCK@0.2" in done.output
    assert "left_ankle" in done.output
    assert "on 3 images, boxes: truth, flip test: yes" in done.output
    assert "persons: 3" in done.output
    report = json.loads(out.read_text())
    assert set(report["metrics"]) == {"pck", "epe"}
    assert report["flip"] is True
    assert report["model"] == "tiny"
    assert report["split"].endswith("/annotations.json, first 3 images with people")
    assert str(tmp_path) not in out.read_text()


def test_evaluate_on_detected_boxes(call, annotations, tiny_model, tmp_path):
    pytest.importorskip("faster_coco_eval")
    detections = tmp_path / "boxes.json"
    names = [row["id"] for row in json.loads(annotations.read_text())["images"]]
    rows = [{"image_id": name, "category_id": 1, "bbox": [5, 5, 80, 110], "score": 0.9} for name in names]
    detections.write_text(json.dumps(rows))
    arguments = ("evaluate", tiny_model, "coco", annotations, "--boxes", detections, "--threads", 1)
    done = call(*arguments, "--metric", "oks_ap")
    assert done.exit_code == 0
    assert "OKS AP" in done.output
    assert "predictions: 4" in done.output
    done = call(*arguments)
    assert done.exit_code == 1
    assert "oks_ap" in done.stderr


def test_export_compared_on_photos(call, annotations, tiny_checkpoint, tmp_path):
    pytest.importorskip("onnxscript")
    out = tmp_path / "model.onnx"
    done = call("export", tiny_checkpoint, out, "--images", annotations.parent / "images")
    assert done.exit_code == 0, done.stderr
    assert f"wrote {out}" in done.output
    assert "compared with torch on 4 crops of photos" in done.output
    assert read_card(out) == read_card(tiny_checkpoint / "best.safetensors")


def test_export_compared_on_drawn_people(call, tiny_checkpoint, tmp_path, monkeypatch):
    export = pytest.importorskip("vitruvian.export")
    seen = []

    def compare(network, card, path, crops, weights):
        seen.append((path, crops, weights))
        return export.ExportReport(path, 1_500_000, 1e-6, 0.01, 1e-5, len(crops))

    monkeypatch.setattr(export, "export_onnx", compare)
    for options, kind in (((), "float16"), (("--weights", "float32"), "float32"), (("--weights", "int8"), "int8")):
        done = call("export", tiny_checkpoint, tmp_path / "model.onnx", "--count", 4, *options)
        assert done.exit_code == 0, done.stderr
        assert "(1.5 MB): tiny" in done.output
        assert "on 4 crops of drawn people (give --images for photos)" in done.output
        path, crops, weights = seen.pop()
        assert (path, weights) == (tmp_path / "model.onnx", kind)
        assert crops.shape == (4, 64, 64, 3)
        assert len({crop.tobytes() for crop in crops}) == 4
        assert all(crop.std() > 10 for crop in crops)


def test_export_misuse(call, tiny_checkpoint, tmp_path):
    done = call("export", tiny_checkpoint, tmp_path / "model.pt")
    assert done.exit_code == 2
    assert "must end in .onnx" in done.stderr
    assert call("export", tmp_path / "nowhere", tmp_path / "model.onnx").exit_code == 1


_RECIPE = """# A recipe for tests. It is never run.
name: dry
model: {name: compact}
loss: {name: heatmap_mse}
train: [{format: synthetic, options: {count: 2}}]
epochs: 3
"""


@pytest.fixture
def recipe_folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "dry.yaml").write_text(_RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vitruvian.cli.train, "_PACKAGED", tmp_path / "none")
    return tmp_path


def test_train_hands_over_the_recipe(call, recipe_folder, monkeypatch):
    training = pytest.importorskip("vitruvian.training")
    seen = []
    monkeypatch.setattr(training, "train", lambda recipe, resume: seen.append((recipe, resume)) or Path("runs/dry"))
    for name in ("dry", "recipes/dry.yaml"):
        done = call("train", name, "--set", "epochs=7", "--set", "optim.lr=1e-4", "--resume")
        assert done.exit_code == 0, done.stderr
        assert "runs/dry" in done.output
        recipe, resume = seen.pop()
        assert (recipe.name, recipe.epochs, recipe.optim.lr, resume) == ("dry", 7, 1e-4, True)


def test_train_misuse(call, recipe_folder):
    pytest.importorskip("vitruvian.training")
    assert call("train").exit_code == 2
    done = call("train", "dry", "--set", "epochz=7")
    assert done.exit_code == 1
    assert "did you mean 'epochs'" in done.stderr
    assert call("train", "nowhere").exit_code == 1


def test_train_list(call, recipe_folder):
    done = call("train", "--list")
    assert done.output.split() == ["dry", "A", "recipe", "for", "tests", "(recipes/dry.yaml)"]
    (recipe_folder / "recipes" / "dry.yaml").unlink()
    assert "no recipes" in call("train", "--list").output


def test_flip_by_needs_flip():
    from vitruvian.cli._common import flip_of

    assert [flip_of(False, "maps"), flip_of(True, "maps"), flip_of(True, "coordinates")] == [False, True, "coordinates"]
    with pytest.raises(click.UsageError, match="give --flip too"):
        flip_of(False, "coordinates")
