"""Photos are decoded once while there is room, and each time where there is none."""

from __future__ import annotations

import numpy as np

from vitruvian.data.photo_store import PhotoStore
from vitruvian.skeletons import COCO17
from vitruvian.types import Record


def test_keeps_what_there_is_room_for() -> None:
    decoded: list[int] = []

    def decode(record: Record) -> np.ndarray:
        decoded.append(int(record.image_id))
        return np.full((2, 5, 3), record.image_id, np.uint8)  # 30 bytes

    store = PhotoStore([Record(None, i, None, COCO17) for i in range(4)], decode, room_bytes=60)
    store.preload([2, 0, 2, 1, 3])
    assert decoded == [0, 1, 2]  # two are kept; at the first without room it stops
    assert [int(store[i][0, 0, 0]) for i in (0, 1, 2, 2)] == [0, 1, 2, 2]
    assert decoded == [0, 1, 2, 2, 2]
