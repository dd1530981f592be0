"""Pictures of a training: always the same people, by the weights that are measured, changing nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.data import PoseDataset, read_image
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.synth import synthetic_records
from vitruvian.training import Recipe, pictures, train
from vitruvian.training.pictures import Pictures, representative
from vitruvian.weights.checkpoint import read_state

SIZE = (64, 96)


def dataset_of(records) -> PoseDataset:
    return PoseDataset(records, VITRUVIAN19, Preprocess(size_wh=SIZE))


class Stacked(torch.nn.Module):
    """Two stacks of maps that do not depend on the picture: the second has joint k's peak at pixel (k % 16, k)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.zeros(2, 19, 24, 16)
        for k in range(19):
            self.maps[1, k, k, k % 16] = 0.7

    def every_stack(self, images):
        return self.maps.expand(len(images), -1, -1, -1, -1)

    def forward(self, images):
        return {"heatmaps": self.every_stack(images)[:, -1]}


class Module(SimpleNamespace):
    """As much of a `LitPose` as pictures need."""

    device = "cpu"

    def normalise(self, images):
        return images.permute(0, 3, 1, 2).float()

    def __call__(self, images):
        return self.network(self.normalise(images))


def test_representatives_are_the_same_in_any_order_and_not_the_first(rng):
    records = synthetic_records(30, seed=int(rng.integers(2**31)), size_wh=(96, 128))
    order = rng.permutation(30)
    straight, shuffled = dataset_of(records), dataset_of([records[i] for i in order])
    chosen = representative(straight, 6, seed=5)
    assert [int(order[i]) for i in representative(shuffled, 6, seed=5)] == chosen
    assert len(set(chosen)) == 6
    assert representative(straight, 3, seed=5) == chosen[:3]  # more pictures add people
    assert representative(straight, 6, seed=6) != chosen
    assert chosen != list(range(6))
    assert sorted(representative(straight, 99)) == list(range(30))


def test_what_is_rendered(monkeypatch):
    """Truth and prediction of the chosen people reach the drawing in the crop's pixels, and both stacks theirs."""
    dataset = dataset_of(synthetic_records(5, seed=2, size_wh=(96, 128)))
    drawn, figures = [], []
    monkeypatch.setattr(
        pictures, "compare", lambda crop, truth, poses, **more: drawn.append((crop, truth, poses)) or crop
    )
    monkeypatch.setattr(pictures, "stack_figure", lambda *arguments: figures.append(arguments) or arguments[0])
    module = Module(network=Stacked(), codec=HeatmapCodec(size_wh=SIZE, refine="argmax", sigma=1.0))
    people, stacks = Pictures(3, Path("unused")).render(module, dataset)
    chosen = representative(dataset, 3)
    assert len(drawn) == 3
    for index, (crop, truth, poses) in zip(chosen, drawn, strict=True):
        item = dataset[index]
        np.testing.assert_array_equal(crop, item["image"])
        np.testing.assert_array_equal(truth.keypoints_px[truth.labelled], item["keypoints_px"][item["visibility"] > 0])
        k = np.arange(19)
        np.testing.assert_allclose(
            poses.keypoints[0], np.stack([(k % 16 + 0.5) * 4 - 0.5, (k + 0.5) * 4 - 0.5], axis=1)
        )
    ((crop, maps, target, names),) = figures
    np.testing.assert_array_equal(crop, drawn[0][0])
    np.testing.assert_array_equal(maps, module.network.maps.numpy())
    item = dataset[chosen[0]]
    expected = module.codec.encode(item["keypoints_px"][None], item["visibility"][None]).arrays["heatmaps"][0]
    np.testing.assert_array_equal(target, expected)
    assert names == VITRUVIAN19.joints
    assert people.ndim == stacks.ndim == 3


def test_maps_of_other_networks():
    class Single(torch.nn.Module):
        def forward(self, images):
            return {"heatmaps": torch.zeros(len(images), 19, 24, 16).index_fill_(3, torch.tensor([4]), 30.0)}

    codec = HeatmapCodec(size_wh=SIZE, activation="softmax", sigma=1.0)
    module = Module(network=Single(), codec=codec)
    maps = pictures._maps_by_stack(module, torch.zeros(1, 96, 64, 3), codec)
    assert maps.shape == (1, 19, 24, 16)
    target = codec.encode(np.full((1, 19, 2), 33.5, np.float32), np.full((1, 19), 2)).arrays["heatmaps"][0]
    shown, truth = pictures._comparable(maps, target, codec)
    assert truth.max() == pytest.approx(1, abs=0.1)  # logits and probabilities are brought to a scale of their own
    np.testing.assert_allclose(shown.sum(axis=(2, 3)), 2 * np.pi, rtol=1e-4)
    np.testing.assert_allclose(shown[..., 4], 2 * np.pi / 24, rtol=1e-3)


def test_a_codec_without_maps_gets_people_alone():
    class Flat(torch.nn.Module):
        def forward(self, images):
            codec = SimccCodec(size_wh=SIZE)
            return {name: torch.rand(len(images), *shape) for name, shape in codec.shapes(19).items()}

    dataset = dataset_of(synthetic_records(2, seed=2, size_wh=(96, 128)))
    people, stacks = Pictures(2, Path("unused")).render(Module(network=Flat(), codec=SimccCodec(size_wh=SIZE)), dataset)
    assert stacks is None
    assert people.shape[1] == 2 * (64 + 8) + 8


def recipe(folder: Path, **changes) -> Recipe:
    return Recipe.check(
        {
            "name": "drawn",
            "model": {"name": "compact", "options": {"widths": [8, 8, 16, 16], "depths": [1, 1, 1], "neck": [16, 8]}},
            "input": {"size_wh": [64, 64], "progressive": [[1, 32, 32]]},
            "codec": {"kind": "heatmap", "sigma": 1.0},
            "loss": {"name": "heatmap_mse", "options": {"peak_weight": 10}},
            "train": [{"format": "synthetic", "options": {"count": 8, "seed": 1}}],
            "val": [{"format": "synthetic", "options": {"count": 6, "seed": 2}}],
            "optim": {"warmup_steps": 2, "ema": 0.9},
            "epochs": 2,
            "batch_size": 4,
            "workers": 0,
            "precision": "32",
            "out": str(folder),
            **changes,
        }
    )


def test_a_training_with_pictures(tmp_path, monkeypatch):
    """It leaves them in its folder and in TensorBoard, drawn by the averaged weights, and learns what it would have."""
    seen = []
    render = Pictures.render

    def watching(self, module, dataset):
        state = {name: value.detach().clone().numpy() for name, value in module.network.state_dict().items()}
        seen.append((state, module.network.training))
        return render(self, module, dataset)

    monkeypatch.setattr(Pictures, "render", watching)
    with_pictures = train(recipe(tmp_path / "with", pictures=2))
    files = sorted((with_pictures / "pictures").iterdir())
    assert [file.name for file in files] == ["epoch-0000.png", "epoch-0001.png"]
    assert read_image(files[0]).shape != read_image(files[1]).shape  # progressive sizes: of the epoch's own
    assert [training for _, training in seen] == [False, False]
    saved = read_state(with_pictures / "last.safetensors")
    for name, value in saved.items():
        np.testing.assert_array_equal(seen[-1][0][name], value, err_msg=name)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(with_pictures / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert set(events.Tags()["images"]) == {"people", "stacks"}
    assert [event.step for event in events.Images("people")] == [2, 4]
    without = train(recipe(tmp_path / "without"))
    assert not (without / "pictures").exists()
    for name, value in read_state(without / "last.safetensors").items():
        np.testing.assert_array_equal(saved[name], value, err_msg=name)
