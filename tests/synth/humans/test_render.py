"""What is drawn is where the camera says, as far as it says, and the nearest."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.geometry.cameras import Camera, look_at
from vitruvian.synth.humans.meshes import Mesh, Surface, box, corners_of, moved, spindle
from vitruvian.synth.humans.render import Light, projection

SIZE = (96, 80)
LIGHT = Light((0.0, 1.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def make_camera(rng) -> Camera:
    position = rng.uniform((-800, 600, 2500), (800, 1800, 4000))
    rotation = look_at(position, np.array([0.0, 900, 0]), np.array([0.0, 1, 0]), float(rng.normal(0, 10)))
    focal = rng.uniform(60, 110)
    return Camera(np.array([focal, focal * 1.1]), np.array([50.0, 37.0]), rotation, position, size_wh=SIZE)


def facing(camera: Camera, middle_px, depth_mm: float, half_px: float, person: int, part: int = 1) -> Mesh:
    """A square that the camera sees as a square of ``half_px`` around ``middle_px``."""
    shift = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_px
    points = camera.image_to_world(np.asarray(middle_px) + shift, np.full(4, depth_mm))
    corners = corners_of(points, np.tile(-camera.rotation[2], (4, 1)), person=person, part=part)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def test_the_projection_is_the_cameras(rng):
    camera = make_camera(rng)
    points = rng.uniform((-500, 0, -500), (500, 1800, 500), (50, 3))
    clip = np.concatenate([points, np.ones((50, 1))], axis=1) @ projection(camera, SIZE).T
    pixels = (clip[:, :2] / clip[:, 3:] + 1) / 2 * SIZE - 0.5
    np.testing.assert_allclose(pixels, camera.world_to_image(points), atol=1e-6)
    np.testing.assert_allclose(clip[:, 3], camera.world_to_camera(points)[:, 2])


def test_a_square_is_drawn_where_it_is(renderer, rng):
    camera = make_camera(rng)
    middle = rng.integers((15, 15), (80, 65))
    layers = renderer.draw([facing(camera, middle, 3000, 7.5, 3, 9)], camera, LIGHT)
    # Pixel centres are at integers: a square of 15 pixels around one covers whole pixels.
    expected = np.zeros((SIZE[1], SIZE[0]))
    x, y = middle
    expected[y - 7 : y + 8, x - 7 : x + 8] = 1
    np.testing.assert_allclose(layers.coverage, expected, atol=1e-6)
    fine = np.kron(expected, np.ones((2, 2))).astype(bool)
    assert (layers.person == np.where(fine, 3, 0)).all()
    assert (layers.part == np.where(fine, 9, 0)).all()
    np.testing.assert_allclose(layers.depth_mm[fine], 3000, rtol=1e-4)
    assert np.isinf(layers.depth_mm[~fine]).all()


def test_the_nearest_wins_in_any_order(renderer, rng):
    camera = make_camera(rng)
    near, far = facing(camera, (40, 40), 2000, 8.5, 1), facing(camera, (46, 40), 2010, 8.5, 2)
    for meshes in ([near, far], [far, near]):
        layers = renderer.draw(meshes, camera, LIGHT)
        assert set(np.unique(layers.person[80, 64:98])) == {1}
        assert set(np.unique(layers.person[80, 100:109])) == {2}


def test_the_same_meshes_give_the_same_pictures(renderer, rng):
    camera = make_camera(rng)
    meshes = [moved(box(np.array([300, 900, 200.0]), (200, 80, 40)), np.eye(3), np.array([100.0, 0, 50]))]
    meshes.append(spindle(np.array([100, 150, 0.1]), np.array([0.0, 900, 1000]), (20, 90, 200)))
    meshes[1].surface = Surface(pattern=5, second=(1, 1, 0), scale_mm=90)
    first, second = (renderer.draw(meshes, camera, LIGHT) for _ in range(2))
    np.testing.assert_array_equal(first.colour, second.colour)
    np.testing.assert_array_equal(first.depth_mm, second.depth_mm)
    assert first.coverage.max() == 1


def test_light_from_above_falls_on_what_faces_it(renderer):
    camera = Camera(
        np.array([80.0, 80]), np.array([47.5, 39.5]),
        look_at(np.array([0.0, 2500, 2500]), np.zeros(3), np.array([0.0, 1, 0])), np.array([0.0, 2500, 2500]),
    )  # fmt: skip
    layers = renderer.draw([box(np.array([1200.0, 600, 1200]), (255, 255, 255))], camera, LIGHT)
    column = layers.colour[:, 48].mean(axis=1)[layers.coverage[:, 48] == 1]
    # The lid is lit by lamp and sky, albedo 1: sqrt(0.5 + 0.5); the front by the sky's half and the lamp's shoulder.
    assert column[2] == pytest.approx(255, abs=1)
    assert column[-2] == pytest.approx(255 * np.sqrt(0.5 + 0.5 * 0.2), abs=2)


def test_solids_are_closed_and_stand_on_the_floor():
    for mesh in (
        box(np.array([2.0, 4, 6]), (1, 2, 3)),
        spindle(np.array([0.1, 5, 0.1]), np.array([0.0, 3, 9]), (1, 2, 3)),
    ):
        points = mesh.corners["position"]
        assert points[:, 1].min() == pytest.approx(0)
        normals = mesh.corners["normal"]
        away = points - points.mean(axis=0)
        assert ((normals * away).sum(axis=1) > 0).mean() > 0.85  # outwards, but for poles


def test_nothing_to_draw_is_an_empty_picture(renderer, rng):
    layers = renderer.draw([], make_camera(rng), LIGHT)
    assert layers.coverage.max() == 0
    assert np.isinf(layers.depth_mm).all()
