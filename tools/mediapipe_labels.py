"""What MediaPipe Pose says of annotated people: masks, and 17 joints beside the annotated ones. A teacher's labels.

    python tools/mediapipe_labels.py person_keypoints.json images/ out.json
    python tools/mediapipe_labels.py masks/ images/ out.json

MediaPipe 0.10.21 (Apache-2.0), whose wheel brings its model, wants other versions of things than this project, so run
this in an environment of its own: ``pip install mediapipe==0.10.21``. Everything of the annotations stays as it is. A
person gets ``mediapipe_keypoints`` (COCO's 17 joints: x, y, visibility 0 to 1), and ``segmentation`` (run lengths) if
there is none yet and MediaPipe's mask agrees with the annotation: it holds most of the labelled joints, and little of
it lies outside of the box. In place of annotations a folder of masks can be given, PHOTO.png with one person each.
What is done is written every 500 people, and a second call goes on from there. About 25 people a second on two quiet
cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from PIL import Image

PADDING = 1.25
LEAST_JOINTS = 0.85  # share of the labelled joints inside the mask
MOST_OUTSIDE = 0.1  # share of the mask outside of the box
LEAST_AREA = 0.08  # of the box
EVERY = 500  # people
JOINTS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # MediaPipe's numbers of COCO's joints


def main() -> None:
    arguments = argparse.ArgumentParser(description="Masks and joints of MediaPipe Pose.")
    for name in ("annotations", "images", "out"):
        arguments.add_argument(name, type=Path)
    options = arguments.parse_args()
    if options.out.is_file():
        data = json.loads(options.out.read_text(encoding="utf-8"))
    elif options.annotations.is_dir():
        data = from_masks(options.annotations, options.images)
    else:
        data = json.loads(options.annotations.read_text(encoding="utf-8"))
    first = data.get("people_done", 0)
    files = {image["id"]: options.images / image["file_name"] for image in data["images"]}
    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=True, model_complexity=1, enable_segmentation=True, min_detection_confidence=0.3
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(data["annotations"][first:], first):
        if number % EVERY == 0 and number > first:
            save(data, number, options.out)
        if person.get("iscrowd"):
            continue
        image = np.array(Image.open(files[person["image_id"]]).convert("RGB"))
        joints, mask = ask(pose, image, person["bbox"])
        if joints is not None:
            person["mediapipe_keypoints"] = joints.round(3).ravel().tolist()
        if mask is not None and not person.get("segmentation") and agrees(mask, person):
            person["segmentation"] = run_lengths(mask)
    save(data, len(data["annotations"]), options.out)


def from_masks(masks: Path, images: Path) -> dict[str, Any]:
    """COCO annotations of the one person in each photo: box and mask."""
    photos = {path.stem: path for path in sorted(images.iterdir())}
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for number, path in enumerate(sorted(masks.glob("*.png")), 1):
        mask = np.array(Image.open(path).convert("L")) > 127
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows) or path.stem not in photos:
            continue
        x, y, right, bottom = (int(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        size = {"width": mask.shape[1], "height": mask.shape[0]}
        data["images"].append({"id": number, "file_name": photos[path.stem].name, **size})
        data["annotations"].append(
            {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [x, y, right - x, bottom - y]}
            | {"area": int(mask.sum()), "segmentation": run_lengths(mask)}
        )
    return data


def save(data: dict[str, Any], done: int, out: Path) -> None:
    """Write everything so far, completely or not at all."""
    temporary = out.with_name(f".{out.name}.partial")
    temporary.write_text(json.dumps({**data, "people_done": done}), encoding="utf-8")
    temporary.replace(out)
    people = data["annotations"][:done]
    counts = [sum(bool(person.get(key)) for person in people) for key in ("segmentation", "mediapipe_keypoints")]
    print(f"{done} of {len(data['annotations'])} people, {counts[0]} masks, {counts[1]} with joints", flush=True)


def ask(pose: Any, image: np.ndarray, bbox: list[float]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """((17, 3) x, y in the image and visibility, (H, W) bool mask), or None where nobody is found."""
    x, y, width, height = bbox
    side = PADDING * max(width, height)
    left, top = round(x + (width - side) / 2), round(y + (height - side) / 2)
    size = max(8, round(side))
    crop = np.array(Image.fromarray(image).crop((left, top, left + size, top + size)))
    answer = pose.process(crop)
    joints = mask = None
    if answer.pose_landmarks is not None:
        found = [answer.pose_landmarks.landmark[j] for j in JOINTS]
        joints = np.array([[left + j.x * size, top + j.y * size, j.visibility] for j in found])
    if answer.segmentation_mask is not None:
        mask = np.zeros(image.shape[:2], bool)
        rows, columns = slice(max(top, 0), top + size), slice(max(left, 0), left + size)
        part = answer.segmentation_mask[rows.start - top :, columns.start - left :] > 0.5
        mask[rows, columns] = part[: mask[rows, columns].shape[0], : mask[rows, columns].shape[1]]
    return joints, mask


def agrees(mask: np.ndarray, person: dict[str, Any]) -> bool:
    """Whether the mask is that of the annotated person: it holds the labelled joints, and lies in the box."""
    x, y, width, height = person["bbox"]
    joints = np.array(person.get("keypoints", []), float).reshape(-1, 3)
    points = joints[joints[:, 2] > 0, :2].round().astype(int)
    points = np.clip(points, 0, np.array(mask.shape[::-1]) - 1)
    inside = mask[max(0, int(y)) : int(np.ceil(y + height)), max(0, int(x)) : int(np.ceil(x + width))].sum()
    return (
        len(points) > 0
        and mask[points[:, 1], points[:, 0]].mean() >= LEAST_JOINTS
        and inside >= (1 - MOST_OUTSIDE) * mask.sum()
        and inside >= LEAST_AREA * width * height
    )


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run lengths."""
    flat = mask.T.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], turns, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


if __name__ == "__main__":
    main()
