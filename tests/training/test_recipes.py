"""The recipes of the hourglass, of attention and of adversarial training run end to end on a few real photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from vitruvian.cli import main
from vitruvian.training import Recipe, train

_RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def _on_few_photos(name: str, shared_data: Path, tmp_path: Path, changes: dict[str, Any]) -> Path:
    """Trains the recipe on about 40 photos with narrow networks, everything else as it stands there."""
    data = Recipe.load(_RECIPES / f"{name}.yaml").model_dump()
    folder = shared_data / "photos" / "lspet" / "train"
    for source, fraction in ((data["train"][0], (0.04, 0.045)), (data["val"][0], (0.0, 0.001))):
        source |= {"path": str(folder / "person_keypoints_train.json"), "images": str(folder / "images")}
        source["fraction"] = fraction
    data["model"]["options"]["width"] = 8
    return train(Recipe.check({**data, "out": str(tmp_path), "batch_size": 8, "val_every": 1, **changes}))


def _evaluated(run: Path, shared_data: Path, out: Path) -> dict[str, Any]:
    folder = shared_data / "photos" / "lspet" / "dev"
    arguments = ["evaluate", str(run), "coco", str(folder / "person_keypoints_dev.json"), "--limit", "20"]
    done = CliRunner().invoke(main, [*arguments, "--images", str(folder / "images"), "--flip", "--out", str(out)])
    assert done.exit_code == 0, done.output
    for joint in ("right_ankle", "left_wrist", "head_top"):
        assert joint in done.output
    return json.loads(out.read_text(encoding="utf-8"))


def test_the_hourglass_recipe_runs_on_photos(shared_data: Path, tmp_path: Path) -> None:
    run = _on_few_photos("hourglass-lsp", shared_data, tmp_path, {"epochs": 2, "pictures": 2})
    assert sorted(p.name for p in (run / "epochs").iterdir()) == ["epoch-0000.safetensors", "epoch-0001.safetensors"]
    assert sorted(p.name for p in (run / "pictures").iterdir()) == ["epoch-0000.png", "epoch-0001.png"]
    table = _evaluated(run, shared_data, tmp_path / "figures.json")["metrics"]["pck"]["table"]
    assert len(table) == 14


def test_the_adversarial_recipe_runs_on_photos(shared_data: Path, tmp_path: Path) -> None:
    part = Recipe.load(_RECIPES / "adversarial-lsp.yaml").model_dump()["adversarial"]
    part |= {"width": 8, "stages": {"generator": 1, "discriminator": 1, "joint": 1}}
    run = _on_few_photos("adversarial-lsp", shared_data, tmp_path, {"epochs": 3, "adversarial": part})
    logged = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    assert {"loss", "adversarial", "discriminator", "pose_agrees", "confidence_agrees"} <= set(logged.split(","))
    assert len(_evaluated(run, shared_data, tmp_path / "figures.json")["metrics"]["pck"]["table"]) == 14


def test_the_attention_recipe_runs_on_photos(shared_data: Path, tmp_path: Path) -> None:
    run = _on_few_photos("attention-lsp", shared_data, tmp_path, {"epochs": 1})
    assert len(_evaluated(run, shared_data, tmp_path / "figures.json")["metrics"]["pck"]["table"]) == 14
    photo = min((shared_data / "photos" / "lspet" / "dev" / "images").glob("*.webp"))
    command = ["explain", str(photo), "--model", str(run), "--detector", "none", "--backend", "torch"]
    done = CliRunner().invoke(main, [*command, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Attention is shown over its highest value" in done.output
    page = (tmp_path / f"{photo.stem}_explained.html").read_text(encoding="utf-8")
    assert page.count('"attention": "data:image/png') == 14
    assert '"holistic": "data:image/png' in page
