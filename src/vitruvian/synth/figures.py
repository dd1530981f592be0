"""`Figure`: a posed body, dressed and placed in a picture, as painted pieces and exact joints.

Which way a person faces can be seen: faces from the front, hair from behind, noses in profile, a neckline and an
opening down the front of the shirt; near limbs cover far ones. Left and right are thus decidable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..skeletons import VITRUVIAN19
from .bodies import Body, Pose, Stance, pose_body
from .painting import Colour, Part, Point, Polygon, band, between, capsule, ellipse, random_colour, tone

LABELS = (
    "torso", "neck", "head", "left_upper_arm", "left_forearm", "right_upper_arm", "right_forearm",
    "left_thigh", "left_shin", "right_thigh", "right_shin",
)  # fmt: skip
"""Pieces of a figure; a piece's number in a label map is its index + 1."""

_OWNERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top"), ("head",)),
    "neck": ("neck", "torso"),
    **{f"{side}_{joint}": tuple(part.format(side) for part in parts) for side in ("left", "right") for joint, parts in (
        ("shoulder", ("{}_upper_arm", "torso")), ("elbow", ("{}_upper_arm", "{}_forearm")), ("wrist", ("{}_forearm",)),
        ("hip", ("{}_thigh", "torso")), ("knee", ("{}_thigh", "{}_shin")), ("ankle", ("{}_shin",)),
    )},
}  # fmt: skip

# Share of the way from pelvis to mid-shoulder, half width, half depth, in body heights; 0.4 is the waist.
_TRUNK = (
    (-0.07, 0.076, 0.058), (0.08, 0.088, 0.064), (0.42, 0.074, 0.054), (0.80, 0.096, 0.064), (0.97, 0.098, 0.050),
    (1.08, 0.052, 0.040),
)  # fmt: skip
_HEM = 0.20  # where the shirt ends
_SKINS = ((255, 226, 200), (240, 196, 158), (206, 150, 110), (150, 95, 62), (92, 56, 38))
_HAIRS = ((28, 22, 20), (70, 44, 28), (120, 78, 44), (196, 158, 96), (150, 150, 150), (140, 60, 30))


@dataclass(frozen=True)
class Outfit:
    """Colours and cuts."""

    skin: Colour
    hair: Colour
    shirt: Colour
    second: Colour
    trousers: Colour
    shoes: Colour
    sleeve: float
    leg: float
    pattern: str
    face_reach: float
    edge: float
    light: tuple[float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Outfit:
        """Random skin, hair and clothes, lit from somewhere above."""
        position = rng.uniform(0, len(_SKINS) - 1)
        low = int(position)
        skin = np.array(_SKINS[low]) + (position - low) * (np.array(_SKINS[low + 1]) - _SKINS[low])
        hair = np.array(_HAIRS[rng.integers(len(_HAIRS))]) * rng.uniform(0.8, 1.2)
        angle = math.radians(rng.uniform(-160, -20))
        return cls(
            skin=tone(tuple(skin), float(rng.uniform(0.9, 1.03))),  # type: ignore[arg-type]
            hair=tone(tuple(hair), 1.0),  # type: ignore[arg-type]
            shirt=random_colour(rng),
            second=random_colour(rng),
            trousers=random_colour(rng),
            shoes=random_colour(rng),
            sleeve=float(rng.choice((0.0, 0.6, 2.0), p=(0.15, 0.4, 0.45))),
            leg=float(rng.choice((0.65, 2.0), p=(0.3, 0.7))),
            pattern=str(rng.choice(("plain", "rings", "bars", "blocks"), p=(0.45, 0.25, 0.15, 0.15))),
            face_reach=float(rng.uniform(66, 84)),
            edge=float(rng.uniform(0.55, 0.85)),
            light=(math.cos(angle), math.sin(angle)),
        )


@dataclass(frozen=True)
class Figure:
    """A person in a picture.

    Attributes
    ----------
    parts : painted in this order, far to near.
    keypoints_px : (19, 2) float64, joints of `VITRUVIAN19`, wherever they lie.
    turned_away : (19,) bool: joints on the far side of their own piece (an ear behind the head).
    pose, height_px : how it stands (None where angles are unknown), and its body height in pixels.
    """

    parts: list[Part]
    keypoints_px: np.ndarray
    turned_away: np.ndarray
    pose: Pose | None
    height_px: float

    def shown(self, labels: np.ndarray) -> np.ndarray:
        """(19,) bool: joints inside the picture whose own piece is the foremost one there, by a label map."""
        height, width = labels.shape
        out = np.zeros(len(VITRUVIAN19), dtype=bool)
        for k, name in enumerate(VITRUVIAN19.joints):
            x, y = np.rint(self.keypoints_px[k]).astype(int)
            if 0 <= x < width and 0 <= y < height and not self.turned_away[k]:
                label = int(labels[y, x])
                out[k] = label > 0 and LABELS[label - 1] in _OWNERS[name]
        return out


@dataclass(frozen=True)
class _Placed:
    """A stance in pixels: (x, y) of each point, how near it is, and the length of one body height."""

    at: dict[str, Point]
    near: dict[str, float]
    unit: float
    stance: Stance
    body: Body
    outfit: Outfit

    def direction(self, vector: np.ndarray) -> Point:
        return float(vector[0]) * self.unit, -float(vector[1]) * self.unit


def make_figure(body: Body, pose: Pose, outfit: Outfit, unit_px: float, pelvis_px: Point) -> Figure:
    """Dress a posed body of ``unit_px`` pixels height and put its pelvis at a pixel."""
    return dress(pose_body(body, pose), body, pose, outfit, unit_px, pelvis_px)


def dress(stance: Stance, body: Body, pose: Pose | None, outfit: Outfit, unit_px: float, pelvis_px: Point) -> Figure:
    """A figure around points and frames that are known, of a pose in angles or of none."""
    at = {
        n: (pelvis_px[0] + unit_px * float(p[0]), pelvis_px[1] - unit_px * float(p[1]))
        for n, p in stance.points.items()
    }
    near = {name: unit_px * float(point[2]) for name, point in stance.points.items()}
    placed = _Placed(at, near, unit_px, stance, body, outfit)
    parts = [_neck(placed), _torso(placed), _head(placed)]
    for side in ("left", "right"):
        parts += [_upper_arm(placed, side), _forearm(placed, side), _thigh(placed, side), _shin(placed, side)]
    parts.sort(key=lambda part: part.depth)
    keypoints = np.array([at[name] for name in VITRUVIAN19.joints])
    return Figure(parts, keypoints, _turned_away(placed), pose, unit_px)


def _turned_away(p: _Placed) -> np.ndarray:
    """Joints that the piece they sit on hides: beyond about 105 degrees from the viewer's side for the face, and
    shoulders and hips on the far side of a trunk seen from the side."""
    hidden = []
    for name in VITRUVIAN19.joints:
        if name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
            offset = p.stance.points[name] - p.stance.points["head"]
            hidden.append(offset[2] < -0.26 * float(np.linalg.norm(offset)))
        elif name.endswith(("_shoulder", "_hip")):
            centre = "chest" if name.endswith("_shoulder") else "pelvis"
            offset = p.stance.points[name] - p.stance.points[centre]
            hidden.append(offset[2] < -0.8 * float(np.linalg.norm(offset)))
        else:
            hidden.append(False)
    return np.array(hidden)


def _label(name: str) -> int:
    return LABELS.index(name) + 1


# --- limbs ---------------------------------------------------------------------------------------------------------


def _bone(
    p: _Placed, start: Point, end: Point, radii: tuple[float, float], bare: Colour, cloth: Colour, cover: float
) -> tuple[list[Polygon], list[tuple[Polygon, Colour]]]:
    """Outline and paint of one bone, dressed up to the share ``cover`` of its length; radii in body heights."""
    r0, r1 = (radius * p.unit * p.body.girth for radius in radii)
    rim = 0.006 * p.unit
    outline = [capsule(start, end, r0 + rim, r1 + rim)]
    lit = (p.outfit.light[0] * 0.3, p.outfit.light[1] * 0.3)
    paint: list[tuple[Polygon, Colour]] = []
    stretches = [(end, r1, bare)] if cover < 1 else []
    if cover > 0:
        share = min(cover, 1.0)
        hem, wide = between(start, end, share), (r0 + (r1 - r0) * share) * (1.08 if cover < 1 else 1.0)
        stretches.append((hem, wide, cloth))
        outline.append(capsule(start, hem, r0 + rim, wide + rim))
    for stop, radius, colour in stretches:
        paint.append((capsule(start, stop, r0, radius), colour))
        moved = [(x + lit[0] * r, y + lit[1] * r) for (x, y), r in ((start, r0), (stop, radius))]
        paint.append((capsule(moved[0], moved[1], 0.55 * r0, 0.55 * radius), tone(colour, 1.14)))
    if cover >= 1 and p.outfit.pattern == "rings" and cloth == p.outfit.shirt:
        paint += [(band(start, end, t, t + 0.14, r0, r1), p.outfit.second) for t in (0.1, 0.4, 0.7)]
    return outline, paint


def _upper_arm(p: _Placed, side: str) -> Part:
    start, end = p.at[f"{side}_shoulder"], p.at[f"{side}_elbow"]
    outfit = p.outfit
    outline, paint = _bone(p, start, end, (0.030, 0.022), outfit.skin, outfit.shirt, outfit.sleeve)
    depth = 0.35 * p.near[f"{side}_shoulder"] + 0.65 * p.near[f"{side}_elbow"]
    return Part(_label(f"{side}_upper_arm"), depth, outline, tone(paint[0][1], outfit.edge), paint)


def _forearm(p: _Placed, side: str) -> Part:
    start, end, tip = (p.at[f"{side}_{name}"] for name in ("elbow", "wrist", "hand"))
    outfit = p.outfit
    hand, hand_paint = _bone(p, end, tip, (0.016, 0.014), outfit.skin, outfit.skin, 0.0)
    palm = between(end, tip, 0.5)
    hand_paint.append((capsule(end, palm, 0.012 * p.unit, 0.020 * p.unit), outfit.skin))
    outline, paint = _bone(p, start, end, (0.022, 0.015), outfit.skin, outfit.shirt, outfit.sleeve - 1)
    depth = 0.4 * p.near[f"{side}_elbow"] + 0.6 * p.near[f"{side}_wrist"] + 0.01 * p.unit
    edge = tone(paint[0][1], outfit.edge)
    rim = [(polygon, tone(outfit.skin, outfit.edge)) for polygon in hand]
    return Part(_label(f"{side}_forearm"), depth, hand + outline, edge, rim + hand_paint + paint)


def _thigh(p: _Placed, side: str) -> Part:
    start, end = p.at[f"{side}_hip"], p.at[f"{side}_knee"]
    outfit = p.outfit
    outline, paint = _bone(p, start, end, (0.052, 0.034), outfit.skin, outfit.trousers, outfit.leg)
    depth = 0.35 * p.near[f"{side}_hip"] + 0.65 * p.near[f"{side}_knee"] - 0.01 * p.unit
    return Part(_label(f"{side}_thigh"), depth, outline, tone(paint[0][1], outfit.edge), paint)


def _shin(p: _Placed, side: str) -> Part:
    start, end, toe, heel = (p.at[f"{side}_{name}"] for name in ("knee", "ankle", "toe", "heel"))
    outfit = p.outfit
    shoe, shoe_paint = _bone(p, heel, toe, (0.019, 0.015), outfit.shoes, outfit.shoes, 0.0)
    outline, paint = _bone(p, start, end, (0.034, 0.019), outfit.skin, outfit.trousers, outfit.leg - 1)
    calf, thick, thin = between(start, end, 0.3), 0.034 * p.unit * p.body.girth, 0.019 * p.unit
    outline.append(capsule(calf, end, thick + 0.006 * p.unit, thin))
    paint.insert(0, (capsule(calf, end, thick, thin), paint[0][1]))
    depth = 0.4 * p.near[f"{side}_knee"] + 0.6 * p.near[f"{side}_ankle"]
    # From behind the shoe is farther than the shin, from the front nearer.
    toes_near = p.near[f"{side}_toe"] > p.near[f"{side}_ankle"]
    shoe_paint = [*((polygon, tone(outfit.shoes, outfit.edge)) for polygon in shoe), *shoe_paint]
    both = paint + shoe_paint if toes_near else shoe_paint + paint
    return Part(_label(f"{side}_shin"), depth, shoe + outline, tone(paint[0][1], outfit.edge), both)


# --- trunk ---------------------------------------------------------------------------------------------------------


def _neck(p: _Placed) -> Part:
    start, end = between(p.at["chest"], p.at["neck"], 0.3), between(p.at["neck"], p.at["head"], 0.7)
    outline, paint = _bone(p, start, end, (0.030, 0.027), p.outfit.skin, p.outfit.skin, 0.0)
    depth = p.near["chest"] + 0.03 * p.unit
    return Part(_label("neck"), depth, outline, tone(p.outfit.skin, p.outfit.edge), paint)


def _axis(p: _Placed, share: float) -> tuple[Point, np.ndarray]:
    """Centre and frame of the trunk at a share of its length: it bends at the waist."""
    frame = p.stance.pelvis if share < 0.42 else p.stance.chest
    if share < 0.4:
        return between(p.at["pelvis"], p.at["waist"], share / 0.4), frame
    return between(p.at["waist"], p.at["chest"], (share - 0.4) / 0.6), frame


def _half_axes(p: _Placed, width: float, depth: float) -> tuple[float, float]:
    """A broad body is broader in its flesh than in its bones."""
    return width * (0.8 + 0.2 * p.body.girth), depth * p.body.girth


def _station(p: _Placed, share: float, width: float, depth: float, grow: float) -> tuple[Point, Polygon]:
    """Centre and outline of a cross-section of the trunk."""
    centre, frame = _axis(p, share)
    across, along = _half_axes(p, width, depth)
    sideways, forwards = p.direction(frame[:, 0] * (across + grow)), p.direction(frame[:, 2] * (along + grow))
    return centre, ellipse(centre, sideways, forwards)


def _slab(first: tuple[Point, Polygon], second: tuple[Point, Polygon]) -> Polygon:
    """What two cross-sections sweep between them: joined at the widest points across the line of centres."""
    (x0, y0), (x1, y1) = first[0], second[0]
    nx, ny = y0 - y1, x1 - x0
    out = []
    for _, outline in (first, second):
        offsets = [nx * x + ny * y for x, y in outline]
        ends = [outline[offsets.index(max(offsets))], outline[offsets.index(min(offsets))]]
        out += ends if not out else ends[::-1]
    return out


def _trunk_at(share: float) -> tuple[float, float, float]:
    for (t0, w0, d0), (t1, w1, d1) in pairwise(_TRUNK):
        if share <= t1:
            s = (share - t0) / (t1 - t0)
            return share, w0 + (w1 - w0) * s, d0 + (d1 - d0) * s
    return _TRUNK[-1]


def _torso(p: _Placed) -> Part:
    outfit = p.outfit
    wide = [_station(p, *row, grow=0.006) for row in _TRUNK]
    silhouette = [outline for _, outline in wide] + [_slab(a, b) for a, b in pairwise(wide)]
    paint: list[tuple[Polygon, Colour]] = []

    def sweep(low: float, high: float, colour: Colour) -> None:
        shares = [low, *(row[0] for row in _TRUNK if low < row[0] < high), high]
        stations = [_station(p, *_trunk_at(share), grow=0.0) for share in shares]
        paint.extend((outline, colour) for _, outline in (stations[0], stations[-1]))
        paint.extend((_slab(a, b), colour) for a, b in pairwise(stations))

    sweep(_TRUNK[0][0], _HEM, outfit.trousers)
    sweep(_HEM - 0.04, _TRUNK[-1][0], outfit.shirt)
    if outfit.pattern == "rings":
        for share in (0.28, 0.46, 0.64, 0.82):
            sweep(share, share + 0.09, outfit.second)
    elif outfit.pattern == "blocks":
        sweep(0.62, _TRUNK[-1][0], outfit.second)
    paint += _front(p)
    return Part(_label("torso"), p.near["chest"] * 0.5, silhouette, tone(outfit.shirt, outfit.edge), paint)


def _front(p: _Placed) -> list[tuple[Polygon, Colour]]:
    """What lies on a shirt: bars down both sides, and on its front alone an opening and a neckline."""
    outfit, chest = p.outfit, p.stance.chest
    out: list[tuple[Polygon, Colour]] = []

    def spot(share: float, angle_deg: float, inset: float = 0.94) -> Point:
        """A point on the trunk, at an angle from its front."""
        (x, y), frame = _axis(p, share)
        across, along = _half_axes(p, *_trunk_at(share)[1:])
        sideways = frame[:, 0] * (math.sin(math.radians(angle_deg)) * across)
        dx, dy = p.direction(inset * (sideways + frame[:, 2] * (math.cos(math.radians(angle_deg)) * along)))
        return x + dx, y + dy

    def faces(angle_deg: float) -> bool:
        _, width, depth = _trunk_at(0.6)
        normal = chest[:, 0] * (math.sin(math.radians(angle_deg)) / width)
        normal = normal + chest[:, 2] * (math.cos(math.radians(angle_deg)) / depth)
        return float(normal[2]) > 0.3 * float(np.linalg.norm(normal))

    def line(angle_deg: float, radius: float, colour: Colour) -> None:
        stops = [spot(share, angle_deg) for share in (_HEM, 0.42, 0.92)]
        out.extend((capsule(a, b, radius * p.unit, radius * p.unit), colour) for a, b in pairwise(stops))

    if outfit.pattern == "bars":
        for angle in (-140, -40, 40, 140):
            if faces(angle):
                line(angle, 0.007, outfit.second)
    if faces(0):
        line(0, 0.004, tone(outfit.shirt, 0.6 if sum(outfit.shirt) > 200 else 1.8))
        out.append(([spot(1.06, -60), spot(1.06, 60), spot(0.86, 0)], outfit.skin))
    return out


# --- head ----------------------------------------------------------------------------------------------------------


def _head(p: _Placed) -> Part:
    """A ball of hair with a face let into it, drawn out along the head's axis."""
    outfit, frame, centre = p.outfit, p.stance.head, p.at["head"]
    size = p.body.lengths["head"]
    radius = 0.36 * size * p.unit
    up = p.direction(frame[:, 1])
    length = math.hypot(*up) / p.unit
    ux, uy = (up[0] / p.unit / length, up[1] / p.unit / length) if length > 1e-6 else (0.0, -1.0)
    stretch = 1 + 0.30 * length  # the head is longer than wide; seen from above it is not

    def lay(x: float, y: float, grow: float = 0.0) -> Point:
        """A point of the unit disc (y down) to pixels."""
        along, across = x * ux + y * uy, -x * uy + y * ux
        a, b = along * (radius * stretch + grow), across * (radius + grow)
        return centre[0] + a * ux - b * uy, centre[1] + a * uy + b * ux

    disc = [(math.cos(t), math.sin(t)) for t in np.linspace(0, 2 * math.pi, 20, endpoint=False).tolist()]
    rim = 0.006 * p.unit
    silhouette = [[lay(x, y, rim) for x, y in disc]]
    paint: list[tuple[Polygon, Colour]] = [([lay(x, y) for x, y in disc], outfit.hair)]
    face = _cap_outline(frame @ (0.0, -0.42, 0.91), outfit.face_reach)
    if face:
        paint.append(([lay(x, y) for x, y in face], outfit.skin))
    turned = _turned_away(p)
    for name in ("left_ear", "right_ear"):
        ear = ellipse(p.at[name], (0.2 * radius * ux, 0.2 * radius * uy), (-0.14 * radius * uy, 0.14 * radius * ux))
        around = capsule(p.at[name], p.at[name], 0.26 * radius, 0.26 * radius)
        silhouette.append(around)
        if not turned[VITRUVIAN19.index(name)]:
            paint.append((ear, tone(outfit.skin, 0.9)))
    if not turned[VITRUVIAN19.index("nose")]:
        bridge = between(p.at["left_eye"], p.at["right_eye"], 0.5)
        nose = capsule(bridge, p.at["nose"], 0.08 * radius, 0.17 * radius)
        silhouette.append(capsule(bridge, p.at["nose"], 0.1 * radius, 0.17 * radius + rim))
        paint.append((nose, tone(outfit.skin, 0.82)))
        mouth = [frame @ (x, -0.58, 0.80) for x in (-0.26, 0.26)]
        corners = [lay(float(m[0]), -float(m[1])) for m in mouth]
        paint.append((capsule(corners[0], corners[1], 0.06 * radius, 0.06 * radius), (150, 60, 60)))
    for name in ("left_eye", "right_eye"):
        if not turned[VITRUVIAN19.index(name)]:
            white = ellipse(
                p.at[name], (-0.20 * radius * uy, 0.20 * radius * ux), (0.13 * radius * ux, 0.13 * radius * uy)
            )
            paint.append((white, (245, 245, 245)))
            paint.append((capsule(p.at[name], p.at[name], 0.10 * radius, 0.10 * radius), (25, 20, 20)))
    return Part(_label("head"), p.near["head"] + 0.05 * p.unit, silhouette, tone(outfit.hair, outfit.edge), paint)


def _cap_outline(direction: np.ndarray, reach_deg: float) -> list[Point]:
    """The visible part of a spherical cap on the unit ball, as points of the unit disc (y down); [] if none.

    Points of the cap's rim on the far side are moved straight out to the ball's outline.
    """
    x, y, z = (float(v) for v in direction)
    reach = math.radians(reach_deg)
    if math.acos(max(-1.0, min(1.0, z))) - reach > math.pi / 2 - 0.1:
        return []
    sideways = math.hypot(x, y)
    ax, ay = (x / sideways, y / sideways) if sideways > 1e-6 else (0.0, 1.0)
    out = []
    for c, s in _ring(18):
        # On the rim: cos(reach) direction + sin(reach) (c * towards the viewer + s * across).
        along = math.cos(reach) * sideways - math.sin(reach) * c * z
        across = math.sin(reach) * s
        if math.cos(reach) * z + math.sin(reach) * c * sideways < 0:
            along = math.sqrt(max(0.0, 1 - across * across))
        px, py = along * ax - across * ay, along * ay + across * ax
        out.append((px, -py))
    return out


def _ring(count: int) -> list[Point]:
    return [(math.cos(2 * math.pi * i / count), math.sin(2 * math.pi * i / count)) for i in range(count)]
