"""`Affine`: closed forms, inverses, and the pixel-centre rule."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.geometry import Affine


def _random(rng: np.random.Generator) -> Affine:
    """An invertible map far from singular: rotation, anisotropic scale, perhaps a mirror, shift."""
    scale = Affine.scale(rng.uniform(0.2, 5) * rng.choice([-1, 1]), rng.uniform(0.2, 5))
    turn = Affine.rotate(rng.uniform(-180, 180), tuple(rng.uniform(-50, 50, 2)))
    return Affine.translate(*rng.uniform(-100, 100, 2)) @ turn @ scale @ Affine.rotate(rng.uniform(-180, 180))


def _homogeneous(a: Affine) -> np.ndarray:
    return np.vstack([a.matrix, [0, 0, 1]])


def test_inverse_undoes_in_both_orders(rng: np.random.Generator) -> None:
    for _ in range(50):
        a, points = _random(rng), rng.uniform(-500, 500, (20, 2))
        np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points, atol=1e-8)
        np.testing.assert_allclose(a.apply(a.inverse().apply(points)), points, atol=1e-8)
        np.testing.assert_allclose((a @ a.inverse()).matrix, np.eye(2, 3), atol=1e-9)


def test_composition_is_the_product_of_homogeneous_matrices(rng: np.random.Generator) -> None:
    for _ in range(50):
        a, b, c = (_random(rng) for _ in range(3))
        np.testing.assert_allclose(_homogeneous(b @ a), _homogeneous(b) @ _homogeneous(a), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(((c @ b) @ a).matrix, (c @ (b @ a)).matrix, rtol=1e-9, atol=1e-6)
        points = rng.uniform(-10, 10, (5, 2))
        np.testing.assert_allclose((b @ a).apply(points), b.apply(a.apply(points)), atol=1e-7)  # a first, then b


def test_determinants_multiply_and_mirrors_are_negative(rng: np.random.Generator) -> None:
    for _ in range(20):
        a, b = _random(rng), _random(rng)
        assert (a @ b).determinant == pytest.approx(a.determinant * b.determinant, rel=1e-9)
        assert a.determinant == pytest.approx(float(np.linalg.det(a.matrix[:, :2])), rel=1e-9)
    assert Affine.flip_horizontal(7).determinant == -1
    assert Affine.rotate(33, (4, 5)).determinant == pytest.approx(1)
    assert Affine.scale(2, 3).determinant == 6


@pytest.mark.parametrize(("from_w", "to_w"), [(10, 20), (9, 3), (7, 5), (1, 8), (640, 192)])
def test_resize_maps_edges_to_edges_and_centres_by_the_rule(from_w: int, to_w: int) -> None:
    a = Affine.resize((from_w, 2 * from_w), (to_w, to_w))
    sx, sy = to_w / from_w, to_w / (2 * from_w)
    for x in (-0.5, 0.0, 1.5, from_w - 0.5):
        mapped = a.apply(np.array([x, x]))
        np.testing.assert_allclose(mapped, [(x + 0.5) * sx - 0.5, (x + 0.5) * sy - 0.5], atol=1e-12)
    np.testing.assert_allclose(a.apply(np.array([-0.5, -0.5])), [-0.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(a.apply(np.array([from_w - 0.5, 2 * from_w - 0.5])), [to_w - 0.5, to_w - 0.5], atol=1e-9)


def test_resizes_chain(rng: np.random.Generator) -> None:
    """Resizing in two steps is resizing once: not so with x -> x s, the usual mistake."""
    a, b, c = (tuple(rng.uniform(3, 900, 2)) for _ in range(3))
    np.testing.assert_allclose(
        (Affine.resize(b, c) @ Affine.resize(a, b)).matrix, Affine.resize(a, c).matrix, atol=1e-8
    )


@pytest.mark.parametrize("width", [1, 2, 7, 192])
def test_flip_mirrors_pixels_onto_pixels(width: int) -> None:
    flip = Affine.flip_horizontal(width)
    assert flip @ flip == Affine.identity()
    x = np.arange(width, dtype=np.float64)
    points = np.stack([x, np.full(width, 3.0)], axis=1)
    assert flip.apply(points)[:, 0].tolist() == x[::-1].tolist()
    assert flip.apply(points)[:, 1].tolist() == [3.0] * width


def test_rotation_turns_x_towards_y() -> None:
    """Clockwise on the screen, since y points down; the centre stays."""
    np.testing.assert_allclose(Affine.rotate(90).apply(np.array([1.0, 0.0])), [0, 1], atol=1e-15)
    np.testing.assert_allclose(Affine.rotate(90, (5, 5)).apply(np.array([7.0, 5.0])), [5, 7], atol=1e-12)
    np.testing.assert_allclose(Affine.rotate(-37, (5, 8)).apply(np.array([5.0, 8.0])), [5, 8], atol=1e-12)


def test_rotations_add_up(rng: np.random.Generator) -> None:
    first, second = rng.uniform(-180, 180, 2)
    centre = tuple(rng.uniform(-50, 50, 2))
    both = Affine.rotate(second, centre) @ Affine.rotate(first, centre)
    np.testing.assert_allclose(both.matrix, Affine.rotate(first + second, centre).matrix, atol=1e-12)


def test_scale_and_about_keep_their_centre() -> None:
    np.testing.assert_array_equal(
        Affine.scale(2, 3, (4, 5)).apply(np.array([[4.0, 5.0], [5.0, 6.0]])), [[4, 5], [6, 8]]
    )
    np.testing.assert_array_equal(Affine.scale(2).apply(np.array([1.0, 1.0])), [2, 2])  # one factor is for both
    sheared = Affine.linear(1, 0.5, 0, 1).about((10, 20))
    np.testing.assert_array_equal(sheared.apply(np.array([[10.0, 20.0], [10.0, 22.0]])), [[10, 20], [11, 22]])


def test_box_to_frame_puts_the_boxs_edges_on_the_frames(rng: np.random.Generator) -> None:
    low = rng.uniform(-100, 100, 2)
    high = low + rng.uniform(1, 300, 2)
    a = Affine.box_to_frame(np.concatenate([low, high]), (192, 256))
    corners = a.apply(np.stack([low, high, (low + high) / 2]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [191.5, 255.5], [95.5, 127.5]], atol=1e-9)
    assert a.is_axis_aligned


def test_box_to_frame_of_the_whole_image_is_a_resize() -> None:
    a = Affine.box_to_frame(np.array([-0.5, -0.5, 63.5, 47.5]), (32, 96))
    np.testing.assert_allclose(a.matrix, Affine.resize((64, 48), (32, 96)).matrix, atol=1e-12)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, 0), (5, 0, 0, 5), (np.nan, 0, 5, 5)])
def test_a_box_without_area_has_no_frame(box: tuple) -> None:
    with pytest.raises(ShapeError, match="x1 > x0"):
        Affine.box_to_frame(np.array(box), (8, 8))


def test_axis_aligned_means_positive_scale_and_shift_only() -> None:
    assert Affine.identity().is_axis_aligned
    assert (Affine.translate(3, 4) @ Affine.scale(2, 0.1)).is_axis_aligned
    assert (Affine.flip_horizontal(5) @ Affine.flip_horizontal(5)).is_axis_aligned
    for other in (Affine.flip_horizontal(5), Affine.rotate(1e-6), Affine.linear(1, 0.1, 0, 1), Affine.rotate(180)):
        assert not other.is_axis_aligned


def test_apply_keeps_shape_float_type_and_missing_joints() -> None:
    a = Affine.translate(1, 2)
    points = np.array([[[1, 2], [np.nan, np.nan]]], np.float32)
    mapped = a.apply(points)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, [[[2, 4], [np.nan, np.nan]]])
    assert Affine.scale(0.5).apply(np.array([[1, 3]])).tolist() == [[0.5, 1.5]]  # integers become floats
    assert Affine.rotate(30).apply(np.zeros((0, 2))).shape == (0, 2)
    half_missing = Affine.rotate(30).apply(np.array([np.nan, 3.0]))
    assert np.isnan(half_missing).all()  # half a position is none


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 1), ()])
def test_apply_refuses_other_shapes(shape: tuple) -> None:
    with pytest.raises(ShapeError, match="axis of 2"):
        Affine.identity().apply(np.zeros(shape))


@pytest.mark.parametrize(
    "matrix", [np.eye(3), np.eye(2), np.full((2, 3), np.nan), np.array([[1, 0, np.inf], [0, 1, 0]])]
)
def test_other_matrices_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"finite \(2, 3\) matrix"):
        Affine(matrix)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 2, 0], [2, 4, 0]],
        [[0, 0, 1], [0, 0, 1]],
        # Not 0 by the formula (-7e-18), but singular to LAPACK, whose own error is not ours.
        [[0.27, -0.46, 0.0], [0.081, -0.138, 0.0]],
    ],
)
def test_a_map_onto_a_line_has_no_inverse(matrix: list) -> None:
    with pytest.raises(ShapeError, match="no inverse"):
        Affine(np.array(matrix)).inverse()


def test_an_affine_is_a_value() -> None:
    """Its matrix is a private, read-only copy; equal maps have equal hashes, also where one holds a -0.0."""
    matrix = np.eye(2, 3)
    a = Affine(matrix)
    matrix[0, 0] = 7
    assert a == Affine.identity()
    with pytest.raises(ValueError, match="read-only"):
        a.matrix[0, 0] = 7
    minus_zero = Affine(np.array([[1, -0.0, -0.0], [0, 1, 0]]))
    assert minus_zero == a
    assert hash(minus_zero) == hash(a)
    assert a != Affine.translate(1, 0)
    assert a != "identity"
