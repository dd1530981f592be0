"""Human3.6M's own layout, on CDF files that the test writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cdflib = pytest.importorskip("cdflib")

from vitruvian.data.h36m import read_cdf
from vitruvian.data.h36m.names import CAMERAS, OF_32
from vitruvian.data.images import write_image
from vitruvian.errors import FormatError

_TWO = CAMERAS[:2]


def _image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_image(path, pixels)


def _write(path: Path, pose: np.ndarray) -> None:
    """(F, values) as the data set has it: one record of float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
    writer = cdflib.cdfwrite.CDF(str(path), cdf_spec={"rDim_sizes": []}, delete=True)
    writer.write_var({**spec, "Dim_Sizes": list(pose.shape)}, var_data=pose[None].astype(np.float32))
    writer.close()


def _mono(root: Path, world) -> Path:
    for subject, takes in world.takes.items():
        features = root / subject / "MyPoseFeatures"
        for take in takes:
            for name in _TWO:
                joints, pixels = world.seen(subject, take, name), world.pixels(subject, take, name)
                _write(features / "D3_Positions_mono" / f"{take}.{name}.cdf", joints.reshape(len(joints), -1))
                _write(features / "D2_Positions" / f"{take}.{name}.cdf", pixels.reshape(len(pixels), -1))
    return root


def test_positions_of_each_camera(world, tmp_path: Path) -> None:
    frames = read_cdf(_mono(tmp_path, world))
    assert frames.axes == "camera"
    assert len(frames) == 2 * 2 * (4 + 3 + 2)
    for subject in ("S1", "S9"):
        for take, action in (("Walking 1", "Walking"), ("Walking", "Walking"), ("WalkDog", "WalkDog")):
            for name in _TWO:
                part = frames.select(frames.sequence == f"{subject}/{take}/{name}")
                np.testing.assert_allclose(part.joints_mm, world.seen_17(subject, take, name), atol=1e-3)
                np.testing.assert_allclose(part.keypoints_px, world.pixels(subject, take, name)[:, OF_32], atol=1e-3)
                assert set(part.subject) == {subject}
                assert set(part.action) == {action}
                assert part.frame.tolist() == list(range(len(part)))


def test_walking_is_not_walking_the_dog(world, tmp_path: Path) -> None:
    frames = read_cdf(_mono(tmp_path, world), subjects=["S9"], actions=["Walking"])
    assert set(frames.action) == {"Walking"}
    assert set(frames.subject) == {"S9"}
    assert len(frames) == 2 * (4 + 3)
    with pytest.raises(FormatError, match="no takes of"):
        read_cdf(tmp_path, actions=["Flying"])
    with pytest.raises(FormatError, match="no folder of subject S5"):
        read_cdf(tmp_path, subjects=["S1", "S5"])


def test_world_positions_with_cameras_agree(world, write_xml, tmp_path: Path) -> None:
    mono = read_cdf(_mono(tmp_path / "mono", world), actions=["Walking"])
    for subject, takes in world.takes.items():
        for take, joints in takes.items():
            path = tmp_path / "world" / subject / "Poses_D3_Positions" / f"{take}.cdf"  # as other tools unpack it
            _write(path, joints.reshape(len(joints), -1))
    cameras = write_xml(tmp_path / "metadata.xml", world)
    frames = read_cdf(tmp_path / "world", cameras=cameras, actions=["Walking"])
    assert len(frames) == 2 * len(mono), "four cameras instead of two"
    for sequence in np.unique(mono.sequence):
        ours, theirs = (f.select(f.sequence == sequence) for f in (frames, mono))
        np.testing.assert_allclose(ours.joints_mm, theirs.joints_mm, atol=2e-3)
        np.testing.assert_allclose(ours.keypoints_px, theirs.keypoints_px, atol=2e-3)
        camera = ours.cameras[ours.camera[0]]
        np.testing.assert_allclose(camera.camera_to_image(ours.joints_mm), ours.keypoints_px, atol=1e-6)
    with pytest.raises(FormatError, match="D3_Positions_mono"):
        read_cdf(tmp_path / "world")


def test_pictures_and_masks_are_found_by_number(world, tmp_path: Path, rng: np.random.Generator) -> None:
    root = _mono(tmp_path / "data", world)
    pixels = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    for i in (1, 2, 4):  # the third was not extracted
        _image(tmp_path / f"images/S1/Walking_1.{_TWO[0]}/img_{i:06d}.png", pixels[i - 1])
        _image(tmp_path / f"masks/S1/Walking 1.{_TWO[0]}/{i:06d}.png", (pixels[i - 1] > 128).astype(np.uint8) * 255)
    frames = read_cdf(root, images=tmp_path / "images", masks=tmp_path / "masks", subjects=["S1"])
    part = frames.select(frames.sequence == f"S1/Walking 1/{_TWO[0]}")
    for i in (0, 1, 3):
        np.testing.assert_array_equal(part.picture(i), pixels[i])
        np.testing.assert_array_equal(part.mask(i), (pixels[i] > 128).any(axis=2))
    assert part.pictures[2] is None
    assert set(frames.select(frames.sequence != part.sequence[0]).pictures) == {None}


def test_the_data_sets_own_masks(world, tmp_path: Path, rng: np.random.Generator) -> None:
    """Matlab 7.3: a cell array is references, and every array is stored transposed."""
    h5py = pytest.importorskip("h5py")
    root = _mono(tmp_path, world)
    masks = rng.random((4, 5, 7)) < 0.5
    path = root / "S1/MySegmentsMat/ground_truth_bs" / f"Walking 1.{_TWO[1]}.mat"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        cells = [file.create_dataset(f"#refs#/{i}", data=mask.T.astype(np.uint8)).ref for i, mask in enumerate(masks)]
        file.create_dataset("Masks", (4, 1), dtype=h5py.ref_dtype)[:, 0] = cells
    frames = read_cdf(root, subjects=["S1"])
    part = frames.select(frames.sequence == f"S1/Walking 1/{_TWO[1]}")
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(part.mask(i), mask)


def test_damage_is_named(world, tmp_path: Path) -> None:
    root = _mono(tmp_path, world)
    broken = root / "S1/MyPoseFeatures/D3_Positions_mono" / f"Walking.{_TWO[0]}.cdf"
    whole = broken.read_bytes()
    for data in (whole[: len(whole) // 3], b"", b"no CDF at all"):
        broken.write_bytes(data)
        with pytest.raises(FormatError, match="cannot be read as CDF") as caught:
            read_cdf(root)
        assert str(broken) in str(caught.value)
    _write(broken, np.zeros((3, 90)))
    with pytest.raises(FormatError, match="expected \\(frames, 32, 3\\)"):
        read_cdf(root)
    _write(broken, np.zeros((5, 96)))
    with pytest.raises(FormatError, match="has 3 frames, the positions in mm 5"):
        read_cdf(root)
    with pytest.raises(FormatError, match="no such folder"):
        read_cdf(tmp_path / "nowhere")
