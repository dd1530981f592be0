"""The two processed layouts of Human3.6M: annot.h5 beside pictures, and JSON files a subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitruvian.data.h36m import read_annot_h5, read_annot_json
from vitruvian.data.h36m.names import ACTIONS, CAMERAS, OF_32
from vitruvian.data.images import write_image
from vitruvian.errors import FormatError


def _image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_image(path, pixels)


def _h5(root: Path, world, **changes: Any) -> Path:
    """Every fifth frame of two cameras, one after the other; numbered from 1 in the video."""
    h5py = pytest.importorskip("h5py")
    for subject, takes in world.takes.items():
        for take, joints in takes.items():
            names = [name for name in CAMERAS[:2] for _ in joints]
            arrays = {
                "pose/2d": np.concatenate([world.pixels(subject, take, name) for name in CAMERAS[:2]]),
                "pose/3d": np.concatenate([world.seen(subject, take, name) for name in CAMERAS[:2]]),
                "frame": np.tile(np.arange(len(joints)) * 5 + 1, 2),
                "camera": np.array([int(name) for name in names]),
            }
            for name in CAMERAS[:2]:
                camera = world.cameras[subject, name]
                pairs = zip(camera.focal_px, camera.centre_px, strict=True)
                arrays[f"intrinsics/{name}"] = np.array([number for pair in pairs for number in pair])
            path = root / subject / take.replace(" ", "-") / "annot.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                for name, value in {**arrays, **changes}.items():
                    if value is not None:
                        file[name] = value
    return root


def test_h5(world, tmp_path: Path, rng: np.random.Generator) -> None:
    root = _h5(tmp_path, world)
    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    _image(root / "S1/Walking-1/imageSequence" / CAMERAS[1] / "img_000006.png", pixels)
    jpeg = root / "S1/Walking-1/imageSequence" / CAMERAS[1] / "img_000006.jpg"
    _image(jpeg, pixels)
    frames = read_annot_h5(root, actions=["Walking"])
    assert len(frames) == 2 * 2 * (4 + 3)
    for subject in ("S1", "S9"):
        for name in CAMERAS[:2]:
            part = frames.select(frames.sequence == f"{subject}/Walking-1/{name}")
            np.testing.assert_allclose(part.joints_mm, world.seen_17(subject, "Walking 1", name))
            np.testing.assert_allclose(part.keypoints_px, world.pixels(subject, "Walking 1", name)[:, OF_32])
            assert part.frame.tolist() == [0, 5, 10, 15]
            camera = part.cameras[part.camera[0]]
            np.testing.assert_array_equal(camera.focal_px, world.cameras[subject, name].focal_px)
            np.testing.assert_array_equal(camera.centre_px, world.cameras[subject, name].centre_px)
    pictured = [path for path in frames.pictures if path is not None]
    assert pictured == [jpeg]
    row = frames.pictures.index(jpeg)
    assert frames.sequence[row] == f"S1/Walking-1/{CAMERAS[1]}"
    assert frames.frame[row] == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pose/3d": None}, "universal=True"),
        ({"frame": np.arange(3)}, "rows do not belong together"),
        ({"pose/2d": np.zeros((8, 31, 2))}, "expected \\(frames, 32, 2\\)"),
        ({f"intrinsics/{CAMERAS[0]}": np.array([0.0, 1, 1, 1])}, "expected four numbers"),
        ({"pose/2d": np.full((8, 32, 2), np.nan)}, "finite"),
    ],
)
def test_h5_refusals(world, changes: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=said):
        read_annot_h5(_h5(tmp_path, world, **changes))


def test_h5_universal_positions_and_nothing_there(world, tmp_path: Path) -> None:
    count = {"Walking 1": 4, "Walking": 3, "WalkDog": 2}["WalkDog"] * 2
    _h5(tmp_path, world)
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "S1" / "WalkDog" / "annot.h5"
    other = np.random.default_rng(0).normal(size=(count, 32, 3))
    with h5py.File(path, "a") as file:
        file["pose/3d-univ"] = other
    frames = read_annot_h5(tmp_path, subjects=["S1"], actions=["WalkDog"], universal=True)
    np.testing.assert_array_equal(frames.joints_mm, other[:, OF_32])
    path.write_bytes(b"broken")
    with pytest.raises(FormatError, match="cannot be read as HDF5"):
        read_annot_h5(tmp_path, subjects=["S1"], actions=["WalkDog"])
    with pytest.raises(FormatError, match=r"no annot.h5 of \['Flying'\]"):
        read_annot_h5(tmp_path, actions=["Flying"])


def _json(root: Path, world, places: bool) -> Path:
    """``t`` as the camera's place (older) or as the translation; lenses without distortion, as there."""
    for subject, takes in world.takes.items():
        images, annotations, joints, cameras = [], [], {}, {}
        for take, positions in takes.items():
            action = take.partition(" ")[0]
            number, sub = ACTIONS.index(action) + 2, 2 if take.endswith("1") else 1
            kept = joints.setdefault(str(number), {}).setdefault(str(sub), {})
            for c, name in enumerate(CAMERAS, 1):
                camera = world.cameras[subject, name]
                t = camera.position_mm if places else -camera.rotation @ camera.position_mm
                lens = {"f": camera.focal_px.tolist(), "c": camera.centre_px.tolist()}
                cameras[str(c)] = {"R": camera.rotation.tolist(), "t": t.tolist(), **lens}
                for f, pose in enumerate(positions[:, OF_32]):
                    kept[str(f)] = pose.tolist()
                    plane = camera.world_to_camera(pose)
                    points = plane[:, :2] / plane[:, 2:] * camera.focal_px + camera.centre_px
                    low, high = points.min(axis=0), points.max(axis=0)
                    images.append(
                        {"id": len(images), "file_name": f"{action}/{c}_{f:06d}.jpg", "width": 1000, "height": 1002,
                         "subject": int(subject[1:]), "action_name": action, "action_idx": number,
                         "subaction_idx": sub, "cam_idx": c, "frame_idx": f}
                    )  # fmt: skip
                    box = [*low, *(high - low)]
                    annotations.append({"id": len(annotations), "image_id": len(images) - 1, "bbox": box})
        for kind, data in (("data", {"images": images, "annotations": annotations}), ("joint_3d", joints)):
            _dump(root, subject, kind, data)
        _dump(root, subject, "camera", cameras)
    return root


def _dump(root: Path, subject: str, kind: str, data: Any) -> None:
    path = root / "annotations" / f"Human36M_subject{subject[1:]}_{kind}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")


@pytest.mark.parametrize("places", [False, True], ids=["t is a translation", "t is a place"])
def test_json(world, places: bool, tmp_path: Path) -> None:
    root = _json(tmp_path, world, places)
    picture = _image(root / "images/Walking/3_000002.jpg", np.zeros((4, 4, 3), np.uint8))
    frames = read_annot_json(root, subjects=["S9"], actions=["Walking"])
    assert len(frames) == 4 * (4 + 3)
    for take, sub in (("Walking 1", 2), ("Walking", 1)):
        for name in CAMERAS:
            part = frames.select(frames.sequence == f"S9/Walking {sub}/{name}")
            np.testing.assert_allclose(part.joints_mm, world.seen_17("S9", take, name), atol=1e-6)
            low, high = part.keypoints_px.min(axis=1), part.keypoints_px.max(axis=1)
            np.testing.assert_allclose(part.boxes_xyxy, np.concatenate([low, high], axis=1), atol=1e-6)
    assert {path for path in frames.pictures if path} == {picture}


def test_json_refusals(world, tmp_path: Path) -> None:
    root = _json(tmp_path, world, places=False)
    with pytest.raises(FormatError, match="no Human36M_subject5_data.json"):
        read_annot_json(root, subjects=["S5"])
    with pytest.raises(FormatError, match="no frame of"):
        read_annot_json(root, actions=["Flying"])
    cameras = root / "annotations/Human36M_subject1_camera.json"
    data = json.loads(cameras.read_text("utf-8"))
    turned = {**data["1"], "R": (np.diag([-1.0, -1, 1]) @ np.array(data["1"]["R"])).tolist()}
    cameras.write_text(json.dumps({**data, "1": turned}), "utf-8")
    with pytest.raises(FormatError, match="camera 1 does not see the joints in their boxes"):
        read_annot_json(root, subjects=["S1"])
    cameras.write_text(json.dumps({**data, "1": {"R": [1]}}), "utf-8")
    with pytest.raises(FormatError, match="camera 1 cannot be read"):
        read_annot_json(root, subjects=["S1"])
    _dump(root, "S1", "joint_3d", {})
    with pytest.raises(FormatError, match="KeyError"):
        read_annot_json(root, subjects=["S1"])
