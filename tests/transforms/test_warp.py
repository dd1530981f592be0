"""`warp`: the bright pixel, ramps, constants and borders, at odd and even sizes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.geometry import Affine, boxes
from vitruvian.transforms import RandomGeometry, warp

_SIZES = [(64, 48), (65, 49), (64, 49), (65, 48)]
_TINY_TURN = Affine.rotate(1e-9)  # not axis-aligned any more, so the general path is taken


def _centroid(image: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) of a picture with a black background."""
    mass = image.astype(np.float64)
    assert mass.sum() > 0, "the bright pixel is gone"
    y, x = np.mgrid[: mass.shape[0], : mass.shape[1]]
    return np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()


def _bright(size_wh: tuple[int, int], at_xy: tuple[int, int], reach: int = 0) -> np.ndarray:
    image = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    image[at_xy[1] - reach : at_xy[1] + reach + 1, at_xy[0] - reach : at_xy[0] + reach + 1] = 255
    return image


def _maps(size_wh: tuple[int, int], rng: np.random.Generator) -> dict[str, tuple[Affine, tuple[int, int], float]]:
    """Name -> (map, result's size, tolerance in result pixels)."""
    width, height = size_wh
    centre = ((width - 1) / 2, (height - 1) / 2)
    twice, odd, half, third = (2 * width, 2 * height), (width + 13, height + 7), (width // 2, height // 2), (21, 17)
    angle = float(rng.uniform(-180, 180))
    return {
        "shift": (Affine.translate(*rng.uniform(-5, 5, 2)), size_wh, 0.02),
        "twice": (Affine.resize(size_wh, twice), twice, 0.02),
        "a little larger": (Affine.resize(size_wh, odd), odd, 0.12),
        "half": (Affine.resize(size_wh, half), half, 0.1),
        "third": (Affine.resize(size_wh, third), third, 0.2),
        "flip": (Affine.flip_horizontal(width), size_wh, 1e-9),
        "flip and twice": (Affine.flip_horizontal(2 * width) @ Affine.resize(size_wh, twice), twice, 0.02),
        "flip and half": (Affine.flip_horizontal(half[0]) @ Affine.resize(size_wh, half), half, 0.5),
        "quarter turn": (Affine.rotate(90, centre), size_wh, 0.02),
        "turn": (Affine.rotate(angle, centre), size_wh, 0.15),
        "turn and twice": (Affine.resize(size_wh, twice) @ Affine.rotate(angle, centre), twice, 0.05),
        "turn and third": (Affine.resize(size_wh, third) @ Affine.rotate(angle, centre), third, 0.5),
    }


@pytest.mark.parametrize("size_wh", _SIZES)
def test_a_bright_pixel_lands_where_the_map_says(size_wh: tuple[int, int], rng: np.random.Generator) -> None:
    for name, (frame_to_input, result_wh, tolerance) in _maps(size_wh, rng).items():
        for _ in range(5):
            at = (int(rng.integers(22, size_wh[0] - 22)), int(rng.integers(20, size_wh[1] - 20)))
            found = _centroid(warp(_bright(size_wh, at), frame_to_input, result_wh))
            error = np.abs(found - frame_to_input.apply(np.array(at, float))).max()
            assert error <= tolerance, (name, at, error)


@pytest.mark.parametrize("size_wh", _SIZES)
@pytest.mark.parametrize("factor", [5.5, 8.0, 11.7])
def test_a_bright_spot_survives_strong_shrinking(
    size_wh: tuple[int, int], factor: float, rng: np.random.Generator
) -> None:
    """Plain bilinear lookup would miss most of these spots altogether."""
    large = (size_wh[0] * 5, size_wh[1] * 5)
    small = (int(large[0] / factor), int(large[1] / factor))
    shrink = Affine.resize(large, small)
    for frame_to_input in (shrink, Affine.rotate(25, ((small[0] - 1) / 2, (small[1] - 1) / 2)) @ shrink):
        at = (int(rng.integers(120, large[0] - 120)), int(rng.integers(100, large[1] - 100)))
        found = _centroid(warp(_bright(large, at, reach=3), frame_to_input, small))
        assert np.abs(found - frame_to_input.apply(np.array(at, float))).max() <= 0.5


@pytest.mark.parametrize("size_wh", _SIZES)
def test_a_bright_pixel_through_random_geometry(size_wh: tuple[int, int], rng: np.random.Generator) -> None:
    """Crop, scale, turn, shift and flip as one map: what a training sample goes through."""
    geometry = RandomGeometry(rotation_deg=45, rotation_prob=0.7, scale=0.35, shift=0.05)
    crop = Affine.box_to_frame(np.array([8.3, 4.1, 52.9, 45.6]), (96, 128))
    seen = set()
    for _ in range(20):
        change, flipped = geometry.sample(rng, (96, 128))
        frame_to_input = change @ crop
        at = (int(rng.integers(25, 38)), int(rng.integers(20, 30)))
        found = _centroid(warp(_bright(size_wh, at), frame_to_input, (96, 128)))
        assert np.abs(found - frame_to_input.apply(np.array(at, float))).max() <= 0.1
        assert (frame_to_input.determinant < 0) == flipped
        seen.add(flipped)
    assert seen == {False, True}


@pytest.mark.parametrize("size_wh", [*_SIZES, (1, 1), (1, 7), (3, 1)])
@pytest.mark.parametrize("nearest", [False, True])
def test_whole_pixel_maps_are_exact(size_wh: tuple[int, int], nearest: bool, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, Affine.identity(), size_wh, nearest=nearest), image)
    half_turn = Affine.translate(size_wh[0] - 1, size_wh[1] - 1) @ Affine.linear(-1, 0, 0, -1)
    np.testing.assert_array_equal(warp(image, half_turn, size_wh, nearest=nearest), image[::-1, ::-1])
    transposed = warp(image, Affine.linear(0, 1, 1, 0), size_wh[::-1], nearest=nearest)
    np.testing.assert_array_equal(transposed, image.transpose(1, 0, 2))
    flipped = warp(image, Affine.flip_horizontal(size_wh[0]), size_wh, nearest=nearest)
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    shifted = warp(image, Affine.translate(2, -3), size_wh, fill=9, nearest=nearest)
    expected = np.full_like(image, 9)
    expected[: max(0, size_wh[1] - 3), 2:] = image[3:, : max(0, size_wh[0] - 2)]
    np.testing.assert_array_equal(shifted, expected)


def test_mirroring_the_map_mirrors_the_picture(rng: np.random.Generator) -> None:
    """Exactly: a mirrored training crop is as sharp as a plain one, and anti-aliased like it."""
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for size in ((33, 44), (48, 64), (192, 256)):
        crop = Affine.box_to_frame(np.array([-10.2, 13.7, 95.1, 80.3]), size)
        mirrored = Affine.flip_horizontal(size[0]) @ crop
        np.testing.assert_array_equal(warp(image, mirrored, size, 5), warp(image, crop, size, 5)[:, ::-1])


def test_a_constant_stays_constant(rng: np.random.Generator) -> None:
    """With the fill of the same value no map whatsoever may show: no seams, no dark borders, no rounding."""
    for _ in range(40):
        value = int(rng.integers(0, 256))
        height, width = rng.integers(1, 80, 2)
        image = np.full((height, width, 3), value, np.uint8)
        frame_to_input = Affine.translate(*rng.uniform(-20, 20, 2)) @ Affine.scale(10 ** rng.uniform(-2, 1))
        for extra in (Affine.identity(), Affine.rotate(rng.uniform(-180, 180)), Affine.flip_horizontal(40)):
            result = warp(image, extra @ frame_to_input, (40, 30), fill=value)
            assert (result == value).all()


@pytest.mark.parametrize("scale", [0.11, 0.26, 0.4, 0.73, 1.0, 1.3, 2.0, 3.7])
@pytest.mark.parametrize("turned", [False, True])
def test_a_ramp_keeps_its_analytic_values(scale: float, turned: bool, rng: np.random.Generator) -> None:
    """The pixel-centre rule: half a source pixel of misalignment would shift the mean by 1 to 1.5 grey levels.

    Upright crops round twice by half a level at most; the general path also cuts fractions off at the end.
    """
    width, height = 81, 66
    y, x = np.mgrid[:height, :width]
    slope = np.array([[3, 0], [2, 1], [1, 2], [0, 3]])[rng.integers(4)]
    image = (slope[0] * x + slope[1] * y + 8).astype(np.uint8)
    size = (max(8, int(width * scale)), max(8, int(height * scale)))
    frame_to_input = Affine.translate(*rng.uniform(-0.5, 0.5, 2)) @ Affine.resize((width, height), size)
    if turned:
        frame_to_input = (
            Affine.rotate(float(rng.uniform(-30, 30)), ((size[0] - 1) / 2, (size[1] - 1) / 2)) @ frame_to_input
        )
    result = warp(image, frame_to_input, size)
    v, u = np.mgrid[: size[1], : size[0]].astype(np.float64)
    source = frame_to_input.inverse().apply(np.stack([u, v], axis=-1))
    reach = 2 * max(1.0, 1 / scale)
    inside = (source >= reach).all(-1) & (source[..., 0] <= width - 1 - reach) & (source[..., 1] <= height - 1 - reach)
    expected = slope[0] * source[..., 0] + slope[1] * source[..., 1] + 8
    assert inside.sum() >= 4
    error = result[inside] - expected[inside]
    assert np.abs(error).max() <= (2.1 if turned and scale < 0.8 else 1.05)
    if inside.sum() >= 100:
        assert error.mean() == pytest.approx(-0.5 if turned else 0.0, abs=0.75)


def test_upright_and_general_agree_near_scale_one(rng: np.random.Generator) -> None:
    from PIL import Image

    noise = Image.fromarray(rng.integers(0, 256, (14, 18, 3), dtype=np.uint8))
    image = np.array(noise.resize((90, 70), Image.Resampling.BICUBIC))
    for scale in (0.97, 1.0, 1.05, 1.4):
        frame_to_input = Affine.translate(*rng.uniform(-8, 8, 2)) @ Affine.scale(scale)
        upright = warp(image, frame_to_input, (60, 50)).astype(int)
        general = warp(image, _TINY_TURN @ frame_to_input, (60, 50)).astype(int)
        v, u = np.mgrid[:50, :60].astype(np.float64)
        source = frame_to_input.inverse().apply(np.stack([u, v], axis=-1))
        inside = (source >= 1).all(-1) & (source[..., 0] <= 88) & (source[..., 1] <= 68)
        # The general path cuts fractions off, and smooths nothing that is hardly shrunk: by 0.97 that is 3 levels of
        # this noise, rarely 4.
        assert np.abs(upright - general)[inside].max() <= (2 if scale >= 1 else 4)
        assert np.abs(upright - general)[inside].mean() < 0.75


def _triangle_oracle(image: np.ndarray, to_input: Affine, size_wh: tuple[int, int], fill: int) -> np.ndarray:
    """(h, w, C) float64: the triangle filter by its definition, on a photo padded until nothing of it is missing."""
    matrix, size, count = to_input.matrix, np.array(image.shape[1::-1]), np.array(size_wh)
    reach = np.maximum(1, 1 / np.diag(matrix))
    corners = to_input.inverse().apply(np.array([[-0.5, -0.5], count - 0.5]))
    inside = bool((corners[0] >= -0.5 - 1e-9).all() and (corners[1] <= size - 0.5 + 1e-9).all())
    result = image.astype(np.float64)
    for axis in (1, 0):  # along x, then along y
        pad = int(np.ceil(max(reach.max(), -corners[0].min(), (corners[1] - size).max()))) + 2
        margins = [(pad, pad) if a == 1 - axis else (0, 0) for a in range(result.ndim)]
        padded = np.pad(result, margins, constant_values=fill)
        centres = to_input.inverse().apply(np.stack([np.arange(count[axis])] * 2, axis=1))[:, axis]
        at = np.arange(padded.shape[1 - axis]) - pad
        weights = np.maximum(0, 1 - np.abs(at - centres[:, None]) / reach[axis])
        if inside:
            weights[:, (at < 0) | (at >= size[axis])] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        result = np.moveaxis(np.tensordot(weights, padded, axes=(1, 1 - axis)), 0, 1 - axis)
    return result


@pytest.mark.parametrize("shape", [(61, 84, 3), (60, 83)])
def test_upright_crops_are_the_triangle_filter_by_definition(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Rounded once, wherever the box lies: inside, beyond an edge, around the photo; enlarged and shrunk."""
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    whole = [-0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5]
    for box in (whole, [3.2, 8.9, 9.1, 13.3], [20.5, 7.0, 70.1, 55.7], [-30.4, 11.0, 50.0, 90.2], [-70, -50, 150, 120]):
        for size in ((21, 17), (8, 13), (64, 48), (65, 49), (97, 130)):
            crop = Affine.box_to_frame(np.array(box), size)
            expected = _triangle_oracle(image, crop, size, fill=200)
            for frame_to_input, flip in ((crop, False), (Affine.flip_horizontal(size[0]) @ crop, True)):
                result = warp(image, frame_to_input, size, fill=200)
                result = result[:, ::-1] if flip else result
                assert np.abs(result - expected).max() <= 0.502, (box, size, flip)  # half a level, and float32


@pytest.mark.parametrize("shrink", [1.3, 1.9, 3.7, 6.2])
def test_turned_crops_are_shrunk_by_a_hamming_filter_first(shrink: float, rng: np.random.Generator) -> None:
    """As Pillow's, which rounds after each axis: never more than 1.5 levels apart, and a third on average."""
    from PIL import Image

    image = rng.integers(0, 256, (150, 171, 3), dtype=np.uint8)
    small_wh = (round(171 / shrink), round(150 / shrink))
    expected = np.array(Image.fromarray(image).resize(small_wh, Image.Resampling.HAMMING)).astype(int)
    result = warp(image, _TINY_TURN @ Affine.resize((171, 150), small_wh), small_wh)
    assert np.abs(result - expected).max() <= 2
    assert np.abs(result - expected).mean() <= 1


@pytest.mark.parametrize("turn", [Affine.identity(), Affine.rotate(10, (20, 15)), Affine.flip_horizontal(40)])
def test_what_lies_outside_is_fill(turn: Affine, rng: np.random.Generator) -> None:
    image = rng.integers(100, 256, (50, 60, 3), dtype=np.uint8)
    for box in ((-40, -40, 20, 5), (40, 30, 100, 80), (-10, -10, 90, 70), (-500, 10, 700, 900)):
        frame_to_input = turn @ Affine.box_to_frame(np.array(box), (40, 30))
        result = warp(image, frame_to_input, (40, 30), fill=7)
        v, u = np.mgrid[:30, :40].astype(np.float64)
        source = frame_to_input.inverse().apply(np.stack([u, v], axis=-1))
        reach = 2 * max(1.0, (box[2] - box[0]) / 40, (box[3] - box[1]) / 30)
        gap = np.maximum(-0.5 - source, source - np.array([59.5, 49.5])).max(-1)
        assert (result[gap > reach] == 7).all()
        inside = gap < -reach
        assert (result[inside] >= 100).all()
    for box in ((200, 200, 240, 230), (-90, 0, -70, 30), (0, 60, 40, 90)):
        result = warp(image, turn @ Affine.box_to_frame(np.array(box), (40, 30)), (40, 30), fill=7)
        assert (result == 7).all()


@pytest.mark.parametrize("turn", [0.0, 20.0])
@pytest.mark.parametrize("side", [900, 9_000, 1_000_000])
def test_a_box_far_larger_than_the_photo_shows_it_small(side: int, turn: float) -> None:
    """The photo's light is kept, and it lies where it should, however small it becomes."""
    image = np.full((100, 90), 255, np.uint8)
    frame_to_input = Affine.rotate(turn, (60, 60)) @ Affine.box_to_frame(np.array([-0.5, -0.5, side, side]), (120, 120))
    frame_to_input = Affine.translate(60, 60) @ frame_to_input
    result = warp(image, frame_to_input, (181, 181))
    light = 255 * 9000 * frame_to_input.determinant
    if side == 1_000_000:
        assert light < 255 * 0.001
        assert result.max() <= 1
    elif turn == 0:
        assert result.sum() == pytest.approx(light, rel=0.05 if side == 900 else 0.25)
        expected = frame_to_input.apply(np.array([44.5, 49.5]))
        np.testing.assert_allclose(_centroid(result), expected, atol=0.15)
    elif side == 900:
        assert result.sum() == pytest.approx(light, rel=0.15)
        np.testing.assert_allclose(_centroid(result), frame_to_input.apply(np.array([44.5, 49.5])), atol=0.5)


def test_huge_boxes_cost_no_memory() -> None:
    """In a process of its own, whose peak is not hidden by earlier tests."""
    code = """
import resource, numpy as np
from vitruvian.geometry import Affine
from vitruvian.transforms import warp
image = np.full((200, 300, 3), 200, np.uint8)
def crop(side, turn=0.0, at=0.0):
    to_frame = Affine.box_to_frame(np.array([at, at, at + side, at + side]), (192, 256))
    return warp(image, Affine.rotate(turn) @ to_frame, (192, 256))
crop(100); crop(100, 5.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for side in (1e4, 1e5, 1e6, 1e9, 1e12):
    for at in (0.0, -side / 2, 150.0 - side, side):
        crop(side, at=at); crop(side, 5.0, at)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < 30, f"{done.stdout} MB"


def test_a_small_crop_of_a_large_photo_does_not_copy_the_photo(rng: np.random.Generator) -> None:
    """Only the part that is seen is read."""
    small = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    # 64 megapixels that share three bytes: a copy of the whole would take 192 MB.
    large = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (8_000, 8_000, 3), (0, 0, 1))
    parts: list[tuple] = []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            got = super().__getitem__(key)
            if isinstance(got, np.ndarray):
                parts.append(got.shape)
            return got

    for turn in (0.0, 30.0):
        frame_to_input = Affine.rotate(turn, (30, 30)) @ Affine.box_to_frame(
            np.array([4_000, 4_000, 4_060, 4_060]), (60, 60)
        )
        parts.clear()
        assert not warp(large.view(Watched), frame_to_input, (60, 60)).any()
        assert parts
        assert max(max(shape[:2]) for shape in parts) < 120
    corner = Affine.box_to_frame(np.array([-0.5, -0.5, 59.5, 59.5]), (60, 60))
    np.testing.assert_array_equal(
        warp(np.pad(small, ((0, 300), (0, 300), (0, 0))), corner, (60, 60))[:59, :59], small[:59, :59]
    )


def test_a_window_of_the_photo_gives_the_same_as_the_photo(rng: np.random.Generator) -> None:
    """Reading only a part must not change a pixel; the map is shifted along with the part."""
    image = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for _ in range(10):
        low = rng.uniform([120, 100], [180, 140])
        box = np.concatenate([low, low + rng.uniform(10, 90, 2)])
        part = image[40:280, 60:380]
        for turn in (Affine.identity(), Affine.rotate(rng.uniform(-180, 180), (24, 32))):
            whole = turn @ Affine.box_to_frame(box, (48, 64))
            np.testing.assert_array_equal(
                warp(image, whole, (48, 64)), warp(part, whole @ Affine.translate(60, 40), (48, 64))
            )


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("value", [0, 255])
def test_one_pixel_photos(nearest: bool, value: int) -> None:
    image = np.full((1, 1, 3), value, np.uint8)
    for turn in (Affine.identity(), Affine.rotate(15, (8, 8))):
        result = warp(
            image, turn @ Affine.box_to_frame(np.array([-0.5, -0.5, 0.5, 0.5]), (17, 17)), (17, 17), nearest=nearest
        )
        assert (result[4:13, 4:13] == value).all()


def test_masks_keep_their_labels(rng: np.random.Generator) -> None:
    labels = rng.choice(np.array([3, 77, 200], np.uint8), (40, 50))
    for turn in (Affine.identity(), Affine.rotate(33, (30, 30)), Affine.flip_horizontal(60)):
        for box in ((3.3, 4.4, 20.5, 26.2), (-30, -20, 90, 80)):
            result = warp(labels, turn @ Affine.box_to_frame(np.array(box), (60, 60)), (60, 60), nearest=True)
            assert set(np.unique(result)) <= {0, 3, 77, 200}
    thrice = warp(labels, Affine.resize((50, 40), (150, 120)), (150, 120), nearest=True)
    np.testing.assert_array_equal(thrice, labels.repeat(3, axis=0).repeat(3, axis=1))
    third = warp(thrice, Affine.resize((150, 120), (50, 40)), (50, 40), nearest=True)
    np.testing.assert_array_equal(third, labels)


def test_channels_are_warped_alike_and_layout_does_not_matter(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for scale in (0.3, 1.7):
        for turn in (Affine.identity(), Affine.rotate(20, (15, 15))):
            frame_to_input = turn @ Affine.scale(scale)
            result = warp(image, frame_to_input, (30, 30))
            for c in range(3):
                np.testing.assert_array_equal(result[..., c], warp(image[..., c], frame_to_input, (30, 30)))
            fortran = np.asfortranarray(image)
            np.testing.assert_array_equal(warp(fortran, frame_to_input, (30, 30)), result)
            backwards = np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
            np.testing.assert_array_equal(warp(backwards, frame_to_input, (30, 30)), result)


def test_the_result_is_the_callers_own(rng: np.random.Generator) -> None:
    """Writable and contiguous by every path, so that drawing into a crop or handing it to torch works."""
    image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    before = image.copy()
    for frame_to_input in (Affine.identity(), Affine.rotate(5), Affine.flip_horizontal(20), Affine.translate(99, 0)):
        for nearest in (False, True):
            result = warp(image, frame_to_input, (20, 20), nearest=nearest)
            assert result.flags.c_contiguous
            result[:] = 1
    np.testing.assert_array_equal(image, before)


def test_the_photos_edge_is_where_the_whole_image_box_ends(rng: np.random.Generator) -> None:
    image = rng.integers(100, 256, (48, 64, 3), dtype=np.uint8)
    for size in ((64, 48), (32, 24), (128, 96), (50, 70)):
        result = warp(image, Affine.box_to_frame(boxes.whole_image((64, 48)), size), size, fill=0)
        assert result.min() >= 99  # nothing outside of the photo is seen


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="uint8"):
        warp(image, Affine.identity(), (4, 4))


def test_a_map_onto_a_line_is_refused() -> None:
    with pytest.raises(ShapeError, match="inverse"):
        warp(np.zeros((4, 4), np.uint8), Affine.linear(1, 1, 1, 1), (4, 4))
