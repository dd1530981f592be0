"""`Affine`: a 2D affine map between pixel grids, and the one place where the pixel-centre rule is written.

The rule: pixel centres are at integers. An image of width W spans -0.5 ... W - 0.5, so resizing by s maps
x to (x + 0.5) s - 0.5, and flipping maps x to W - 1 - x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError


@dataclass(frozen=True, eq=False)
class Affine:
    """A map ``p -> A p + t`` on points (x, y) in pixels, held as a (2, 3) float64 matrix.

    ``b @ a`` applies ``a`` first, then ``b``; name a map after its two spaces (``frame_to_input``).

    Raises
    ------
    ShapeError
        A matrix that is not (2, 3) or not finite.
    """

    matrix: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64) + 0.0  # turns -0.0 into 0.0, so that equal maps hash alike
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise ShapeError(f"an affine map needs a finite (2, 3) matrix, got shape {matrix.shape}: {matrix.tolist()}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> Affine:
        """The map that changes nothing."""
        return cls(np.eye(2, 3))

    @classmethod
    def translate(cls, dx: float, dy: float) -> Affine:
        """Shift by (dx, dy) pixels."""
        return cls(np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float64))

    @classmethod
    def linear(cls, a: float, b: float, c: float, d: float) -> Affine:
        """The linear map [[a, b], [c, d]] about the point (0, 0)."""
        return cls(np.array([[a, b, 0], [c, d, 0]], dtype=np.float64))

    @classmethod
    def rotate(cls, degrees: float, center_px: tuple[float, float] = (0.0, 0.0)) -> Affine:
        """Rotate about ``center_px``; positive angles turn x towards y (clockwise on screen, y pointing down)."""
        radians = np.deg2rad(degrees)
        cos, sin = float(np.cos(radians)), float(np.sin(radians))
        return cls.linear(cos, -sin, sin, cos).about(center_px)

    @classmethod
    def scale(cls, sx: float, sy: float | None = None, center_px: tuple[float, float] = (0.0, 0.0)) -> Affine:
        """Scale about ``center_px``."""
        return cls.linear(sx, 0, 0, sx if sy is None else sy).about(center_px)

    @classmethod
    def resize(cls, from_wh: tuple[float, float], to_wh: tuple[float, float]) -> Affine:
        """The map of an image resize from one (w, h) to another: x -> (x + 0.5) s - 0.5 (module docstring)."""
        sx, sy = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
        return cls(np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5]]))

    @classmethod
    def flip_horizontal(cls, width: int) -> Affine:
        """Mirror an image of that width left to right: x -> width - 1 - x."""
        return cls(np.array([[-1, 0, width - 1], [0, 1, 0]], dtype=np.float64))

    @classmethod
    def box_to_frame(cls, box_xyxy: np.ndarray, size_wh: tuple[int, int]) -> Affine:
        """The map that takes a box (its edges, in pixels of the source) onto a whole frame of (w, h) pixels.

        The box's left edge x0 goes to the frame's left edge -0.5 and its right edge x1 to w - 0.5.
        """
        x0, y0, x1, y1 = (float(v) for v in box_xyxy)
        if not (x1 > x0 and y1 > y0):
            raise ShapeError(f"a box needs x1 > x0 and y1 > y0, got {(x0, y0, x1, y1)}")
        sx, sy = size_wh[0] / (x1 - x0), size_wh[1] / (y1 - y0)
        return cls(np.array([[sx, 0, -0.5 - x0 * sx], [0, sy, -0.5 - y0 * sy]]))

    def about(self, center_px: tuple[float, float]) -> Affine:
        """The same map, performed about ``center_px`` instead of (0, 0)."""
        center = np.array(center_px, dtype=np.float64)
        matrix = self.matrix.copy()
        matrix[:, 2] += center - matrix[:, :2] @ center
        return Affine(matrix)

    def __matmul__(self, first: Affine) -> Affine:
        matrix = self.matrix[:, :2] @ first.matrix
        matrix[:, 2] += self.matrix[:, 2]
        return Affine(matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())

    @property
    def determinant(self) -> float:
        """Factor on signed areas: negative for a map that mirrors."""
        a = self.matrix
        return float(a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0])

    @property
    def is_axis_aligned(self) -> bool:
        """True for positive scaling and translation only: no rotation, shear or mirror."""
        a = self.matrix
        return bool(a[0, 1] == 0 and a[1, 0] == 0 and a[0, 0] > 0 and a[1, 1] > 0)

    def inverse(self) -> Affine:
        """The map back; `ShapeError` where the map squashes the plane to a line."""
        (a, b, x), (c, d, y) = self.matrix.tolist()
        determinant = a * d - b * c
        # Relative, since rounding leaves a determinant of about 1e-17 where the exact one is 0.
        if abs(determinant) <= 1e-15 * (a * a + b * b + c * c + d * d):
            raise ShapeError(f"this affine map has no inverse (determinant 0): {self.matrix.tolist()}")
        inverse = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]])
        return Affine(inverse / determinant)

    def apply(self, points_px: np.ndarray) -> np.ndarray:
        """Map points (..., 2); floats keep their dtype, NaN stays NaN."""
        points_px = np.asarray(points_px)
        if points_px.shape[-1:] != (2,):
            raise ShapeError(f"points must end in an axis of 2 (x, y), got shape {points_px.shape}")
        mapped = points_px @ self.matrix[:, :2].T + self.matrix[:, 2]
        return mapped.astype(points_px.dtype, copy=False) if np.issubdtype(points_px.dtype, np.floating) else mapped
