"""`Mesh`: posed triangles with all the renderer needs, and the plain solids that stand about in pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

VERTEX = np.dtype(
    [
        ("position", "<f4", 3),  # world, mm
        ("normal", "<f4", 3),  # need not have length 1
        ("rest", "<f4", 3),  # where patterns live, mm
        ("uv", "<f4", 2),
        ("paint", "u1", 4),  # red, green, blue, and how much of it is multiplied by the texture
        ("ids", "u1", 4),  # person (0: a thing), part, pattern on it (0 or 1), gloss
    ]
)
"""One corner as it goes to the graphics card."""


@dataclass
class Surface:
    """How a mesh is painted, beyond its corners' colours.

    Attributes
    ----------
    pattern : 0 plain, 1 stripes across, 2 stripes along, 3 checks, 4 dots, 5 blotches, 6 strands of hair.
    second : the pattern's other colour, RGB in [0, 1].
    scale_mm : the pattern's period.
    texture : a name that the renderer knows, or None.
    """

    pattern: int = 0
    second: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale_mm: float = 80.0
    texture: str | None = None


@dataclass
class Mesh:
    """Triangles to draw together: ``corners`` (C,) of `VERTEX`, ``triangles`` (T, 3), seen from both sides."""

    corners: np.ndarray
    triangles: np.ndarray
    surface: Surface = field(default_factory=Surface)


def corners_of(
    position: np.ndarray,
    normal: np.ndarray,
    *,
    rest: np.ndarray | None = None,
    uv: np.ndarray | float = 0.0,
    rgb: np.ndarray | tuple[int, int, int] = (255, 255, 255),
    textured: np.ndarray | int = 0,
    person: int = 0,
    part: np.ndarray | int = 0,
    patterned: np.ndarray | int = 0,
    gloss: int = 0,
) -> np.ndarray:
    """(C,) of `VERTEX`, each argument one value or one a corner."""
    out = np.empty(len(position), VERTEX)
    out["position"], out["normal"], out["uv"] = position, normal, uv
    out["rest"] = position if rest is None else rest
    out["paint"][:, :3], out["paint"][:, 3] = rgb, textured
    out["ids"][:, 0], out["ids"][:, 1], out["ids"][:, 2], out["ids"][:, 3] = person, part, patterned, gloss
    return out


def box(size_mm: np.ndarray, rgb: tuple[int, int, int]) -> Mesh:
    """A block that stands on y = 0 around the origin."""
    w, h, d = (float(v) for v in size_mm)
    points, normals, triangles = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            a, b = (axis + 1) % 3, (axis + 2) % 3
            start = len(points)
            for da, db in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                point = np.zeros(3)
                point[axis], point[a], point[b] = sign, da, db
                points.append(point * (w / 2, h / 2, d / 2) + (0, h / 2, 0))
                normal = np.zeros(3)
                normal[axis] = sign
                normals.append(normal)
            triangles += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return Mesh(corners_of(np.array(points), np.array(normals), rgb=rgb, patterned=1), np.array(triangles, np.int32))


def spindle(radii_mm: np.ndarray, heights_mm: np.ndarray, rgb: tuple[int, int, int], sides: int = 14) -> Mesh:
    """A body of revolution about y: rings of those radii at those heights (poles, bins, balls, lamps)."""
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(turn), np.zeros_like(turn), np.sin(turn)], axis=-1)
    radii, heights = np.asarray(radii_mm, np.float64), np.asarray(heights_mm, np.float64)
    points = ring[None] * radii[:, None, None] + heights[:, None, None] * np.array([0.0, 1, 0])
    slope = np.gradient(radii, np.maximum(heights, heights[0]) + np.arange(len(heights)) * 1e-6)
    normals = ring[None] - slope[:, None, None] * np.array([0.0, 1, 0])
    wide = sides + 1
    first = (np.arange(len(radii) - 1)[:, None] * wide + np.arange(sides)).ravel()
    triangles = np.concatenate(
        [np.stack([first, first + 1, first + wide], axis=1), np.stack([first + 1, first + wide + 1, first + wide], 1)]
    )
    corners = corners_of(points.reshape(-1, 3), normals.reshape(-1, 3), rgb=rgb, patterned=1)
    return Mesh(corners, triangles.astype(np.int32))


def moved(mesh: Mesh, rotation: np.ndarray, shift_mm: np.ndarray) -> Mesh:
    """The mesh turned by ``rotation`` (3, 3), then shifted by (3,) mm; its pattern goes with it."""
    corners = mesh.corners.copy()
    corners["position"] = mesh.corners["position"] @ rotation.T + shift_mm
    corners["normal"] = mesh.corners["normal"] @ rotation.T
    return Mesh(corners, mesh.triangles, mesh.surface)
