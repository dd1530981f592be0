"""Joint names of foreign files, skeletons made from them, and records moved between skeletons."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import FormatError, SkeletonError
from vitruvian.formats import remap
from vitruvian.formats.joints import DEFAULT_SIGMA, joint_name, require_skeleton, skeleton_from_names
from vitruvian.skeletons import COCO17, LSP14, SKELETONS, VITRUVIAN19


@pytest.mark.parametrize(
    "text", ["left_eye", "LeftEye", "left eye", "Left-Eye", "l_eye", "L Eye", "eye_left", "eye.L", "leftEye"]
)
def test_sides_are_recognised_in_many_spellings(text):
    assert joint_name(text) == "left_eye"


@pytest.mark.parametrize(
    ("text", "name"), [("nose", "nose"), ("Head Top", "head_top"), ("r", "r"), ("leftover", "leftover")]
)
def test_other_names_keep_their_meaning(text, name):
    assert joint_name(text) == name


def test_known_names_in_any_spelling_give_the_known_skeleton():
    for skeleton in SKELETONS.values():
        assert skeleton_from_names(skeleton.joints) is skeleton
        assert skeleton_from_names([j.replace("_", " ").title() for j in skeleton.joints]) is skeleton


def test_a_new_skeleton_takes_sigmas_by_name():
    skeleton = skeleton_from_names(["nose", "LeftHand", "RightHand", "left_wrist", "right_wrist"], [(0, 1)], "mine")
    assert skeleton.name == "mine"
    assert skeleton.edges == ((0, 1),)
    assert skeleton.flip.tolist() == [0, 2, 1, 4, 3]
    wrist = COCO17.sigmas[COCO17.index("left_wrist")]
    assert skeleton.sigmas == (COCO17.sigmas[0], DEFAULT_SIGMA, DEFAULT_SIGMA, wrist, wrist)
    assert np.median(COCO17.sigmas) == DEFAULT_SIGMA


def test_a_side_without_its_partner_is_refused():
    with pytest.raises(SkeletonError, match="right_hand"):
        skeleton_from_names(["nose", "left hand"])


def test_remap_goes_by_name_and_masks_what_is_missing(make_records):
    records = make_records(LSP14)
    there = remap(records, VITRUVIAN19)
    for before, after in zip(records, there, strict=True):
        assert after.skeleton is VITRUVIAN19
        for p, q in zip(before.persons, after.persons, strict=True):
            assert q.visibility[VITRUVIAN19.index("nose")] == 0
            k, n = LSP14.index("head_top"), VITRUVIAN19.index("head_top")
            np.testing.assert_array_equal(q.keypoints_px[n], p.keypoints_px[k])
            assert q.labelled.sum() == p.labelled.sum()
    for before, after in zip(records, remap(there, LSP14), strict=True):
        for p, q in zip(before.persons, after.persons, strict=True):
            np.testing.assert_array_equal(p.keypoints_px, q.keypoints_px)
            np.testing.assert_array_equal(p.visibility, q.visibility)


def test_writers_refuse_mixed_or_other_skeletons(make_records):
    records = make_records(LSP14) + make_records(COCO17)
    with pytest.raises(FormatError, match="remap"):
        require_skeleton(records, None, "x")
    with pytest.raises(FormatError, match="no records"):
        require_skeleton([], None, "x")
    assert require_skeleton([], LSP14, "x") is LSP14
