"""Person masks by MediaPipe Pose for annotated people who have none: what `vitruvian-mask` learns from besides.

    python tools/mediapipe_masks.py person_keypoints.json images/ out.json

MediaPipe 0.10.21 (Apache-2.0), whose wheel brings its model, wants other versions of things than this project, so run
this in an environment of its own: ``pip install mediapipe==0.10.21``. Everything of the input stays as it is; a person
gets ``segmentation`` (run lengths) where MediaPipe's mask agrees with the annotation: it holds most of the labelled
joints, and little of it lies outside of the box. What is done is written every 500 people, and a second call goes on
from there. About 25 people a second on two quiet cores.
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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("annotations", "images", "out"):
        arguments.add_argument(name, type=Path)
    options = arguments.parse_args()
    source = options.out if options.out.is_file() else options.annotations
    data = json.loads(source.read_text(encoding="utf-8"))
    first = data.get("people_done", 0)
    files = {image["id"]: options.images / image["file_name"] for image in data["images"]}
    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=True, model_complexity=1, enable_segmentation=True, min_detection_confidence=0.3
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(data["annotations"][first:], first):
        if number % EVERY == 0 and number > first:
            save(data, number, options.out)
        if person.get("segmentation") or person.get("iscrowd"):
            continue
        mask = person_mask(pose, np.array(Image.open(files[person["image_id"]]).convert("RGB")), person)
        if mask is not None:
            person["segmentation"] = run_lengths(mask)
    save(data, len(data["annotations"]), options.out)


def save(data: dict[str, Any], done: int, out: Path) -> None:
    """Write everything so far, completely or not at all."""
    temporary = out.with_name(f".{out.name}.partial")
    temporary.write_text(json.dumps({**data, "people_done": done}), encoding="utf-8")
    temporary.replace(out)
    masks = sum(bool(person.get("segmentation")) for person in data["annotations"][:done])
    print(f"{done} of {len(data['annotations'])} people, {masks} masks", flush=True)


def person_mask(pose: Any, image: np.ndarray, person: dict[str, Any]) -> np.ndarray | None:
    """(H, W) bool, or None where nobody is found or what is found does not agree with box and joints."""
    x, y, width, height = person["bbox"]
    side = PADDING * max(width, height)
    left, top = round(x + (width - side) / 2), round(y + (height - side) / 2)
    size = max(8, round(side))
    crop = np.array(Image.fromarray(image).crop((left, top, left + size, top + size)))
    found = pose.process(crop).segmentation_mask
    if found is None:
        return None
    mask = np.zeros(image.shape[:2], bool)
    rows, columns = slice(max(top, 0), top + size), slice(max(left, 0), left + size)
    part = found[rows.start - top :, columns.start - left :] > 0.5
    mask[rows, columns] = part[: mask[rows, columns].shape[0], : mask[rows, columns].shape[1]]
    joints = np.array(person["keypoints"], float).reshape(-1, 3)
    points = joints[joints[:, 2] > 0, :2].round().astype(int)
    points = np.clip(points, 0, np.array(mask.shape[::-1]) - 1)
    inside = mask[max(0, int(y)) : int(np.ceil(y + height)), max(0, int(x)) : int(np.ceil(x + width))].sum()
    agrees = (
        len(points) > 0
        and mask[points[:, 1], points[:, 0]].mean() >= LEAST_JOINTS
        and inside >= (1 - MOST_OUTSIDE) * mask.sum()
        and inside >= LEAST_AREA * width * height
    )
    return mask if agrees else None


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run lengths."""
    flat = mask.T.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], turns, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


if __name__ == "__main__":
    main()
