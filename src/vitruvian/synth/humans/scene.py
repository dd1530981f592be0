"""`make_picture`: a whole picture and its labels from (seed, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ...geometry.cameras import Camera, look_at
from .backdrops import Backdrop, backdrop, sample_light, sample_thing, suited
from .labels import PictureLabels, label_picture
from .meshes import Mesh, moved
from .people import Assets, Figure, make_figure
from .render import Light, Renderer

_ROOM_MM = 260.0  # between the joints of two people
_LEAST_SEEN = 0.006  # of the picture, of the first person: what hides more than that is left out
_UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class SceneOptions:
    """What may happen in a picture.

    Attributes
    ----------
    max_people : 1 ... 8; one person is the commonest.
    occluders : chance that a thing stands in front of a person; others stand about as often.
    truncation : chance that the picture's edge cuts the person off.
    noise : sensor noise, blur and colour casts, or none of them.
    """

    max_people: int = 4
    occluders: float = 0.3
    truncation: float = 0.2
    noise: bool = True


def make_picture(
    seed: int, index: int, assets: Assets, renderer: Renderer, options: SceneOptions = SceneOptions()
) -> tuple[np.ndarray, PictureLabels]:
    """(H, W, 3) uint8 RGB and its labels; the same for the same arguments, whatever was drawn before."""
    rng = np.random.default_rng((seed, index))
    figures = _people(rng, assets, options)
    camera = _camera(rng, figures, renderer.size_wh, options)
    things = _things(rng, figures, camera, options)
    light = sample_light(rng)
    meshes = [mesh for figure in figures for mesh in figure.meshes] + things
    layers = renderer.draw(meshes, camera, light)
    if things and (layers.person == 1).mean() < _LEAST_SEEN:
        layers = renderer.draw(meshes[: -len(things)], camera, light)
    behind = backdrop(rng, camera, renderer.size_wh, tuple(assets.backgrounds))
    shaded = _shadows(rng, behind, figures, camera, light)
    drawn = suited(layers.colour, light, behind.picture) if behind.given else layers.colour
    picture = drawn + (1 - layers.coverage[..., None]) * shaded
    return finish(rng, picture, options.noise), label_picture(layers, camera, figures)


def _people(rng: np.random.Generator, assets: Assets, options: SceneOptions) -> list[Figure]:
    """People on one floor, the first at the origin, others beside, before or behind."""
    count = min(options.max_people, int(rng.geometric(0.6)))
    figures = [make_figure(rng, assets, i + 1) for i in range(count)]
    for i, figure in enumerate(figures[1:], 1):
        away, where = rng.uniform(300, 2000), rng.uniform(0, 2 * np.pi)
        way = np.array([np.cos(where), 0, np.sin(where)])
        figure.move(away * way)
        # Bodies do not pass through each other: farther out until nobody is touched.
        while any(_touch(figure, other) for other in figures[:i]):
            figure.move(120 * way)
    return figures


def _touch(one: Figure, other: Figure) -> bool:
    away = one.joints_mm[:, None] - other.joints_mm[None]
    return bool((np.einsum("ijk,ijk->ij", away, away) < _ROOM_MM**2).any())


def _camera(rng: np.random.Generator, figures: list[Figure], size_wh: tuple[int, int], options: SceneOptions) -> Camera:
    """A camera anywhere around, whose picture is framed by the first person, or now and then by all of them.

    The framing is a crop: the principal point need not be in the middle of the picture. Only the first person is cut
    off on purpose.
    """
    low, high = figures[0].extent_mm
    middle = (low + high) / 2
    azimuth, distance = rng.uniform(0, 2 * np.pi), rng.uniform(2400, 8000)
    elevation = np.deg2rad(np.clip(rng.normal(9, 13), -8, 65))
    way = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(elevation), np.sin(azimuth) * np.cos(elevation)])
    position = middle + distance * way
    position[1] = max(position[1], 150.0)
    rotation = look_at(position, middle, _UP, float(rng.normal(0, 4)))
    everyone, cut = rng.random() < 0.35, rng.random() < options.truncation
    # An edge that cuts off a group could leave the first person out altogether.
    points = np.concatenate([f.sample_points() for f in (figures if everyone and not cut else figures[:1])])
    view = (points - position) @ rotation.T
    view = view[view[:, 2] > 300]
    plane = view[:, :2] / view[:, 2:]
    first, last = plane.min(axis=0), plane.max(axis=0)
    size = np.array(size_wh, np.float64)
    share = rng.uniform(1.1, 1.9) if cut else rng.uniform(0.5, 0.95)
    focal = float(share * (size / (last - first)).min())
    extent = focal * (last - first)
    place = rng.random(2) * (size - extent)
    if cut:  # the head stays in more often than the feet
        place[1] = place[1] if size[1] >= extent[1] else (0.02 * size[1] if rng.random() < 0.7 else size[1] - extent[1])
    return Camera(np.array([focal, focal]), place - focal * first - 0.5, rotation, position, size_wh=size_wh)


def _things(rng: np.random.Generator, figures: list[Figure], camera: Camera, options: SceneOptions) -> list[Mesh]:
    """Some in front of the first person, some anywhere on the floor."""
    out = []
    ahead = camera.position_mm * (1, 0, 1)
    away = float(np.linalg.norm(ahead))
    side = np.cross(_UP, ahead) / max(away, 1e-6)
    if rng.random() < options.occluders and away > 900:
        near = rng.uniform(0.12, 0.5)
        thing = sample_thing(rng, figures[0].stature_mm * rng.uniform(0.2, 0.7))
        out.append(moved(thing, np.eye(3), near * ahead + side * rng.normal(0, 250)))
    while rng.random() < options.occluders:
        where, far = rng.uniform(0, 2 * np.pi), rng.uniform(700, 3500)
        spot = np.array([far * np.cos(where), 0, far * np.sin(where)])
        if np.linalg.norm(spot - ahead) > 1200:
            out.append(moved(sample_thing(rng, rng.uniform(300, 2000)), np.eye(3), spot))
    return out


def _shadows(
    rng: np.random.Generator, behind: Backdrop, figures: list[Figure], camera: Camera, light: Light
) -> np.ndarray:
    """The backdrop with what people keep from the floor: soft below them, and along the lamp's rays."""
    h, w = behind.floor.shape
    strength = min(0.75, 0.25 + 0.5 * sum(light.lamp_colour) / 3)
    out = np.ones((h, w), np.float32)
    for direction, dark, blur in ((_UP, 0.45, 2.5), (np.array(light.lamp), strength, float(rng.uniform(0.6, 3)))):
        canvas = Image.new("L", (w, h))
        draw = ImageDraw.Draw(canvas)
        for figure in figures:
            _draw_shadow(draw, figure, camera, direction)
        shade = np.asarray(canvas.filter(ImageFilter.GaussianBlur(blur * w / 256)), np.float32) / 255
        out *= 1 - dark * shade
    return behind.picture * np.where(behind.floor, out, 1)[..., None]


def _draw_shadow(draw: ImageDraw.ImageDraw, figure: Figure, camera: Camera, direction: np.ndarray) -> None:
    """The lines between landmarks, as thick as limbs, thrown onto y = 0."""
    flat = figure.joints_mm - direction * (figure.joints_mm[:, 1:2] / max(direction[1], 0.1))
    view = camera.world_to_camera(flat)
    if (view[:, 2] < 300).any():
        return
    points = camera.camera_to_image(view)
    for first, second, thick in _BONES:
        width = max(1.0, float(thick * camera.focal_px[0] / view[first, 2]))
        draw.line([tuple(points[first]), tuple(points[second])], fill=255, width=round(width))
        for x, y in points[[first, second]]:
            draw.ellipse([x - width / 2, y - width / 4, x + width / 2, y + width / 4], fill=255)


def _bones() -> list[tuple[int, int, float]]:
    from .landmarks import NAMES

    pairs = [("thorax", "pelvis", 260.0), ("thorax", "head_top", 150.0), ("left_hip", "right_hip", 150.0)]
    for side in ("left", "right"):
        pairs += [
            ("thorax", f"{side}_shoulder", 90.0), (f"{side}_shoulder", f"{side}_elbow", 80.0),
            (f"{side}_elbow", f"{side}_wrist", 70.0), (f"{side}_hip", f"{side}_knee", 130.0),
            (f"{side}_knee", f"{side}_ankle", 95.0), (f"{side}_heel", f"{side}_big_toe", 80.0),
        ]  # fmt: skip
    return [(NAMES.index(a), NAMES.index(b), mm) for a, b, mm in pairs]


_BONES = _bones()


def finish(rng: np.random.Generator, picture: np.ndarray, noise: bool) -> np.ndarray:
    """(H, W, 3) uint8 of a picture in [0, 255]: exposure, colour cast, blur and sensor noise where wanted."""
    if noise:
        gain = (rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.03, 3))).astype(np.float32)
        picture = 255 * (np.clip(picture / 255, 0, 1) ** rng.uniform(0.85, 1.2)) * gain
        if rng.random() < 0.25:
            soft = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
            picture = np.asarray(soft.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.1)))), np.float32)
        # Photon noise grows with the root of the light, read noise does not.
        read, photon = rng.uniform(0, 2.5), rng.uniform(0, 0.35)
        grain = rng.standard_normal(picture.shape[:2], np.float32)[..., None]
        grain = grain + 0.6 * rng.standard_normal(picture.shape, np.float32)
        picture = picture + grain * np.float32(0.85) * (read + photon * np.sqrt(np.maximum(picture, 0)))
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
