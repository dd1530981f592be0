"""The target factory: filters, sizes, joints, masks of overlapping people, going on, bad files, the files it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitruvian.data.prepare_masks as factory
from vitruvian.data import read_image
from vitruvian.data.pixel_targets import center_pixels, heatmap, joint_heatmaps, nearest_labels
from vitruvian.data.prepare_masks import KINDS, Choices, best_mask, prepare
from vitruvian.errors import VitruvianError
from vitruvian.formats import coco, rle

CHOICES = Choices(min_side=60, max_side=200, shorter_side=32)
SIZE_WH = (80, 120)


class Folders:
    """Photos, joints and masks in a folder, made as a test wants them."""

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.rng = rng
        self.images, self.poses, self.masks, self.out = (root / n for n in ("images", "poses", "masks", "out"))
        for folder in (self.images, self.poses, self.masks):
            folder.mkdir()

    def add(self, name: str, size_wh: tuple[int, int] = SIZE_WH, people: int = 1, joints: int = 25) -> np.ndarray:
        """A photo with joints in its middle half, which its mask fills; the joints (25, 2) of the last person."""
        width, height = size_wh
        Image.fromarray(self.rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(self.images / f"{name}.png")
        rows, points = [], np.zeros((25, 2))
        for _ in range(people):
            points = self.rng.uniform(np.array(size_wh) * 0.3, np.array(size_wh) * 0.7, (25, 2)).round(2)
            triplets = np.concatenate([points, np.full((25, 1), 0.75)], axis=1)
            triplets[joints:] = 0
            rows.append({"person_id": [-1], "pose_keypoints_2d": triplets.ravel().tolist()})
        (self.poses / f"{name}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": rows}))
        self.mask(name, (width // 4, height // 4, width - width // 4, height - height // 4), size_wh)
        return points

    def mask(self, name: str, box: tuple[int, int, int, int], size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
        mask = np.zeros(size_wh[::-1], np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = 255
        Image.fromarray(mask).save(self.masks / f"{name}.png")
        return mask > 0

    def prepare(self, choices: Choices = CHOICES, **options) -> factory.Summary:
        return prepare(self.images, self.poses, self.masks, self.out, choices, **options)

    def written(self) -> dict[str, bytes]:
        files = (p for p in self.out.rglob("*") if p.is_file())
        return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> Folders:
    return Folders(tmp_path, rng)


def gray(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image)


def test_everything_of_one_photo(folders: Folders) -> None:
    points = folders.add("anna", (80, 131))
    summary = folders.prepare(val_share=0)
    assert (summary.kept, summary.already, summary.left_out, summary.broken) == (1, 0, {}, [])
    # 80 -> 32 pixels, 131 -> 52.4, padded to 64
    assert dict(summary.sizes) == {(32, 64): 1}
    small = (points + 0.5) * (32 / 80, 52 / 131) - 0.5
    out, size_wh = folders.out, (32, 64)
    picture = read_image(out / "images/anna.png")
    assert picture.shape == (64, 32, 3)
    assert (picture[52:] == 0).all()
    assert (picture[:52].reshape(-1, 3).std(axis=0) > 5).all()
    mask = gray(out / "masks/anna.png")
    assert set(np.unique(mask)) == {0, 255}
    assert (mask > 0).sum() == pytest.approx(16 * 0.5 * 52, rel=0.1)
    np.testing.assert_array_equal(gray(out / "JOINTCENTERPIXELS/anna.png"), center_pixels(small, size_wh))
    np.testing.assert_array_equal(gray(out / "HEATMAPSOFTMAX/anna.png"), nearest_labels(small, size_wh))
    np.testing.assert_array_equal(gray(out / "JOINTGAUSSIANS/anna.png"), nearest_labels(small, size_wh, threshold=0))
    np.testing.assert_array_equal(gray(out / "HEATMAPS/anna.png"), np.rint(heatmap(small, size_wh, peak=255)))
    with np.load(out / "JOINTHEATMAPS/anna.npz") as file:
        np.testing.assert_array_equal(file["heatmaps"], np.rint(joint_heatmaps(small, size_wh) * 255))
    assert not (out / "train.json").exists()
    (record,) = coco.read(out / "annotations.json").records
    (person,) = record.persons
    assert record.image_path == out / "images/anna.png"
    assert (record.size_wh, record.skeleton.name) == (size_wh, "body25")
    np.testing.assert_allclose(person.keypoints_px, small, atol=1e-9)
    np.testing.assert_array_equal(rle.to_mask(person.segmentation, size_wh), mask > 0)
    assert person.area_px == (mask > 0).sum()
    y, x = np.nonzero(mask)
    np.testing.assert_allclose(person.box_xyxy, [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5])
    assert person.extra["joints_in_mask"] == 1


def test_the_systems_whole_joints_and_jpeg(folders: Folders) -> None:
    points = folders.add("anna")
    folders.prepare(replace(CHOICES, floor_joints=True, heatmap_jpeg=True, kinds=("HEATMAPS", "JOINTCENTERPIXELS")))
    whole = np.floor(np.floor(points) * 0.4)
    np.testing.assert_array_equal(gray(folders.out / "JOINTCENTERPIXELS/anna.png"), center_pixels(whole, (32, 48)))
    through_jpeg = gray(folders.out / "HEATMAPS/anna.jpg").astype(float)
    assert np.abs(through_jpeg - heatmap(whole, (32, 48), peak=255)).max() < 8
    assert not (folders.out / "HEATMAPSOFTMAX").exists()


def test_filters(folders: Folders) -> None:
    folders.add("good")
    folders.add("small", (59, 120))
    folders.add("large", (80, 200))
    folders.add("pair", people=2)
    folders.add("few", joints=21)
    folders.add("unmasked")
    (folders.masks / "unmasked.png").unlink()
    folders.add("dark")
    folders.mask("dark", (0, 0, 0, 0))
    folders.add("elsewhere")
    folders.mask("elsewhere", (0, 0, 10, 10))
    folders.add("unposed")
    (folders.poses / "unposed_keypoints.json").unlink()
    summary = folders.prepare()
    assert summary.kept == 1
    assert summary.left_out == {
        "a side not in 60 ... 199 px": ["large.png", "small.png"],
        "not exactly one person": ["pair.png"],
        "fewer than 22 joints": ["few.png"],
        "no mask": ["unmasked.png"],
        "masks without a pixel above 200": ["dark.png"],
        "fewer than 50% of the joints in any mask": ["elsewhere.png"],
        "no file of joints": ["unposed.png"],
    }
    assert "left out 2, a side not in" in str(summary)
    assert {p.stem for p in (folders.out / "images").iterdir()} == {"good"}


def test_joints_outside_or_at_the_origin_are_missing(folders: Folders) -> None:
    folders.add("anna")
    path = folders.poses / "anna_keypoints.json"
    data = json.loads(path.read_text())
    data["people"][0]["pose_keypoints_2d"][:12] = [-1, 50, 0.9, 79.5, 50, 0.9, 0, 0, 0.9, 40, 119.6, 0.9]
    path.write_text(json.dumps(data))
    assert "fewer than 22 joints" in folders.prepare().left_out
    other = replace(CHOICES, min_joints=21)
    summary = prepare(folders.images, folders.poses, folders.masks, folders.out.with_name("out2"), other)
    assert summary.kept == 1
    (record,) = coco.read(folders.out.with_name("out2") / "annotations.json").records
    assert record.persons[0].visibility.tolist() == [0] * 4 + [2] * 21


def test_of_overlapping_people_the_one_with_the_joints(folders: Folders) -> None:
    """Not the first, nor the largest, and not a mask whose name belongs to another photo."""
    points = folders.add("pair")
    (folders.masks / "pair.png").unlink()
    folders.mask("pair_0", (0, 0, 30, 120))
    x0, y0 = np.floor(points.min(axis=0)).astype(int)
    x1, y1 = np.ceil(points.max(axis=0)).astype(int) + 1
    folders.mask("pair_1", (x0, y0, x1, y1))
    folders.mask("pair_2", (0, 0, 80, 120))  # holds all the joints too, and much more
    folders.add("pair_3")  # a photo of its own
    folders.prepare()
    mask = gray(folders.out / "masks/pair.png") > 0
    assert mask.sum() == pytest.approx(0.4**2 * (x1 - x0) * (y1 - y0), rel=0.2)
    assert (folders.out / "masks/pair_3.png").is_file()


def test_best_mask_counts_joints() -> None:
    left, right, both = np.zeros((3, 10, 20), bool)
    left[:, :10], right[:, 10:], both[:] = True, True, True
    joints = np.array([[12.0, 3], [13, 4], [2, 4], [np.nan, np.nan]])
    assert best_mask([left, right], joints) == (1, pytest.approx(2 / 3))
    assert best_mask([left, both, right], joints) == (1, 1)
    assert best_mask([left, both, right], joints[:2]) == (2, 1)  # of equal ones the smallest
    assert best_mask([left, right], joints[3:])[1] == 0


def test_any_people(folders: Folders) -> None:
    folders.add("pair", people=2)
    path = folders.poses / "pair_keypoints.json"
    data = json.loads(path.read_text())
    data["people"][0]["pose_keypoints_2d"][:30] = [0] * 30
    data["people"].append(data["people"][0])
    path.write_text(json.dumps(data))
    assert folders.prepare(replace(CHOICES, one_person=False)).kept == 1
    (record,) = coco.read(folders.out / "annotations.json").records
    assert record.persons[0].labelled.all()


def test_going_on_after_an_interruption(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        folders.add(f"{i}")
    made, real = [], factory._write_targets

    def write_three(out, name, *rest):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(name)
        real(out, name, *rest)

    monkeypatch.setattr(factory, "_write_targets", write_three)
    with pytest.raises(KeyboardInterrupt):
        folders.prepare()
    assert not (folders.out / "annotations.json").exists()
    assert {p.stem for p in (folders.out / "items").iterdir()} == set("012")
    monkeypatch.setattr(factory, "_write_targets", lambda out, name, *rest: (made.append(name), real(out, name, *rest)))
    summary = folders.prepare()
    assert (summary.kept, summary.already) == (5, 3)
    assert made == list("01234")  # nothing twice
    stopped = folders.written()
    folders.out = folders.out.with_name("whole")
    folders.prepare()
    assert folders.written() == stopped  # to the byte what an uninterrupted run writes
    with pytest.raises(VitruvianError, match=r"made with sigma 1.0 instead of 2.0; choose another folder"):
        folders.prepare(replace(CHOICES, sigma=2.0))


def test_bad_files_are_named_and_cost_their_own_photo_only(folders: Folders) -> None:
    for name in ("good", "json", "mask", "photo", "size"):
        folders.add(name)
    (folders.poses / "json_keypoints.json").write_text('{"people": [')
    (folders.masks / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    (folders.images / "photo.png").write_bytes((folders.images / "photo.png").read_bytes()[:500])
    folders.mask("size", (20, 30, 60, 90), (81, 120))
    (folders.images / "good.jpg").write_bytes((folders.images / "good.png").read_bytes())  # its targets' names collide
    summary = folders.prepare()
    assert summary.kept == 1
    named = {Path(name).name: problem for name, problem in summary.broken}
    assert set(named) == {"json_keypoints.json", "mask.png", "photo.png", "size.png", "good.png"}
    assert named["size.png"] == "is 81 x 120, its photo 80 x 120"
    assert "rename one" in named["good.png"]
    assert all(f"skipped {name}: {problem}" in str(summary) for name, problem in summary.broken)
    folders.add("json")  # mended, it comes in the next time
    assert folders.prepare().kept == 2


def test_a_broken_record_is_named_with_its_field(folders: Folders) -> None:
    folders.add("bare")
    (folders.poses / "bare_keypoints.json").write_text('{"people": [{}]}')
    ((_, problem),) = folders.prepare().broken
    assert "pose_keypoints_2d" in problem


def test_options_may_change_while_nothing_was_made(folders: Folders) -> None:
    """A first try that left everything out, by sides that no photo has, does not bind the folder."""
    folders.add("a")
    assert folders.prepare(replace(CHOICES, min_side=5000, max_side=6000)).kept == 0
    assert folders.prepare().kept == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 5.0},
        {"threshold": -1.0},
        {"min_side": 900, "max_side": 600},
        {"min_agreement": 2.0},
        {"mask_threshold": 300},
    ],
)
def test_choices_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(VitruvianError, match=next(iter(wrong))):
        replace(CHOICES, **wrong)


def test_the_split_is_numpys_old_permutation(folders: Folders) -> None:
    for i in range(5):
        folders.add(f"{i}")
    folders.prepare()
    names = lambda file: {r.image_path.stem for r in coco.read(folders.out / file).records}  # type: ignore[union-attr]  # noqa: E731
    np.random.seed(23)  # noqa: NPY002
    expected = np.random.permutation(5)  # noqa: NPY002
    assert names("train.json") == {str(i) for i in expected[:4]}
    assert names("val.json") == {str(expected[4])}


def test_progress_and_what_cannot_be(folders: Folders) -> None:
    folders.add("a")
    folders.add("b")
    seen = []
    folders.prepare(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    with pytest.raises(VitruvianError, match="val_share"):
        folders.prepare(val_share=1.0)
    with pytest.raises(VitruvianError, match="known: JOINTCENTERPIXELS"):
        Choices(kinds=("HEAT",))
    with pytest.raises(VitruvianError, match="must be positive"):
        Choices(sigma=0)
    folders.poses = folders.poses / "nothing"
    with pytest.raises(VitruvianError, match="not a folder"):
        folders.prepare()
    assert set(KINDS) == {p.name for p in folders.out.iterdir() if p.name.isupper()}
