"""Labels read off a depth buffer: on scenes made by hand, and on rendered ones."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.formats import rle
from vitruvian.geometry.cameras import Camera
from vitruvian.skeletons import COCO17, SKELETONS
from vitruvian.synth.humans import landmarks
from vitruvian.synth.humans.labels import extent, label_picture, pixel_ids, record_of, visible
from vitruvian.synth.humans.people import Figure
from vitruvian.synth.humans.render import Layers


def hand_made():
    """8 x 6 pixels: person 1 on the left at 2 m, person 2 on the right at 1.5 m, a thing in the last column at 1 m."""
    person, depth = np.zeros((12, 16), np.uint8), np.full((12, 16), np.inf, np.float32)
    person[2:10, 2:8], depth[2:10, 2:8] = 1, 2000
    person[2:10, 8:12], depth[2:10, 8:12] = 2, 1500
    depth[:, 14:] = 1000
    return person, depth


@pytest.mark.parametrize(
    ("place", "joint_mm", "own", "expected"),
    [
        ((2, 3), 2050, 1, 2),  # 5 cm under one's own skin
        ((2, 3), 2150, 1, 1),  # 15 cm under it: the far side of the body
        ((2, 3), 1990, 1, 2),  # in front of it
        ((4.5, 3), 2050, 1, 1),  # somebody else is in front
        ((4.5, 3), 1550, 1, 1),  # somebody else's skin is no cover of one's own, be it as near
        ((4.5, 3), 1450, 1, 2),  # in front of somebody else
        ((0, 0), 2050, 1, 2),  # nothing is there at all
        ((7, 3), 2050, 1, 1),  # a thing
    ],
)
def test_visibility_by_the_depth_buffer(place, joint_mm, own, expected):
    person, depth = hand_made()
    found = visible(np.array([place], float), np.array([joint_mm]), np.array([100.0]), person, depth, own)
    assert found.tolist() == [expected]


def test_subpixels_vote():
    person = np.array([[1, 1, 0, 2], [1, 0, 2, 2]], np.uint8)
    part = np.array([[4, 4, 0, 5], [4, 0, 5, 6]], np.uint8)
    whose, which = pixel_ids(person, part)
    assert whose.tolist() == [[1, 2]]
    assert which.tolist() == [[4, 5]]


def test_the_extent_of_a_mask_is_its_edges():
    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:8] = True
    box, area = extent(mask)
    assert box.tolist() == [2.5, 1.5, 7.5, 3.5]
    assert area == 10
    assert np.isnan(extent(mask & False)[0]).all()


def scene(rng):
    """Labels of two people made by hand, one behind the camera's picture."""
    person, depth = hand_made()
    camera = Camera(np.array([10.0, 10]), np.array([3.5, 2.5]), np.eye(3), np.zeros(3), size_wh=(8, 6))
    count = len(landmarks.NAMES)
    figures = []
    for x in (0, 5000):
        joints = rng.uniform((x - 600, -600, 1900), (x + 600, 600, 2100), (count, 3))
        figures.append(Figure([], joints, np.full(count, 50.0), np.zeros((1, 3)), np.eye(3)[None], 1700.0, {"x": x}))
    layers = Layers(np.zeros((6, 8, 3)), np.ones((6, 8)), person, (person * 3).astype(np.uint8), depth)
    return label_picture(layers, camera, figures), camera, figures


def test_joints_are_the_cameras_projections(rng):
    labels, camera, figures = scene(rng)
    for i, figure in enumerate(figures):
        np.testing.assert_allclose(labels.joints_px[i], camera.world_to_image(figure.joints_mm))
        np.testing.assert_allclose(labels.joints_camera_mm[i], camera.world_to_camera(figure.joints_mm))
    outside = (labels.joints_px < -0.5).any(axis=-1) | (labels.joints_px >= (7.5, 5.5)).any(axis=-1)
    assert ((labels.visibility == 0) == outside).all()
    assert outside[1].all()


def test_masks_are_what_can_be_seen(rng):
    labels, _, _ = scene(rng)
    record = record_of(labels, COCO17, 7, None)
    assert [p.id for p in record.persons] == [7 * 256 + 1, 7 * 256 + 2]
    masks = [rle.decode(p.segmentation) for p in record.persons]
    np.testing.assert_array_equal(sum(m.astype(int) for m in masks), labels.person > 0)
    for i, (person, mask) in enumerate(zip(record.persons, masks, strict=True)):
        np.testing.assert_array_equal(mask, labels.person == i + 1)
        assert person.area_px == mask.sum()
        np.testing.assert_array_equal(person.box_xyxy, extent(mask)[0])


def test_people_of_whom_nothing_is_seen_are_left_out(rng):
    labels, _, _ = scene(rng)
    labels.area_px[0] = 0
    assert len(record_of(labels, COCO17, 1, None).persons) == 1


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_each_skeleton_takes_its_own_landmarks(rng, skeleton):
    labels, _, _ = scene(rng)
    person = record_of(labels, skeleton, 1, None).persons[0]
    take = landmarks.for_skeleton(skeleton)
    shown = labels.visibility[0, take] > 0
    np.testing.assert_array_equal(person.visibility, labels.visibility[0, take])
    np.testing.assert_allclose(person.keypoints_px[shown], labels.joints_px[0, take][shown], atol=1e-3)
