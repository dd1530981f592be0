"""``vitruvian evaluate`` of several models, and over the epochs of a training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.data import write_image
from vitruvian.formats import write
from vitruvian.synth import synthetic_records


@pytest.fixture
def evaluate(call):
    return lambda *arguments: call("evaluate", *arguments, "--threads", 1)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory) -> Path:
    """A COCO file of two drawn people, and the pictures beside it."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "images").mkdir()
    records = []
    for record in synthetic_records(2, seed=3, size_wh=(96, 128)):
        path = write_image(folder / "images" / f"{record.image_id}.png", record.extra["pixels"]())
        records.append(replace(record, image_path=path, extra={}))
    return write("coco", records, folder / "annotations.json")


@pytest.fixture
def run(tiny_checkpoint, tmp_path) -> Path:
    (tmp_path / "run" / "epochs").mkdir(parents=True)
    for epoch in (1, 3):
        shutil.copy(
            tiny_checkpoint / "best.safetensors", tmp_path / "run" / "epochs" / f"epoch-{epoch:04d}.safetensors"
        )
    return tmp_path / "run"


def test_models_beside_each_other(evaluate, annotations, tiny_checkpoint, tmp_path):
    table, out = tmp_path / "new" / "table.md", tmp_path / "new" / "out.json"
    weights = tiny_checkpoint / "best.safetensors"
    done = evaluate(
        tiny_checkpoint, "coco", annotations, "--compare", weights, "--metric", "pck", "--metric", "epe",
        "--table", table, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert done.output.count("tiny (torch") == 2
    assert f"wrote {table}" in done.output
    report = json.loads(out.read_text(encoding="utf-8"))
    (other,) = report["compared_with"]
    assert other["metrics"] == report["metrics"]
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines.count("| joint | tiny | tiny (2) |") == 2
    (overall,) = [line for line in lines[: len(lines) // 2] if "overall" in line]
    expected = f"**{100 * report['metrics']['pck']['value']:.2f}**"
    assert overall.split("|")[2:4] == [f" {expected} ", f" {expected} "]
    assert sum(line.startswith("| ") for line in lines) == 2 * (1 + 19 + 1)


def test_pictures_side_by_side(evaluate, annotations, tiny_checkpoint, tmp_path):
    """One panel a model, as high as asked for, with the truth's red in each."""
    from vitruvian.data import read_image
    from vitruvian.draw import palette

    weights = tiny_checkpoint / "best.safetensors"
    widths = []
    for others in ([], ["--compare", weights]):
        folder = tmp_path / f"pictures{len(others)}"
        done = evaluate(tiny_checkpoint, "coco", annotations, *others, "--pictures", folder)
        assert done.exit_code == 0, done.stderr
        assert f"wrote 2 pictures into {folder}" in done.output
        first, second = sorted(folder.iterdir())
        image = read_image(first)
        widths.append(image.shape[1])
        assert image.shape[0] > 320
        assert (image == np.array(palette.TRUTH)).all(axis=2).any()
        assert (image == np.array(palette.PREDICTION)).all(axis=2).any()
        assert second.suffix == ".png"
    assert widths[1] > 1.8 * widths[0]
    assert evaluate(tiny_checkpoint, "coco", annotations, "--over-epochs", "--pictures", folder).exit_code == 2


def test_two_kinds_of_boxes_in_one_report(evaluate, annotations, tiny_checkpoint, tmp_path):
    """A detector that misses one of two people, and doubts the other: as if each kind had been measured alone."""
    pytest.importorskip("faster_coco_eval")
    first = json.loads(annotations.read_text())["annotations"][0]
    boxes, out = tmp_path / "boxes.json", tmp_path / "out.json"
    found = {"image_id": first["image_id"], "category_id": 1, "bbox": first["bbox"], "score": 0.5}
    boxes.write_text(json.dumps([found]))
    arguments = (tiny_checkpoint, "coco", annotations, "--metric", "oks_ap")
    done = evaluate(*arguments, "--boxes", "truth", "--boxes", boxes, "--out", out)
    assert done.exit_code == 0, done.stderr
    report = json.loads(out.read_text())
    (detected,) = report["compared_with"]
    assert (report["boxes"], detected["boxes"]) == ("truth", "boxes.json")
    rest = {"all_joints": True, "person_above": None, "sure_box": None}
    assert report["select"] == {"rescore_above": 0.2, "same_person": None, **rest}
    assert detected["select"] == {"rescore_above": 0.2, "same_person": 0.9, **rest}
    counts = [r["metrics"]["oks_ap"]["details"]["predictions"] for r in (report, detected)]
    assert counts == [2, 1]
    last = [line for line in done.output.splitlines() if line.startswith("tiny, boxes: ")]
    assert [line.split(";")[0].split(": ")[1] for line in last] == ["truth", "boxes.json"]
    assert evaluate(*arguments, "--boxes", boxes, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["metrics"] == detected["metrics"]
    assert evaluate(*arguments).exit_code == 0
    done = evaluate(tiny_checkpoint, "coco", annotations, "--boxes", "truth", "--boxes", boxes)
    assert "'pck' compares person by person" in done.stderr


def test_lengths_are_said(evaluate, annotations, tiny_checkpoint, tmp_path):
    data = json.loads(annotations.read_text())
    rows = data["annotations"]
    names = data["categories"][0]["keypoints"]
    for joint, keep in (("left_shoulder", False), ("left_ear", True), ("right_ear", True)):
        k = names.index(joint)
        rows[0]["keypoints"][3 * k : 3 * k + 3] = [20 + 3 * k, 30, 2] if keep else [0, 0, 0]
    for joint in ("neck", "head_top"):
        k = names.index(joint)
        rows[0]["keypoints"][3 * k : 3 * k + 3] = [0, 0, 0]
    changed = annotations.with_name("changed.json")
    changed.write_text(json.dumps(data))
    torso = [names.index(joint) for joint in ("left_shoulder", "right_hip")]
    second = "torso" if all(rows[1]["keypoints"][3 * k + 2] for k in torso) else "head segment"
    out = tmp_path / "out.json"
    done = evaluate(tiny_checkpoint, "coco", changed, "--metric", "pck_fallback", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "ear distance 1" in done.output.split("measured by ")[1]
    assert f"{second} 1" in done.output.split("measured by ")[1]
    people = json.loads(out.read_text())["metrics"]["pck_fallback"]["details"]["person_scales"]
    assert people[0]["scale"] == "ear_distance"
    assert people[0]["scale_px"] == pytest.approx(3.0)


def test_over_epochs(evaluate, annotations, run, monkeypatch):
    pytest.importorskip("matplotlib")
    done = evaluate(run, "coco", annotations, "--over-epochs", "--metric", "epe")
    assert done.exit_code == 0, done.stderr
    report = json.loads((run / "over-epochs.json").read_text(encoding="utf-8"))
    assert report["run"] == "run"
    assert report["split"].endswith("/annotations.json")
    value = f"{report['epochs'][0]['metrics']['epe']['value']:.4f}"
    assert [line.split() for line in done.output.splitlines()[1:4]] == [["epoch", "epe"], ["1", value], ["3", value]]
    assert f"best EPE px (all): {value} at epoch 1, chosen on these very people" in done.output
    assert {p.name for p in run.iterdir()} == {
        "epochs", "over-epochs.json", "over-epochs.csv", "over-epochs-epe.png"
    }  # fmt: skip
    elsewhere = run.parent / "figures" / "flip.json"
    assert evaluate(run, "coco", annotations, "--over-epochs", "--flip").exit_code == 1
    done = evaluate(run, "coco", annotations, "--over-epochs", "--flip", "--out", elsewhere, "--limit", 1)
    assert done.exit_code == 0, done.stderr
    assert {p.name for p in elsewhere.parent.iterdir()} == {"flip.json", "flip.csv", "flip-pck.png"}
    assert np.unique([e["epoch"] for e in json.loads(elsewhere.read_text())["epochs"]]).tolist() == [1, 3]


def test_misuse(evaluate, annotations, tiny_checkpoint, tmp_path):
    arguments = (tiny_checkpoint, "coco", annotations)
    done = evaluate(*arguments, "--over-epochs", "--compare", tiny_checkpoint)
    assert done.exit_code == 2
    assert "leave out --compare" in done.stderr
    assert "belongs to --over-epochs" in evaluate(*arguments, "--per-joint").stderr
    done = evaluate(*arguments, "--table", tmp_path / "table.txt")
    assert done.exit_code == 1
    assert "'table.txt'" in done.stderr
    assert "'nowhere.json' is neither a file nor 'truth'" in evaluate(*arguments, "--boxes", "nowhere.json").stderr
    nowhere = (tiny_checkpoint, "coco", tmp_path / "nowhere.json")  # names are looked at before data
    assert "unknown metric 'pkc'" in evaluate(*nowhere, "--metric", "pkc").stderr
    assert "no model 'defualt'" in evaluate("defualt", *nowhere[1:]).stderr
    assert "no model 'defualt'" in evaluate(*nowhere, "--compare", "defualt").stderr
    assert "give --flip too" in evaluate(*nowhere, "--flip-by", "coordinates").stderr
    assert "nowhere.json" in evaluate(*nowhere).stderr
    assert "no kept epochs" in evaluate(*arguments, "--over-epochs").stderr
