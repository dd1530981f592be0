"""Training a lifter from a recipe: it learns, resumes to the same weights, refuses what cannot be, and ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from vitruvian.errors import RecipeError, WeightsError
from vitruvian.formats.mocap_npz import write_mocap_npz
from vitruvian.formats.motion import Motion
from vitruvian.models.lifter import build_lifter
from vitruvian.skeletons import H36M17
from vitruvian.training import Recipe, train
from vitruvian.training.lifting import check_lifting, split_takes
from vitruvian.weights.checkpoint import load_into, read_card, read_lifter_card, read_state

_PARENTS = (-1, *({b: a for a, b in H36M17.edges}[k] for k in range(1, len(H36M17))))


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """A recipe on four short takes in which nobody moves much."""
    rng = np.random.default_rng(5)
    body = rng.normal(0, 250, (17, 3))
    motions = [
        Motion(H36M17.joints, _PARENTS, body + rng.normal(0, 10, (24, 17, 3)), 15.0, name)
        for name in ("walk_1", "walk_2", "run_1", "jump_1")
    ]
    path = write_mocap_npz(tmp_path / "few.npz", motions)
    return {
        "name": "tiny",
        "model": {"name": "lifter_mlp", "options": {"width": 16, "dropout": 0.1}},
        "loss": {"name": "pose_mpjpe"},
        "train": [{"format": "mocap_npz", "path": str(path), "name": "nothing", "terms": "none"}],
        "lifting": {"val_takes": ["run_*"], "test_takes": {"far": ["jump_*"]}, "views": {"cameras": 8}},
        "optim": {"lr": 0.01, "warmup_steps": 2, "ema": 0.9, "weight_decay": 0.0},
        "epochs": 4,
        "batch_size": 16,
        "precision": "32",
        "out": str(tmp_path / "runs"),
    }


def test_training_and_resuming(data: dict[str, Any], tmp_path: Path) -> None:
    folder = train(Recipe.check(data))
    card = read_lifter_card(folder / "best.safetensors")
    assert (card.name, card.model, card.frames, card.fps) == ("tiny", "lifter_mlp", 1, 15.0)
    assert card.metrics[0]["value"] > 0
    assert card.data[0]["terms"] == "none"
    load_into(build_lifter(card.model, **card.options), folder / "best.safetensors")
    check_lifting(Recipe.load(folder / "recipe.yaml"))  # what a run left can be run again
    with pytest.raises(WeightsError, match="lifter"):
        read_card(folder / "best.safetensors")
    stopped = {**data, "name": "stopped"}
    train(Recipe.check({**stopped, "stop_after": 2}))
    resumed = train(Recipe.check(stopped), resume=True)
    whole, parts = (read_state(run / "last.safetensors") for run in (folder, resumed))
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)


def test_a_lifter_of_rows(data: dict[str, Any]) -> None:
    data |= {"model": {"name": "lifter_temporal", "options": {"width": 8, "levels": 2}}, "epochs": 1}
    assert read_lifter_card(train(Recipe.check(data)) / "last.safetensors").frames == 9


def test_the_split(data: dict[str, Any]) -> None:
    sets = split_takes(Recipe.check(data))
    assert {k: [t.name for t in v] for k, v in sets.items()} == {
        "train": ["walk_1", "walk_2"],
        "val": ["run_1"],
        "far": ["jump_1"],
    }
    data["lifting"]["test_takes"]["near"] = ["*_1"]
    with pytest.raises(RecipeError, match="one set each"):
        split_takes(Recipe.check(data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": {"name": "heatmap_mse"}}, "pose_mpjpe"),
        ({"model": {"name": "compact"}}, "unknown lifter"),
        ({"precision": "bf16"}, "precision '32'"),
        ({"augment": "light"}, "augment would change nothing"),
        ({"workers": 4}, "workers would change nothing"),
        ({"optim": {"name": "sgd"}}, "adamw"),
        ({"train": [{"format": "coco"}]}, "mocap_npz"),
        ({"train": [{"format": "mocap_npz", "fraction": [0, 0.5]}]}, "fraction would change nothing"),
        ({"lifting": {"val_takes": ["*"], "views": {"distance": 3}}}, "lifting.views"),
    ],
)
def test_refusals(data: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        train(Recipe.check({**data, **change}))
    assert not (Path(data["out"]) / "tiny").exists()


@pytest.mark.parametrize("name", ["lifter-s", "lifter-temporal"])
def test_the_shipped_recipes_split_without_leak(name: str, shared_data: Path) -> None:
    """Takes of one movement, under whatever name, are all on one side."""
    import vitruvian.training

    path = Path(vitruvian.training.__file__).parents[1] / "recipes" / f"{name}.yaml"
    recipe = Recipe.load(path, [f"train.0.path={shared_data / 'mocap' / 'cmu_h36m17_15fps.npz'}"])
    sets = split_takes(recipe)
    assert sum(map(len, sets.values())) == 132
    where: dict[str, str] = {}
    for kind, takes in sets.items():
        for take in takes:
            words = take.name.removeprefix("cc_").removeprefix("train_data_bvh_").split("_")
            trial = int(words[1])
            movement = f"salsa {trial - 15 if trial > 15 else trial}" if words[0] == "salsa" else f"{int(words[0])} {trial}" if words[0].isdigit() else f"{words[0]} {trial}"  # fmt: skip # noqa: E501
            assert where.setdefault(movement, kind) == kind, take.name
