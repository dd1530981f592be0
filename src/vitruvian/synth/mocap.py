"""Drawn people in poses of motion capture, seen by random cameras: pictures with exact joints in 3D.

The figures are those of `figures`, stood up by captured joints instead of angles: every joint is where a perspective
camera has it, and limbs keep the width they have at the pelvis' distance. What motion capture of 17 joints does not say
(which way face and feet point, hands) follows from the bones next to it. So flat a figure has no shading to read depth
from: what can be learned of it is pose, and less of distance.

Everything about a frame follows from (seed, number); a frame is drawn when its picture is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from PIL import Image

from ..data.poses3d import Frames3D
from ..errors import ShapeError
from ..formats.mocap_npz import read_mocap_npz
from ..geometry import Affine, boxes
from ..geometry.cameras import Camera, random_camera
from ..skeletons import H36M17
from .bodies import SEGMENTS, Body, Stance
from .figures import Outfit, dress
from .painting import OVERSAMPLING, label_map, paint_parts
from .scenes import Scene, paint

_TO_VIEWER = np.array([1.0, -1.0, -1.0])
"""Camera axes (x right, y down, z forwards) to a figure's (x right, y up, z towards the viewer), and back."""


def mocap_figures(
    path: str | os.PathLike,
    count: int,
    seed: int = 0,
    size_wh: tuple[int, int] = (144, 144),
    subjects: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    background: bool = True,
    view: dict[str, Any] | None = None,
) -> Frames3D:
    """``count`` drawn people in random poses of motion capture.

    Parameters
    ----------
    path : takes of h36m17's joints, as `read_mocap_npz` reads them, y up.
    seed : of poses, cameras, clothes and backgrounds. The first frames of a longer table are the same.
    size_wh : of the pictures.
    subjects : captured people to take, as `captured_person` names them; None for all.
    actions : how the names of the takes begin that are used; None for all.
    background : paint one; False leaves it black and without noise, in half the time.
    view : further options of `random_camera` (``distance_mm``, ``elevation_deg``, ``roll_deg``); the picture is
        cut to the person.

    Returns
    -------
    `Frames3D` in camera axes, with a camera a frame. A frame's subject is the captured person, its action the take.

    Raises
    ------
    FormatError
        Not such a file.
    ShapeError
        Sizes or counts that cannot be, or nobody left.
    """
    if count < 1 or seed < 0 or len(size_wh) != 2 or min(size_wh) < 48:
        raise ShapeError(f"expected count from 1, seed from 0, sides from 48 px; got {count}, {seed}, {size_wh}")
    takes = [m for m in read_mocap_npz(path) if subjects is None or captured_person(m.name) in subjects]
    if actions is not None:
        takes = [m for m in takes if m.name.startswith(tuple(actions))]
    if not takes:
        raise ShapeError(f"{path}: no take is both of {subjects} and one of {actions}")
    index = [(t, f) for t, take in enumerate(takes) for f in range(len(take))]
    size = (int(size_wh[0]), int(size_wh[1]))
    rows: dict[str, list[Any]] = {name: [] for name in ("joints", "keypoints", "subject", "action", "frame")}
    pictures, masks, cameras = [], [], []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        t, f = index[rng.integers(len(index))]
        joints = takes[t].positions_mm[f]
        camera = _close_up(random_camera(rng, joints.mean(axis=0), **(view or {})), joints, size, rng)
        seen = camera.world_to_camera(joints)
        rows["joints"].append(seen)
        rows["keypoints"].append(camera.camera_to_image(seen))
        rows["subject"].append(captured_person(takes[t].name))
        rows["action"].append(takes[t].name)
        rows["frame"].append(f)
        drawing = _Drawing(seen, camera, seed, number, size, background)
        pictures.append(partial(_picture, drawing))
        masks.append(partial(_mask, drawing))
        cameras.append(camera)
    return Frames3D(
        H36M17,
        np.array(rows["joints"]),
        *(np.array(rows[name], np.str_) for name in ("subject", "action")),
        sequence=np.array([f"{seed}-{number}" for number in range(count)], np.str_),
        frame=np.array(rows["frame"]),
        keypoints_px=np.array(rows["keypoints"]),
        pictures=tuple(pictures),
        masks=tuple(masks),
        cameras=tuple(cameras),
        camera=np.arange(count),
        source=f"drawn people in captured poses (seed {seed})",
    )


def captured_person(take: str) -> str:
    """Who was captured: what a take's name begins with, before its number.

    CMU's people have numbers, and ``02_03`` and ``cc_002_03`` are the same walk of the same person, ``02``.
    """
    number = re.fullmatch(r"(?:cc_)?0*(\d+)_\d+", take)
    return f"{int(number.group(1)):02d}" if number else take.rpartition("_")[0] or take


def _close_up(camera: Camera, joints_mm: np.ndarray, size_wh: tuple[int, int], rng: np.random.Generator) -> Camera:
    """The same camera, its picture cut out around the person, who then fills 72-92 % of it."""
    box = boxes.around_points(camera.world_to_image(joints_mm), 0.06)  # hands, feet and clothes beyond the joints
    box = boxes.expand_to_aspect(box, size_wh[0] / size_wh[1], 1 / float(rng.uniform(0.72, 0.92)))
    return camera.through(Affine.box_to_frame(box, size_wh), size_wh)


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What a frame's picture follows from."""

    joints_mm: np.ndarray
    camera: Camera
    seed: int
    number: int
    size_wh: tuple[int, int]
    background: bool


@lru_cache(maxsize=2)  # picture and mask of a frame are mostly asked for one after the other
def _scene(drawing: _Drawing) -> Scene:
    rng = np.random.default_rng((drawing.seed, drawing.number, 1))
    body, stance, unit_px = figure_of(drawing.joints_mm, drawing.camera, float(rng.uniform(0.85, 1.25)))
    pelvis = drawing.camera.camera_to_image(drawing.joints_mm[0])
    figure = dress(stance, body, None, Outfit.sample(rng), unit_px, (float(pelvis[0]), float(pelvis[1])))
    return Scene(drawing.size_wh, figure, [], [])


def _picture(drawing: _Drawing) -> np.ndarray:
    if drawing.background:
        return paint(_scene(drawing), np.random.default_rng((drawing.seed, drawing.number, 2)))
    width, height = drawing.size_wh
    canvas = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING))
    paint_parts(canvas, _scene(drawing).figure.parts)
    return np.asarray(canvas.reduce(OVERSAMPLING))


def _mask(drawing: _Drawing) -> np.ndarray:
    scene = _scene(drawing)
    return (label_map(scene.figure.parts, scene.size_wh) > 0).astype(np.uint8) * np.uint8(255)


def figure_of(joints_mm: np.ndarray, camera: Camera, girth: float) -> tuple[Body, Stance, float]:
    """The body, the stance (in body heights) and the pixels of a body height for joints (17, 3) in camera axes.

    Drawn straight on, as figures are, the stance shows each joint where the camera sees it.
    """
    height_mm = _height_mm(joints_mm)
    depth = float(joints_mm[0, 2])
    unit_px = float(camera.focal_px[0]) * height_mm / depth
    pelvis_px = camera.camera_to_image(joints_mm[0])

    j = {name: joints_mm[k] for k, name in enumerate(H36M17.joints)}
    pelvis = _frame(j["spine"] - j["pelvis"], j["left_hip"] - j["right_hip"])
    chest = _frame(j["thorax"] - j["spine"], j["left_shoulder"] - j["right_shoulder"])
    head = _frame(j["head_top"] - j["neck_base"], chest[:, 0])
    # Thorax is at the height of the shoulders; eyes and ears sit around the middle of the head.
    size = SEGMENTS["head"] * height_mm
    points = {
        "pelvis": j["pelvis"],
        "waist": j["pelvis"] + 0.4 * (j["thorax"] - j["pelvis"]),
        "chest": j["thorax"],
        "neck": j["neck_base"],
        "head": j["head_top"] - head[:, 1] * (0.44 * size),
        "head_top": j["head_top"],
    }
    for name, offset in (
        ("nose", (0.0, -0.12, 1.12)), ("left_eye", (0.36, 0.16, 0.88)), ("right_eye", (-0.36, 0.16, 0.88)),
        ("left_ear", (0.96, 0.0, -0.08)), ("right_ear", (-0.96, 0.0, -0.08)),
    ):  # fmt: skip
        points[name] = points["head"] + head @ np.array(offset) * (0.36 * size)
    for side in ("left", "right"):
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            points[f"{side}_{name}"] = j[f"{side}_{name}"]
        forearm = _unit(j[f"{side}_wrist"] - j[f"{side}_elbow"])
        points[f"{side}_hand"] = j[f"{side}_wrist"] + forearm * (SEGMENTS["hand"] * height_mm)
        # A foot stands at right angles to its shin, ahead.
        shin = _frame(j[f"{side}_knee"] - j[f"{side}_ankle"], pelvis[:, 0])
        points[f"{side}_toe"] = j[f"{side}_ankle"] + shin @ np.array([0.0, -0.038, SEGMENTS["foot"]]) * height_mm
        points[f"{side}_heel"] = j[f"{side}_ankle"] + shin @ np.array([0.0, -0.036, -0.025]) * height_mm
    turned = [_TO_VIEWER[:, None] * frame for frame in (pelvis, chest, head)]
    # Where each is drawn, and how near, in body heights.
    places = np.array(list(points.values()))
    flat = (camera.camera_to_image(places) - pelvis_px) / unit_px
    placed = np.column_stack([flat[:, 0], -flat[:, 1], -(places[:, 2] - depth) / height_mm])
    stance = Stance(dict(zip(points, placed, strict=True)), *turned)
    return Body(dict(SEGMENTS), girth), stance, unit_px


def _height_mm(joints_mm: np.ndarray) -> float:
    """Body height from the legs and the trunk, by the shares of `SEGMENTS`."""
    found = []
    for side in ("left", "right"):
        rows = joints_mm[[H36M17.index(f"{side}_{name}") for name in ("hip", "knee", "ankle")]]
        found.append(np.linalg.norm(np.diff(rows, axis=0), axis=1).sum())
    trunk = np.linalg.norm(joints_mm[H36M17.index("thorax")] - joints_mm[0])
    return float((np.mean(found) + trunk) / (SEGMENTS["thigh"] + SEGMENTS["shin"] + SEGMENTS["trunk"]))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])


def _frame(up: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(3, 3) columns left, up, forward, orthonormal and right-handed; up is kept, left made to suit."""
    y = _unit(up)
    x = left - y * float(left @ y)
    if np.linalg.norm(x) <= 1e-6 * max(float(np.linalg.norm(left)), 1e-9):
        x = np.eye(3)[np.argmin(np.abs(y))]
        x = x - y * float(x @ y)
    x = _unit(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)
