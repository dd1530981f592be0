"""`Camera`: a pinhole with lens distortion, between world and camera millimetres and image pixels.

Axes of the camera, as in OpenCV: x to the right, y down, z forwards. The world's axes are whatever its data has.

Distortion: three radial terms k and two tangential ones p, in either of two forms that differ by a factor of two.
With normalised (x, y), r2 = x^2 + y^2 and radial = 1 + k1 r2 + k2 r2^2 + k3 r2^3,

``"opencv"``
    x radial + 2 p1 x y + p2 (r2 + 2 x^2), and y radial + p1 (r2 + 2 y^2) + 2 p2 x y (Brown 1966; Heikkila & Silven,
    CVPR 1997; OpenCV keeps the parameters in the order k1 k2 p1 p2 k3).
``"h36m"``
    x (radial + p1 y + p2 x) + p2 r2, and y (radial + p1 y + p2 x) + p1 r2: what Human3.6M's own tools do with its
    parameters (Ionescu et al., TPAMI 2014; also github.com/una-dinosauria/3d-pose-baseline, src/cameras.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import ShapeError
from .affine import Affine

_TANGENTIAL = {"opencv": 2.0, "h36m": 1.0}


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera; all arithmetic is float64.

    Attributes
    ----------
    focal_px : (2,) focal lengths along x and y.
    centre_px : (2,) the principal point; pixel centres are at integers.
    rotation : (3, 3) world axes to camera axes, orthonormal with determinant +1.
    position_mm : (3,) the camera's centre in the world.
    radial : (3,) k1 k2 k3.
    tangential : (2,) p1 p2.
    distortion : ``"opencv"`` or ``"h36m"``, see the module's docstring.
    size_wh : the image's (width, height), or None where unknown; nothing is cut off at its borders.

    Raises
    ------
    ShapeError
        Another shape, a value that is not finite, a focal length that is not positive, or a rotation that is none.
    """

    focal_px: np.ndarray
    centre_px: np.ndarray
    rotation: np.ndarray
    position_mm: np.ndarray
    radial: np.ndarray = (0.0, 0.0, 0.0)  # type: ignore[assignment]
    tangential: np.ndarray = (0.0, 0.0)  # type: ignore[assignment]
    distortion: str = "opencv"
    size_wh: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        shapes = {"focal_px": (2,), "centre_px": (2,), "rotation": (3, 3), "position_mm": (3,)}
        for name, shape in {**shapes, "radial": (3,), "tangential": (2,)}.items():
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise ShapeError(f"a camera's {name} must be {shape} finite numbers, got {array.tolist()}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if (self.focal_px <= 0).any():
            raise ShapeError(f"focal lengths must be positive, got {self.focal_px.tolist()}")
        off = np.abs(self.rotation @ self.rotation.T - np.eye(3)).max()
        if off > 1e-5 or np.linalg.det(self.rotation) < 0:
            raise ShapeError(
                f"a camera's rotation must be orthonormal and must not mirror, got {self.rotation.tolist()}"
            )
        if self.distortion not in _TANGENTIAL:
            raise ShapeError(f"distortion must be one of {', '.join(_TANGENTIAL)}, got {self.distortion!r}")

    # ------------------------------------------------------------------------------------------ world <-> camera
    def world_to_camera(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) world millimetres to camera millimetres."""
        return (_points(points_mm, 3) - self.position_mm) @ self.rotation.T

    def camera_to_world(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) camera millimetres to world millimetres."""
        # Inverted rather than transposed: published rotations are orthonormal to a few digits only.
        return _points(points_mm, 3) @ np.linalg.inv(self.rotation).T + self.position_mm

    # ------------------------------------------------------------------------------------------ camera <-> image
    def camera_to_image(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) camera millimetres to (..., 2) pixels; NaN for what is not in front of the camera."""
        points = _points(points_mm, 3)
        depth = points[..., 2:]
        with np.errstate(invalid="ignore"):
            plane = points[..., :2] / np.where(depth > 0, depth, np.nan)
        return self.distort(plane) * self.focal_px + self.centre_px

    def image_to_camera(self, points_px: np.ndarray, depth_mm: np.ndarray | float) -> np.ndarray:
        """(..., 2) pixels and their depths along z (...,) to (..., 3) camera millimetres.

        NaN where the distortion cannot be undone (far outside the image that it was calibrated on).
        """
        plane = self.undistort((_points(points_px, 2) - self.centre_px) / self.focal_px)
        depth = np.broadcast_to(np.asarray(depth_mm, np.float64), plane.shape[:-1])[..., None]
        return np.concatenate([plane * depth, depth], axis=-1)

    def world_to_image(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) world millimetres to (..., 2) pixels; NaN for what is not in front of the camera."""
        return self.camera_to_image(self.world_to_camera(points_mm))

    def image_to_world(self, points_px: np.ndarray, depth_mm: np.ndarray | float) -> np.ndarray:
        """(..., 2) pixels and their depths along the camera's z (...,) to (..., 3) world millimetres."""
        return self.camera_to_world(self.image_to_camera(points_px, depth_mm))

    # ------------------------------------------------------------------------------------------ distortion
    def distort(self, plane: np.ndarray) -> np.ndarray:
        """(..., 2) normalised coordinates (x / z, y / z) of an ideal pinhole to those of this lens."""
        return self._distorted(_points(plane, 2))[0]

    def undistort(self, plane: np.ndarray) -> np.ndarray:
        """The inverse of `distort`, by Newton's method with damping; NaN where it does not converge."""
        plane = _points(plane, 2)
        if not (self.radial.any() or self.tangential.any()):
            return plane.copy()
        wanted = plane.reshape(-1, 2)
        found = wanted.copy()
        for _ in range(50):
            reached, jacobian = self._distorted(found)
            miss = wanted - reached
            if not (np.abs(miss) > 1e-15).any():
                break
            determinant = jacobian[:, 0, 0] * jacobian[:, 1, 1] - jacobian[:, 0, 1] * jacobian[:, 1, 0]
            # A lens folds where the determinant turns: beyond, several points share one image, and none is right.
            safe = np.where(determinant > 1e-6, determinant, np.nan)
            step_x = (jacobian[:, 1, 1] * miss[:, 0] - jacobian[:, 0, 1] * miss[:, 1]) / safe
            step_y = (jacobian[:, 0, 0] * miss[:, 1] - jacobian[:, 1, 0] * miss[:, 0]) / safe
            step = np.stack([step_x, step_y], axis=-1)
            length = np.linalg.norm(step, axis=-1, keepdims=True)
            with np.errstate(invalid="ignore"):
                found = found + step * np.minimum(1.0, 0.5 / np.maximum(length, 0.5))
        with np.errstate(invalid="ignore"):
            missed = ~(np.abs(wanted - self._distorted(found)[0]) < 1e-9).all(axis=-1)
        found[missed] = np.nan
        return found.reshape(plane.shape)

    def _distorted(self, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 2) distorted coordinates, and (..., 2, 2) their derivatives."""
        x, y = plane[..., 0], plane[..., 1]
        (k1, k2, k3), (p1, p2) = self.radial, self.tangential
        double = _TANGENTIAL[self.distortion]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = k1 + r2 * (2 * k2 + r2 * 3 * k3)  # of radial, by r2
        # Both forms in one: with a factor f, f (p1 y + p2 x) is added to radial, and (p2, p1) r2 to the point.
        tilt = radial + double * (p1 * y + p2 * x)
        out = np.stack([x * tilt + p2 * r2, y * tilt + p1 * r2], axis=-1)
        dx, dy = 2 * x * slope + double * p2, 2 * y * slope + double * p1
        rows = [tilt + x * dx + 2 * p2 * x, x * dy + 2 * p2 * y, y * dx + 2 * p1 * x, tilt + y * dy + 2 * p1 * y]
        return out, np.stack(rows, axis=-1).reshape(*plane.shape, 2)

    # ------------------------------------------------------------------------------------------ others
    def through(self, frame_to_input: Affine, size_wh: tuple[int, int] | None = None) -> Camera:
        """The camera of the cropped and resized picture that ``frame_to_input`` makes of this one's, of ``size_wh``.

        Raises `ShapeError` for a map that rotates or mirrors: a camera with such pixels is no `Camera`.
        """
        if not frame_to_input.is_axis_aligned:
            raise ShapeError(f"a camera can be cropped and resized only, got the map {frame_to_input.matrix.tolist()}")
        scale, centre = np.diag(frame_to_input.matrix[:, :2]), frame_to_input.apply(self.centre_px)
        return replace(self, focal_px=self.focal_px * scale, centre_px=centre, size_wh=size_wh)


def look_at(position_mm: np.ndarray, target_mm: np.ndarray, up: np.ndarray, roll_deg: float = 0.0) -> np.ndarray:
    """(3, 3) rotation, world to camera, of a camera that looks from ``position_mm`` at ``target_mm``.

    ``up`` (3,) is the world's upward direction; it points upwards in the picture, unless ``roll_deg`` turns the camera
    about its axis. Raises `ShapeError` where the two places coincide or the view is along ``up``.
    """
    forward = _points(target_mm, 3) - _points(position_mm, 3)
    right = np.cross(forward, _points(up, 3))
    if np.linalg.norm(forward) == 0 or np.linalg.norm(right) <= 1e-9 * np.linalg.norm(forward) * np.linalg.norm(up):
        raise ShapeError("a camera must look at another place than its own, and not along 'up'")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    cos, sin = np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ upright


def random_camera(
    rng: np.random.Generator,
    target_mm: np.ndarray,
    *,
    up: np.ndarray = (0.0, 1.0, 0.0),  # type: ignore[assignment]
    size_wh: tuple[int, int] = (1000, 1000),
    distance_mm: tuple[float, float] = (2500.0, 6000.0),
    elevation_deg: tuple[float, float] = (-10.0, 35.0),
    view_deg: tuple[float, float] = (35.0, 65.0),
    roll_deg: float = 3.0,
) -> Camera:
    """A camera without distortion, somewhere around a place and looking at it.

    Parameters
    ----------
    rng : where the chance comes from.
    target_mm : (3,) the place in the world that appears at the picture's centre.
    up : (3,) the world's upward direction.
    size_wh : the picture's (width, height).
    distance_mm, elevation_deg : ranges of the distance, and of the angle above the horizon; all around is even.
    view_deg : range of the angle of view along the longer side.
    roll_deg : standard deviation of the turn about the camera's axis.
    """
    vertical = _points(up, 3) / np.linalg.norm(up)
    seed = np.eye(3)[np.argmin(np.abs(vertical))]
    east = np.cross(vertical, seed)
    east = east / np.linalg.norm(east)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(*elevation_deg))
    level = np.cos(azimuth) * east + np.sin(azimuth) * np.cross(vertical, east)
    offset = rng.uniform(*distance_mm) * (np.cos(elevation) * level + np.sin(elevation) * vertical)
    position = _points(target_mm, 3) + offset
    focal = max(size_wh) / 2 / np.tan(np.deg2rad(rng.uniform(*view_deg)) / 2)
    return Camera(
        focal_px=np.array([focal, focal]),
        centre_px=(np.array(size_wh) - 1) / 2,
        rotation=look_at(position, target_mm, vertical, float(rng.normal(0, roll_deg))),
        position_mm=position,
        size_wh=size_wh,
    )


def _points(points: np.ndarray, width: int) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.shape[-1:] != (width,):
        raise ShapeError(f"expected points that end in an axis of {width}, got shape {points.shape}")
    return points
