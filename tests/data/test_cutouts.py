"""Cutting out and pasting, by closed forms."""

from __future__ import annotations

import numpy as np

from vitruvian.data import cutouts
from vitruvian.data.cutouts import Cutout, scaled
from vitruvian.formats import rle
from vitruvian.geometry import Affine


def _white(width: int, height: int) -> Cutout:
    return Cutout(np.full((height, width, 3), 200, np.uint8), np.full((height, width), 255, np.uint8))


def test_cut_out_is_as_large_as_the_mask(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    mask = np.zeros((50, 60), bool)
    mask[5:45, 10:40] = True
    mask[5, 10] = False
    found = cutouts.cut_out(image, rle.encode(mask))
    assert found is not None
    np.testing.assert_array_equal(found.pixels, image[5:45, 10:40])
    np.testing.assert_array_equal(found.mask, np.where(mask[5:45, 10:40], 255, 0))
    assert cutouts.cut_out(image, rle.encode(np.pad(np.ones((20, 20), bool), ((0, 30), (0, 40))))) is None


def test_paste_covers_what_it_should(rng: np.random.Generator) -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    x, y = int(rng.integers(-5, 45)), int(rng.integers(-5, 30))
    pasted = cutouts.paste(image, _white(10, 12), Affine.translate(x, y))
    wanted = np.zeros((40, 50), np.uint8)
    wanted[max(y, 0) : y + 12, max(x, 0) : x + 10] = 200
    np.testing.assert_array_equal(image, np.repeat(wanted[..., None], 3, axis=2))
    assert pasted is not None
    covers, (left, top) = pasted
    np.testing.assert_array_equal(covers, wanted[top : top + covers.shape[0], left : left + covers.shape[1]] > 0)
    assert covers.sum() == (wanted > 0).sum()


def test_paste_mirrors_and_resizes() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 255
    image = np.zeros((20, 20, 3), np.uint8)
    to_image = scaled((8, 8), (16, 16), (2, 2)) @ Affine.flip_horizontal(8)
    cutouts.paste(image, Cutout(np.full((8, 8, 3), 200, np.uint8), mask), to_image)
    bright = image[..., 0] >= 100
    assert bright[3:17, 11:17].all()
    assert not bright[:, :9].any()
    assert not bright[:, 19:].any()


def test_soft_edges_are_neither_of_the_two() -> None:
    hard, soft = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8)
    for image, soften_px in ((hard, 0.0), (soft, 2.0)):
        cutouts.paste(image, _white(20, 20), Affine.translate(10, 10), soften_px)
    assert set(np.unique(hard)) == {0, 200}
    assert ((soft > 0) & (soft < 200)).any()
    np.testing.assert_array_equal(hard[18:22, 18:22], soft[18:22, 18:22])


def test_nothing_is_pasted_out_of_sight() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for x, y in ((25, 5), (5, -30), (19, 19)):
        assert cutouts.paste(image, _white(10, 12), Affine.translate(x, y)) is None
        assert not image.any()


def test_things_have_a_turned_outline_and_another_photos_pixels(rng: np.random.Generator) -> None:
    mask = np.full((30, 12), 255, np.uint8)
    mask[:, 0] = 0
    photo = np.full((70, 90, 3), 77, np.uint8)
    for _ in range(10):
        made = cutouts.thing(rng, Cutout(np.zeros((30, 12, 3), np.uint8), mask), photo)
        assert any(np.array_equal(made.mask, np.rot90(mask, turns)) for turns in range(4))
        assert made.pixels.shape[:2] == made.mask.shape
        assert (made.pixels == 77).all()
