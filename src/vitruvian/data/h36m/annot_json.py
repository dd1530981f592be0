"""Human3.6M as distributed with 3DMPPE (Moon et al., ICCV 2019; github.com/mks0601/3DMPPE_POSENET_RELEASE) and after.

``annotations/Human36M_subject1_data.json`` has ``images`` (file name, size, subject, action, take, camera, frame) and
``annotations`` with a box each; ``..._joint_3d.json`` the 17 joints in world mm by action, take and frame; and
``..._camera.json`` ``R``, ``t``, ``f``, ``c`` of each camera. ``t`` is the camera's place in some versions and R times
the place, negated, in others; the boxes tell which.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...formats.fields import load_json
from ...geometry.boxes import xywh_to_xyxy
from ...geometry.cameras import Camera
from ...skeletons import H36M17
from ..poses3d import Frames3D, concatenate
from .names import ACTIONS, CAMERAS, action_of

_SUBJECTS = (1, 5, 6, 7, 8, 9, 11)


def read_annot_json(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    subjects: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
) -> Frames3D:
    """All frames of the folder ``path`` (with ``annotations/``, or that folder itself), in camera axes.

    ``images`` is the folder of pictures, by default ``images`` beside the annotations. ``subjects`` and
    ``actions`` name those to read, None for all. Frames whose picture is not there have none.

    Raises `FormatError` for files that are missing, damaged or contradict each other.
    """
    folder = Path(path) / "annotations" if (Path(path) / "annotations").is_dir() else Path(path)
    pictures = folder.parent / "images" if images is None else Path(images)
    present = [f"S{n}" for n in _SUBJECTS if (folder / f"Human36M_subject{n}_data.json").is_file()]
    lacking = sorted(set(subjects or ()) - set(present))
    if not present or lacking:
        raise FormatError(
            folder, f"no Human36M_subject{(lacking or ['S1'])[0][1:]}_data.json; found those of {present}"
        )
    parts = [_subject(folder, pictures, name, actions) for name in present if subjects is None or name in subjects]
    kept = [part for part in parts if len(part)]
    if not kept:
        raise FormatError(folder, f"no frame of {actions}")
    return concatenate(kept)


def _subject(folder: Path, pictures: Path, subject: str, actions: Sequence[str] | None) -> Frames3D:
    stem = f"Human36M_subject{subject[1:]}"
    path = folder / f"{stem}_data.json"
    data, joints_of, cameras_of = (load_json(folder / f"{stem}_{name}.json") for name in ("data", "joint_3d", "camera"))
    try:
        boxes = {entry["image_id"]: entry["bbox"] for entry in data["annotations"]}
        rows = [row for row in data["images"] if actions is None or action_of(row["action_name"]) in actions]
        poses = [joints_of[str(r["action_idx"])][str(r["subaction_idx"])][str(r["frame_idx"])] for r in rows]
        world = np.array(poses, np.float64).reshape(len(rows), -1 if rows else len(H36M17), 3)
        box = xywh_to_xyxy(np.array([boxes[r["id"]] for r in rows], np.float64).reshape(-1, 4))
        number = np.array([int(r["cam_idx"]) for r in rows], np.int64)
        takes = [
            f"{subject}/{action_of(r['action_name'])} {r['subaction_idx']}/{CAMERAS[int(r['cam_idx']) - 1]}"
            for r in rows
        ]
        columns: dict[str, Any] = {
            "subject": np.full(len(rows), subject),
            "action": np.array([action_of(r["action_name"]) for r in rows], np.str_),
            "sequence": np.array(takes, np.str_),
            "frame": np.array([int(r["frame_idx"]) for r in rows], np.int64),
        }
        files = [pictures / r["file_name"] for r in rows]
        sizes = {int(r["cam_idx"]): (int(r["width"]), int(r["height"])) for r in rows}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(path, f"cannot be read: {type(error).__name__}: {error}; actions are {ACTIONS}") from error
    if world.shape[1:] != (len(H36M17), 3) and len(rows):
        raise FormatError(folder / f"{stem}_joint_3d.json", f"expected 17 joints a frame, got {world.shape[1:]}")
    order = sorted(set(number.tolist()))
    cameras = [
        _camera(folder / f"{stem}_camera.json", cameras_of, n, sizes[n], world[number == n], box[number == n])
        for n in order
    ]
    joints, keypoints = world.copy(), np.full((*world.shape[:2], 2), np.nan)
    for n, camera in zip(order, cameras, strict=True):
        joints[number == n] = camera.world_to_camera(world[number == n])
        keypoints[number == n] = camera.camera_to_image(joints[number == n])
    return Frames3D(
        H36M17,
        joints.reshape(len(rows), len(H36M17), 3),
        **columns,
        keypoints_px=keypoints.reshape(len(rows), len(H36M17), 2),
        boxes_xyxy=box,
        pictures=tuple(file if file.is_file() else None for file in files),
        cameras=tuple(cameras),
        camera=np.searchsorted(order, number) if len(rows) else None,  # type: ignore[arg-type]
        source="Human3.6M",
    )


def _camera(
    path: Path, data: Any, number: int, size_wh: tuple[int, int], world_mm: np.ndarray, boxes_xyxy: np.ndarray
) -> Camera:
    """The camera, with ``t`` read in the way that puts the joints into their boxes."""
    try:
        entry = data[str(number)]
        rotation, t = np.array(entry["R"], np.float64), np.array(entry["t"], np.float64).ravel()
        focal, centre = (np.array(entry[name], np.float64).ravel() for name in ("f", "c"))
        places = (-np.linalg.inv(rotation) @ t, t)
        either = [Camera(focal, centre, rotation, place, size_wh=size_wh) for place in places]
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError, ShapeError) as error:
        raise FormatError(path, f"camera {number} cannot be read: {type(error).__name__}: {error}") from error
    low, high = boxes_xyxy[:, None, :2], boxes_xyxy[:, None, 2:]
    inside = []
    for camera in either:
        points = camera.world_to_image(world_mm)
        inside.append(float(((points >= low - 2) & (points <= high + 2)).all(axis=2).mean()))
    if max(inside) < 0.5:
        raise FormatError(path, f"camera {number} does not see the joints in their boxes, however its 't' is read")
    return either[int(np.argmax(inside))]
