"""Bodies and poses: anthropometric bone lengths, joint angles drawn from ranges, forward kinematics.

Segment lengths as shares of body height follow Drillis & Contini, "Body Segment Parameters" (1966), as tabulated in
Winter, "Biomechanics and Motor Control of Human Movement" (2009), section 4.1; shoulder and hip breadths are reduced
to the distance of the joint centres. Angle ranges are this project's own, well inside of anatomical limits.

Axes are right-handed and in body heights: x to the left side of a person who faces the viewer (and so to the right of
the picture), y up, z towards the viewer.

Adding an action: one entry in `ACTIONS`, and in `ARMS` or `LEGS` where a limb does something new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]
Limb = tuple[Range, Range, Range, Range]
"""Ranges in degrees: flexion (forwards), abduction (outwards), inward twist of the upper bone, bend of elbow, knee."""

SEGMENTS = {
    "trunk": 0.288,  # mid-hip to mid-shoulder
    "neck": 0.042,  # mid-shoulder to the base of the neck
    "head": 0.140,  # base of the neck to the top of the head
    "shoulder": 0.107,  # half of the distance between the shoulder joints
    "hip": 0.056,  # half of the distance between the hip joints
    "upper_arm": 0.186,
    "forearm": 0.146,
    "hand": 0.085,
    "thigh": 0.245,
    "shin": 0.246,
    "foot": 0.115,  # ankle to the tip of the shoe
}

ARMS: dict[str, Limb] = {
    "hanging": ((-12, 18), (3, 18), (0, 30), (3, 30)),
    "out": ((-10, 10), (20, 60), (-20, 20), (5, 50)),
    "on_hip": ((-10, 5), (35, 55), (50, 75), (90, 115)),
    "level": ((-8, 20), (75, 100), (-30, 20), (0, 30)),
    "forward": ((50, 100), (-5, 20), (-10, 40), (0, 70)),
    "bent": ((0, 40), (3, 20), (0, 50), (60, 115)),
    "crossed": ((15, 35), (-5, 8), (55, 80), (80, 110)),
    "raised": ((-10, 15), (130, 172), (-30, 10), (0, 45)),
    "raised_forward": ((130, 172), (0, 20), (-10, 20), (0, 40)),
    "waving": ((-5, 20), (65, 115), (-110, -80), (50, 115)),
    "head_held": ((20, 45), (85, 120), (-80, -60), (110, 135)),
    "swing_front": ((20, 55), (2, 12), (10, 35), (20, 100)),
    "swing_back": ((-50, -15), (2, 15), (0, 20), (15, 95)),
    "lap": ((20, 45), (3, 18), (10, 40), (30, 70)),
}

LEGS: dict[str, Limb] = {
    "straight": ((-6, 8), (0, 10), (-20, 0), (0, 10)),
    "relaxed": ((0, 20), (2, 14), (-30, 0), (8, 30)),
    "apart": ((-6, 10), (14, 32), (-25, 0), (0, 12)),
    "step_front": ((12, 35), (0, 5), (-8, 8), (2, 20)),
    "step_back": ((-25, -5), (0, 5), (-10, 5), (8, 50)),
    "run_front": ((35, 75), (0, 8), (-8, 8), (50, 110)),
    "run_back": ((-30, 0), (0, 6), (-8, 8), (10, 100)),
    "sitting": ((75, 95), (2, 25), (-15, 10), (65, 100)),
    "squat": ((60, 105), (8, 35), (-25, 0), (80, 125)),
    "lunge_front": ((55, 85), (0, 10), (-8, 8), (65, 95)),
    "lunge_back": ((-30, -5), (0, 10), (-8, 8), (30, 85)),
    "knee_up": ((55, 105), (0, 25), (-10, 10), (60, 120)),
    "kick": ((40, 95), (0, 15), (-8, 8), (0, 35)),
    "kick_side": ((-5, 20), (35, 75), (-8, 8), (0, 40)),
}


@dataclass(frozen=True)
class Action:
    """What the limbs do together: pairs of `ARMS` (one is chosen) and of `LEGS`, sides at random.

    ``bow`` tips the pelvis forwards over the legs and ``lean`` bends the spine, in degrees.
    """

    weight: float
    legs: tuple[tuple[str, str], ...]
    arms: tuple[tuple[str, str], ...]
    bow: Range = (-3, 6)
    lean: Range = (-5, 12)


_ANY_ARMS = (
    ("hanging", "hanging"), ("out", "out"), ("on_hip", "on_hip"), ("on_hip", "hanging"), ("level", "level"),
    ("forward", "forward"), ("bent", "hanging"), ("bent", "bent"), ("crossed", "crossed"), ("raised", "raised"),
    ("raised", "hanging"), ("raised_forward", "raised_forward"), ("waving", "hanging"), ("waving", "waving"),
    ("waving", "on_hip"), ("head_held", "head_held"), ("out", "level"), ("forward", "out"), ("raised", "on_hip"),
)  # fmt: skip
_SWINGS = (("swing_front", "swing_back"), ("swing_front", "swing_back"), ("bent", "hanging"), ("out", "swing_back"))

ACTIONS: dict[str, Action] = {
    "standing": Action(0.30, (("straight", "straight"), ("straight", "relaxed")), _ANY_ARMS),
    "stance": Action(0.15, (("apart", "apart"), ("apart", "relaxed")), _ANY_ARMS),
    "walking": Action(0.16, (("step_front", "step_back"),), _SWINGS),
    "running": Action(0.10, (("run_front", "run_back"),), _SWINGS, (0, 12), (0, 15)),
    "sitting": Action(
        0.10, (("sitting", "sitting"),), (("lap", "lap"), ("lap", "waving"), ("crossed", "crossed"), *_ANY_ARMS[5:8])
    ),
    "squatting": Action(
        0.06, (("squat", "squat"),), (("forward", "forward"), ("raised", "raised"), ("bent", "bent")), (5, 35), (0, 15)
    ),
    "lunging": Action(0.06, (("lunge_front", "lunge_back"),), _ANY_ARMS, (-3, 15), (-5, 15)),
    "kicking": Action(0.05, (("kick", "straight"), ("kick_side", "relaxed"), ("knee_up", "straight")), _ANY_ARMS),
    "bowing": Action(
        0.02,
        (("straight", "straight"), ("apart", "apart")),
        (("forward", "forward"), ("out", "out")),
        (25, 60),
        (10, 35),
    ),
}


@dataclass(frozen=True)
class Body:
    """Bone lengths (`SEGMENTS`, in body heights) and how thick the limbs are, as a factor of the usual."""

    lengths: dict[str, float]
    girth: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Body:
        """Grown-ups of all builds and now and then a child, whose head is larger and whose limbs are shorter."""
        child = rng.random() < 0.12
        factors = dict(zip(SEGMENTS, rng.uniform(0.94, 1.06, len(SEGMENTS)), strict=True))
        if child:
            factors["head"] *= 1.35
            for name in ("thigh", "shin", "upper_arm", "forearm"):
                factors[name] *= 0.88
        return cls({name: share * factors[name] for name, share in SEGMENTS.items()}, float(rng.uniform(0.82, 1.3)))


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees. Limbs are (left, right) with four angles each, in the order of `Limb`.

    ``yaw`` turns the person: 0 faces the viewer, 90 towards the picture's right, 180 away. ``pitch`` is how much the
    viewer looks down on the person, ``roll`` the tilt in the picture. ``spine`` and ``head`` are (forwards, turn,
    sideways).
    """

    action: str
    yaw: float
    pitch: float
    roll: float
    bow: float
    spine: tuple[float, float, float]
    head: tuple[float, float, float]
    arms: tuple[tuple[float, ...], tuple[float, ...]]
    legs: tuple[tuple[float, ...], tuple[float, ...]]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Pose:
        """An action, its angles, and where it is seen from."""
        weights = np.cumsum([action.weight for action in ACTIONS.values()])
        name = list(ACTIONS)[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
        action = ACTIONS[name]
        legs, arms = (pairs[rng.integers(len(pairs))] for pairs in (action.legs, action.arms))
        view = rng.random()
        if view < 0.50:
            yaw = rng.normal(0, 28)
        elif view < 0.70:
            yaw = rng.normal(180, 28)
        else:
            yaw = rng.choice((-1, 1)) * rng.normal(80, 25)
        roll = rng.normal(0, 6) if rng.random() < 0.9 else rng.uniform(-60, 60)
        return cls(
            action=name,
            yaw=float((yaw + 180) % 360 - 180),
            pitch=float(rng.normal(6, 7)),
            roll=float(roll),
            bow=float(rng.uniform(*action.bow)),
            spine=(float(rng.uniform(*action.lean)), float(rng.normal(0, 8)), float(rng.normal(0, 5))),
            head=(float(rng.normal(2, 9)), float(rng.normal(0, 20)), float(rng.normal(0, 6))),
            arms=_pair(rng, ARMS, arms),
            legs=_pair(rng, LEGS, legs),
        )


def _pair(
    rng: np.random.Generator, table: dict[str, Limb], names: tuple[str, str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Angles of two limbs, sides at random; a symmetrical pair is often the same but for a little."""
    shares = rng.random((2, 4))
    if names[0] == names[1] and rng.random() < 0.5:
        shares[1] = np.clip(shares[0] + rng.uniform(-0.15, 0.15, 4), 0, 1)
    first, second = (
        tuple(float(low + (high - low) * share) for (low, high), share in zip(table[name], row, strict=True))
        for name, row in zip(names, shares, strict=True)
    )
    return (first, second) if rng.random() < 0.5 else (second, first)


def rotation(axis: int, angle_deg: float) -> np.ndarray:
    """(3, 3) right-handed rotation about a coordinate axis (0, 1, 2 = x, y, z)."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    rows = (((1, 0, 0), (0, c, -s), (0, s, c)), ((c, 0, s), (0, 1, 0), (-s, 0, c)), ((c, -s, 0), (s, c, 0), (0, 0, 1)))
    return np.array(rows[axis], dtype=np.float64)


@dataclass(frozen=True)
class Stance:
    """A posed body before it is placed in a picture: points in body heights and the frames of trunk and head.

    ``points`` holds the joints of `VITRUVIAN19` by name, and besides ``pelvis``, ``waist``, ``chest`` (mid-shoulder),
    ``head`` (its centre), and for each side ``hand`` (finger tips), ``toe`` and ``heel``. Columns of the frames (3, 3)
    ``pelvis``, ``chest`` and ``head`` are the person's left, up and forward directions there.
    """

    points: dict[str, np.ndarray]
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray


def pose_body(body: Body, pose: Pose) -> Stance:
    """Forward kinematics: from bone lengths and angles to points."""
    size = body.lengths
    root = rotation(2, pose.roll) @ rotation(0, pose.pitch) @ rotation(1, pose.yaw)
    pelvis = root @ rotation(0, pose.bow)
    forwards, turn, sideways = pose.spine
    chest = pelvis @ rotation(2, sideways) @ rotation(1, turn) @ rotation(0, forwards)
    nod, look, tilt = pose.head
    head = chest @ rotation(1, look) @ rotation(0, nod) @ rotation(2, tilt)

    points = {"pelvis": np.zeros(3)}
    points["waist"] = pelvis[:, 1] * (0.4 * size["trunk"])
    points["chest"] = points["waist"] + chest[:, 1] * (0.6 * size["trunk"])
    points["neck"] = points["chest"] + chest @ (0.0, size["neck"], 0.008)
    top = size["head"]
    points["head"] = points["neck"] + head @ (0.0, 0.56 * top, 0.10 * top)
    radius = 0.36 * top
    for name, direction in (
        ("nose", (0.0, -0.12, 1.12)), ("left_eye", (0.36, 0.16, 0.88)), ("right_eye", (-0.36, 0.16, 0.88)),
        ("left_ear", (0.96, 0.0, -0.08)), ("right_ear", (-0.96, 0.0, -0.08)),
    ):  # fmt: skip
        points[name] = points["head"] + head @ np.array(direction) * radius
    points["head_top"] = points["head"] + head[:, 1] * (0.44 * top)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm, leg = (limbs[0 if side == "left" else 1] for limbs in (pose.arms, pose.legs))
        points.update(_arm(side, sign, size, arm, points["chest"], chest))
        points.update(_leg(side, sign, size, leg, points["pelvis"], pelvis, root))
    return Stance(points, pelvis, chest, head)


def _bones(angles: tuple[float, ...], sign: float, knee: bool) -> tuple[np.ndarray, np.ndarray]:
    """Frames (3, 3) of a limb's upper and lower bone, which point along -y, for the side with that sign."""
    flexion, abduction, twist, bend = angles
    mirror = np.diag((sign, 1.0, 1.0))
    upper = rotation(0, -flexion) @ rotation(2, abduction) @ rotation(1, -twist)
    lower = upper @ rotation(0, bend if knee else -bend)
    return mirror @ upper @ mirror, mirror @ lower @ mirror


def _arm(
    side: str, sign: float, size: dict[str, float], angles: tuple[float, ...], chest: np.ndarray, frame: np.ndarray
) -> dict[str, np.ndarray]:
    upper, lower = (frame @ bone for bone in _bones(angles, sign, knee=False))
    # A raised arm takes its shoulder along: up, and a little towards the neck.
    raised = max(0.0, float(-upper[:, 1] @ frame[:, 1]) + 0.2) / 1.2
    shoulder = chest + frame @ (sign * (size["shoulder"] - 0.022 * raised), 0.035 * raised, 0.0)
    elbow = shoulder - upper[:, 1] * size["upper_arm"]
    wrist = elbow - lower[:, 1] * size["forearm"]
    hand = wrist - lower[:, 1] * size["hand"]
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist, f"{side}_hand": hand}


def _leg(
    side: str, sign: float, size: dict[str, float], angles: tuple[float, ...],
    pelvis: np.ndarray, frame: np.ndarray, root: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    upper, lower = (root @ bone for bone in _bones(angles, sign, knee=True))
    hip = pelvis + frame @ (sign * size["hip"], 0.0, 0.0)
    knee = hip - upper[:, 1] * size["thigh"]
    ankle = knee - lower[:, 1] * size["shin"]
    toe = ankle + lower @ (sign * 0.015, -0.038, size["foot"])
    heel = ankle + lower @ (0.0, -0.036, -0.025)
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle, f"{side}_toe": toe, f"{side}_heel": heel}
