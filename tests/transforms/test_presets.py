"""`PRESETS`: what the named augmentations draw, by closed forms and by their distributions."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

from vitruvian.data import PoseDataset
from vitruvian.errors import VitruvianError
from vitruvian.geometry import Affine, boxes
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import COCO17
from vitruvian.transforms import PRESETS
from vitruvian.transforms.presets import NormalGeometry, OneChange, SomeChanges
from vitruvian.types import Person, Record

_SIZE = (96, 128)
_DRAWS = 800

# Of the system's source: crop and pad, rotation, blur, number of changes, sharpening, lightness, hue, brightness,
# contrast, dropout, noise.
_FIGURES = {
    "light": (0.15, 15, 1.0, 2, 0.0, 0.0, 15, 20, 0.1, 0.03, 0.01),
    "medium": (0.2, 25, 1.5, 3, 0.5, 0.15, 20, 25, 0.15, 0.05, 0.03),
    "heavy": (0.25, 30, 2.0, 3, 1.0, 0.2, 30, 30, 0.25, 0.1, 0.05),
}


def _drawn(geometry: object, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size factors, angles in degrees and flips of many draws, each a similarity about the crop's centre."""
    factors, angles, flips = [], [], []
    for _ in range(_DRAWS):
        change, flipped = geometry.sample(rng, _SIZE)  # type: ignore[attr-defined]
        assert (change.determinant < 0) == flipped
        if flipped:
            change = Affine.flip_horizontal(_SIZE[0]) @ change
        factors.append(np.sqrt(change.determinant))
        linear = change.matrix[:, :2] / factors[-1]
        np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-9)
        np.testing.assert_allclose(change.apply(np.array([47.5, 63.5])), [47.5, 63.5], atol=1e-9)
        angles.append(np.rad2deg(np.arctan2(change.matrix[1, 0], change.matrix[0, 0])))
        flips.append(flipped)
    return np.array(factors), np.array(angles), np.array(flips)


def _share(values: np.ndarray, expected: float) -> bool:
    """Whether a share of the draws is as expected, give or take 6 standard deviations."""
    return abs(values.mean() - expected) <= 6 * np.sqrt(expected * (1 - expected) / len(values)) + 1e-9


def _is_uniform(values: np.ndarray) -> bool:
    """On +-1, by its bounds, mean and variance (6 standard deviations each)."""
    bounded = np.abs(values).max() <= 1 + 1e-9 and np.abs(values).max() > 0.9
    centred = abs(values.mean()) <= 6 / np.sqrt(3 * len(values))
    return bounded and centred and abs((values**2).mean() - 1 / 3) <= 6 * np.sqrt(4 / 45 / len(values))


@pytest.mark.parametrize("name", sorted(_FIGURES))
def test_strengths_change_size_or_angle_never_both(name: str, rng: np.random.Generator) -> None:
    margin, degrees = _FIGURES[name][:2]
    factors, angles, flips = _drawn(PRESETS[name][0], rng)
    sized, turned = np.abs(factors - 1) > 1e-9, np.abs(angles) > 1e-9
    assert not (sized & turned).any()
    assert _share(sized, 0.25)
    assert _share(turned, 0.25)
    assert _share(flips, 0.5)
    assert _is_uniform(angles[turned] / degrees)
    assert _is_uniform((1 / factors[sized] - 1) / 2 / margin)  # each edge by a share of the side


@pytest.mark.parametrize("name", sorted(_FIGURES))
def test_strengths_have_the_systems_figures(name: str) -> None:
    look = PRESETS[name][1]
    assert isinstance(look, SomeChanges)
    names = ("blur_px", "most", "sharpen_max", "lightness", "hue", "brightness", "contrast", "dropout_max", "noise")
    assert tuple(getattr(look, n) for n in names) == _FIGURES[name][2:]
    assert look.blur_prob == 0.3


def test_mpii_scales_really(rng: np.random.Generator) -> None:
    factors, angles, flips = _drawn(PRESETS["mpii"][0], rng)
    assert _is_uniform((1 / factors - 1) / 0.25)
    turned = np.abs(angles) > 1e-9
    assert _share(turned, 0.4)
    assert _share(flips, 0.5)
    assert np.abs(angles).max() <= 60 + 1e-6
    assert _share(np.abs(angles[turned]) < 30, 0.6827)
    assert _share(np.abs(np.abs(angles[turned]) - 60) < 1e-6, 0.0455)  # beyond two sigma: cut, not drawn anew


def test_coco_attention_draws_sizes_from_a_cut_normal(rng: np.random.Generator) -> None:
    geometry, photometry = PRESETS["coco-attention"]
    assert photometry is None
    factors, angles, flips = _drawn(geometry, rng)
    sides = (1 / factors - 1) / 0.3
    assert np.abs(sides).max() <= 1 + 1e-9
    assert _share(np.abs(sides) > 1 - 1e-9, 0.3173)
    assert _share(np.abs(sides) < 0.5, 0.3829)
    assert _share(sides > 0, 0.5)
    turned = np.abs(angles) > 1e-9
    assert _share(turned, 0.6)
    assert np.abs(angles).max() <= 80 + 1e-6
    assert _share(np.abs(angles[turned]) < 40, 0.6827)
    assert _share(flips, 0.5)


def test_none_is_the_plain_crop() -> None:
    assert PRESETS["none"] == (None, None)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_joints_follow_the_picture(name: str, rng: np.random.Generator) -> None:
    """One dot of its own colour at each joint; without the change of colours, which would hide whose dot it is."""
    count = len(COCO17)
    ramp = np.linspace(60, 250, count)
    colours = np.stack([ramp, ramp[::-1], np.full(count, 120)], axis=1).astype(np.uint8)
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)[:count]
    points = 40 + 22 * grid + rng.integers(-3, 4, (count, 2))
    image = np.zeros((170, 170, 3), np.uint8)
    for (x, y), colour in zip(points, colours, strict=True):
        image[y - 4 : y + 5, x - 4 : x + 5] = colour
    person = Person(points, np.full(count, 2), box_xyxy=boxes.around_points(points, 0.05))
    geometry, seed = PRESETS[name][0], int(rng.integers(1 << 30))
    record = Record(None, "dots", (170, 170), COCO17, (person,))
    dataset = PoseDataset([record], COCO17, Preprocess(size_wh=(192, 192)), geometry, seed=seed, decode=lambda _: image)
    seen, checked = set(), 0
    for epoch in range(24):
        sample = dataset.sample(0, epoch)
        seen.add(sample.flipped)
        source = COCO17.flip if sample.flipped else np.arange(count)
        for k, (x, y) in enumerate(np.round(sample.keypoints_px).astype(int)):
            if 1 <= x < 191 and 1 <= y < 191:
                checked += 1
                assert np.abs(sample.image[y, x].astype(int) - colours[source[k]]).max() <= 2, COCO17.joints[k]
    assert checked > 200
    assert seen == ({False} if name == "none" else {False, True})


def _noisy(rng: np.random.Generator, height: int = 20, width: int = 16) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", [name for name, (_, look) in PRESETS.items() if look is not None])
def test_pictures_stay_pictures_and_draws_repeat(name: str, rng: np.random.Generator) -> None:
    photometry = PRESETS[name][1]
    assert photometry is not None
    changed = 0
    for shape in ((20, 16), (7, 5), (1, 1)):
        for _ in range(15):
            image, seed = _noisy(rng, *shape), int(rng.integers(1 << 30))
            before = image.copy()
            first, second = (photometry(np.random.default_rng(seed), image) for _ in range(2))
            assert first.shape == image.shape
            assert first.dtype == np.uint8
            assert first.flags.c_contiguous
            np.testing.assert_array_equal(first, second)
            np.testing.assert_array_equal(image, before)
            changed += bool((first != image).any())
    assert changed > 10


def test_nothing_asked_is_nothing_done(rng: np.random.Generator) -> None:
    image = _noisy(rng)
    np.testing.assert_array_equal(SomeChanges()(rng, image), image)
    np.testing.assert_array_equal(SomeChanges(most=0, hue=30, noise=0.5, sharpen_max=1)(rng, image), image)


_EACH: dict[str, dict[str, Any]] = {  # amounts at which hardly any draw leaves a noisy picture as it is
    "sharpen": {"sharpen_max": 1.0, "lightness": 0.9},
    "hue": {"hue": 255.0},
    "tone": {"brightness": 255.0, "contrast": 1.0},
    "damage": {"dropout_max": 1.0, "noise": 1.0},
}


@pytest.mark.parametrize("kind", sorted(_EACH))
def test_a_change_alone_comes_as_often_as_its_count(kind: str, rng: np.random.Generator) -> None:
    """0, 1, 2 or 3 changes are asked for with a quarter each, and one is possible: three quarters are changed."""
    image, photometry = _noisy(rng), SomeChanges(**_EACH[kind])
    changed = np.array([(photometry(rng, image) != image).any() for _ in range(400)])
    assert abs(changed.mean() - 0.75) <= 6 * np.sqrt(0.1875 / 400) + 0.02


def test_up_to_that_many_different_changes_are_drawn(rng: np.random.Generator) -> None:
    amounts: dict[str, Any] = {name: value for options in _EACH.values() for name, value in options.items()}
    for most in (1, 2, 3):
        photometry = SomeChanges(most=most, **amounts)
        drawn = [[change.__name__ for change in photometry._drawn(rng)] for _ in range(_DRAWS)]  # type: ignore[attr-defined]
        counts = np.array([len(names) for names in drawn])
        assert all(len(set(names)) == len(names) for names in drawn)
        for count in range(most + 1):
            assert _share(counts == count, 1 / (most + 1))
        for name in ("_sharpen", "_turn_hue", "_tone", "_damage"):
            assert _share(np.array([name in names for names in drawn]), most / 2 / 4)


def test_brightness_or_contrast_never_both(rng: np.random.Generator) -> None:
    """A line through the levels: shifted by up to 25, or through mid-grey with a slope of 0.85 to 1.15."""
    levels = np.arange(256)
    ramp = np.repeat(levels.astype(np.uint8)[None, :, None], 3, axis=2)
    photometry = SomeChanges(brightness=25, contrast=0.15)
    shifts, slopes = [], []
    for _ in range(150):
        result = photometry._tone(rng, ramp)[0, :, 0].astype(float)
        inner = (result > 0) & (result < 255)
        slope, offset = np.polyfit(levels[inner], result[inner], 1)
        assert np.abs(result[inner] - (slope * levels + offset)[inner]).max() < 1  # roundings, of the fit too
        if abs(slope - 1) < 2e-3 and abs(offset) > 0.6:
            shifts.append(offset)
        else:
            assert slope * 127.5 + offset == pytest.approx(127.5, abs=0.6)
            slopes.append(slope)
    assert min(len(shifts), len(slopes)) > 30
    assert max(np.abs(shifts)) <= 25.5
    assert max(np.abs(shifts)) > 20
    assert max(np.abs(np.array(slopes) - 1)) <= 0.155
    assert max(np.abs(np.array(slopes) - 1)) > 0.12


def test_sharpening_is_the_identity_mixed_with_an_edge_kernel(rng: np.random.Generator) -> None:
    """A flat picture gets its sum; a lit pixel spreads minus the share to its eight neighbours."""
    for _ in range(20):
        flat = SomeChanges(sharpen_max=0.5, lightness=0.15)._sharpen(rng, np.full((5, 6, 3), 100, np.uint8))
        assert len(np.unique(flat)) == 1  # the border too
        assert 100 * (1 - 0.5 * 0.15) - 1 <= flat[0, 0, 0] <= 100 * (1 + 0.5 * 0.15) + 1
    image = np.full((7, 7, 3), 100, np.uint8)
    image[3, 3] = 110
    result = SomeChanges(sharpen_max=1.0)._sharpen(rng, image).astype(int)
    share = 100 - result[2, 2, 0]  # ten levels more times the share, which is at most one
    assert 0 <= share <= 10
    around = result[2:5, 2:5].copy()
    assert around[1, 1].tolist() == pytest.approx([110 + 8 * share] * 3, abs=5)
    around[1, 1] = around[0, 0]
    assert (around == 100 - share).all()
    assert (np.delete(result.reshape(-1, 3), [y * 7 + x for y in (2, 3, 4) for x in (2, 3, 4)], 0) == 100).all()


def test_hue_turns_and_saturation_rises_by_the_same_number(rng: np.random.Generator) -> None:
    """Against the standard library, on colours that stay inside; a whole turn is 255."""
    amounts = []
    for _ in range(40):
        colour = np.array([[[200, 120, 90]]], np.uint8)
        result = SomeChanges(hue=20)._turn_hue(rng, colour)[0, 0] / 255
        hue, saturation, value = colorsys.rgb_to_hsv(*(colour[0, 0] / 255))
        new_hue, new_saturation, new_value = colorsys.rgb_to_hsv(*result)
        turned = 255 * ((new_hue - hue + 0.5) % 1 - 0.5)
        assert turned == pytest.approx(255 * (new_saturation - saturation), abs=3)  # whole levels, twice
        assert new_value == pytest.approx(value, abs=0.01)
        amounts.append(turned)
    assert np.abs(amounts).max() <= 22
    assert np.min(amounts) < -8
    assert np.max(amounts) > 8


def test_dropped_pixels_and_noise_stay_within_their_amounts(rng: np.random.Generator) -> None:
    image = np.full((60, 60, 3), 100, np.uint8)
    photometry, dropped, spreads, single = SomeChanges(dropout_max=0.05, noise=0.03), [], [], []
    for _ in range(120):
        result = photometry._damage(rng, image).astype(int)
        if set(np.unique(result)) <= {0, 100}:
            dropped.append((result == 0).mean())
        else:
            spreads.append(result.std())
            single.append((result == result[..., :1]).all())
            assert abs(result.mean() - 100) < 6 * 0.03 * 255 / 60 + 0.1  # no drift
    assert max(dropped) <= 0.05 + 6 * np.sqrt(0.05 * 0.95 / 3600)
    assert max(dropped) > 0.02
    assert max(spreads) <= 0.03 * 255 * 1.1 + 0.3
    assert max(spreads) > 3
    assert np.mean(single) > 0.5  # four fifths are of one colour


def test_blur_comes_in_its_share_and_keeps_flat_pictures(rng: np.random.Generator) -> None:
    photometry = SomeChanges(blur_prob=0.3, blur_px=2.0)
    spot = np.zeros((15, 15, 3), np.uint8)
    spot[7, 7] = 255
    blurred = np.array([(photometry(rng, spot) != spot).any() for _ in range(300)])
    assert abs(blurred.mean() - 0.3) <= 6 * np.sqrt(0.21 / 300) + 0.06  # some are too weak to be seen
    np.testing.assert_array_equal(photometry._blur(rng, np.full((9, 9, 3), 77, np.uint8)), 77)


def test_mpii_darkens_channels_apart(rng: np.random.Generator) -> None:
    photometry = PRESETS["mpii"][1]
    assert photometry is not None
    image = np.full((4, 4, 3), 200, np.uint8)
    gains = np.array([photometry(rng, image)[0, 0] for _ in range(300)]) / 200
    assert gains.min() >= 0.6 - 0.005
    assert gains.max() <= 1
    assert _is_uniform((gains.reshape(-1) - 0.8) / 0.2)
    assert np.abs(np.asarray(np.corrcoef(gains.T))[np.triu_indices(3, 1)]).max() < 0.4


@pytest.mark.parametrize(
    ("build", "options", "name"),
    [
        (OneChange, {"change_prob": 2, "margin": 0.1, "rotation_deg": 5}, "change_prob"),
        (OneChange, {"change_prob": 0.5, "margin": 0.5, "rotation_deg": 5}, "margin"),
        (OneChange, {"change_prob": 0.5, "margin": float("nan"), "rotation_deg": 5}, "margin"),
        (NormalGeometry, {"scale_normal": 1.0}, "scale_normal"),
        (NormalGeometry, {"rotation_deg": -1}, "rotation_deg"),
        (SomeChanges, {"sharpen_max": 1.1}, "sharpen_max"),
        (SomeChanges, {"most": -1}, "most"),
    ],
)
def test_impossible_amounts_are_refused(build: type, options: dict, name: str) -> None:
    with pytest.raises(VitruvianError, match=name):
        build(**options)
