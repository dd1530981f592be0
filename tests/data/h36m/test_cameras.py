"""Human3.6M's three camera files say the same of the same cameras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vitruvian.data.h36m.cameras import read_cameras
from vitruvian.data.h36m.names import CAMERAS
from vitruvian.errors import FormatError
from vitruvian.geometry.cameras import Camera


def _same(found: Camera, truth: Camera) -> None:
    for name in ("focal_px", "centre_px", "rotation", "position_mm", "radial", "tangential"):
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), rtol=1e-9, atol=1e-9, err_msg=name)
    assert (found.distortion, found.size_wh) == (truth.distortion, truth.size_wh)


def test_xml(world, write_xml, tmp_path: Path) -> None:
    found = read_cameras(write_xml(tmp_path / "metadata.xml", world))
    assert len(found) == 44
    for key, camera in world.cameras.items():
        _same(found[key], camera)


def test_xml_by_hand(write_xml, world, tmp_path: Path) -> None:
    """Quarter turns about one axis at a time, in the data set's sense; and which number belongs to whom."""
    path = write_xml(tmp_path / "metadata.xml", world)
    text = path.read_text("utf-8")
    numbers = [float(v) for v in text[text.index("[") + 1 : text.index("]")].split()]
    # camera 2 of subject 5
    place = 6 * (11 * 1 + 4)
    expected = {
        (np.pi / 2, 0, 0): [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        (0, np.pi / 2, 0): [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        (0, 0, np.pi / 2): [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    }
    for angles, rotation in expected.items():
        numbers[place : place + 6] = [*angles, 1.0, 2.0, 3.0]
        path.write_text(f"<a><w0>[{' '.join(map(str, numbers))}]</w0></a>", "utf-8")
        camera = read_cameras(path)["S5", "55011271"]
        np.testing.assert_allclose(camera.rotation, rotation, atol=1e-12)
        np.testing.assert_array_equal(camera.position_mm, [1, 2, 3])


def test_h5(world, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "cameras.h5"
    with h5py.File(path, "w") as file:
        for (subject, name), camera in world.cameras.items():
            group = file.create_group(f"subject{subject[1:]}/camera{CAMERAS.index(name) + 1}")
            group["R"] = camera.rotation.T  # as Matlab writes it
            for key, value in (("T", camera.position_mm), ("f", camera.focal_px), ("c", camera.centre_px)):
                group[key] = value[None]
            group["k"], group["p"] = camera.radial[None], camera.tangential[None]
            group["Name"] = np.frombuffer(name.encode("utf-16-le"), np.uint16)[:, None]
    found = read_cameras(path)
    assert set(found) == set(world.cameras)
    for key, camera in world.cameras.items():
        _same(found[key], camera)


def test_json(world, tmp_path: Path) -> None:
    data: dict = {"intrinsics": {}, "extrinsics": {}}
    for (subject, name), c in world.cameras.items():
        (fx, fy), (cx, cy), (k1, k2, k3), (p1, p2) = c.focal_px, c.centre_px, c.radial, c.tangential
        matrix = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
        data["intrinsics"][name] = {"calibration_matrix": matrix, "distortion": [k1, k2, p1, p2, k3]}
        t = -c.rotation @ c.position_mm
        data["extrinsics"].setdefault(subject, {})[name] = {"R": c.rotation.tolist(), "t": t[:, None].tolist()}
    path = tmp_path / "camera-parameters.json"
    path.write_text(json.dumps(data), "utf-8")
    found = read_cameras(path)
    for key, camera in world.cameras.items():
        _same(found[key], camera)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cameras.txt", "", "cameras are read from .xml, .h5, .json"),
        ("a.xml", "<a><w0>[1 2 3]</w0></a>", "expected 300 numbers, got 3"),
        ("a.xml", "<a><w1/></a>", "no element 'w0'"),
        ("a.xml", "<a><w0>[1", "is not XML"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a><w0>[&b;]</w0></a>", "document type"),
        ("a.xml", "<a><w0>[" + " ".join(["nan"] * 300) + "]</w0></a>", "finite"),
        ("a.json", "{}", "KeyError"),
        ("a.json", '{"extrinsics": {"S1": {"c": {"R": 1}}}, "intrinsics": {}}', "KeyError"),
        ("a.h5", "not HDF5", "cannot be read as HDF5"),
    ],
)
def test_refusals(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(FormatError, match=said) as caught:
        read_cameras(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FormatError, match="no such file"):
        read_cameras(tmp_path / "nothing.xml")
