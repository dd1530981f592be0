"""Recipes: complete, strict, and helpful when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
from vitruvian.errors import RecipeError
from vitruvian.training import Recipe
from vitruvian.training.checks import check

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
MINIMAL = {
    "name": "tiny",
    "model": {"name": "compact"},
    "loss": {"name": "heatmap_mse"},
    "train": [{"format": "synthetic"}],
    "epochs": 1,
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_is_valid_short_and_says_what_to_expect(path):
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    check(recipe)
    assert {"metric", "not_run"} == set(recipe.expect) or {"metric", "value", "tolerance"} <= set(recipe.expect)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_unknown_keys_name_the_nearest():
    with pytest.raises(RecipeError, match="optim.learning_rate: unknown key"):
        Recipe.check({**MINIMAL, "optim": {"learning_rate": 1}})
    with pytest.raises(RecipeError, match="epoch: unknown key; did you mean 'epochs'"):
        Recipe.check({**MINIMAL, "epoch": 3})
    with pytest.raises(RecipeError, match="did you mean 'repeat'"):
        Recipe.check({**MINIMAL, "train": [{"format": "coco", "repeats": 3}]})


def test_wrong_values_are_named():
    with pytest.raises(RecipeError, match="epochs: .*got 'many'"):
        Recipe.check({**MINIMAL, "epochs": "many"})
    with pytest.raises(RecipeError, match="ascending"):
        Recipe.check({**MINIMAL, "input": {"progressive": [[9, 96, 128], [3, 64, 64]]}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codec": {"kind": "heatmap", "activation": "softmax"}}, "belongs to codec.activation softmax"),
        ({"loss": {"name": "heatmap_cross_entropy"}}, "belongs to codec.activation softmax"),
        ({"optim": {"milestones": [3]}}, "milestones: change nothing on the schedule 'cosine'"),
        ({"whole_pictures": True, "geometry": {"cut_prob": 0.2}}, "geometry.cut_prob: would change nothing"),
        (
            {"train": [{"format": "synthetic", "fraction": [0, 0.5]}]},
            "source 'synthetic': fraction would change nothing",
        ),
        ({"val": [{"format": "masks", "path": "m", "complete": True}]}, "source 'm': complete would change nothing"),
    ],
)
def test_what_would_do_nothing_or_nonsense_is_refused(changes, said):
    with pytest.raises(RecipeError, match=said):
        check(Recipe.check({**MINIMAL, **changes}))


def test_recipes_saved_by_earlier_runs_are_still_good(tmp_path):
    """They say all keys, and min_joints: 1, which was the default."""
    photos = {"format": "photos", "path": "p", "min_joints": 1}
    data = {**MINIMAL, "mixing": {"photos": [photos]}, "train": [{"format": "synthetic", "min_joints": 1}]}
    Recipe.check(data).dump(tmp_path / "r.yaml")
    check(Recipe.load(tmp_path / "r.yaml"))


def test_numbers_where_text_is_meant(tmp_path):
    path = tmp_path / "r.yaml"
    Recipe.check(MINIMAL).dump(path)
    recipe = Recipe.load(path, ["precision=32", "name=2026"])
    assert (recipe.precision, recipe.name) == ("32", "2026")


def test_overrides_reach_nested_keys_and_lists(tmp_path):
    path = tmp_path / "r.yaml"
    Recipe.check(MINIMAL).dump(path)
    recipe = Recipe.load(path, ["optim.lr=1e-4", "train.0.repeat=3", "name=other", "model.options.widths=[8,8,8,8]"])
    assert (recipe.optim.lr, recipe.train[0].repeat, recipe.name) == (1e-4, 3, "other")
    assert recipe.model.options == {"widths": [8, 8, 8, 8]}


@pytest.mark.parametrize("override", ["epochs", "=3", "name.first=3"])
def test_malformed_overrides_are_refused(tmp_path, override):
    path = tmp_path / "r.yaml"
    Recipe.check(MINIMAL).dump(path)
    with pytest.raises(RecipeError, match="override"):
        Recipe.load(path, [override])


@pytest.mark.parametrize("override", ["train.7.repeat=3", "train.x=3"])
def test_overrides_of_a_list_need_an_index_in_range(tmp_path, override):
    path = tmp_path / "r.yaml"
    Recipe.check(MINIMAL).dump(path)
    with pytest.raises(RecipeError, match="index"):
        Recipe.load(path, [override])


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(RecipeError, match="no recipe at"):
        Recipe.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [unclosed", encoding="utf-8")
    with pytest.raises(RecipeError, match="not YAML"):
        Recipe.load(broken)
    broken.write_text("- a list", encoding="utf-8")
    with pytest.raises(RecipeError, match="expected keys and values"):
        Recipe.load(broken)


def test_a_dumped_recipe_loads_as_itself(tmp_path):
    recipe = Recipe.load(RECIPES[0])
    recipe.dump(tmp_path / "again.yaml")
    assert Recipe.load(tmp_path / "again.yaml") == recipe


def test_views_per_epoch_are_of_crops():
    assert Recipe.check({**MINIMAL, "views_per_epoch": 100}).views_per_epoch == 100
    with pytest.raises(RecipeError, match="views_per_epoch is for crops"):
        Recipe.check({**MINIMAL, "views_per_epoch": 100, "whole_pictures": True})
