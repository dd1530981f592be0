"""`tools/clean_joints.py`: labels change on two opinions that agree, and on nothing less."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.skeletons import COCO17, VITRUVIAN19


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("clean_joints")


def standing() -> np.ndarray:
    """(17, 3) somebody who faces the camera, 100 px from shoulder to hip, all joints seen."""
    joints = np.zeros((17, 3))
    joints[:, 2] = 0.99
    places = {"nose": (0, -40), "eye": (8, -48), "ear": (16, -44), "shoulder": (30, 0), "elbow": (45, 40)}
    places |= {"wrist": (50, 80), "hip": (20, 86.6), "knee": (22, 150), "ankle": (24, 210)}
    for k, name in enumerate(COCO17.joints):
        x, y = places[name.split("_")[-1]]
        joints[k, :2] = 300 + (x if name.startswith("left") else -x), 200 + y
    return joints


def labels_of(joints: np.ndarray, face: bool = False) -> np.ndarray:
    """(19, 3) as LSP labels them: no face, but neck and head top."""
    labels = np.zeros((19, 3))
    labels[:17] = joints
    labels[:17, 2] = 2
    if not face:
        labels[:5] = 0
    labels[17:] = [[300, 190, 2], [300, 130, 2]]
    return labels


def test_right_labels_stay_and_get_a_face(tool, rng) -> None:
    truth = standing()
    opinions = [truth + np.column_stack([rng.normal(0, 2, (17, 2)), np.zeros(17)]) for _ in range(2)]
    cleaned, done = tool.cleaned(labels_of(truth), *opinions)
    assert done == ["face"]
    np.testing.assert_array_equal(cleaned[5:], labels_of(truth)[5:])
    np.testing.assert_allclose(cleaned[:5, :2], opinions[0][:5, :2])
    assert tool.cleaned(labels_of(truth, face=True), *opinions)[1] == []


@pytest.mark.parametrize(
    ("parts", "word"), [("", "exchanged"), ("elbow wrist", "exchanged arms"), ("knee ankle", "exchanged legs")]
)
def test_left_and_right_are_exchanged_on_two_opinions(parts, word, tool) -> None:
    truth = standing()
    wrong = labels_of(truth)
    group = [k for k, n in enumerate(COCO17.joints) if k >= 5 and (not parts or n.split("_")[-1] in parts.split())]
    wrong[group] = wrong[np.asarray(VITRUVIAN19.flip)[group]]
    mended, done = tool.cleaned(wrong, truth, truth)
    assert done == [word, "face"]
    np.testing.assert_array_equal(mended[5:], labels_of(truth)[5:])
    swapped = truth[COCO17.flip]
    for opinions in ((truth, swapped), (swapped, truth), (swapped, swapped)):
        expected = (
            wrong if not parts else None
        )  # with all of them exchanged in an opinion, parts may be mended otherwise
        kept, done = tool.cleaned(wrong, *opinions)
        assert word not in done
        if expected is not None:
            np.testing.assert_array_equal(kept[5:], expected[5:])


def test_a_joint_moves_and_one_is_added_where_both_agree(tool) -> None:
    truth, wrist, knee = standing(), COCO17.index("left_wrist"), COCO17.index("right_knee")
    wrong = labels_of(truth)
    wrong[wrist, :2] += [70, -90]
    wrong[knee] = 0
    other = truth.copy()
    other[:, 0] += 4
    mended, done = tool.cleaned(wrong, truth, other)
    assert sorted(done) == ["added", "face", "moved"]
    for joint in (wrist, knee):
        np.testing.assert_allclose(mended[joint, :2], truth[joint, :2] + [2, 0])
    assert mended[knee, 2] == 1
    unsure = truth.copy()
    unsure[[wrist, knee], 2] = 0.5
    assert tool.cleaned(wrong, unsure, other)[1] == ["face"]
    away = truth.copy()
    away[[wrist, knee], :2] += 80
    assert tool.cleaned(wrong, truth, away)[1] == ["face"]


def test_of_a_back_only_the_ears_are_seen(tool) -> None:
    truth = standing()
    assert tool.seen_face(truth) == [0, 1, 2, 3, 4]
    back = truth[COCO17.flip]
    assert tool.seen_face(back) == [3, 4]
    side = truth.copy()
    side[:, 0] = 300 + (truth[:, 0] - 300) * 0.1
    assert tool.seen_face(side) == [0]
    guessed = tool.guessed(back)
    assert (guessed[:, 2] > 0).nonzero()[0].tolist() == list(range(3, 17))
