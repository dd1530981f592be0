"""Every skeleton of the table, by itself and against the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vitruvian.skeletons
from vitruvian.skeletons import SKELETONS, Skeleton, match_skeleton

_NAMES = sorted(SKELETONS)
_COUNTS = {"body25": 25, "coco17": 17, "h36m17": 17, "lsp14": 14, "mpii16": 16, "vitruvian19": 19}
# cocodataset.org, keypoint evaluation: sigmas of nose, eye, ear, shoulder, elbow, wrist, hip, knee, ankle.
_COCO_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089,
}  # fmt: skip


def test_the_table_is_the_folder() -> None:
    folder = Path(vitruvian.skeletons.__file__).parent
    files = {p.stem for p in folder.glob("*.py")} - {
        "__init__",
        "skeleton",
        "person",
    }  # a detector's, of one point; nobody reads or draws it
    assert set(SKELETONS) == files == set(_COUNTS)


@pytest.fixture(params=_NAMES)
def skeleton(request: pytest.FixtureRequest) -> Skeleton:
    return SKELETONS[request.param]


def test_name_and_number_of_joints(skeleton: Skeleton) -> None:
    assert SKELETONS[skeleton.name] is skeleton
    assert len(skeleton) == _COUNTS[skeleton.name]
    assert match_skeleton(skeleton.joints) is skeleton


def test_flip_is_an_involution_that_swaps_sides_only(skeleton: Skeleton) -> None:
    flip = skeleton.flip
    assert flip[flip].tolist() == list(range(len(skeleton)))
    for k, joint in enumerate(skeleton.joints):
        partner = skeleton.joints[flip[k]]
        if joint.startswith("left_"):
            assert partner == joint.replace("left_", "right_")
        elif joint.startswith("right_"):
            assert partner == joint.replace("right_", "left_")
        else:
            assert partner == joint
            assert not {"left", "right"} & set(joint.split("_")), "a side is a prefix, or the flip would miss it"


def test_mirror_partners_share_their_sigma(skeleton: Skeleton) -> None:
    sigmas = np.array(skeleton.sigmas)
    if skeleton.name == "body25":  # COCO-WholeBody's foot sigmas differ between left and right
        feet = (
            np.array([part in joint for joint in skeleton.joints for part in ("toe", "heel")])
            .reshape(-1, 2)
            .any(axis=1)
        )
        assert feet.sum() == 6
        np.testing.assert_array_equal(sigmas[~feet], sigmas[skeleton.flip][~feet])
    else:
        np.testing.assert_array_equal(sigmas, sigmas[skeleton.flip])


def test_sigmas_of_joints_that_coco_has_are_cocos(skeleton: Skeleton) -> None:
    for joint, sigma in zip(skeleton.joints, skeleton.sigmas, strict=True):
        part = joint.removeprefix("left_").removeprefix("right_")
        assert sigma == _COCO_SIGMAS.get(part, sigma), joint
        assert 0.02 <= sigma <= 0.11  # the doubled ones of some code bases would not fit


def test_edges_hold_the_skeleton_together(skeleton: Skeleton) -> None:
    """One component: a drawn person has no loose joints; vitruvian19's face hangs free of neck and head top."""
    component = list(range(len(skeleton)))
    for a, b in skeleton.edges:
        old, new = component[a], component[b]
        component = [new if c == old else c for c in component]
    assert {i for edge in skeleton.edges for i in edge} == set(range(len(skeleton)))
    parts = [
        {j for j, c in zip(skeleton.joints, component, strict=True) if c == part} for part in sorted(set(component))
    ]
    face = {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    expected = [face, set(skeleton.joints) - face] if skeleton.name == "vitruvian19" else [set(skeleton.joints)]
    assert sorted(parts, key=len) == expected


def test_edges_are_symmetric_and_unique(skeleton: Skeleton) -> None:
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert len(edges) == len(skeleton.edges)
    flip = skeleton.flip
    assert {frozenset((int(flip[a]), int(flip[b]))) for a, b in edges} == edges


def test_record_survives_json(skeleton: Skeleton) -> None:
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


@pytest.mark.parametrize("other", _NAMES)
def test_remapping_there_and_back_keeps_exactly_the_shared_joints(
    skeleton: Skeleton, other: str, rng: np.random.Generator
) -> None:
    target = SKELETONS[other]
    points = rng.normal(size=(3, len(skeleton), 2))
    there = target.take(skeleton, points, axis=1, missing=np.nan)
    back = skeleton.take(target, there, axis=1, missing=np.nan)
    shared = np.array([joint in target.joints for joint in skeleton.joints])
    np.testing.assert_array_equal(back[:, shared], points[:, shared])
    assert np.isnan(back[:, ~shared]).all()


@pytest.mark.parametrize("other", _NAMES)
def test_flipping_and_remapping_commute(skeleton: Skeleton, other: str, rng: np.random.Generator) -> None:
    target = SKELETONS[other]
    values = rng.normal(size=len(skeleton))
    flipped_first = target.take(skeleton, values[skeleton.flip], axis=0, missing=np.nan)
    flipped_last = target.take(skeleton, values, axis=0, missing=np.nan)[target.flip]
    np.testing.assert_array_equal(flipped_first, flipped_last)
