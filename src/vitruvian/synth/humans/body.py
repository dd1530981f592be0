"""`BodyModel`: body shapes, skin weights and bones as plain arrays, baked once and posed with numpy alone.

The world of synthetic people is MakeHuman's: millimetres, y up, a body in rest faces +z and its left is +x.

Linear blend skinning with *global* rotations: bone b turns the rest body by R_b about its head, and a child's head goes
where its parent takes it. A bone that nobody turns has been merged into its parent when the body was baked.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...formats.writing import atomic_path

UNIT_MM = 0.1
"""Of the stored integers: +-3.2 m fit into int16, and a twentieth of a millimetre is lost."""

PARTS = (
    "torso", "head", "left_upper_arm", "left_forearm", "left_hand", "right_upper_arm", "right_forearm", "right_hand",
    "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
)  # fmt: skip
"""Part ids are 1 + the index here; 0 is no person."""

_PART_OF_BONE = (("head", "head"), ("neck", "head"), ("upperarm", "{}_upper_arm"), ("lowerarm", "{}_forearm"),
                 ("wrist", "{}_hand"), ("finger", "{}_hand"), ("upperleg", "{}_thigh"), ("lowerleg", "{}_shin"),
                 ("foot", "{}_foot"))  # fmt: skip


@dataclass(frozen=True, eq=False)
class BodyModel:
    """One mesh in many shapes.

    Attributes
    ----------
    bones : B names in MakeHuman's spelling (``upperarm01.L``).
    parents : (B,) index of each bone's parent, which stands before it; -1 for the root.
    shapes : (S, V, 3) int16, vertices of each shape at rest, in units of 0.1 mm.
    heads : (S, B, 3) int16, where each bone begins, likewise.
    weights : (V, B) float32, rows sum to 1.
    triangles : (F, 3) int32 into the corners.
    corner_vertex, corner_uv : (C,) int32 vertex and (C, 2) float32 texture coordinates of each corner to draw. A vertex
        on a seam of the texture has several corners; helper vertices, which only clothes hang on, have none.
    triangle_eye : (F,) bool, the eyeballs.
    landmarks : names of points on the surface, e.g. ``nose``.
    landmark_vertex : (L,) int32, the vertex of each.
    phenotypes : (S, P) float32, what each shape was made from; ``phenotype_names`` its P columns.

    Raises
    ------
    ShapeError
        Arrays that do not belong together.
    """

    bones: tuple[str, ...]
    parents: np.ndarray
    shapes: np.ndarray
    heads: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray
    corner_vertex: np.ndarray
    corner_uv: np.ndarray
    triangle_eye: np.ndarray
    landmarks: tuple[str, ...]
    landmark_vertex: np.ndarray
    phenotypes: np.ndarray
    phenotype_names: tuple[str, ...]

    def __post_init__(self) -> None:
        bones, (shapes, vertices) = len(self.bones), self.shapes.shape[:2]
        corners, triangles = len(self.corner_vertex), len(self.triangles)
        expected = {
            "parents": (bones,), "shapes": (shapes, vertices, 3), "heads": (shapes, bones, 3),
            "weights": (vertices, bones), "triangles": (triangles, 3), "corner_uv": (corners, 2),
            "triangle_eye": (triangles,), "landmark_vertex": (len(self.landmarks),),
            "phenotypes": (shapes, len(self.phenotype_names)),
        }  # fmt: skip
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise ShapeError(f"a body's {name} must have the shape {shape}, got {np.shape(getattr(self, name))}")
        for name, top in (("triangles", corners), ("corner_vertex", vertices), ("landmark_vertex", vertices)):
            array = getattr(self, name)
            if array.size and (array.min() < 0 or array.max() >= top):
                raise ShapeError(f"a body's {name} must lie in 0 ... {top - 1}, got {array.min()} ... {array.max()}")
        if any(not -1 <= p < i for i, p in enumerate(self.parents)):
            raise ShapeError("each bone of a body must stand after its parent")

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def bone_index(self) -> dict[str, int]:
        """Index of each bone by name."""
        return {name: i for i, name in enumerate(self.bones)}

    @cached_property
    def bone_part(self) -> np.ndarray:
        """(B,) uint8: the part id of what each bone moves; clavicles and hips belong to the torso."""
        out = np.ones(len(self.bones), np.uint8)
        for i, name in enumerate(self.bones):
            side = {"L": "left", "R": "right"}.get(name.rpartition(".")[2], "")
            for prefix, part in _PART_OF_BONE:
                if name.startswith(prefix):
                    out[i] = 1 + PARTS.index(part.format(side))
        return out

    @cached_property
    def vertex_part(self) -> np.ndarray:
        """(V,) uint8 part id of each vertex: of the part whose bones move it most."""
        return part_of_weights(self.weights, self.bone_part)

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) float32 unit normals of the mean shape at rest; helper vertices have (0, 0, 0)."""
        mean = self.shapes.mean(axis=0) * UNIT_MM
        return vertex_normals(mean.astype(np.float32), self.corner_vertex[self.triangles])

    def rest(self, shares: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and bone heads (B, 3) at rest, float32 mm, of a mixture of shapes.

        Parameters
        ----------
        shares : (S,) weights of the shapes, which sum to 1; most may be 0.
        """
        shares = np.asarray(shares, np.float32)
        if shares.shape != (len(self),) or abs(float(shares.sum()) - 1) > 1e-3:
            raise ShapeError(f"shares must be {len(self)} numbers that sum to 1, got {shares.shape}, {shares.sum()}")
        used = np.flatnonzero(shares)
        vertices = np.zeros(self.shapes.shape[1:], np.float32)
        heads = np.zeros(self.heads.shape[1:], np.float32)
        for i in used:
            vertices += self.shapes[i] * (shares[i] * np.float32(UNIT_MM))
            heads += self.heads[i] * (shares[i] * np.float32(UNIT_MM))
        return vertices, heads

    def transforms(self, heads_mm: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(B, 3, 4) float64: what each bone does to a point at rest, for rest heads (B, 3), global rotations (B, 3, 3).

        The root's head stays where it is at rest.
        """
        heads = np.asarray(heads_mm, np.float64)
        posed = np.empty_like(heads)
        for i, parent in enumerate(self.parents):
            start = heads[i] if parent < 0 else posed[parent] + rotations[parent] @ (heads[i] - heads[parent])
            posed[i] = start
        shift = posed - np.einsum("bij,bj->bi", rotations, heads)
        return np.concatenate([rotations, shift[..., None]], axis=2)

    # ------------------------------------------------------------------------------------------ files
    def save(self, path: str | os.PathLike) -> Path:
        """Write a ``.npz`` (compressed, complete or not at all)."""
        arrays: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> BodyModel:
        """Read what `save` wrote; `FormatError` where it is something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {f.name: file[f.name] for f in fields(cls)}
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise FormatError(path, f"is not a baked body ({error}); delete it, it will be baked again") from error
        for name in ("bones", "landmarks", "phenotype_names"):
            arrays[name] = tuple(str(n) for n in arrays[name])
        return cls(**arrays)


def skin(transforms: np.ndarray, weights: np.ndarray, points_mm: np.ndarray, normals: np.ndarray | None = None) -> Any:
    """Linear blend skinning.

    Parameters
    ----------
    transforms : (B, 3, 4) of `BodyModel.transforms`.
    weights : (V, B).
    points_mm : (V, 3) at rest.
    normals : (V, 3) at rest, or None.

    Returns
    -------
    (V, 3) float32 posed points, or these and the turned normals (not normalised).
    """
    blend = (weights @ transforms.reshape(len(transforms), 12).astype(np.float32)).reshape(-1, 3, 4)
    posed = np.einsum("vij,vj->vi", blend[..., :3], points_mm) + blend[..., 3]
    if normals is None:
        return posed
    return posed, np.einsum("vij,vj->vi", blend[..., :3], normals)


def vertex_normals(points_mm: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, each the mean of its triangles' weighted by area; 0 without triangles."""
    first, second, third = (points_mm[triangles[:, i]] for i in range(3))
    face = np.cross(second - first, third - first)
    corner = triangles.T.ravel()
    total = np.stack([np.bincount(corner, np.tile(face[:, i], 3), len(points_mm)) for i in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.where(length > 0, length, 1)).astype(np.float32)


def part_of_weights(weights: np.ndarray, bone_part: np.ndarray) -> np.ndarray:
    """(V,) uint8: for each row of bone weights the part id that has most of it."""
    sums = np.stack([weights[:, bone_part == part].sum(axis=1) for part in range(1, len(PARTS) + 1)], axis=1)
    return (1 + sums.argmax(axis=1)).astype(np.uint8)
