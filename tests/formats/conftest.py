"""Random records, and a comparison of records that were written and read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.geometry import boxes
from vitruvian.skeletons import Skeleton
from vitruvian.types import Person, Record

MakeRecords = Callable[..., list[Record]]


@pytest.fixture
def make_records(rng: np.random.Generator) -> MakeRecords:
    """A function that makes records of random people inside their images."""

    def person(skeleton: Skeleton, size_wh: tuple[int, int], codes: Sequence[int], with_box: bool) -> Person:
        keypoints = rng.uniform(0, np.array(size_wh) - 1, (len(skeleton), 2))
        visibility = rng.choice(codes, len(skeleton))
        visibility[rng.integers(len(skeleton))] = 2
        box = boxes.around_points(keypoints, 0.1) if with_box else None
        return Person(keypoints, visibility, box_xyxy=box)

    def make(
        skeleton: Skeleton,
        count: int = 4,
        people: Sequence[int] = (0, 1, 2, 3),
        codes: Sequence[int] = (0, 1, 2, 2),
        with_box: bool = True,
        images: Path | None = None,
    ) -> list[Record]:
        records = []
        for i in range(count):
            size_wh = (int(rng.integers(20, 400)), int(rng.integers(20, 400)))
            name = f"im{i + 1:05d}.jpg"
            if images is not None:
                images.mkdir(parents=True, exist_ok=True)
                Image.new("L", size_wh).save(images / name)
            persons = tuple(person(skeleton, size_wh, codes, with_box) for _ in range(rng.choice(people)))
            path = Path(name) if images is None else images / name
            records.append(Record(path, path.stem, size_wh, skeleton, persons))
        return records

    return make


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """A function that compares people, joints and visibility of two lists of records."""

    def check(got: Sequence[Record], expected: Sequence[Record], tolerance_px: float = 0.0) -> None:
        assert [str(r.image_id) for r in got] == [str(r.image_id) for r in expected]
        for a, b in zip(got, expected, strict=True):
            assert a.skeleton.joints == b.skeleton.joints
            assert len(a.persons) == len(b.persons)
            for p, q in zip(a.persons, b.persons, strict=True):
                np.testing.assert_array_equal(p.visibility, q.visibility)
                np.testing.assert_allclose(p.keypoints_px, q.keypoints_px, rtol=0, atol=tolerance_px)

    return check
