"""Every kept epoch once, on the same people, and what is on disk afterwards."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")
import vitruvian.epochs
from vitruvian.epochs import evaluate_epochs, kept_epochs
from vitruvian.errors import FormatError, VitruvianError
from vitruvian.evaluate import evaluate
from vitruvian.synth import synthetic_records
from vitruvian.weights.checkpoint import read_card, save_checkpoint


@pytest.fixture(scope="module")
def records():
    return synthetic_records(3, seed=4, size_wh=(96, 128))


@pytest.fixture
def run(tiny_checkpoint, tmp_path) -> Path:
    """A run whose epochs 0, 2 and 11 have other weights each."""
    from safetensors.torch import load_file

    state, card = load_file(tiny_checkpoint / "best.safetensors"), read_card(tiny_checkpoint / "best.safetensors")
    for epoch, factor in ((0, 1.0), (2, -1.0), (11, 0.5)):
        changed = {k: v * factor if k.endswith("project.weight") else v for k, v in state.items()}
        save_checkpoint(tmp_path / "run" / "epochs" / f"epoch-{epoch:04d}.safetensors", changed, card)
    return tmp_path / "run"


@pytest.fixture
def measured(monkeypatch) -> list[tuple[str, ...]]:
    """The metrics of each evaluation that is really made. Plots, which take longer than that, are left out."""
    calls = []

    def counting(predictor, records, metrics, *rest):
        calls.append(tuple(metrics))
        return evaluate(predictor, records, metrics, *rest)

    monkeypatch.setattr(vitruvian.epochs, "evaluate", counting)
    monkeypatch.setattr(vitruvian.epochs, "curves", lambda *arguments, **more: None)
    return calls


def test_kept_epochs_are_found_in_order(run, tmp_path):
    (run / "epochs" / "epoch-0003.safetensors.partial").touch()
    (run / "epochs" / "notes.txt").touch()
    shutil.copy(run / "epochs" / "epoch-0000.safetensors", run / "epochs" / "epoch-10000.safetensors")
    assert {e: p.name for e, p in kept_epochs(run).items()} == {
        e: f"epoch-{e:04d}.safetensors" for e in (0, 2, 11, 10000)
    }
    assert list(kept_epochs(run)) == [0, 2, 11, 10000]
    with pytest.raises(VitruvianError, match="no kept epochs.*keep_epochs: true"):
        kept_epochs(tmp_path)


def test_figures_are_those_of_each_epoch_by_itself(run, records):
    report = evaluate_epochs(run, records, ("pck", "epe", "ece"), split="drawn", threads=1)
    assert [entry["epoch"] for entry in report["epochs"]] == [0, 2, 11]
    for entry in report["epochs"]:
        alone = evaluate(run / "epochs" / f"epoch-{entry['epoch']:04d}.safetensors", records, ("pck", "epe"))
        for name, result in alone.items():
            assert entry["metrics"][name]["value"] == result.value
            assert entry["metrics"][name]["joints"] == {row["joint"]: row["value"] for row in result.table}
    for name, pick in (("pck", max), ("epe", min), ("ece", min)):
        values = [entry["metrics"][name]["value"] for entry in report["epochs"]]
        assert report["best"][name]["value"] == pick(values)
        assert report["best"][name]["epoch"] == (0, 2, 11)[values.index(pick(values))]
    assert len({entry["metrics"]["epe"]["value"] for entry in report["epochs"]}) > 1
    assert json.loads((run / "over-epochs.json").read_text(encoding="utf-8")) == report
    with (run / "over-epochs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "2", "11"]
    for row, entry in zip(rows, report["epochs"], strict=True):
        assert float(row["epe"]) == entry["metrics"]["epe"]["value"]
        assert float(row["epe left_knee"]) == entry["metrics"]["epe"]["joints"]["left_knee"]
    pictures = sorted(p.name for p in run.glob("*.png"))
    assert pictures == ["over-epochs-ece.png", "over-epochs-epe.png", "over-epochs-pck.png"]


def test_what_is_known_is_not_measured_again(run, records, measured):
    last = run / "epochs" / "epoch-0011.safetensors"
    aside = last.rename(run / "aside")
    first = evaluate_epochs(run, records, ("pck",), threads=1)
    assert measured == [("pck",)] * 2
    aside.rename(last)
    measured.clear()
    both = evaluate_epochs(run, records, ("pck", "epe"), threads=1)
    assert measured == [("epe",), ("epe",), ("pck", "epe")]
    assert [e["metrics"]["pck"] for e in both["epochs"][:2]] == [e["metrics"]["pck"] for e in first["epochs"]]
    measured.clear()
    again = evaluate_epochs(run, records, ("pck",), threads=1)
    assert measured == []
    assert again["epochs"] == both["epochs"]
    assert again["best"] == both["best"]
    evaluate_epochs(run, records, ("pck",), flip=True, out=run / "flip.json", threads=1)
    assert len(measured) == 3


def test_figures_of_another_ranking_are_measured_again(run, records, measured):
    """People were once ranked by all their joints; what does not depend on that remains."""
    pytest.importorskip("faster_coco_eval")
    first = evaluate_epochs(run, records, ("pck", "oks_ap"), threads=1)
    assert first["rescore_above"] == 0.2
    file = run / "over-epochs.json"
    older = json.loads(file.read_text(encoding="utf-8"))
    del older["rescore_above"]
    file.write_text(json.dumps(older), encoding="utf-8")
    measured.clear()
    again = evaluate_epochs(run, records, ("pck", "oks_ap"), threads=1)
    assert measured == [("oks_ap",)] * 3
    assert again["epochs"] == first["epochs"]


def test_a_stopped_evaluation_goes_on(run, records, measured, monkeypatch):
    counting = vitruvian.epochs.evaluate

    def stopping(*arguments):
        if len(measured) == 2:
            raise KeyboardInterrupt
        return counting(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(vitruvian.epochs, "evaluate", stopping)
        with pytest.raises(KeyboardInterrupt):
            evaluate_epochs(run, records, threads=1)
    assert [e["epoch"] for e in json.loads((run / "over-epochs.json").read_text())["epochs"]] == [0, 2]
    report = evaluate_epochs(run, records, threads=1)
    assert len(measured) == 3
    assert [e["epoch"] for e in report["epochs"]] == [0, 2, 11]


def test_figures_of_other_data_are_never_mixed(run, records, measured):
    evaluate_epochs(run, records, split="dev", threads=1)
    before = (run / "over-epochs.json").read_bytes()
    with pytest.raises(VitruvianError, match=r"other flip \(split 'dev'.*--out"):
        evaluate_epochs(run, records, flip=True)
    person = records[0].persons[0]
    moved = replace(records[0], persons=(replace(person, keypoints_px=person.keypoints_px + 1),))
    for other in (records[:2], records[::-1], [moved, *records[1:]]):
        with pytest.raises(VitruvianError, match="other people"):
            evaluate_epochs(run, other)
    assert (run / "over-epochs.json").read_bytes() == before
    for broken in ("{", "[]", '{"epochs": 3}'):
        (run / "over-epochs.json").write_text(broken)
        with pytest.raises(FormatError, match="remove it"):
            evaluate_epochs(run, records)


def test_people_who_are_not_looked_for_do_not_matter(run, records, measured):
    """Crowds and people without joints are read for OKS alone; the file is the same one."""
    evaluate_epochs(run, records, threads=1)
    measured.clear()
    person = records[0].persons[0]
    ignored = replace(person, visibility=np.zeros(19)), replace(person, is_crowd=True)
    more = replace(records[0], persons=(ignored[0], person, ignored[1]))
    evaluate_epochs(run, [more, *records[1:], replace(records[1], persons=())], threads=1)
    assert measured == []


def test_another_training_in_the_same_folder_starts_afresh(run, records, measured):
    evaluate_epochs(run, records, threads=1)
    weights = run / "epochs"
    shutil.copy(weights / "epoch-0011.safetensors", weights / "epoch-0000.safetensors")
    for epoch in (2, 11):
        (weights / f"epoch-{epoch:04d}.safetensors").unlink()
    measured.clear()
    report = evaluate_epochs(run, records, threads=1)
    assert measured == [("pck",)]
    assert [e["epoch"] for e in report["epochs"]] == [0]


def test_epochs_that_were_cleared_away_stay_in_the_figures(run, records, measured):
    evaluate_epochs(run, records, threads=1)
    (run / "epochs" / "epoch-0002.safetensors").unlink()
    measured.clear()
    assert [e["epoch"] for e in evaluate_epochs(run, records, threads=1)["epochs"]] == [0, 2, 11]
    assert measured == []


def test_what_the_plots_show(run, records, monkeypatch):
    pytest.importorskip("faster_coco_eval")
    seen = {}

    def curves(path, x, series, **more):
        seen[path.name] = (x, series, more)

    monkeypatch.setattr(vitruvian.epochs, "curves", curves)
    evaluate_epochs(run, records, ("oks_ap", "epe", "ece"), split="dev", per_joint=True, threads=1)
    x, series, more = seen["over-epochs-epe.png"]
    assert x == [0, 2, 11]
    assert list(series)[:2] == ["EPE px", "nose"]
    assert len(series) == 20
    assert (more["best"], more["y_label"]) == ("min", "pixels")
    assert "dev, boxes: truth, flip test: no" in more["title"]
    _, series, more = seen["over-epochs-oks_ap.png"]
    assert list(series)[:5] == ["OKS AP", "AP50", "AP75", "AR", "AR50"]
    assert (more["best"], more["y_label"]) == ("max", "share")
    *_, more = seen["over-epochs-ece.png"]
    assert (more["best"], more["y_label"]) == ("min", "share")
    evaluate_epochs(run, records, ("oks_ap",), threads=1)
    assert list(seen["over-epochs-oks_ap.png"][1]) == ["OKS AP", "AP50", "AP75", "AR", "AR50"]


def test_progress_runs_over_all_epochs(run, records, measured):
    seen = []
    evaluate_epochs(run, records, threads=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 9) for i in range(1, 10)]


def test_unknown_metrics_are_refused_before_anything_is_loaded(tmp_path, records):
    with pytest.raises(VitruvianError, match="unknown metric 'pkc'"):
        evaluate_epochs(tmp_path, records, ("pkc",))
