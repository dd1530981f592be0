"""`RandomPhotometry`: off at zero, bounded, repeatable, without a drift of its own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vitruvian.errors import VitruvianError
from vitruvian.transforms import RandomPhotometry

_OFF = {f.name: 0.0 for f in dataclasses.fields(RandomPhotometry) if f.name != "low_res_factor"}


def _image(rng: np.random.Generator, height: int = 32, width: int = 24) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_everything_off_is_the_identity(rng: np.random.Generator) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for _ in range(5):
        np.testing.assert_array_equal(RandomPhotometry(**_OFF)(rng, ramp), ramp)


@pytest.mark.parametrize(
    "name", [n for n in _OFF if n.endswith("_prob")] + ["brightness", "contrast", "colour", "gamma"]
)
def test_each_change_is_its_own_switch(name: str, rng: np.random.Generator) -> None:
    """Uint8 in and out, the same shape, the input untouched, and something happens."""
    amounts = {"blur_px": 2.0, "noise": 0.1, "erase_max": 0.4}
    photometry = RandomPhotometry(**(_OFF | amounts | {name: 1.0 if name.endswith("_prob") else 0.5}))
    changed = 0
    for shape in ((32, 24), (7, 5), (1, 1)):
        image = _image(rng, *shape)
        before = image.copy()
        result = photometry(rng, image)
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(image, before)
        changed += bool((result != image).any())
    assert changed >= 1


def test_the_same_seed_gives_the_same_picture(rng: np.random.Generator) -> None:
    image = _image(rng)
    photometry = RandomPhotometry()
    for seed in range(20):
        first, second = (photometry(np.random.default_rng(seed), image) for _ in range(2))
        np.testing.assert_array_equal(first, second)
    assert any((photometry(np.random.default_rng(s), image) != first).any() for s in range(5))


def test_brightness_and_contrast_by_closed_form(rng: np.random.Generator) -> None:
    """One table: (v / 255 - 1/2) c + 1/2 + b, rounded and cut to 0...255."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for _ in range(20):
        result = RandomPhotometry(**(_OFF | {"brightness": 0.2, "contrast": 0.4}))(rng, ramp)[0, :, 0].astype(float)
        inner = (result > 0) & (result < 255)
        slope, offset = np.polyfit(np.arange(256)[inner], result[inner], 1)
        assert 0.6 - 0.01 <= slope <= 1.4 + 0.01
        middle = slope * 127.5 + offset
        assert 127.5 - 0.2 * 255 - 1 <= middle <= 127.5 + 0.2 * 255 + 1
        assert np.abs(result[inner] - (slope * np.arange(256) + offset)[inner]).max() < 1  # roundings, of the fit too


def test_gamma_keeps_black_and_white_and_the_order(rng: np.random.Generator) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    middles = []
    for _ in range(60):
        result = RandomPhotometry(**(_OFF | {"gamma": 0.5}))(rng, ramp)[0, :, 0].astype(int)
        assert (result[0], result[255]) == (0, 255)
        assert (np.diff(result) >= 0).all()
        middles.append(result[128])
    low, high = 255 * (128 / 255) ** 1.5, 255 * (128 / 255) ** (1 / 1.5)
    assert low - 1 <= min(middles) < 128 < max(middles) <= high + 1


def test_colour_changes_channels_apart(rng: np.random.Generator) -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    results = np.array([RandomPhotometry(**(_OFF | {"colour": 0.2}))(rng, grey)[0, 0] for _ in range(50)]).astype(int)
    assert results.min() >= 80
    assert results.max() <= 120
    assert (results.std(axis=1) > 1).any()


def test_darkening_never_brightens(rng: np.random.Generator) -> None:
    flat = np.full((3, 3, 3), 200, np.uint8)
    results = np.array([RandomPhotometry(**(_OFF | {"darken_max": 0.5}))(rng, flat)[0, 0] for _ in range(100)])
    assert results.min() >= 100
    assert results.max() <= 200
    assert (np.ptp(results, axis=1) > 0).any()


def test_what_is_off_takes_no_draw() -> None:
    """Darkening came later: what a seed gave before, it still gives."""
    image, drawn = np.full((2, 2, 3), 90, np.uint8), np.random.default_rng(5)
    RandomPhotometry(**_OFF)(drawn, image)
    expected = np.random.default_rng(5)
    expected.random(3 + 3 + 6)  # gamma, contrast, brightness; three colours; six shares
    assert drawn.random() == expected.random()


def test_grey_is_the_usual_luma_and_keeps_greys() -> None:
    photometry, rng = RandomPhotometry(**(_OFF | {"grey_prob": 1.0})), np.random.default_rng(0)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(photometry(rng, greys), greys)
    colours = np.random.default_rng(1).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(photometry(rng, colours) - luma[..., None]).max() <= 0.5 + 1e-3  # rounded, not cut off


def test_noise_has_no_drift() -> None:
    """Rounded, not cut off: noise that darkens by half a level would make training unlike prediction."""
    rng = np.random.default_rng(3)
    photometry, image = (
        RandomPhotometry(**(_OFF | {"noise_prob": 1.0, "noise": 0.05})),
        np.full((64, 64, 3), 128, np.uint8),
    )
    means = [photometry(rng, image).mean() - 128 for _ in range(40)]
    assert abs(np.mean(means)) < 0.1
    np.testing.assert_array_equal(RandomPhotometry(**(_OFF | {"noise_prob": 1.0}))(rng, image), image)


def test_noise_is_normal_and_no_pattern(rng: np.random.Generator) -> None:
    """As strong as asked, with a bell's shares, and unlike from pixel to pixel, channel to channel, call to call."""
    photometry = RandomPhotometry(**(_OFF | {"noise_prob": 1.0, "noise": 0.1}))
    flat, strengths = np.full((96, 96, 3), 128, np.uint8), []
    for _ in range(30):
        first, second = (photometry(rng, flat).astype(float) - 128 for _ in range(2))
        strengths.append(first.std())
        if min(first.std(), second.std()) < 5:
            continue
        assert (np.abs(first) < 2 * first.std()).mean() == pytest.approx(0.9545, abs=0.02)
        assert (np.abs(first) < first.std()).mean() == pytest.approx(0.6827, abs=0.06)  # steps of a level are coarse
        for a, b in ((first[1:], first[:-1]), (first[..., 0], first[..., 1]), (first, second)):
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06
    assert max(strengths) <= 0.1 * 255 * 1.05
    assert max(strengths) > 0.05 * 255


@pytest.mark.parametrize("erase_max", [0.03, 0.2, 0.5, 1.0])
def test_erased_rectangles_are_no_larger_than_asked(erase_max: float, rng: np.random.Generator) -> None:
    image = np.full((100, 200, 3), 7, np.uint8)
    image[..., 1] = 9
    photometry = RandomPhotometry(**(_OFF | {"erase_prob": 1.0, "erase_max": erase_max}))
    shares = []
    for _ in range(60):
        changed = (photometry(rng, image) != image).any(axis=2)
        shares.append(changed.mean())
        assert changed.mean() <= 3 * erase_max**2 + 1e-9
        rows, columns = changed.any(axis=1), changed.any(axis=0)
        assert rows.sum() <= 3 * 100 * erase_max
        assert columns.sum() <= 3 * 200 * erase_max
    assert max(shares) > 0.3 * erase_max**2


@pytest.mark.parametrize("name", ["blur_prob", "low_res_prob", "jpeg_prob"])
def test_quality_changes_keep_a_flat_picture(name: str, rng: np.random.Generator) -> None:
    image = np.full((48, 40, 3), 90, np.uint8)
    result = RandomPhotometry(**(_OFF | {name: 1.0, "blur_px": rng.choice([0.1, 3.0])}))(rng, image)
    assert np.abs(result.astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    "options",
    [
        {"jpeg_prob": 20},
        {"noise_prob": -0.1},
        {"erase_prob": float("nan")},
        {"gamma": -0.5},
        {"noise": -1},
        {"erase_max": 1.5},
        {"contrast": float("inf")},
    ],
)
def test_impossible_amounts_are_refused(options: dict) -> None:
    with pytest.raises(VitruvianError, match=next(iter(options))):
        RandomPhotometry(**options)
