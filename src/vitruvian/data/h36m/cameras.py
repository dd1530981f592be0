"""Human3.6M's cameras, from the three files that hold them.

``metadata.xml``
    of the data set's own tools: element ``w0`` is 300 numbers in brackets, six for each of 4 x 11 cameras and subjects
    (rotations about x, y, z; the camera's place in mm), then nine for each camera (focal lengths, centre, k1 k2 k3, p1
    p2); what they mean is as in github.com/una-dinosauria/3d-pose-baseline, src/cameras.py.
``.h5``
    as distributed with that repository: ``subject1/camera1/{R,T,f,c,k,p,Name}``, matrices stored as Matlab does.
``.json``
    of github.com/karfly/human36m-camera-parameters: ``intrinsics`` and ``extrinsics`` with x_camera = R x + t.

Pixel coordinates are those of the calibration, taken as they are.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...extras import need
from ...formats.fields import load_json
from ...geometry.cameras import Camera
from .names import CAMERAS, SIZES_WH

Cameras = dict[tuple[str, str], Camera]
"""(subject, camera's name) -> camera."""


def read_cameras(path: str | os.PathLike) -> Cameras:
    """The cameras of a file, by its suffix.

    Raises `FormatError` for another suffix, or a file that cannot be read or holds something else.
    """
    path = Path(path)
    readers = {".xml": _from_xml, ".h5": _from_h5, ".json": _from_json}
    if path.suffix.lower() not in readers:
        raise FormatError(path, f"cameras are read from {', '.join(readers)} files")
    if not path.is_file():
        raise FormatError(path, "no such file")
    try:
        return readers[path.suffix.lower()](path)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        problem = f"cannot be read as Human3.6M's cameras: {type(error).__name__}: {error}"
        raise FormatError(path, problem) from error


def _from_xml(path: Path) -> Cameras:
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # the file has neither; entities could be made to fill the memory
        raise FormatError(path, "has a document type; expected plain elements")
    try:
        element = ElementTree.fromstring(text).find(".//w0")
    except ElementTree.ParseError as error:
        raise FormatError(path, f"is not XML: {error}") from error
    if element is None or element.text is None:
        raise FormatError(path, "has no element 'w0' with the cameras' numbers")
    w0 = np.array([float(number) for number in element.text.replace(",", " ").strip("[] \n\t").split()])
    if w0.shape != (300,):
        raise FormatError(path, f"expected 300 numbers, got {w0.size}", field="w0")
    found: Cameras = {}
    for c, name in enumerate(CAMERAS):
        focal, centre, radial, tangential = np.split(w0[264 + 9 * c : 273 + 9 * c], [2, 4, 7])
        for s in range(11):
            angles, position = np.split(w0[6 * (11 * c + s) :][:6], [3])
            found[f"S{s + 1}", name] = _camera(name, focal, centre, _rotation(angles), position, radial, tangential)
    return found


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation about x times that about y times that about z, in radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def _from_h5(path: Path) -> Cameras:
    h5py = need("h5py", "data", "reading Human3.6M's cameras")
    found: Cameras = {}
    try:
        with h5py.File(os.fspath(path), "r") as file:
            for subject in (key for key in file if key.startswith("subject")):
                for key in (key for key in file[subject] if key.startswith("camera")):
                    values = {name: np.asarray(file[subject][key][name]) for name in ("R", "T", "f", "c", "k", "p")}
                    name = CAMERAS[int(key.removeprefix("camera")) - 1]
                    flat = {part: value.ravel() for part, value in values.items()}
                    found[f"S{int(subject.removeprefix('subject'))}", name] = _camera(
                        name, flat["f"], flat["c"], values["R"].T, flat["T"], flat["k"], flat["p"]
                    )
    except OSError as error:
        raise FormatError(path, f"cannot be read as HDF5: {error}") from error
    if not found:
        raise FormatError(path, "has no groups subject1/camera1, ...")
    return found


def _from_json(path: Path) -> Cameras:
    data: Any = load_json(path)
    found: Cameras = {}
    for subject, cameras in data["extrinsics"].items():
        for name, placed in cameras.items():
            matrix = np.array(data["intrinsics"][name]["calibration_matrix"], np.float64)
            k1, k2, p1, p2, k3 = data["intrinsics"][name]["distortion"]
            rotation = np.array(placed["R"], np.float64)
            position = -np.linalg.inv(rotation) @ np.array(placed["t"], np.float64).ravel()
            focal = np.array([matrix[0, 0], matrix[1, 1]])
            found[str(subject), str(name)] = _camera(
                str(name), focal, matrix[:2, 2], rotation, position, np.array([k1, k2, k3]), np.array([p1, p2])
            )
    return found


def _camera(
    name: str,
    focal: np.ndarray,
    centre: np.ndarray,
    rotation: np.ndarray,
    position: np.ndarray,
    radial: np.ndarray,
    tangential: np.ndarray,
) -> Camera:
    try:
        return Camera(focal, centre, rotation, position, radial, tangential, "h36m", SIZES_WH.get(name))
    except ShapeError as error:
        raise ValueError(f"camera {name}: {error}") from error
