"""Cameras: closed forms, both forms of distortion written out again, float64 round trips, random cameras."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.geometry import Affine
from vitruvian.geometry.cameras import Camera, look_at, random_camera

_FORMS = ["opencv", "h36m"]


def _camera(rng: np.random.Generator, distortion: str = "h36m") -> Camera:
    """Of the order of Human3.6M's: 1000 x 1000 pixels, a mild barrel."""
    rotation = look_at(rng.normal(size=3) * 3000, rng.normal(size=3) * 100, np.array([0.0, 0, 1]), rng.uniform(-9, 9))
    return Camera(
        focal_px=rng.uniform(1100, 1200, 2),
        centre_px=rng.uniform(480, 530, 2),
        rotation=rotation,
        position_mm=rng.normal(size=3) * 3000,
        radial=np.array([-0.2, 0.24, -0.002]) * rng.uniform(0.8, 1.2, 3),
        tangential=rng.normal(0, 2e-3, 2),
        distortion=distortion,
    )


def test_projection_by_hand() -> None:
    """At the origin, looking along z: x to the right, y down, and twice as far is half as large."""
    camera = Camera(np.array([1000.0, 500]), np.array([320.0, 240]), np.eye(3), np.zeros(3))
    points = np.array([[0, 0, 1000], [100, 0, 1000], [0, 100, 1000], [100, 100, 2000], [0, 0, -5], [0, 0, 0]], float)
    expected = [[320, 240], [420, 240], [320, 290], [370, 265], [np.nan] * 2, [np.nan] * 2]
    np.testing.assert_allclose(camera.world_to_image(points), expected)
    np.testing.assert_allclose(camera.image_to_world(np.array([[420.0, 290]]), 1000.0), [[100, 100, 1000]])


def test_a_camera_that_stands_and_looks_somewhere() -> None:
    """East of the origin at a height of 1 m, looking west; north is then to the right."""
    rotation = look_at(np.array([3000.0, 0, 1000]), np.array([0.0, 0, 1000]), np.array([0.0, 0, 1]))
    camera = Camera(np.array([900.0, 900]), np.array([500.0, 500]), rotation, np.array([3000.0, 0, 1000]))
    np.testing.assert_allclose(camera.world_to_camera(np.array([[0, 0, 1000]])), [[0, 0, 3000]], atol=1e-9)
    np.testing.assert_allclose(camera.world_to_camera(np.array([[0, 300, 1000]])), [[300, 0, 3000]], atol=1e-9)
    np.testing.assert_allclose(camera.world_to_image(np.array([[0, 300, 2000]])), [[590, 200]])


@pytest.mark.parametrize("form", _FORMS)
def test_distortion_written_out_again(form: str, rng: np.random.Generator) -> None:
    camera = _camera(rng, form)
    (k1, k2, k3), (p1, p2) = camera.radial, camera.tangential
    for x, y in rng.uniform(-0.45, 0.45, (20, 2)):
        r = np.hypot(x, y)
        radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
        if form == "opencv":
            expected = (
                x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
                y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
            )
        else:
            tan = p1 * y + p2 * x
            expected = (x * (radial + tan) + p2 * r**2, y * (radial + tan) + p1 * r**2)
        np.testing.assert_allclose(camera.distort(np.array([x, y])), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("form", _FORMS)
def test_the_derivative_is_that_of_the_distortion(form: str, rng: np.random.Generator) -> None:
    camera, plane, step = _camera(rng, form), rng.uniform(-0.45, 0.45, (30, 2)), 1e-6
    jacobian = camera._distorted(plane)[1]
    for axis in range(2):
        move = step * np.eye(2)[axis]
        slope = (camera.distort(plane + move) - camera.distort(plane - move)) / (2 * step)
        np.testing.assert_allclose(jacobian[..., axis], slope, atol=1e-9)


@pytest.mark.parametrize("form", _FORMS)
def test_round_trips(form: str, rng: np.random.Generator) -> None:
    for _ in range(5):
        camera = _camera(rng, form)
        depth = rng.uniform(500, 8000, (7, 17))
        pixels = rng.uniform(0, 999, (7, 17, 2))
        in_camera = camera.image_to_camera(pixels, depth)
        np.testing.assert_allclose(camera.camera_to_image(in_camera), pixels, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(in_camera[..., 2], depth)
        world = camera.camera_to_world(in_camera)
        np.testing.assert_allclose(camera.world_to_camera(world), in_camera, rtol=0, atol=1e-8)
        np.testing.assert_allclose(camera.image_to_world(camera.world_to_image(world), depth), world, atol=1e-7)
        np.testing.assert_allclose(
            np.linalg.norm(np.diff(world, axis=1), axis=2), np.linalg.norm(np.diff(in_camera, axis=1), axis=2)
        )


def test_what_no_point_is_mapped_to_cannot_be_undone() -> None:
    """x - 0.5 x^3 is highest at x = 0.816 with 0.544: beyond there is nothing, and up to there it can be undone."""
    camera = Camera(np.ones(2), np.zeros(2), np.eye(3), np.zeros(3), radial=np.array([-0.5, 0, 0]))
    found = camera.undistort(np.array([[0.5, 0], [0.6, 0], [0, -0.54], [np.nan, 0]]))
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1]).all()
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(camera.distort(found[[0, 2]]), [[0.5, 0], [0, -0.54]], atol=1e-9)
    assert np.abs(found[[0, 2]]).max() < 0.8165


def test_random_cameras_see_the_person_upright(rng: np.random.Generator) -> None:
    target, up = rng.normal(size=3) * 1000, rng.normal(size=3)
    up /= np.linalg.norm(up)
    azimuths = []
    for _ in range(200):
        camera = random_camera(rng, target, up=up, size_wh=(640, 480), elevation_deg=(-10, 30), roll_deg=3)
        np.testing.assert_allclose(camera.world_to_image(target), [319.5, 239.5], atol=1e-6)
        low, high = camera.world_to_image(np.stack([target - 850 * up, target + 850 * up]))
        assert high[1] < low[1]
        offset = camera.position_mm - target
        distance = np.linalg.norm(offset)
        assert 2500 <= distance <= 6000
        assert -10.001 <= np.rad2deg(np.arcsin(offset @ up / distance)) <= 30.001
        assert 35 - 1e-6 <= np.rad2deg(2 * np.arctan(320 / camera.focal_px[0])) <= 65 + 1e-6
        azimuths.append((offset - offset @ up * up) / distance)
    assert np.linalg.norm(np.mean(azimuths, axis=0)) < 0.3  # from all sides
    again = [random_camera(np.random.default_rng(5), target).position_mm for _ in range(2)]
    np.testing.assert_array_equal(again[0], again[1])


def test_roll_turns_the_picture() -> None:
    """By 90 degrees: what was up in the picture is now to its right."""
    place, target, up = np.array([0.0, 0, -1000]), np.zeros(3), np.array([0.0, 1, 0])
    plain, turned = (look_at(place, target, up, roll) @ up for roll in (0, 90))
    np.testing.assert_allclose(plain, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(turned, [1, 0, 0], atol=1e-12)


def test_a_cropped_picture_has_the_cropped_camera(rng: np.random.Generator) -> None:
    camera = _camera(rng)
    crop = Affine.box_to_frame(np.array([200.0, 100, 700, 900]), (192, 256))
    points = camera.image_to_world(rng.uniform(0, 999, (20, 2)), rng.uniform(2000, 5000, 20))
    small = camera.through(crop, (192, 256))
    np.testing.assert_allclose(small.world_to_image(points), crop.apply(camera.world_to_image(points)), atol=1e-9)
    assert small.size_wh == (192, 256)
    with pytest.raises(ShapeError, match="cropped and resized only"):
        camera.through(Affine.flip_horizontal(1000))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("focal_px", [1000.0, -1]),
        ("focal_px", [1000.0]),
        ("centre_px", [np.nan, 3]),
        ("rotation", np.eye(3) * 1.1),
        ("rotation", np.diag([1.0, 1, -1])),
        ("position_mm", [1.0, 2]),
        ("radial", [0.1, 0.2]),
        ("distortion", "fisheye"),
    ],
)
def test_refusals(field: str, value: object) -> None:
    good = {"focal_px": [9.0, 9], "centre_px": [5.0, 5], "rotation": np.eye(3), "position_mm": np.zeros(3)}
    Camera(**good)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=field.split("_")[0]):
        Camera(**{**good, field: value})  # type: ignore[arg-type]


def test_refusals_of_points_and_views() -> None:
    camera = Camera(np.ones(2), np.zeros(2), np.eye(3), np.zeros(3))
    with pytest.raises(ShapeError, match="axis of 3"):
        camera.world_to_image(np.zeros((4, 2)))
    for place, up in (([0.0, 0, 0], [0.0, 1, 0]), ([0.0, 5, 0], [0.0, 1, 0])):
        with pytest.raises(ShapeError, match="another place"):
            look_at(np.array(place), np.zeros(3), np.array(up))
