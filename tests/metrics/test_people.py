"""What is laid beside what, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.metrics.people import align, check_pairs
from vitruvian.skeletons import COCO17, LSP14, VITRUVIAN19
from vitruvian.types import Person


def test_people_stand_in_order_without_crowds(make_record, make_poses, rng) -> None:
    truth, pred = rng.uniform(0, 99, (4, 17, 2)), rng.uniform(0, 99, (4, 17, 2)).astype(np.float32)
    records = [
        make_record(COCO17, truth[:3], image_id="a", is_crowd=[False, True, False]),
        make_record(COCO17, [], image_id="b"),
        make_record(COCO17, truth[3:], image_id="c"),
    ]
    people = align(records, [make_poses(COCO17, p) for p in (pred[:3], [], pred[3:])])
    assert people.origin == (("a", 0), ("a", 2), ("c", 0))
    np.testing.assert_array_equal(people.truth_px, truth[[0, 2, 3]])
    np.testing.assert_array_equal(people.pred_px, pred[[0, 2, 3]])
    assert people.crowds == 1
    assert people.visible.all()


def test_joints_are_matched_by_name(make_record, make_poses, rng) -> None:
    truth, pred = rng.uniform(0, 99, (2, 14, 2)), rng.uniform(0, 99, (2, 19, 2)).astype(np.float32)
    people = align([make_record(LSP14, truth)], [make_poses(VITRUVIAN19, pred)])
    for k, joint in enumerate(LSP14.joints):
        np.testing.assert_array_equal(people.pred_px[:, k], pred[:, VITRUVIAN19.index(joint)])
    assert people.lacking == ()
    coco = align([make_record(LSP14, truth)], [make_poses(COCO17, pred[:, :17])])
    assert coco.lacking == ("neck", "head_top")
    assert coco.compared == LSP14.joints[:12]
    assert not coco.visible[:, 12:].any()
    assert coco.visible[:, :12].all()


def test_every_image_is_measured_on_the_same_joints(make_record, make_poses) -> None:
    records = [make_record(LSP14, np.ones((1, 14, 2)), image_id=i) for i in range(3)]
    own, coco = make_poses(LSP14, np.ones((1, 14, 2))), make_poses(COCO17, np.ones((1, 17, 2)))
    people = align(records, [own, coco, own])
    assert people.lacking == ("neck", "head_top")
    assert people.visible.sum(axis=1).tolist() == [12, 12, 12]
    records[1] = replace(records[1], persons=())
    assert align(records, [own, coco.select(slice(0, 0)), own]).lacking == ()  # nobody there: its skeleton says nothing


def test_file_names_must_agree(make_record, make_poses) -> None:
    records = [make_record(COCO17, [], image_id=name) for name in ("one", "two")]
    same = [make_poses(COCO17, [], path=Path(f"/elsewhere/{name}.jpg")) for name in ("one", "two")]
    assert check_pairs(records, same) is COCO17
    with pytest.raises(ShapeError, match=r"record is of 'one\.jpg', the prediction of 'two\.jpg'"):
        check_pairs(records, same[::-1])
    assert check_pairs(records, [make_poses(COCO17, [])] * 2) is COCO17  # arrays have no name


def test_refusals_say_what_to_do(make_record, make_poses) -> None:
    with pytest.raises(ShapeError, match="nothing to evaluate"):
        check_pairs([], [])
    with pytest.raises(SkeletonError, match="each skeleton by itself"):
        check_pairs([make_record(COCO17, []), make_record(LSP14, [])], [make_poses(COCO17, [])] * 2)
    with pytest.raises(ShapeError, match="'oks_ap'"):
        align([make_record(COCO17, np.ones((2, 17, 2)))], [make_poses(COCO17, np.ones((1, 17, 2)))])
    short = replace(make_record(COCO17, []), persons=(Person(np.ones((3, 2)), np.ones(3)),))
    with pytest.raises(ShapeError, match="got 3 joints"):
        align([short], [make_poses(COCO17, np.ones((1, 17, 2)))])
