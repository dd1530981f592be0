"""`make_figure`: one dressed and posed person, as meshes and as the truth about its joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from . import landmarks
from . import rotations as rot
from .body import BodyModel, skin
from .meshes import Mesh, Surface, corners_of
from .painted import cloth_colour, hair_colour, paint, sample_outfit, sample_pattern, skin_colour
from .poses import global_rotations, mirrored
from .wardrobe import Garment, Wardrobe


class PoseSource(Protocol):
    """Whatever poses are drawn from."""

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """A pose (36, 3, 3) of `poses.POSED`, and the name of where it is from."""
        ...


@dataclass(frozen=True, eq=False)
class Assets:
    """What people are made of.

    Attributes
    ----------
    body : the baked body; ``shapes`` the indices of its shapes that may be used.
    poses : where poses come from.
    wardrobe : clothes, or None for painted ones alone.
    backgrounds : pictures to stand before, as files; empty for generated ones alone.
    """

    body: BodyModel
    shapes: tuple[int, ...]
    poses: PoseSource
    wardrobe: Wardrobe | None = None
    backgrounds: Sequence[Any] = ()


@dataclass(eq=False)
class Figure:
    """A person in the world, millimetres, y up.

    Attributes
    ----------
    meshes : what is drawn, ids in its corners.
    joints_mm : (L, 3) of `landmarks.NAMES`; ``radii_mm`` (L,), how deep under what is drawn each may be.
    bones_mm : (B, 3), where bones begin; ``rotations`` (B, 3, 3) their global turns.
    stature_mm : height at rest.
    about : plain data: shapes, pose, clothes.
    """

    meshes: list[Mesh]
    joints_mm: np.ndarray
    radii_mm: np.ndarray
    bones_mm: np.ndarray
    rotations: np.ndarray
    stature_mm: float
    about: dict[str, Any] = field(default_factory=dict)

    def move(self, shift_mm: np.ndarray) -> None:
        """Shift all of it by (3,) mm."""
        for mesh in self.meshes:
            mesh.corners["position"] += np.asarray(shift_mm, np.float32)
        self.joints_mm = self.joints_mm + shift_mm
        self.bones_mm = self.bones_mm + shift_mm

    @property
    def extent_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the box around it, (3,) each."""
        points = [mesh.corners["position"] for mesh in self.meshes]
        return np.min([p.min(axis=0) for p in points], axis=0), np.max([p.max(axis=0) for p in points], axis=0)

    def sample_points(self) -> np.ndarray:
        """(P, 3) the joints and every few points of what is drawn, enough to frame it."""
        return np.concatenate([self.joints_mm, *(mesh.corners["position"][::23] for mesh in self.meshes)])


def make_figure(rng: np.random.Generator, assets: Assets, person: int) -> Figure:
    """A person that stands on y = 0 at the origin, all of it drawn from ``rng``.

    ``person`` (1 ... 255) is the id in its corners.
    """
    body = assets.body
    shares = _mixture(rng, assets)
    rest, heads = body.rest(shares)
    scale = float(rng.uniform(0.96, 1.04))
    rest, heads = rest * np.float32(scale), heads * np.float32(scale)
    pose, source = assets.poses.draw(rng)
    flipped = rng.random() < 0.5
    pose = mirrored(pose) if flipped else pose
    turn = rot.about_y(float(rng.uniform(0, 2 * np.pi)))
    curl = rng.uniform(0, 1, 2) ** 1.5 * 0.9
    turns = global_rotations(body, turn @ pose, (float(curl[0]), float(curl[1])))
    transforms = body.transforms(heads, turns)
    meshes, worn = _dress(rng, assets, shares, rest, transforms, person)
    bones = np.einsum("bij,bj->bi", transforms[..., :3], heads) + transforms[..., 3]
    marks = body.landmark_vertex
    posed_marks = np.zeros_like(rest)
    posed_marks[marks] = skin(transforms, body.weights[marks], rest[marks])
    drawn = rest[body.corner_vertex]
    about = {
        "shapes": {str(int(i)): round(float(shares[i]), 4) for i in np.flatnonzero(shares)},
        "pose": source, "mirrored": bool(flipped), **worn,
    }  # fmt: skip
    figure = Figure(
        meshes, landmarks.locate(body, bones, posed_marks), landmarks.radii(body, heads, rest), bones, turns,
        float(drawn[:, 1].max() - drawn[:, 1].min()), about,
    )  # fmt: skip
    low, high = figure.extent_mm
    figure.move(np.array([-(low[0] + high[0]) / 2, -low[1], -(low[2] + high[2]) / 2]))
    return figure


def _mixture(rng: np.random.Generator, assets: Assets) -> np.ndarray:
    """Between two of the shapes that may be used: no two people are the same."""
    first, second = (assets.shapes[int(i)] for i in rng.integers(len(assets.shapes), size=2))
    share = float(rng.uniform(0, 0.5))
    out = np.zeros(len(assets.body), np.float32)
    out[first] += 1 - share
    out[second] += share
    return out


def _dress(
    rng: np.random.Generator, assets: Assets, shares: np.ndarray, rest: np.ndarray, transforms: np.ndarray, person: int
) -> tuple[list[Mesh], dict[str, Any]]:
    """The body and what it wears as meshes, and the names of the latter."""
    body, wardrobe = assets.body, assets.wardrobe
    skin_rgb = skin_colour(rng)
    outfit = sample_outfit(rng)
    worn = _choose(rng, wardrobe, float(shares @ body.phenotypes[:, body.phenotype_names.index("gender")]))
    hides = np.zeros(len(rest), bool)
    for garment in worn:
        hides |= garment.hides
    covered = {garment.kind for garment in worn}
    meshes = [_body_mesh(rng, assets, rest, transforms, person, outfit, skin_rgb, hides, covered)]
    for garment in worn:
        colour = (outfit.hair or hair_colour(rng)) if garment.kind == "hair" else cloth_colour(rng)
        meshes.append(_garment_mesh(rng, garment, colour, rest, transforms, person, assets.wardrobe))
    return meshes, {"clothes": [garment.name for garment in worn] or ["painted"]}


def _choose(rng: np.random.Generator, wardrobe: Wardrobe | None, gender: float) -> list[Garment]:
    """A suit and shoes mostly, hair mostly, a hat now and then; nothing where clothes are painted."""
    if wardrobe is None or rng.random() < 0.12:
        return []
    # MakeHuman's phenotype runs from male (0) to female (1).
    other = "male" if gender > 0.5 else "female"

    def pick(kind: str, chance: float) -> list[Garment]:
        having = wardrobe.garments[kind]
        fitting = [g for g in having if other not in g.tags or rng.random() < 0.1] or having
        if not fitting or rng.random() > chance:
            return []
        return [fitting[int(rng.integers(len(fitting)))]]

    return [*pick("suit", 0.95), *pick("shoes", 0.9), *pick("hair", 0.88), *pick("hat", 0.07)]


def _body_mesh(
    rng: np.random.Generator, assets: Assets, rest: np.ndarray, transforms: np.ndarray, person: int, outfit: Any,
    skin_rgb: tuple[int, int, int], hides: np.ndarray, covered: set[str],
) -> Mesh:  # fmt: skip
    body = assets.body
    eyes = ((70, 48, 32), (52, 38, 30), (92, 120, 142), (88, 104, 74))[int(rng.integers(4))]
    rgb, bare, patterned, thick = paint(body, outfit, skin_rgb, eyes, covered)
    used = body.corner_vertex
    # What a garment covers is not drawn.
    triangles = body.triangles[~hides[used][body.triangles].all(axis=1)]
    normals = body.normals
    posed, turned = skin(transforms, body.weights[used], (rest + normals * thick[:, None])[used], normals[used])
    skins = list(assets.wardrobe.skins) if assets.wardrobe is not None else []
    surface = outfit.pattern
    colours = rgb[used]
    if skins and rng.random() < 0.75:
        # The picture is multiplied: what it is brought to on average is the wanted skin.
        name = skins[int(rng.integers(len(skins)))]
        mean = np.maximum(_mean_colour(assets.wardrobe.skins[name]), 1)  # type: ignore[union-attr]
        tint = np.clip(np.array(skin_rgb) / mean * 255, 0, 255).astype(np.uint8)
        colours = np.where(bare[used][:, None], tint, colours)
        surface = Surface(surface.pattern, surface.second, surface.scale_mm, name)
    corners = corners_of(
        posed, turned, rest=rest[used], uv=body.corner_uv, rgb=colours, textured=bare[used] * np.uint8(255),
        person=person, part=body.vertex_part[used], patterned=patterned[used], gloss=int(rng.integers(5, 45)),
    )  # fmt: skip
    return Mesh(corners, triangles, surface)


def _mean_colour(picture: np.ndarray) -> np.ndarray:
    return picture[::16, ::16].reshape(-1, 3).mean(axis=0)


def _garment_mesh(
    rng: np.random.Generator, garment: Garment, rgb: tuple[int, int, int], rest: np.ndarray, transforms: np.ndarray,
    person: int, wardrobe: Any,
) -> Mesh:  # fmt: skip
    fitted = garment.fit(rest)
    used = garment.corner_vertex
    posed, turned = skin(transforms, garment.weights, fitted, garment.normals)
    hair = garment.kind == "hair"
    surface = Surface(pattern=6, second=(0.1, 0.08, 0.07), scale_mm=30.0) if hair else sample_pattern(rng)
    textured = 0
    if garment.name in wardrobe.textures and rng.random() < 0.6:
        fade = 255 if rng.random() < 0.5 else int(rng.integers(150, 255))
        rgb, textured = (fade, fade, fade), 255
        surface = Surface(texture=garment.name)
    corners = corners_of(
        posed[used], turned[used], rest=fitted[used], uv=garment.corner_uv, rgb=np.array(rgb), textured=textured,
        person=person, part=garment.part[used], patterned=1, gloss=int(rng.integers(0, 30)),
    )  # fmt: skip
    return Mesh(corners, garment.triangles, surface)
