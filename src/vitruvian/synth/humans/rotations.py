"""Rotations as (..., 3, 3) matrices, in float64: what posing bodies needs of them, in numpy alone."""

from __future__ import annotations

import numpy as np


def from_quaternion(xyzw: np.ndarray) -> np.ndarray:
    """(..., 4) quaternions x, y, z, w of any length but 0 to matrices."""
    xyzw = np.asarray(xyzw, np.float64)
    x, y, z, w = np.moveaxis(xyzw / np.linalg.norm(xyzw, axis=-1, keepdims=True), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, axis=-1).reshape(*x.shape, 3, 3)


def from_vector(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle in radians to matrices (Rodrigues)."""
    vectors = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    axis = vectors / np.maximum(angle[..., 0], 1e-12)
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def to_vector(rotations: np.ndarray) -> np.ndarray:
    """Matrices to (..., 3) axis times angle, the angle in [0, pi]."""
    rotations = np.asarray(rotations, np.float64)
    flat = rotations.reshape(-1, 3, 3)
    # Through the quaternion whose largest part is computed first (Shepperd 1978): exact near half turns too.
    trace = np.trace(flat, axis1=1, axis2=2)
    diagonal = flat[:, range(3), range(3)]
    choice = np.concatenate([diagonal, trace[:, None]], axis=1).argmax(axis=1)
    q = np.empty((len(flat), 4))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        at = choice == k
        m = flat[at]
        q[at, k] = 1 + 2 * m[:, k, k] - trace[at]
        q[at, i] = m[:, i, k] + m[:, k, i]
        q[at, j] = m[:, j, k] + m[:, k, j]
        q[at, 3] = m[:, j, i] - m[:, i, j]
    at = choice == 3
    m = flat[at]
    q[at, 3] = 1 + trace[at]
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        q[at, k] = m[:, j, i] - m[:, i, j]
    q *= np.where(q[:, 3:] < 0, -1, 1) / np.linalg.norm(q, axis=1, keepdims=True)
    sine = np.linalg.norm(q[:, :3], axis=1)
    angle = 2 * np.arctan2(sine, q[:, 3])
    factor = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 2.0)
    return (q[:, :3] * factor[:, None]).reshape(*rotations.shape[:-2], 3)


def angle(rotations: np.ndarray) -> np.ndarray:
    """(...,) radians in [0, pi] by which matrices (..., 3, 3) turn."""
    return np.arccos(np.clip((np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2, -1, 1))


def between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest turns that take the directions ``start`` (..., 3) to ``end`` (..., 3); neither needs length 1."""
    start, end = np.broadcast_arrays(np.asarray(start, np.float64), np.asarray(end, np.float64))
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = end / np.linalg.norm(end, axis=-1, keepdims=True)
    cross = np.cross(start, end)
    sine = np.linalg.norm(cross, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(axis=-1, keepdims=True))
    # Opposite directions have no shortest turn: any axis across will do.
    other = np.cross(start, np.where(np.abs(start[..., :1]) < 0.9, np.eye(3)[0], np.eye(3)[1]))
    other /= np.linalg.norm(other, axis=-1, keepdims=True)
    axis = np.where(sine > 1e-9, cross / np.maximum(sine, 1e-12), other)
    return from_vector(axis * angle)


def about_y(radians: float) -> np.ndarray:
    """(3, 3) turn about the vertical, counter-clockwise seen from above."""
    return from_vector(np.array([0.0, radians, 0.0]))


def nearest(matrices: np.ndarray) -> np.ndarray:
    """The rotations nearest to (..., 3, 3) matrices (by singular values), never mirroring."""
    u, _, v = np.linalg.svd(matrices)
    sign = np.linalg.det(u @ v)
    u[..., :, 2] *= sign[..., None]
    return u @ v
