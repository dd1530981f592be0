"""The shipped person detector on photos that it was not trained on, and what it costs the whole pipeline.

As it is by default, and looking at whole photos alone (``once``).

COCO: the fifth of the photos with complete boxes that its recipe holds back by hashed file name, and the quarter of the
photos without people; few, so read the figures as rough ones. End to end: OKS AP of the shipped pose model in the
detector's boxes and in the true ones. Throughput: a folder of 200 photos with 0 to 20 people each, made of held-back
people and photos as `PeopleScenes` does and stored as JPEG; people batched across photos against one person at a time,
which opens the photo anew for each, as a loop over detections does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitruvian import evaluate, load
from vitruvian.data import read_image
from vitruvian.data.find import find_images
from vitruvian.data.mask_folder import read_mask_folder
from vitruvian.data.people_scenes import PeopleScenes, SceneMix
from vitruvian.geometry import boxes as box_tools
from vitruvian.metrics.boxes import box_stats
from vitruvian.predict import PersonDetector, Predictor, load_detector
from vitruvian.preprocess import Preprocess
from vitruvian.training.sources import in_fraction
from vitruvian.types import Record

from .common import DATA, alternate, coco_held_back

EMPTY_HELD_BACK = (0.0, 0.25)
LEAST = 0.01  # average precision asks for the whole curve
_PHOTOS, _MOST_PEOPLE, _REPEATS = 200, 20, 5


def held_back() -> tuple[list[Record], list[Path]]:
    """COCO photos with complete boxes, and photos without people, that no training sees."""
    empty = [path for path in find_images([DATA / "photos/coco/no_person"]) if in_fraction(path.name, EMPTY_HELD_BACK)]
    return coco_held_back(keep_unlabelled=True), empty


def run() -> dict[str, Any]:
    """Boxes, end to end, and throughput."""
    records, empty = held_back()
    with load("default", threads=2) as predictor:
        detector, once = load_detector(threads=2), load_detector(threads=2, once=True)
        images = [read_image(record.image_path) for record in records if record.image_path is not None]
        looks = {"photo": detector, "photo, once": once}
        times = alternate(
            {name: lambda find=find: [find(image) for image in images] for name, find in looks.items()}, _REPEATS
        )
        return {
            "model": detector.card.name,
            "pose_model": predictor.card.name,
            "min_score": detector.min_score,
            "ms_per_photo": times["photo"] / len(images),
            **accuracy(predictor, detector, records, empty),
            "once": {"ms_per_photo": times["photo, once"] / len(images), **accuracy(predictor, once, records, empty)},
            "throughput": throughput(predictor, detector),
        }


def accuracy(
    predictor: Predictor, detector: PersonDetector, records: list[Record], empty: list[Path]
) -> dict[str, Any]:
    """Boxes alone, checked by the pose model, and its poses in them."""
    every = load_detector(threads=2, min_score=LEAST, once=detector.once)
    return {
        "boxes": boxes(every, detector, records, empty),
        "checked_by_poses": checked(predictor, detector, records, empty),
        "end_to_end": end_to_end(predictor, every, records),
    }


def people_and_crowds(records: Sequence[Record]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each photo the boxes (N, 4) of people and (M, 4) of crowds."""
    truth = []
    for record in records:
        people = [p.box_xyxy for p in record.persons if not p.is_crowd and p.box_xyxy is not None]
        crowds = [p.box_xyxy for p in record.persons if p.is_crowd and p.box_xyxy is not None]
        truth.append((np.reshape(people, (-1, 4)), np.reshape(crowds, (-1, 4))))
    return truth


def boxes(every: PersonDetector, detector: PersonDetector, records: list[Record], empty: list[Path]) -> dict[str, Any]:
    """Average precision, what is found and what is invented at the detector's own threshold."""
    images = [read_image(record.image_path) for record in records if record.image_path is not None]
    truth = people_and_crowds(records)
    stats = box_stats(truth, [every(image) for image in images])
    said = [detector(image)[0] for image in images]
    alarms = [len(detector(read_image(path))[0]) for path in empty]
    return {
        "photos": len(images),
        "people": sum(len(people) for people, _ in truth),
        "stats": stats,
        **at_threshold(truth, said),
        "photos_without_people": len(empty),
        "false_positives_per_photo_without_people": sum(alarms) / max(1, len(alarms)),
    }


def at_threshold(truth: Sequence[tuple[np.ndarray, np.ndarray]], said: Sequence[np.ndarray]) -> dict[str, float]:
    """Recall and precision of the boxes ``said`` in each photo (IoU 0.5); those in crowds are left out."""
    found = missed = invented = 0
    for (people, crowds), boxes_xyxy in zip(truth, said, strict=True):
        overlap = box_tools.iou(people, boxes_xyxy)
        hit = int((overlap.max(axis=1, initial=0) >= 0.5).sum())
        found, missed = found + hit, missed + len(people) - hit
        near = overlap.max(axis=0, initial=0) >= 0.5
        in_crowd = np.array([any(_within(b, c) > 0.5 for c in crowds) for b in boxes_xyxy], bool)
        invented += int((~near & ~in_crowd).sum())
    return {
        "recall_at_threshold": found / max(1, found + missed),
        "precision_at_threshold": found / max(1, found + invented),
    }


def checked(
    predictor: Predictor, detector: PersonDetector, records: list[Record], empty: list[Path]
) -> dict[str, float]:
    """The same of the people that are left after the pose model has looked for a person's joints in the boxes."""
    paths = [record.image_path for record in records]
    said = [poses.boxes for poses in predictor.predict(paths, boxes=detector)]
    alarms = [len(poses) for poses in predictor.predict(empty, boxes=detector)]
    return {
        **at_threshold(people_and_crowds(records), said),
        "false_positives_per_photo_without_people": sum(alarms) / max(1, len(alarms)),
    }


def _within(box_xyxy: np.ndarray, region_xyxy: np.ndarray) -> float:
    """Share of a box that lies in a region."""
    low, high = np.maximum(box_xyxy[:2], region_xyxy[:2]), np.minimum(box_xyxy[2:], region_xyxy[2:])
    return float(np.clip(high - low, 0, None).prod() / max(float(box_tools.area(box_xyxy)), 1e-9))


def end_to_end(predictor: Any, every: PersonDetector, records: list[Record]) -> dict[str, Any]:
    """OKS AP on the same photos, in detected and in true boxes, with the flip test; nobody's joints are checked, since
    average precision asks for the whole curve."""
    detected = {record.image_id: every(read_image(record.image_path)) for record in records if record.image_path}
    rows = {}
    for name, given in (("detected", detected), ("ground truth", None)):
        result = evaluate(predictor, records, ["oks_ap"], boxes=given, flip=True)["oks_ap"]
        rows[name] = {"AP": result.value, "details": result.details}
    return rows


def crowded_photos() -> list[np.ndarray]:
    """(480, 480, 3) photos, from 0 to 20 people in each."""
    records = read_mask_folder(DATA / "photos/ccp/dev")
    backgrounds = [Record(path, path.stem, None, records[0].skeleton) for path in held_back()[1]]
    everything = [*records, *backgrounds]
    size = Preprocess(size_wh=(480, 480), padding=1.0)
    photos = []
    for i in range(_PHOTOS):
        most = int(np.random.default_rng(i).integers(0, _MOST_PEOPLE + 1))
        mix = SceneMix(
            mosaic_prob=0, thing_prob=0, empty_paste_prob=float(most > 0), paste_most=max(1, most), person_largest=0.6
        )
        holds = ["one"] * len(records) + ["nobody"] * len(backgrounds)
        if i == 0:
            scenes = PeopleScenes(everything, holds, size, mix=mix)
        scenes.mix = mix
        photos.append(scenes.scene(len(records) + i % len(backgrounds), i).image)
    return photos


def throughput(predictor: Any, detector: PersonDetector) -> dict[str, Any]:
    """People a second through detector and pose network: batches across photos, and one person at a time."""
    with tempfile.TemporaryDirectory() as folder:
        photos = []
        for i, image in enumerate(crowded_photos()):
            photos.append(Path(folder) / f"{i:03d}.jpg")
            Image.fromarray(image).save(photos[-1], quality=90)
        return _throughput(predictor, detector, photos)


def _throughput(predictor: Any, detector: PersonDetector, photos: list[Path]) -> dict[str, Any]:
    found = [detector(read_image(photo))[0] for photo in photos]
    people = sum(map(len, found))

    def batched() -> None:
        for _ in predictor.stream(photos, boxes=detector, batch=8):
            pass

    def one_by_one() -> None:
        for photo in photos:
            for box in detector(read_image(photo))[0]:
                predictor.predict(photo, boxes=box[None], batch=1)

    def poses_batched() -> None:
        for _ in predictor.stream(photos, boxes=found, batch=8):
            pass

    def poses_one_by_one() -> None:
        for photo, boxes in zip(photos, found, strict=True):
            for box in boxes:
                predictor.predict(photo, boxes=box[None], batch=1)

    tasks = {"batched": batched, "one_by_one": one_by_one}
    tasks |= {"poses_batched": poses_batched, "poses_one_by_one": poses_one_by_one}
    seconds = {name: ms / 1e3 for name, ms in alternate(tasks, 3).items()}
    return {
        "photos": len(photos),
        "people": people,
        "people_per_photo": [min(map(len, found)), max(map(len, found))],
        "seconds": seconds,
        "ratio": seconds["one_by_one"] / seconds["batched"],
        "ratio_of_poses_alone": seconds["poses_one_by_one"] / seconds["poses_batched"],
    }
