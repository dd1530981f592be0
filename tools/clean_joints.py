"""Mend and complete joint labels by two opinions: MediaPipe's and this project's model's.

    python tools/mediapipe_labels.py person_keypoints.json images/ teacher.json    (in MediaPipe's environment)
    python tools/clean_joints.py teacher.json images/ out.json

Crowd-sourced sports labels have left and right exchanged in some people, and some joints on the wrong place. A model
learns these by heart, so nothing is changed on one opinion: it takes both teachers, one of which learned from the very
labels it objects to. Lengths are in torsos (the longer diagonal between shoulders and hips).

- exchanged: all limbs of a person, or the arms, or the legs, where both teachers are nearer with left and right
  exchanged, MediaPipe clearly (a mean distance below 0.35 and 0.6 of what it is as labelled).
- moved: a joint more than 0.5 from both teachers, who agree within 0.2, to the middle between them.
- added: a joint without a label on which the teachers agree within 0.15.
- face: nose, eyes and ears of MediaPipe where its limbs agree with the labels within 0.3 on average: all of them in
  front views, the ears in back views, the nose otherwise, since it also guesses what it cannot see.

People without any label (CCP) get MediaPipe's joints of a visibility above 0.5, the face as above. The result is in the
skeleton vitruvian19; masks stay. Counts are printed, and what was changed is listed in the file's ``changes``.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from vitruvian import load
from vitruvian.data.images import read_image
from vitruvian.skeletons import COCO17, VITRUVIAN19


def _of(*parts: str) -> list[int]:
    return [j for j, name in enumerate(COCO17.joints) if name.split("_")[-1] in parts]


LIMBS = _of("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
ARMS = _of("elbow", "wrist")
LEGS = _of("knee", "ankle")
FACE = list(range(5))
NOSE, EARS = [0], [3, 4]
FRONT = 0.1  # of a torso squared: the area that shoulders and spine span, negative seen from behind


def main() -> None:
    arguments = argparse.ArgumentParser(description="Mend joint labels by two opinions.")
    for name in ("teacher", "images", "out"):
        arguments.add_argument(name, type=Path)
    arguments.add_argument("--model", default="vitruvian-s", help="the second opinion")
    options = arguments.parse_args()
    data = json.loads(options.teacher.read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in data["images"]}
    counts: Counter[str] = Counter()
    changes = []
    names = data["categories"][0].get("keypoints", [])
    with load(options.model, detector=None, threads=2) as predictor:
        for number, person in enumerate(data["annotations"]):
            labels = in_19(person.get("keypoints") or [], names)
            raw = person.pop("mediapipe_keypoints", None)
            if raw is not None:
                first = np.array(raw, float).reshape(-1, 3)
                if not labels[:, 2].any():
                    labels, done = guessed(first), ["guessed"]
                else:
                    image = read_image(options.images / files[person["image_id"]])
                    x, y, width, height = person["bbox"]
                    found = predictor.predict(image, boxes=[[x, y, x + width, y + height]], flip=True, select=None)
                    labels, done = cleaned(labels, first, found.keypoints[0][:17])
                counts.update(done)
                if done and done != ["face"]:
                    changes.append({"image": files[person["image_id"]], "id": person["id"], "changed": done})
            person["keypoints"] = labels.round(2).ravel().tolist()
            person["num_keypoints"] = int((labels[:, 2] > 0).sum())
            if number % 1000 == 0:
                print(f"{number} of {len(data['annotations'])} people", flush=True)
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(VITRUVIAN19.joints), "skeleton": []}]
    data["changes"] = changes
    data.pop("people_done", None)
    options.out.write_text(json.dumps(data), encoding="utf-8")
    print(f"{len(data['annotations'])} people:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))


def in_19(keypoints: list[float], names: list[str]) -> np.ndarray:
    """(19, 3) labels of vitruvian19 from those of another skeleton; visibility 0 where there is none."""
    labels = np.zeros((19, 3))
    for name, joint in zip(names, np.array(keypoints, float).reshape(-1, 3), strict=False):
        if joint[2] > 0:
            labels[VITRUVIAN19.index(name)] = joint
    return labels


def torso(joints: np.ndarray, seen: np.ndarray) -> float:
    """The longer diagonal between shoulders and hips that are ``seen``; 0 where there is none."""
    left_shoulder, right_shoulder, left_hip, right_hip = 5, 6, 11, 12
    pairs = [(a, b) for a, b in ((left_shoulder, right_hip), (right_shoulder, left_hip)) if seen[a] and seen[b]]
    return max((float(np.linalg.norm(joints[a, :2] - joints[b, :2])) for a, b in pairs), default=0.0)


def guessed(first: np.ndarray) -> np.ndarray:
    """(19, 3) labels made of MediaPipe's joints alone."""
    labels = np.zeros((19, 3))
    certain = first[:, 2] > 0.5
    certain[FACE] &= np.isin(FACE, seen_face(first))
    labels[:17][certain] = np.column_stack([first[certain, :2], np.full(certain.sum(), 2)])
    return labels


def seen_face(joints: np.ndarray) -> list[int]:
    """Joints of the face that can be seen, by the way the shoulders face."""
    across = joints[5, :2] - joints[6, :2]
    down = (joints[11, :2] + joints[12, :2] - joints[5, :2] - joints[6, :2]) / 2
    facing = (across[0] * down[1] - across[1] * down[0]) / max(torso(joints, np.ones(17, bool)) ** 2, 1.0)
    return FACE if facing > FRONT else EARS if facing < -FRONT else NOSE


def cleaned(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Labels (19, 3) mended by two opinions (17, 2 or more), and what was done."""
    labels, done = labels.copy(), []
    size = torso(labels, labels[:, 2] > 0) or torso(first, np.ones(17, bool))
    if size < 1:
        return labels, done

    def away(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.linalg.norm(some[:17, :2] - others[:17, :2], axis=1) / size

    for name, group in (("exchanged", LIMBS), ("exchanged arms", ARMS), ("exchanged legs", LEGS)):
        use = [j for j in group if labels[j, 2] > 0]
        if len(use) < 4 or (len(group) > 4 and len(use) < 8):
            continue
        one, two = away(labels, first)[use].mean(), away(labels, second)[use].mean()
        one_x = away(labels, first[COCO17.flip])[use].mean()
        two_x = away(labels, second[COCO17.flip])[use].mean()
        if one_x < 0.35 and one_x < 0.6 * one and two_x < two:
            flipped = labels.copy()
            flipped[group] = labels[np.asarray(VITRUVIAN19.flip)[group]]
            labels = flipped
            done.append(name)
            break
    between = away(first, second)
    middle = (first[:, :2] + second[:, :2]) / 2
    labelled = labels[:17, 2] > 0
    limbs = np.isin(np.arange(17), LIMBS) & (first[:, 2] > 0.8)
    wrong = limbs & labelled & (away(labels, first) > 0.5) & (away(labels, second) > 0.5) & (between < 0.2)
    new = limbs & ~labelled & (between < 0.15)
    labels[:17][wrong | new, :2] = middle[wrong | new]
    labels[:17][new, 2] = 1
    done += ["moved"] * int(wrong.sum()) + ["added"] * int(new.sum())
    use = [j for j in LIMBS if labels[j, 2] > 0]
    if use and away(labels, first)[use].mean() < 0.3 and not labels[FACE, 2].any():
        face = [j for j in seen_face(first) if first[j, 2] > 0.5]
        labels[face] = np.column_stack([first[face, :2], np.full(len(face), 2)])
        done += ["face"] * bool(face)
    return labels, done


if __name__ == "__main__":
    main()
