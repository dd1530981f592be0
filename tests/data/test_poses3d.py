"""`Frames3D`: consistency, choosing, camera axes, and files that give back what was written."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vitruvian.data.images import write_image
from vitruvian.data.poses3d import Frames3D, concatenate, read_poses3d, write_poses3d
from vitruvian.errors import FormatError, ShapeError
from vitruvian.geometry.cameras import random_camera
from vitruvian.skeletons import H36M17, LSP14


def frames3d(rng: np.random.Generator, count: int = 6, **changes) -> Frames3D:
    cameras = tuple(random_camera(rng, np.zeros(3)) for _ in range(2))
    camera = np.arange(count) % 2
    world = rng.normal(0, 400, (count, 17, 3))
    columns = {
        "joints_mm": np.stack([cameras[c].world_to_camera(pose) for c, pose in zip(camera, world, strict=True)]),
        "subject": np.array(["S1", "S5"])[np.arange(count) // 3 % 2],
        "action": np.array(["Walking", "Eating", "Walking"])[np.arange(count) % 3],
        "sequence": np.array([f"{i // 3}/{i % 2}" for i in range(count)]),
        "frame": np.arange(count),
        "keypoints_px": np.stack([cameras[c].world_to_image(pose) for c, pose in zip(camera, world, strict=True)]),
        "cameras": cameras,
        "camera": camera,
        "source": "made up",
    }
    return Frames3D(H36M17, **{**columns, **changes})


def _same(a: Frames3D, b: Frames3D, tolerance: float = 0.0) -> None:
    for name in ("joints_mm", "keypoints_px", "boxes_xyxy"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=tolerance, err_msg=name)
    for name in ("subject", "action", "sequence", "frame", "camera"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.skeleton, a.axes, a.source, len(a.cameras)) == (b.skeleton, b.axes, b.source, len(b.cameras))


def _picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def test_what_is_not_given_is_unknown(rng: np.random.Generator) -> None:
    frames = frames3d(rng, keypoints_px=None, cameras=(), camera=None)
    assert np.isnan(frames.keypoints_px).all()
    assert np.isnan(frames.boxes_xyxy).all()
    assert (frames.camera == -1).all()
    assert set(frames.pictures) == set(frames.masks) == {None}
    for what in ("picture", "mask"):
        with pytest.raises(ShapeError, match=f"frame 2 of made up has no {what}"):
            getattr(frames, what)(2)


def test_choosing(rng: np.random.Generator) -> None:
    frames = frames3d(rng, 12, pictures=[_picture(i) for i in range(12)])
    chosen = frames.filtered(subjects=["S5"], actions=["Walking"])
    rows = [i for i in range(12) if i // 3 % 2 == 1 and i % 3 != 1]
    assert chosen.frame.tolist() == rows
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(chosen.picture(i), _picture(row))
        np.testing.assert_array_equal(chosen.joints_mm[i], frames.joints_mm[row])
    every = frames.filtered(every=2)
    expected = [i for s in np.unique(frames.sequence) for i in np.flatnonzero(frames.sequence == s)[::2]]
    assert every.frame.tolist() == sorted(expected), "counted within each sequence"
    assert frames.select(slice(2, 4)).frame.tolist() == [2, 3]
    with pytest.raises(ShapeError, match="no action 'Walk'; it has Eating, Walking"):
        frames.filtered(actions=["Walk"])
    with pytest.raises(ShapeError, match="every must be"):
        frames.filtered(every=0)


def test_camera_axes(rng: np.random.Generator) -> None:
    frames = frames3d(rng)
    world = np.stack(
        [frames.cameras[c].camera_to_world(pose) for c, pose in zip(frames.camera, frames.joints_mm, strict=True)]
    )
    there = frames3d(rng, joints_mm=world, axes="world", cameras=frames.cameras, camera=frames.camera)
    np.testing.assert_allclose(there.to_camera().joints_mm, frames.joints_mm, atol=1e-6)
    assert frames.to_camera() is frames
    lost = frames3d(rng, axes="world", cameras=(), camera=None)
    with pytest.raises(ShapeError, match="no cameras"):
        lost.to_camera()


def test_tables_put_together_keep_their_cameras(rng: np.random.Generator) -> None:
    first, second = frames3d(rng), frames3d(rng, 4)
    unknown = frames3d(rng, 2, cameras=(), camera=None)
    both = concatenate([first, unknown, second])
    assert len(both) == 12
    assert both.camera.tolist() == [0, 1, 0, 1, 0, 1, -1, -1, 2, 3, 2, 3]
    assert both.cameras[3] is second.cameras[1]
    for i in (8, 11):
        seen = both.cameras[both.camera[i]].camera_to_image(both.joints_mm[i])
        np.testing.assert_allclose(seen, both.keypoints_px[i], atol=1e-6)
    with pytest.raises(ShapeError, match="world axes"):
        concatenate([first, frames3d(rng, axes="world")])
    with pytest.raises(ShapeError, match="no frames"):
        concatenate([])


def test_a_file_gives_back_what_was_written(rng: np.random.Generator, tmp_path: Path) -> None:
    pictures = [tmp_path / "photos" / f"{i}.png" for i in range(6)]
    pictures[0].parent.mkdir()
    for i, path in enumerate(pictures):
        write_image(path, _picture(i))
    masks = [rng.random((5, 4)) < 0.5 for _ in range(6)]
    frames = frames3d(rng, pictures=pictures, masks=masks, boxes_xyxy=rng.uniform(0, 9, (6, 4)))
    path = write_poses3d(tmp_path / "table" / "frames.npz", frames)
    back = read_poses3d(path)
    _same(back, frames, tolerance=1e-2)  # float32 of metres and of far points
    for i in range(6):
        np.testing.assert_array_equal(back.picture(i), _picture(i))
        np.testing.assert_array_equal(back.mask(i), masks[i])
        camera, truth = (f.cameras[f.camera[i]] for f in (back, frames))
        np.testing.assert_array_equal(camera.rotation, truth.rotation)
        assert camera.size_wh == truth.size_wh
    (tmp_path / "table").rename(tmp_path / "moved")  # paths are relative to the file
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    (tmp_path / "photos").symlink_to(tmp_path / "elsewhere")
    np.testing.assert_array_equal(read_poses3d(tmp_path / "moved" / "frames.npz").picture(3), _picture(3))


def test_pictures_that_are_functions_are_stored(rng: np.random.Generator, tmp_path: Path) -> None:
    frames = frames3d(rng, pictures=[partial(_picture, i) for i in range(6)], cameras=(), camera=None)
    back = read_poses3d(write_poses3d(tmp_path / "a.npz", frames))
    for i in range(6):
        np.testing.assert_array_equal(back.picture(i), _picture(i))
    mixed = frames3d(rng, pictures=[_picture(0), None, *[_picture(1)] * 4])
    with pytest.raises(FormatError, match="some are files"):
        write_poses3d(tmp_path / "b.npz", mixed)
    sizes = frames3d(rng, pictures=[_picture(0)[: i + 1] for i in range(6)])
    with pytest.raises(FormatError, match="different sizes"):
        write_poses3d(tmp_path / "b.npz", sizes)
    assert not (tmp_path / "b.npz").exists()


def test_other_files_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = write_poses3d(tmp_path / "a.npz", frames3d(rng))
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"other"):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="cannot be read"):
            read_poses3d(path)
    np.savez(path, joints_mm=np.zeros((2, 17, 3)))
    with pytest.raises(FormatError, match="lacks the array"):
        read_poses3d(path)
    with np.load(write_poses3d(path, frames3d(rng))) as file:
        arrays = dict(file)
    for name, value in (("frame", np.arange(5)), ("camera", np.full(6, 2)), ("axes", np.array("sideways"))):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(FormatError, match="cannot be read as frames"):
            read_poses3d(path)
    with pytest.raises(FormatError, match="no such file"):
        read_poses3d(tmp_path / "nothing.npz")


def test_contradictions_are_refused(rng: np.random.Generator) -> None:
    for changes in (
        {"joints_mm": np.zeros((6, 14, 3))},
        {"subject": np.array(["S1"])},
        {"pictures": [None]},
        {"camera": np.full(6, 2)},
        {"camera": np.full(6, -2)},
        {"axes": "image"},
    ):
        with pytest.raises(ShapeError):
            frames3d(rng, **changes)
    other = Frames3D(LSP14, np.zeros((1, 14, 3)), *([[""]] * 3), frame=[0])
    with pytest.raises(ShapeError, match="of lsp14 in camera axes"):
        concatenate([frames3d(rng), other])
