"""Hand-made and random people for the metric tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vitruvian.skeletons import Skeleton
from vitruvian.types import Person, Poses, Record


def _record(
    skeleton: Skeleton, keypoints_px: object, *, visibility: object = None, image_id: int | str = 1, **person: object
) -> Record:
    """A record with one person for each row of (N, K, 2); ``person`` values are lists, one entry a person."""
    keypoints = np.asarray(keypoints_px, dtype=np.float64).reshape(-1, len(skeleton), 2)
    codes = np.where(np.isfinite(keypoints).all(axis=2), 2, 0) if visibility is None else np.asarray(visibility)
    people = tuple(
        Person(keypoints[n], codes[n], **{name: values[n] for name, values in person.items()})
        for n in range(len(keypoints))
    )
    return Record(
        image_path=Path(f"{image_id}.jpg"), image_id=image_id, size_wh=(640, 480), skeleton=skeleton, persons=people
    )


def _poses(
    skeleton: Skeleton, keypoints_px: object, *, scores: object = 1.0, box_scores: object = None, **more: object
) -> Poses:
    keypoints = np.asarray(keypoints_px, dtype=np.float32).reshape(-1, len(skeleton), 2)
    count = len(keypoints)
    return Poses(
        keypoints=keypoints,
        scores=np.broadcast_to(np.asarray(scores, np.float32), keypoints.shape[:2]),
        boxes=np.tile(np.array([0, 0, 100, 100], np.float32), (count, 1)),
        box_scores=None if box_scores is None else np.asarray(box_scores, np.float32),
        skeleton=skeleton,
        size_wh=(640, 480),
        **more,
    )


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return _record


@pytest.fixture
def make_poses() -> Callable[..., Poses]:
    return _poses
