"""``vitruvian predict --masks`` and ``--background``, and measuring masks, with networks of fresh weights."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

torch = pytest.importorskip("torch")

from vitruvian.cli import main
from vitruvian.cli.predict import _Done
from vitruvian.codecs import PixelsCodec
from vitruvian.formats import rle
from vitruvian.models import build_model
from vitruvian.predict import Result
from vitruvian.predict.masks import MASK_MODEL
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.types import Poses
from vitruvian.weights import zoo
from vitruvian.weights.card import Card
from vitruvian.weights.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def mask_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of masks alone, with fresh weights."""
    codec = PixelsCodec((32, 32), stride=2, heads=("mask",))
    options = {"widths": (8, 8, 8, 8), "depths": (0, 0, 0), "neck": (8, 8), "fine": (8, 8)}
    torch.manual_seed(0)
    network = build_model("compact", 19, codec, **options)
    card = Card("mask-tiny", "compact", VITRUVIAN19, Preprocess((32, 32)), codec, options)
    path = tmp_path_factory.mktemp("mask") / "mask.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    return path


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def _run(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_masks_are_written_everywhere(photos: Path, mask_model: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--model", tiny_checkpoint, "--mask-model", mask_model, "--detector", "none", "--out", out)
    said = _run("predict", photos, *options, "--background", "remove")
    assert "Masks: mask-tiny" in said
    rows = json.loads((out / "keypoints.json").read_text(encoding="utf-8"))
    for row in rows:
        mask = np.asarray(Image.open(out / "masks" / f"{row['image_id']}_0.png"))
        np.testing.assert_array_equal(np.unique(np.append(mask, [0, 255])), [0, 255])
        np.testing.assert_array_equal(rle.decode(row["segmentation"]), mask > 0)
        cut = Image.open(out / f"{row['image_id']}_cut.png")
        assert cut.mode == "RGBA"
        np.testing.assert_array_equal(
            np.asarray(cut)[..., :3], np.asarray(Image.open(photos / f"{row['image_id']}.png"))
        )
    assert len(rows) == 2
    older = out / "masks" / "a_7.png"
    older.write_bytes((out / "masks" / "a_0.png").read_bytes())
    _run("predict", photos, *options, "--background", "blur", "--no-draw")
    assert not older.exists(), "an earlier run's masks would pass for this one's"
    assert Image.open(out / "a_cut.png").mode == "RGB"


def test_other_masks_are_neither_replaced_nor_removed(
    photos: Path, mask_model: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """As in a data set's own folders ``images`` and ``masks``."""
    options = ("--model", tiny_checkpoint, "--mask-model", mask_model, "--detector", "none", "--out", tmp_path)
    truth = tmp_path / "masks" / "a_0.png"
    truth.parent.mkdir()
    Image.fromarray(np.full((40, 30), 255, np.uint8)).save(truth)
    before = truth.read_bytes()
    done = CliRunner().invoke(main, ["predict", str(photos), *map(str, options)])
    assert done.exit_code == 2
    assert "a_0.png does not say that this program wrote it" in done.output
    assert {p.name for p in tmp_path.iterdir()} == {"photos", "masks"}
    _run("predict", photos / "b.png", *options)
    (photos / "a.png").write_bytes(b"no picture")
    truth.rename(tmp_path / "masks" / "a_x.png")
    assert CliRunner().invoke(main, ["predict", str(photos), *map(str, options)]).exit_code == 1
    assert (tmp_path / "masks" / "a_x.png").read_bytes() == before
    assert (tmp_path / "masks" / "b_0.png").is_file()


def test_of_a_photo_that_fails_no_older_picture_remains(
    photos: Path, mask_model: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--model", tiny_checkpoint, "--detector", "none", "--out", out)
    _run("predict", photos, *options, "--mask-model", mask_model, "--background", "remove", "--3d")
    made = {f"{name}{end}" for name in "ab" for end in (".png", "_cut.png", "_3d.png", "_3d.html")}
    assert made < {p.name for p in out.iterdir()}
    (photos / "a.png").write_bytes(b"no picture")
    assert CliRunner().invoke(main, ["predict", str(photos), *map(str, options), "--no-draw"]).exit_code == 1
    left = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert left == {"b.png", "b_cut.png", "b_3d.png", "b_3d.html", "masks/b_0.png", "keypoints.json", "joints3d.json"}


def test_silhouettes_ask_for_masks(photos: Path, mask_model: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--model", tiny_checkpoint, "--mask-model", mask_model, "--detector", "none", "--min-score", "1")
    _run("predict", photos, *options, "--style", "silhouette", "--out", out)
    mask, drawn = (np.asarray(Image.open(out / name)) for name in ("masks/a_0.png", "a.png"))
    np.testing.assert_array_equal(drawn, mask[..., None].repeat(3, axis=2))  # no joint is sure enough to be drawn


def test_the_shipped_model_of_masks_is_the_default(
    photos: Path, mask_model: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (
        "predict",
        photos,
        "--model",
        tiny_checkpoint,
        "--detector",
        "none",
        "--masks",
        "--out",
        tmp_path / "out",
    )
    monkeypatch.setattr(zoo, "FILES", mask_model.parent)
    monkeypatch.setitem(zoo.ZOO, MASK_MODEL, mask_model.name)
    assert "Masks: mask-tiny" in _run(*options)
    assert (tmp_path / "out" / "masks" / "a_0.png").is_file()


def test_masks_of_finished_photos_are_not_kept(rng: np.random.Generator) -> None:
    """Only their run lengths are, or a folder of photos would not fit into memory."""
    mask = rng.random((1, 40, 30)) < 0.5
    poses = Poses(np.zeros((1, 19, 2)), np.zeros((1, 19)), np.zeros((1, 4)), VITRUVIAN19, (30, 40), masks=mask)
    expected, result = mask.copy(), Result(0, None, poses, None, None)
    done, gone = _Done(), weakref.ref(mask)
    done.take(result)
    del mask, poses, result
    gc.collect()
    assert gone() is None
    kept = done.poses[0].masks
    assert kept is not None
    np.testing.assert_array_equal(kept[0], expected[0])


def test_without_the_options_nothing_of_it_is_written(photos: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    _run("predict", photos, "--model", tiny_checkpoint, "--detector", "none", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "masks").exists()
    rows = json.loads((tmp_path / "out" / "keypoints.json").read_text(encoding="utf-8"))
    assert all("segmentation" not in row for row in rows)


def test_a_model_without_masks_is_named(photos: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(photos), "--model", str(tiny_checkpoint), "--mask-model", str(tiny_checkpoint)]
    done = CliRunner().invoke(main, [*arguments, "--detector", "none", "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert "'tiny' finds no masks" in done.output + str(done.exception)


def test_masks_are_measured_on_a_folder(photos: Path, mask_model: Path, tmp_path: Path) -> None:
    """A model of masks alone, on people without joints."""
    data, mask = tmp_path / "data", np.zeros((40, 30), np.uint8)
    mask[5:30, 8:20] = 255
    (data / "masks").mkdir(parents=True)
    (data / "images").mkdir()
    for photo in photos.iterdir():
        (data / "images" / photo.name).write_bytes(photo.read_bytes())
        Image.fromarray(mask).save(data / "masks" / photo.name)
    out = tmp_path / "figures.json"
    arguments = ("evaluate", mask_model, "masks", data, "--metric", "mask_dice", "--metric", "mask_iou")
    said = _run(*arguments, "--out", out)
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["metrics"]["mask_dice"]["details"]["persons"] == 2
    assert f"soft Dice in the crops: {report['maps']['soft Dice in the crops']:.4f}" in said
    _run("evaluate", mask_model, "masks", data, "--out", out)  # of masks, these are measured if nothing is named
    named = set(json.loads(out.read_text(encoding="utf-8"))["metrics"])
    assert named == {"mask_dice", "mask_dice_in_box", "mask_iou", "mask_boundary_f"}
