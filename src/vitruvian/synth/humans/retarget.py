"""Motion capture onto MakeHuman's body: limbs point where the captured ones point; twists follow the parent.

The captured joints are brought to h36m17 first. Pelvis and chest are turned by two directions each (across and up),
limbs by the shortest turn from where their parent would have left them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import FormatError, ShapeError
from ...formats.asf_amc import read_asf_amc
from ...formats.bvh import read_bvh
from ...formats.mocap_npz import read_mocap_npz
from ...formats.motion import Motion
from ...skeletons import H36M17
from . import rotations as rot
from .body import BodyModel
from .poses import AT, POSED, Poses3D, rest_directions

_EVERY_S = 0.2  # poses nearer in time are much alike

CMU_JOINTS = {  # an ASF/AMC joint stands at its bone's far end
    "pelvis": "root", "right_hip": "rhipjoint", "right_knee": "rfemur", "right_ankle": "rtibia",
    "left_hip": "lhipjoint", "left_knee": "lfemur", "left_ankle": "ltibia", "spine": "upperback", "thorax": "thorax",
    "neck_base": "upperneck", "head_top": "head", "left_shoulder": "lclavicle", "left_elbow": "lhumerus",
    "left_wrist": "lradius", "right_shoulder": "rclavicle", "right_elbow": "rhumerus", "right_wrist": "rradius",
}  # fmt: skip
BVH_JOINTS = {  # CMU's conversions to BVH and what many tools share; then Character Creator's names
    "pelvis": ("Hips", "CC_Base_Hip"), "right_hip": ("RightUpLeg", "RightHip", "CC_Base_R_Thigh"),
    "right_knee": ("RightLeg", "RightKnee", "CC_Base_R_Calf"),
    "right_ankle": ("RightFoot", "RightAnkle", "CC_Base_R_Foot"),
    "left_hip": ("LeftUpLeg", "LeftHip", "CC_Base_L_Thigh"), "left_knee": ("LeftLeg", "LeftKnee", "CC_Base_L_Calf"),
    "left_ankle": ("LeftFoot", "LeftAnkle", "CC_Base_L_Foot"), "spine": ("Spine", "Chest", "CC_Base_Spine01"),
    "thorax": ("Neck", "CC_Base_NeckTwist01"), "neck_base": ("Head", "CC_Base_Head"),
    "left_shoulder": ("LeftArm", "LeftShoulder", "CC_Base_L_Upperarm"),
    "left_elbow": ("LeftForeArm", "LeftElbow", "CC_Base_L_Forearm"),
    "left_wrist": ("LeftHand", "LeftWrist", "CC_Base_L_Hand"),
    "right_shoulder": ("RightArm", "RightShoulder", "CC_Base_R_Upperarm"),
    "right_elbow": ("RightForeArm", "RightElbow", "CC_Base_R_Forearm"),
    "right_wrist": ("RightHand", "RightWrist", "CC_Base_R_Hand"),
}  # fmt: skip


def read_motion(path: str | os.PathLike, body: BodyModel) -> Poses3D:
    """Poses of a ``.bvh``, an ``.amc`` (the ``.asf`` beside it) or a mocap ``.npz``, five a second.

    Raises `FormatError` for other files, and for joints under names that are not known.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".npz":
        takes = [(m, m.pick(H36M17.joints)) for m in read_mocap_npz(path)]
    elif kind == ".bvh":
        motion = read_bvh(path)
        takes = [(motion, _pick_bvh(path, motion))]
    elif kind == ".amc":
        asf = [path.with_suffix(".asf"), path.with_name(path.stem.split("_")[0] + ".asf")]
        found = next((p for p in asf if p.is_file()), None)
        if found is None:
            raise FormatError(path, f"needs its skeleton beside it: {' or '.join(p.name for p in asf)}")
        motion = read_asf_amc(found, path)
        takes = [(motion, motion.pick([CMU_JOINTS[j] for j in H36M17.joints]))]
    else:
        raise FormatError(path, f"holds no poses that can be read: expected .npz, .bvh or .amc, got '{kind}'")
    turns, take = [], []
    for i, (motion, joints) in enumerate(takes):
        chosen = joints[:: max(1, round(motion.fps * _EVERY_S))]
        turns.append(retarget(chosen, body))
        take.append(np.full(len(chosen), i, np.int32))
    return Poses3D(np.concatenate(turns), np.concatenate(take), tuple(m.name or path.stem for m, _ in takes))


def _pick_bvh(path: Path, motion: Motion) -> np.ndarray:
    """(F, 17, 3) the joints of h36m17, y up. A BVH has no head top: the neck is prolonged."""
    chosen = []
    for joint, known in BVH_JOINTS.items():
        name = next((n for n in known if n in motion.joints), None)
        if name is None:
            raise FormatError(path, f"has no joint for '{joint}': expected one named {' or '.join(known)}")
        chosen.append(name)
    at = dict(zip(BVH_JOINTS, np.moveaxis(motion.pick(chosen), 1, 0), strict=True))
    at["head_top"] = at["neck_base"] + 2 * (at["neck_base"] - at["thorax"])
    joints = np.stack([at[name] for name in H36M17.joints], axis=1)
    # BVH does not say which way is up: it is where most of the body stands above the feet.
    above = (at["thorax"] - (at["left_ankle"] + at["right_ankle"]) / 2).mean(axis=0)
    if np.abs(above).argmax() == 2:
        joints = joints[..., [0, 2, 1]] * (1, 1, -1)
    return joints


def retarget(joints_mm: np.ndarray, body: BodyModel) -> np.ndarray:
    """(N, 36, 3, 3) float32 global rotations of `POSED` for joints (N, 17, 3) of h36m17, y up.

    Raises `ShapeError` for another shape.
    """
    joints = np.asarray(joints_mm, np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (len(H36M17), 3):
        raise ShapeError(f"expected joints (N, {len(H36M17)}, 3) of h36m17, got {joints.shape}")
    at = {name: joints[:, i] for i, name in enumerate(H36M17.joints)}
    out = np.empty((len(joints), len(POSED), 3, 3))

    def put(bones: tuple[str, ...], turns: np.ndarray) -> None:
        for bone in bones:
            out[:, AT[bone]] = turns

    pelvis = _frame(at["left_hip"] - at["right_hip"], at["thorax"] - at["pelvis"])
    chest = _frame(at["left_shoulder"] - at["right_shoulder"], at["thorax"] - at["spine"])
    middle = rot.nearest(pelvis + chest)
    put(("root", "spine05", "pelvis.L", "pelvis.R"), pelvis)
    put(("spine04", "spine03"), middle)
    chest_bones = ("spine02", "spine01", "clavicle.L", "clavicle.R", "shoulder01.L", "shoulder01.R")
    put(chest_bones, chest)
    # The way from the neck to the top of the head leans a little forwards at rest.
    heads = body.heads.mean(axis=0)
    crown = body.shapes[:, body.landmark_vertex[body.landmarks.index("head_top")]].mean(axis=0)
    up = crown - heads[body.bone_index["neck01"]]
    head = rot.between(np.einsum("nij,j->ni", chest, up), at["head_top"] - at["thorax"]) @ chest
    put(("neck01", "neck02", "neck03"), rot.nearest(chest + head))
    put(("head",), head)
    rests = rest_directions(body)
    for letter, side in (("L", "left"), ("R", "right")):
        arm = _chain(chest, rests, letter, ("upperarm01", "lowerarm01"), [at[f"{side}_{j}"] for j in _ARM])
        leg = _chain(pelvis, rests, letter, ("upperleg01", "lowerleg01"), [at[f"{side}_{j}"] for j in _LEG])
        put((f"upperarm01.{letter}", f"upperarm02.{letter}"), arm[0])
        put((f"lowerarm01.{letter}", f"lowerarm02.{letter}", f"wrist.{letter}"), arm[1])
        put((f"upperleg01.{letter}", f"upperleg02.{letter}"), leg[0])
        put((f"lowerleg01.{letter}", f"lowerleg02.{letter}", f"foot.{letter}"), leg[1])
    return out.astype(np.float32)


_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")


def _frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(N, 3, 3) turns that take x to ``left`` and y as near to ``up`` as that allows."""
    x = left / np.linalg.norm(left, axis=-1, keepdims=True)
    z = np.cross(x, up)
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _chain(
    parent: np.ndarray, rests: dict[str, np.ndarray], letter: str, bones: tuple[str, str], joints: list[np.ndarray]
) -> list[np.ndarray]:
    """Turns of a limb's two bones, each the shortest from where its parent leaves it."""
    out = []
    for bone, start, end in zip(bones, joints, joints[1:], strict=False):
        left = np.einsum("nij,j->ni", parent, rests[f"{bone}.{letter}"])
        parent = rot.between(left, end - start) @ parent
        out.append(parent)
    return out
