"""Learning from a teacher: the loss in closed form, all joints, and who may teach whom."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tests.training.test_run import tiny

from vitruvian.errors import RecipeError
from vitruvian.models import build_model
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.training import train
from vitruvian.training.build import codec_of, preprocess_of
from vitruvian.training.distil import LitDistilled, load_teacher
from vitruvian.training.recipe import DistilPart
from vitruvian.weights.checkpoint import load_into, read_state


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run that knows next to nothing, but always says the same."""
    return train(tiny(tmp_path_factory.mktemp("teacher"), epochs=1))


def lit(recipe, teacher, pupil, loss_options=None, **part) -> LitDistilled:
    codec, preprocess = codec_of(recipe), preprocess_of(recipe)
    told = DistilPart(teacher=str(teacher), **part)
    return LitDistilled(
        network=pupil, codec=codec, skeleton=VITRUVIAN19, preprocess=preprocess, loss="heatmap_mse",
        loss_options=loss_options or {},
        optim=recipe.optim, total_steps=1, steps_per_epoch=1, part=told,
        teacher=load_teacher(told),
    )  # fmt: skip


def batch(rng) -> dict:
    """Crops with a few labelled joints."""
    keypoints = rng.uniform(4, 60, (3, 19, 2)).astype(np.float32)
    visibility = (rng.random((3, 19)) < 0.3).astype(np.int64) * 2
    images = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return {
        "image": torch.tensor(images),
        "keypoints_px": torch.tensor(keypoints),
        "visibility": torch.tensor(visibility),
    }


def pupil_of(recipe, path=None):
    network = build_model(recipe.model.name, 19, codec_of(recipe), **recipe.model.options)
    if path is not None:
        load_into(network, path / "best.safetensors")
    return network.eval()


@pytest.mark.parametrize("flip", [False, True])
def test_the_loss_is_the_weighted_sum(flip, tmp_path, teacher, rng) -> None:
    """Both losses from their definitions, on plain arrays."""
    recipe, weight = tiny(tmp_path), float(rng.uniform(0.1, 0.9))
    module = lit(recipe, teacher, pupil_of(recipe), weight=weight, flip=flip)
    given = batch(rng)
    with torch.no_grad():
        loss = module.training_step(given, 0).item()
        found = module(given["image"])["heatmaps"].numpy()
        images = module.normalise(given["image"])
        maps = module._teacher[0](images)["heatmaps"].numpy()
        if flip:
            mirrored = module._teacher[0](images.flip(-1))["heatmaps"].numpy()[:, VITRUVIAN19.flip, :, ::-1]
            maps = (maps + mirrored) / 2
    maps = np.clip(maps, 0, 1)
    target = module.codec.encode(given["keypoints_px"].numpy(), given["visibility"].numpy())
    errors = ((found - target.arrays["heatmaps"]) ** 2).mean((2, 3))
    taught = (errors * target.weights).sum() / target.weights.sum()
    told = ((found - maps) ** 2).mean()
    assert loss == pytest.approx((1 - weight) * taught + weight * told, rel=1e-4)


def test_who_is_like_the_teacher_has_nothing_to_learn(tmp_path, teacher, rng) -> None:
    """With the teacher alone and its own weights, no loss but for what is cut off below 0; labels count nothing."""
    recipe = tiny(tmp_path)
    module = lit(recipe, teacher, pupil_of(recipe, teacher), weight=1.0, flip=False)
    given = batch(rng)
    with torch.no_grad():
        maps = module(given["image"])["heatmaps"]
        loss = module.training_step(given, 0).item()
    assert loss == pytest.approx((maps - maps.clamp(0, 1)).square().mean().item(), rel=1e-4, abs=1e-9)
    other = {**given, "visibility": torch.zeros_like(given["visibility"])}
    with torch.no_grad():
        assert module.training_step(other, 0).item() == pytest.approx(loss)


def test_a_run_with_a_teacher_keeps_only_the_pupil(tmp_path, teacher) -> None:
    recipe = tiny(tmp_path, name="pupil", distil={"teacher": str(teacher), "weight": 0.5})
    folder = train(recipe)
    assert read_state(folder / "best.safetensors").keys() == read_state(teacher / "best.safetensors").keys()
    saved = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    assert not [name for name in saved if "teacher" in name]
    assert "told" in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    assert train(recipe.model_copy(update={"epochs": 3}), resume=True) == folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"skeleton": "coco17"}, "another skeleton"),
        ({"input": {"size_wh": [64, 64], "padding": 1.5}}, "another preprocess"),
        ({"codec": {"kind": "heatmap", "sigma": 2.0}}, "another maps"),
        ({"codec": {"kind": "simcc"}, "loss": {"name": "simcc_cross_entropy"}}, "need heatmaps"),
        ({"whole_pictures": True}, "does not go with whole_pictures"),
    ],
)
def test_who_cannot_teach_is_refused_before_photos_are_read(changes, words, tmp_path, teacher) -> None:
    with pytest.raises(RecipeError, match=words):
        train(tiny(tmp_path, distil={"teacher": str(teacher)}, **changes))


def test_a_teacher_says_nothing_of_presence(tmp_path, teacher, rng) -> None:
    """The labels teach that; a pupil with the output learns it beside the teacher's maps."""
    recipe = tiny(tmp_path)
    codec = {**recipe.codec, "presence": True}
    loss = {"name": "heatmap_mse", "options": {"presence": 0.5}}
    recipe = type(recipe).check({**recipe.model_dump(mode="json"), "codec": codec, "loss": loss})
    module = lit(recipe, teacher, pupil_of(recipe), loss["options"], weight=0.5, flip=False)
    given = batch(rng)
    said = module.opinion(module.codec, module.normalise(given["image"]))
    assert (said.arrays["presence"] == -1).all()
    module.training_step(given, 0).backward()
    assert module.network.head.presence.weight.grad.abs().sum() > 0
