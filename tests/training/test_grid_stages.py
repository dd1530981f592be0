"""The grid task and 3D poses in one command: files, transfer, exact resuming, figures, refusals."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from vitruvian.cli import main
from vitruvian.data.poses3d import Frames3D, read_poses3d, write_poses3d
from vitruvian.data.square_crop import SquareCrop
from vitruvian.data.square_poses import SquarePoses
from vitruvian.errors import RecipeError, VitruvianError, WeightsError
from vitruvian.models.grid_pose import build_grid_model
from vitruvian.predict.pose3d import PictureLifter, load_grid_network
from vitruvian.skeletons import H36M17
from vitruvian.training import Recipe, train
from vitruvian.training.callbacks import SetEpoch
from vitruvian.training.grid_data import build_poses, read_source
from vitruvian.training.grid_stages import cell_f1, check_grid, measure
from vitruvian.training.recipe import DataSource
from vitruvian.types import Poses
from vitruvian.weights.checkpoint import read_card, read_grid_card, read_state

_OPTIM = {"lr": 1e-3, "warmup_steps": 1, "ema": 0.5, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of 3 subjects: pictures of noise with a bright spot, joints around where it is."""
    rng = np.random.default_rng(7)
    pictures, keypoints = rng.integers(0, 60, (12, 48, 48, 3), dtype=np.uint8), np.zeros((12, 17, 2))
    for i, (x, y) in enumerate(rng.uniform(14, 34, (12, 2))):
        pictures[i, int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 250
        keypoints[i] = rng.uniform((x - 8, y - 8), (x + 8, y + 8), (17, 2))
    joints = np.concatenate([(keypoints - 24) * 20, rng.normal(4000, 100, (12, 17, 1))], axis=2)
    labels = {
        "action": np.tile(["Walking", "Eating"], 6),
        "sequence": np.arange(12).astype(str),
        "frame": np.arange(12),
    }
    boxes = np.tile([-0.5, -0.5, 47.5, 47.5], (12, 1))
    subject = np.repeat(["S1", "S5", "S9"], 4)
    frames = Frames3D(
        H36M17, joints, subject, **labels, keypoints_px=keypoints, boxes_xyxy=boxes, pictures=tuple(pictures),
        source="spots",
    )  # fmt: skip
    return write_poses3d(tmp_path_factory.mktemp("table") / "frames.npz", frames)


def tiny(table: Path, out: Path, grid: dict | None = None, **changes: Any) -> Recipe:
    source = {"format": "poses3d", "path": str(table)}
    part = {
        "transfer": "conv",
        "epochs": 2,
        "optim": _OPTIM,
        "crop": {"background": "keep"},
        "targets": {"grid_wh": [4, 4], "window_wh": [13, 13]},
        "mirror_prob": 0.5,
        **(grid or {}),
    }
    data = {
        "name": "tiny",
        "skeleton": "h36m17",
        "model": {"name": "grid_conv", "options": {"kernels": [2, 3, 3], "hidden": [8, 8], "unit_mm": 100.0}},
        "input": {"size_wh": [48, 48]},
        "loss": {"name": "pose_mpjpe"},
        "train": [{**source, "options": {"subjects": ["S1", "S5"]}}],
        "val": [{**source, "options": {"subjects": ["S9"]}}],
        "grid": part,
        "optim": _OPTIM,
        "epochs": 2,
        "batch_size": 4,
        "workers": 0,
        "precision": "32",
        "out": str(out),
    }
    return Recipe.check({**data, **changes})


def test_one_command_runs_both_stages(table: Path, tmp_path: Path) -> None:
    source = {"format": "poses3d", "path": str(table), "options": {"subjects": ["S9"]}}
    recipe = tiny(table, tmp_path, {"test": [source]})
    run = train(recipe)
    for name in ("grid.safetensors", "best.safetensors", "last.safetensors", "last.ckpt", "metrics.csv",
                 "grid/metrics.csv", "grid/last.ckpt", "grid/best.safetensors"):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    assert Recipe.load(run / "recipe.yaml") == recipe
    check_grid(Recipe.load(run / "recipe.yaml"))  # what a run left can be run again
    assert "val_cell_f1" in (run / "grid/metrics.csv").read_text("utf-8").splitlines()[0]
    header = (run / "metrics.csv").read_text("utf-8").splitlines()[0]
    assert {"val_mpjpe_mm", "val_pa_mpjpe_mm", "loss"} <= set(header.split(","))
    card = read_grid_card(run / "best.safetensors")
    assert (card.head, card.root, card.skeleton) == ("pose", "pelvis", H36M17)
    assert card.metrics[0]["metric"].startswith("MPJPE (mm")
    assert card.provenance["recipe"]["grid"]["transfer"] == "conv"
    assert type(card).from_json(card.to_json()) == card
    assert read_grid_card(run / "grid.safetensors").head == "grid"
    with pytest.raises(WeightsError, match="grid network"):
        read_card(run / "best.safetensors")
    report = json.loads((run / "pose3d.json").read_text("utf-8"))["result"]
    network, _ = load_grid_network(run / "best.safetensors")
    dataset, _ = build_poses(recipe, recipe.val, training=False)
    assert report["mpjpe_mm"] == pytest.approx(measure(network, dataset)["mpjpe_mm"])
    assert report["mpjpe_mm"] == pytest.approx(card.metrics[0]["value"], abs=1e-3)
    assert set(report["per_action"]) == {"Eating", "Walking"}
    with pytest.raises(RecipeError, match="holds an earlier run"):
        train(recipe)


def test_a_trained_network_finds_3d_poses_in_a_picture(table: Path, tmp_path: Path) -> None:
    """As the training crops do: the same joints as those that are measured, for each of several people."""
    recipe = tiny(table, tmp_path)
    run = train(recipe)
    dataset, _ = build_poses(recipe, recipe.val, training=False)
    network, _ = load_grid_network(run / "best.safetensors")
    images = torch.from_numpy(np.stack([dataset.prepared(i)[0] for i in range(4)])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = network.eval()(images)["pose_mm"].numpy()
    find = PictureLifter(run)
    for i in range(4):
        box = dataset.poses.boxes_xyxy[i]
        people = Poses(np.zeros((2, 17, 2)), np.full((2, 17), 0.5), np.stack([box, box]), H36M17, (48, 48))
        found = find(np.asarray(dataset.poses.picture(i)), people)
        np.testing.assert_allclose(found.joints_mm, np.stack([expected[i]] * 2), atol=1e-2)
        assert found.root == "relative to the pelvis"
        np.testing.assert_allclose(found.scores, 0.5)
    with pytest.raises(WeightsError, match="first stage"):
        PictureLifter(run / "grid.safetensors")
    picture = np.asarray(dataset.poses.picture(0))
    Image.fromarray(picture).save(tmp_path / "photo.png")
    command = f"predict photo.png --detector none --3d --3d-model {run} --no-draw --out found"
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 0, done.output
    (image,) = json.loads((tmp_path / "found/joints3d.json").read_text("utf-8"))["images"]
    side = len(picture) - 0.5
    whole = Poses(np.zeros((1, 17, 2)), np.zeros((1, 17)), np.array([[-0.5, -0.5, side, side]]), H36M17, (48, 48))
    np.testing.assert_allclose(image["people"][0]["joints_mm"], find(picture, whole).joints_mm[0], atol=0.1)


def test_wrong_test_and_validation_frames_come_to_light_before_training(table: Path, tmp_path: Path) -> None:
    nobody = {"format": "poses3d", "path": str(table), "options": {"subjects": ["S77"]}}
    with pytest.raises(VitruvianError, match="S77"):
        train(tiny(table, tmp_path, {"test": [nobody]}))
    with pytest.raises(VitruvianError, match="S77"):
        train(tiny(table, tmp_path, val=[nobody]))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_pictures_without_masks_are_refused_with_the_remedy(table: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"12 of 12 frames of .*frames\.npz do not have: .*background to keep"):
        train(
            tiny(table, tmp_path, {"crop": {"background": "black"}}, train=[{"format": "poses3d", "path": str(table)}])
        )


def test_regression_starts_from_the_grids_layers(table: Path, tmp_path: Path) -> None:
    """With a learning rate of next to nothing the transferred layers are those of the grid task, the others fresh."""
    still = {**_OPTIM, "lr": 1e-12, "ema": None}
    for what, layers in (("conv", ("conv",)), ("conv+fc", ("conv", "fc"))):
        run = train(tiny(table, tmp_path / what, {"transfer": what}, optim=still, epochs=1))
        grid, pose = read_state(run / "grid.safetensors"), read_state(run / "last.safetensors")
        for name, value in pose.items():
            if name.endswith("weight"):
                same = np.allclose(value, grid[name], atol=1e-8) if grid[name].shape == value.shape else False
                assert same == name.startswith(layers), name
        again = {"transfer": what, "epochs": 0, "init": str(run / "grid.safetensors")}
        other = train(tiny(table, tmp_path / f"{what} again", again, optim=still, epochs=1))
        for name, value in read_state(other / "last.safetensors").items():
            np.testing.assert_array_equal(value, pose[name], err_msg=name)


@pytest.mark.parametrize("stage", ["grid", "pose"])
def test_resuming_in_either_stage_equals_not_having_stopped(
    stage: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"epochs": 3}
    whole = train(tiny(table, tmp_path / "whole", {"epochs": 3}, **changes))
    start = SetEpoch.on_train_epoch_start

    def crash(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2 and module.head.startswith(stage):
            raise RuntimeError("power cut")
        start(self, trainer, module)

    recipe = tiny(table, tmp_path / "parts", {"epochs": 3}, **changes)
    with monkeypatch.context() as patch:
        patch.setattr(SetEpoch, "on_train_epoch_start", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe)
    assert (tmp_path / "parts/tiny/grid.safetensors").exists() == (stage == "pose")
    parts = train(recipe, resume=True)
    for name in ("grid.safetensors", "last.safetensors", "best.safetensors"):
        expected, got = read_state(whole / name), read_state(parts / name)
        for key, value in expected.items():
            np.testing.assert_array_equal(got[key], value, err_msg=f"{name} {key}")


def test_from_scratch_with_the_squared_loss_and_another_network(table: Path, tmp_path: Path) -> None:
    model = {"name": "grid_resnet", "options": {"neck": 2, "hidden": 4}}
    scratch = {"transfer": "none", "epochs": 0}
    size = {"input": {"size_wh": [32, 32]}, "loss": {"name": "pose_squared"}}
    run = train(tiny(table, tmp_path, scratch, model=model, epochs=1, **size))
    assert not (run / "grid").exists()
    network, card = load_grid_network(run / "best.safetensors")
    assert card.model == "grid_resnet"
    assert network(torch.zeros(2, 1, 32, 32))["pose_mm"].shape == (2, 17, 3)


def test_velocities_follow_the_order_of_time(table: Path) -> None:
    """A network that always says the same is wrong by the person's own movement, however the rows are shuffled."""
    frames = read_poses3d(table)
    walk = (
        np.random.default_rng(3).normal(0, 300, (17, 3)) + np.arange(6)[:, None, None] * np.linspace(0, 4, 17)[:, None]
    )
    joints = np.concatenate([walk, 1.5 * walk])  # the joints of the second take move half as fast again
    labels = {
        "sequence": np.repeat(["a", "b"], 6),
        "frame": np.tile(np.arange(6) * 5, 2),
        "action": np.repeat(["A", "B"], 6),
    }
    order = np.random.default_rng(4).permutation(12)
    shuffled = replace(frames, joints_mm=joints, **labels).select(order)

    class Same(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"pose_mm": torch.zeros(len(images), 17, 3)}

    crop = SquareCrop((48, 48), background="keep")
    found = measure(Same(), SquarePoses(shuffled, crop))
    step = np.sqrt(3) * 2  # mean over the joints
    velocities = {name: row["mpjve_mm_per_frame"] for name, row in found["per_action"].items()}
    assert velocities == {"A": pytest.approx(step, rel=1e-4), "B": pytest.approx(1.5 * step, rel=1e-4)}
    assert found["mpjve_mm_per_frame"] == pytest.approx(1.25 * step, rel=1e-4)
    assert "mpjve_mm_per_frame" not in measure(Same(), SquarePoses(frames, crop)), "frames of no sequence"


def test_sources(table: Path) -> None:
    def read(**options: Any) -> Frames3D:
        return read_source(DataSource(format="poses3d", path=str(table), options=options))

    assert len(read()) == 12
    assert set(read(split="protocol1", part="test").subject) == {"S9"}
    assert set(read(actions=["Walking"]).action) == {"Walking"}
    assert len(read(every=2)) == 12, "every frame is a sequence of its own"
    with pytest.raises(RecipeError, match="belong together"):
        read(split="protocol1")
    with pytest.raises(RecipeError, match="speed"):
        read(speed=3)


@pytest.mark.parametrize(("kind", "instead"), [("mocap_figures", "count"), ("synth_people", "pictures")])
def test_single_pictures_have_no_nth_of_them(kind: str, instead: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"'every'.*'{instead}'"):
        read_source(DataSource(format=kind, path=str(tmp_path), options={"every": 2}))


def test_the_systems_split_names_its_leak(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = DataSource(format="poses3d", path=str(table), options={"split": "system", "part": "val"})
    assert len(read_source(source)) > 0
    assert "validation frames are training frames too" in capsys.readouterr().out


def test_f1_of_cells() -> None:
    truth = np.array([1, 1, 1, 0, 0], bool)
    assert cell_f1(truth, truth) == 1
    assert cell_f1(~truth, truth) == 0
    assert cell_f1(np.array([1, 0, 0, 1, 0], bool), truth) == pytest.approx(2 * 1 / (2 + 3))
    assert cell_f1(truth & False, truth & False) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": {"name": "heatmap_mse"}}, "pose_mpjpe, pose_squared"),
        ({"model": {"name": "compact"}}, "grid_conv, grid_resnet"),
        ({"model": {"name": "grid_conv", "options": {"kernel": 3}}}, "kernel"),
        ({"augment": "light"}, "augment would change nothing"),
        ({"input": {"size_wh": [48, 48], "padding": 1.5}}, "padding would change nothing"),
        ({"train": [{"format": "coco", "path": "x"}]}, "none of poses3d, mocap_figures, synth_people, h36m_annot_h5"),
        ({"train": [{"format": "poses3d", "path": "x", "fraction": [0, 0.9]}]}, "fraction would change nothing"),
        ({"grid": {"transfer": "none", "crop": {"colour": "sepia"}}}, "sepia"),
        ({"grid": {"transfer": "none", "targets": {"cells": 3}}}, "cells"),
        ({"grid": {"transfer": "none", "epochs": 2}}, "does not fit epochs 2"),
        ({"grid": {"transfer": "conv"}}, "does not fit epochs 0"),
        ({"grid": {"transfer": "conv", "epochs": 2, "init": "x"}}, "give one of them"),
    ],
)
def test_refusals(changes: dict, said: str, table: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        train(Recipe.check({**tiny(table, tmp_path).model_dump(exclude_unset=True), **changes}))
    assert not (tmp_path / "tiny").exists()
    with pytest.raises(RecipeError, match="nothing to resume"):
        train(tiny(table, tmp_path), resume=True)


@pytest.mark.parametrize("name", ["h36m-grid", "grid-mocap"])
def test_the_recipes_are_complete(name: str) -> None:
    from vitruvian.training.grid_stages import card_of

    path = Path(__file__).resolve().parents[2] / "recipes" / f"{name}.yaml"
    recipe = Recipe.load(path)
    check_grid(recipe)
    assert len(path.read_text("utf-8").splitlines()) <= 60
    card = card_of(recipe, "grid", {})
    assert np.prod(card.targets.shapes(17)["grid"]) == 1700
    with torch.device("meta"):
        network = build_grid_model(card.model, 17, "grid", **card.network_options())
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert round(millions, 2) == {"h36m-grid": 15.22, "grid-mocap": 7.80}[name]
