"""Frozen parts: they stay bit for bit, batch norms and averages included, and the rest learns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tests.training.test_run import tiny

from vitruvian.codecs import BoxesCodec
from vitruvian.errors import RecipeError
from vitruvian.models import build_model
from vitruvian.training import Recipe, train
from vitruvian.training.freeze import check_kept
from vitruvian.weights.checkpoint import load_into, read_state
from vitruvian.weights.zoo import find_weights


def frozen(recipe, *names, init=None):
    model = recipe.model.model_copy(update={"freeze": names, "init": None if init is None else str(init)})
    return recipe.model_copy(update={"model": model})


def test_frozen_parts_stay_and_the_rest_learns(tmp_path):
    start = train(tiny(tmp_path, epochs=1, name="first")) / "best.safetensors"
    recipe = frozen(tiny(tmp_path, epochs=2, val_every=1, name="second"), "stem", "stage8.0", init=start)
    before, after = read_state(start), read_state(train(recipe) / "last.safetensors")
    kept = [name for name in before if np.array_equal(before[name], after[name])]
    assert {name for name in before if name.startswith(("stem.", "stage8.0."))} == {
        name for name in kept if not name.endswith("num_batches_tracked") or name.startswith(("stem.", "stage8.0."))
    }
    assert any(name.endswith("running_mean") for name in kept)


@pytest.mark.parametrize(
    ("names", "words"), [(("stam",), "no part 'stam'; it has stem"), (("stem",), "without model.init")]
)
def test_what_cannot_be_kept_is_refused(tmp_path, names, words):
    init = None if "init" in words else tmp_path / "some.safetensors"
    with pytest.raises(RecipeError, match=words):
        train(frozen(tiny(tmp_path), *names, init=init))


def test_something_must_be_left_to_train(tmp_path):
    network = ("stem", "stage8", "stage16", "stage32", "down32", "side16", "fuse16", "down16", "side8", "fuse8", "head")
    with pytest.raises(RecipeError, match="nothing to train"):
        train(frozen(tiny(tmp_path), *network, init=tmp_path / "some.safetensors"))


def test_random_parts_are_not_kept(tmp_path):
    """An ``init`` of another shape leaves fresh values, which training would then never change."""
    start = train(tiny(tmp_path, epochs=1, name="first")) / "best.safetensors"
    recipe = tiny(tmp_path, epochs=1, name="second")
    wider = {**recipe.model.options, "widths": (12, 16, 24, 40)}
    assert wider != recipe.model.options
    model = recipe.model.model_copy(update={"options": wider})
    with pytest.raises(RecipeError, match=r"would keep \d+ random entries, first stem\."):
        train(frozen(recipe.model_copy(update={"model": model}), "stem", init=start))


def test_the_detectors_recipe_begins_with_all_of_the_pose_models_stages():
    recipe = Recipe.load("recipes/person-detector.yaml")
    network = build_model(recipe.model.name, 1, BoxesCodec(), **recipe.model.options)
    fresh = load_into(network, find_weights(recipe.model.init), strict=False)
    assert not [name for name in fresh if name.startswith(("stem", "stage"))]
    check_kept(recipe.model, fresh)
    with pytest.raises(RecipeError, match="would keep 1 random entries, first stage8"):
        check_kept(recipe.model, ["stage80.weight", "stage8.0.0.weight", "edges.bias"])
