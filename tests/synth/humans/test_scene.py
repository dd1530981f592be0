"""Whole pictures: they follow from seed and index, their labels agree with what is in them."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.synth.humans import Assets, SceneOptions, landmarks, make_picture
from vitruvian.synth.humans.labels import extent
from vitruvian.synth.humans.people import make_figure
from vitruvian.synth.humans.prior import load_prior


@pytest.fixture(scope="module")
def assets(body) -> Assets:
    return Assets(body, tuple(range(len(body))), load_prior())


@pytest.fixture
def seed(rng) -> int:
    return int(rng.integers(2**31))


def test_pictures_follow_from_seed_and_index(assets, renderer, seed):
    first = [make_picture(seed, i, assets, renderer) for i in range(3)]
    again = [make_picture(seed, i, assets, renderer) for i in (2, 0, 1)]
    for (picture, labels), (other, others) in zip(first, [again[1], again[2], again[0]], strict=True):
        np.testing.assert_array_equal(picture, other)
        np.testing.assert_array_equal(labels.joints_world_mm, others.joints_world_mm)
        np.testing.assert_array_equal(labels.visibility, others.visibility)
    assert (first[0][0] != first[1][0]).any()


def test_labels_agree_with_the_picture(assets, renderer, seed):
    for index in range(4):
        picture, labels = make_picture(seed, index, assets, renderer)
        assert picture.shape == (80, 96, 3)
        np.testing.assert_allclose(labels.joints_px, labels.camera.world_to_image(labels.joints_world_mm), atol=1e-9)
        np.testing.assert_array_equal(labels.person > 0, labels.part > 0)
        assert labels.person.max() <= len(labels.joints_px)
        for i in range(len(labels.joints_px)):
            box, area = extent(labels.person == i + 1)
            np.testing.assert_array_equal(labels.boxes_xyxy[i], box)
            assert labels.area_px[i] == area
        assert labels.area_px[0] > 0, "the first person is in the picture"


@pytest.mark.parametrize("index", [1777, 2090, 3034])
def test_an_edge_that_cuts_off_a_group_leaves_its_first_person(assets, renderer, index):
    """Pictures (of this seed) in which the first person was left out altogether."""
    _, labels = make_picture(1126320268, index, assets, renderer)
    assert labels.area_px[0] > 0


def test_visible_joints_of_a_lone_person_lie_on_it(assets, renderer, seed):
    options = SceneOptions(max_people=1, occluders=0.0, truncation=0.0)
    inner = [
        landmarks.NAMES.index(n) for n in ("pelvis", "left_knee", "right_knee", "left_elbow", "right_elbow", "neck")
    ]
    for index in range(4):
        _, labels = make_picture(seed, index, assets, renderer, options)
        assert (labels.visibility > 0).all(), "nothing is cut off"
        fat = np.zeros_like(labels.person, bool)  # a joint may round to the pixel beside a thin limb
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                fat |= np.roll(labels.person == 1, (dy, dx), (0, 1))
        x, y = np.round(labels.joints_px[0, inner]).astype(int).T
        assert fat[y, x].all()


def test_feet_stand_on_the_floor_and_people_do_not_touch(assets, renderer, seed):
    for index in range(6):
        _, labels = make_picture(seed, index, assets, renderer)
        joints = labels.joints_world_mm
        assert (joints[..., 1] > -60).all()
        assert (joints[..., 1].min(axis=1) < 250).all()
        for i in range(len(joints)):
            for j in range(i):
                assert np.linalg.norm(joints[i][:, None] - joints[j][None], axis=-1).min() > 259


def test_one_person_means_one_person(assets, renderer, seed):
    options = SceneOptions(max_people=1)
    assert {len(make_picture(seed, i, assets, renderer, options)[1].joints_px) for i in range(5)} == {1}


def test_a_figures_joints_are_its_bodys(assets, seed):
    figure = make_figure(np.random.default_rng(seed), assets, 1)
    low, high = figure.extent_mm
    assert low[1] == pytest.approx(0, abs=1e-2)
    assert (figure.joints_mm > low - 40).all()
    assert (figure.joints_mm < high + 40).all()
    wrist = figure.bones_mm[assets.body.bone_index["wrist.L"]]
    np.testing.assert_allclose(figure.joints_mm[landmarks.NAMES.index("left_wrist")], wrist, atol=1e-3)
