"""`SquareCrop` and `SquarePoses`: each step by hand on small pictures, and joints that stay on their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.data.poses3d import Frames3D
from vitruvian.data.square_crop import SquareCrop
from vitruvian.data.square_poses import SquarePoses
from vitruvian.errors import ShapeError, VitruvianError, WeightsError
from vitruvian.skeletons import H36M17


def test_the_systems_steps_by_hand() -> None:
    """A box of 8 x 16 pixels, cut out, without its background, grey, padded by zeros to 16 x 16: no resampling."""
    rng = np.random.default_rng(3)
    picture = rng.integers(1, 256, (40, 50, 3), dtype=np.uint8)
    mask = rng.random((40, 50)) < 0.6
    box = np.array([9.5, 19.5, 17.5, 35.5])
    found, frame_to_input = SquareCrop((16, 16)).crop(picture, box, mask)
    grey = np.rint(picture @ np.array([0.299, 0.587, 0.114])) * mask
    expected = np.zeros((16, 16))
    expected[:, 4:12] = grey[20:36, 10:18]
    assert found.shape == (16, 16, 1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1)
    np.testing.assert_allclose(frame_to_input.apply(np.array([[10.0, 20], [17, 35]])), [[4, 0], [11, 15]])


def test_each_option_changes_what_it_says() -> None:
    rng = np.random.default_rng(4)
    picture = rng.integers(1, 256, (40, 50, 3), dtype=np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[24:30, 12:16] = True
    box = np.array([9.5, 19.5, 17.5, 35.5])
    kept, _ = SquareCrop((16, 16), background="keep").crop(picture, box)
    grey = np.rint(picture @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_allclose(kept[:, 4:12, 0], grey[20:36, 10:18], atol=1)
    assert (kept[:, :4] == 0).all()
    photo, _ = SquareCrop((16, 16), background="keep", pad="photo").crop(picture, box)
    np.testing.assert_allclose(photo[..., 0], grey[20:36, 6:22], atol=1)
    rgb, _ = SquareCrop((16, 16), colour="rgb", background="keep", pad="photo").crop(picture, box)
    np.testing.assert_allclose(rgb, picture[20:36, 6:22].astype(float), atol=1)
    from_grey, _ = SquareCrop((16, 16), colour="rgb", background="keep").crop(picture[..., 0], box)
    assert (from_grey[..., :1] == from_grey).all()
    half, half_map = SquareCrop((8, 8), background="keep", pad="photo").crop(picture, box)
    assert half.shape == (8, 8, 1)
    np.testing.assert_allclose(half_map.apply(np.array([[13.5, 27.5]])), [[3.5, 3.5]])


def test_which_box_is_taken() -> None:
    crop = SquareCrop((16, 16), margin=0.1, joints_margin=0.05)
    given, points = np.array([0.0, 0, 10, 20]), np.array([[2.0, 3], [6, 3], [np.nan, np.nan], [6, 13]])
    mask = np.zeros((30, 30), bool)
    mask[5:15, 4:8] = True
    np.testing.assert_allclose(crop.box(given, mask, points), [-2, -2, 12, 22])
    np.testing.assert_allclose(crop.box(np.full(4, np.nan), mask, points), [3.5 - 1, 4.5 - 1, 7.5 + 1, 14.5 + 1])
    np.testing.assert_allclose(crop.box(None, None, points), [2 - 1.5, 3 - 1.5, 6 + 1.5, 13 + 1.5])
    np.testing.assert_allclose(crop.box(None, mask & False, points), crop.box(None, None, points))
    with pytest.raises(ShapeError, match="got none of them"):
        crop.box(None, None, np.full((3, 2), np.nan))


def test_a_bright_pixel_stays_under_its_joint(rng: np.random.Generator) -> None:
    """For boxes of any size and place, also where they reach beyond the picture, and for every padding."""
    for pad in ("zero", "photo"):
        crop = SquareCrop((64, 64), background="keep", pad=pad)
        x, y = rng.uniform(25, 95, 2)
        picture = np.zeros((120, 120), np.float32)
        v, u = np.mgrid[:120, :120]
        picture = 250 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 18)
        low, high = np.array([x, y]) - rng.uniform(10, 60, 2), np.array([x, y]) + rng.uniform(10, 60, 2)
        image, frame_to_input = crop.crop(picture.astype(np.uint8), np.concatenate([low, high]))
        weights = image[..., 0].astype(float)
        inside = frame_to_input.apply(np.array([[x, y]]))[0]
        v, u = np.mgrid[:64, :64]
        near = np.hypot(u - inside[0], v - inside[1]) < 5 * frame_to_input.matrix[0, 0]
        centre = [(weights * near * axis).sum() / (weights * near).sum() for axis in (u, v)]
        np.testing.assert_allclose(centre, inside, atol=0.35)


def test_refusals() -> None:
    picture, box = np.zeros((20, 20, 3), np.uint8), np.array([2.0, 2, 9, 9])
    with pytest.raises(ShapeError, match="needs each frame's mask"):
        SquareCrop((16, 16)).crop(picture, box)
    with pytest.raises(ShapeError, match="picture's size"):
        SquareCrop((16, 16)).crop(picture, box, np.ones((20, 19)))
    assert not SquareCrop((16, 16), background="keep").crop(picture + 9, box + 100)[0].any(), "nothing of it to see"
    for options in ({"size_wh": (4, 64)}, {"colour": "gray"}, {"background": "white"}, {"pad": "edge"}, {"margin": -1}):
        with pytest.raises(ShapeError):
            SquareCrop(**options)
    crop = SquareCrop((32, 48), "rgb", "keep", "photo", 0.2, 0.3)
    assert SquareCrop.from_dict(crop.to_dict()) == crop
    with pytest.raises(WeightsError, match="colr"):
        SquareCrop.from_dict({"colr": "grey"})


def _frames(rng: np.random.Generator, count: int = 4, **changes) -> Frames3D:
    pictures = rng.integers(0, 256, (count, 50, 40, 3), dtype=np.uint8)
    columns = {
        "joints_mm": rng.normal((100, 0, 4000), 300, (count, 17, 3)),
        "keypoints_px": rng.uniform(5, 35, (count, 17, 2)),
        "pictures": tuple(pictures),
        "masks": tuple(rng.random((count, 50, 40)) < 0.7),
        **{name: np.full(count, "x") for name in ("subject", "action", "sequence")},
        "frame": np.arange(count),
        "source": "made up",
    }
    return Frames3D(H36M17, **{**columns, **changes})


def test_samples(rng: np.random.Generator) -> None:
    frames, crop = _frames(rng), SquareCrop((32, 32))
    dataset = SquarePoses(frames, crop)
    item = dataset[2]
    box = crop.box(None, frames.mask(2), frames.keypoints_px[2])
    image, frame_to_input = crop.crop(frames.picture(2), box, frames.mask(2))
    np.testing.assert_array_equal(item["image"], image)
    np.testing.assert_allclose(item["keypoints_px"], frame_to_input.apply(frames.keypoints_px[2]), atol=1e-4)
    np.testing.assert_allclose(item["joints_mm"], frames.joints_mm[2] - frames.joints_mm[2, 0], atol=1e-3)
    assert (item["joints_mm"][0] == 0).all()
    assert item["visibility"].tolist() == [2] * 17
    dataset.preload()
    uncached = SquarePoses(frames, crop, cache_bytes=0)
    for i in range(4):
        for name, value in dataset[i].items():
            np.testing.assert_array_equal(uncached[i][name], value)


def test_mirroring_swaps_sides_and_depends_on_seed_epoch_and_index_alone(rng: np.random.Generator) -> None:
    frames, crop = _frames(rng, 30), SquareCrop((32, 32), background="keep")
    plain = SquarePoses(frames, crop)
    always, half = (SquarePoses(frames, crop, mirror_prob=p, seed=5) for p in (1.0, 0.5))
    a, b = plain[3], always[3]
    np.testing.assert_array_equal(b["image"], a["image"][:, ::-1])
    left, right = H36M17.index("left_wrist"), H36M17.index("right_wrist")
    np.testing.assert_allclose(b["joints_mm"][left], a["joints_mm"][right] * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(b["keypoints_px"][left], [31 - a["keypoints_px"][right, 0], a["keypoints_px"][right, 1]])
    twice = always.mirrored(*always.mirrored(a["image"], a["keypoints_px"], a["joints_mm"]))
    for before, after in zip((a["image"], a["keypoints_px"], a["joints_mm"]), twice, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-4)

    def which(epoch: int) -> list[bool]:
        return [not np.array_equal(half[i, epoch]["joints_mm"], plain[i]["joints_mm"]) for i in range(30)]

    assert which(0) == which(0)
    assert which(0) != which(1)
    assert 0 < sum(which(0)) < 30


def test_frames_without_a_root_or_cameras(rng: np.random.Generator) -> None:
    joints = _frames(rng).joints_mm.copy()
    joints[1, 0] = np.nan
    joints[2, 5] = np.nan
    dataset = SquarePoses(_frames(rng, joints_mm=joints), SquareCrop((32, 32)))
    assert dataset.poses.frame.tolist() == [0, 2, 3]
    assert np.isnan(dataset[1]["joints_mm"][5]).all()
    assert np.isfinite(dataset[1]["joints_mm"][4]).all()
    with pytest.raises(VitruvianError, match="none of 4 frames has a labelled pelvis"):
        SquarePoses(_frames(rng, joints_mm=np.full((4, 17, 3), np.nan)), SquareCrop((32, 32)))
    with pytest.raises(VitruvianError, match="world axes"):
        SquarePoses(_frames(rng, axes="world"), SquareCrop((32, 32)))
    with pytest.raises(ShapeError, match="no mask"):
        SquarePoses(_frames(rng, masks=None), SquareCrop((32, 32)))[0]
