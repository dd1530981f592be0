"""`PackedPhotos`: the same picture as a written-out loop has, and nearly the one of `transforms.warp`."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.errors import ShapeError
from vitruvian.geometry import Affine
from vitruvian.training.on_device.photos import PackedPhotos
from vitruvian.transforms import warp


def packed(*photos: np.ndarray) -> PackedPhotos:
    channels = 1 if photos[0].ndim == 2 else 3
    return PackedPhotos(photos, [(p.shape[1], p.shape[0]) for p in photos], channels)


def a_map(rng: np.random.Generator, scale: float, size_wh: tuple[int, int], centre: tuple[float, float]) -> Affine:
    """Input to frame: turned by any angle, ``scale`` photo pixels a pixel, the crop's centre on ``centre``."""
    turned = Affine.rotate(rng.uniform(-180, 180)) @ Affine.scale(scale, scale * rng.choice([-1, 1]))
    middle = np.array([[(size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2]])
    return Affine.translate(*(np.array(centre) - turned.apply(middle)[0])) @ turned


def tensor(*maps: Affine):
    return torch.tensor(np.stack([m.matrix for m in maps]), dtype=torch.float32)


@pytest.mark.parametrize("scale", [0.4, 1.2, 2.1, 3.7])
def test_a_slope_is_resampled_exactly(scale: float, rng: np.random.Generator) -> None:
    """Means of 2 x 2 pixels of a linear function, and looks between them, are that function; halves are rounded."""
    y, x = np.mgrid[:100, :120]
    slope = np.stack([x + y, 2 * x, 2 * y], -1).astype(np.uint8)  # means of 4 are whole or end in a half
    other = rng.integers(0, 256, (31, 17, 3), dtype=np.uint8)
    size_wh = (11, 14)
    where = a_map(rng, scale, size_wh, (60.0, 50.0))
    (got,) = packed(other, slope).look_up(torch.tensor([1]), tensor(where), size_wh)
    v, u = np.mgrid[:14, :11]
    x, y = where.apply(np.stack([u, v], -1).reshape(-1, 2)).T
    wanted = np.stack([x + y, 2 * x, 2 * y]).reshape(3, 14, 11)
    np.testing.assert_allclose(got.numpy(), wanted, atol=5e-3 if scale < 1.4 else 1.01)


def test_looks_are_those_of_a_written_out_loop(rng: np.random.Generator) -> None:
    """Edges are repeated half a pixel far, and beyond them, and beyond what is left of the photo, is the fill."""
    photos = [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(5, 12, (3, 2))]
    size_wh, which = (9, 7), [2, 0, 1, 2]
    maps = [a_map(rng, rng.uniform(0.5, 1.2), size_wh, (4.0, 4.0)) for _ in which]
    within = [(1, 0, *reversed(photos[i].shape[:2])) if n % 2 else (0, 2, 4, 5) for n, i in enumerate(which)]
    got = packed(*photos).look_up(torch.tensor(which), tensor(*maps), size_wh, torch.tensor(within), 99.0)
    for n, i in enumerate(which):
        x0, y0, x1, y1 = within[n]
        for v in range(size_wh[1]):
            for u in range(size_wh[0]):
                x, y = maps[n].apply(np.array([[u, v]], float))[0]
                margin = min(x - x0 + 0.5, y - y0 + 0.5, x1 - 0.5 - x, y1 - 0.5 - y)
                if abs(margin) < 1e-4:
                    continue  # in or out is a matter of float32
                wanted = np.full(3, 99.0)
                if margin > 0:
                    left, top = int(np.floor(x)), int(np.floor(y))
                    wanted = np.zeros(3)
                    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                        weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
                        wanted += weight * photos[i][np.clip(top + dy, y0, y1 - 1), np.clip(left + dx, x0, x1 - 1)]
                np.testing.assert_allclose(got[n, :, v, u], wanted, atol=2e-2)


@pytest.mark.parametrize(("scale", "most"), [(0.3, 0.8), (1.0, 0.8), (2.0, 1.5), (4.0, 1.5)])
def test_it_is_nearly_what_warp_gives(scale: float, most: float, rng: np.random.Generator) -> None:
    """On a picture with some detail, in grey levels; warp cuts off fractions where it turns, half a level."""
    coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    photo = warp(coarse, Affine.scale(20), (300, 300))
    size_wh = (40, 52)
    where = a_map(rng, scale, size_wh, (140.0, 140.0))
    (got,) = packed(photo).look_up(torch.tensor([0]), tensor(where), size_wh)
    wanted = warp(photo, where.inverse(), size_wh)
    assert np.abs(got.permute(1, 2, 0).numpy() - wanted)[1:-1, 1:-1].mean() <= most


def test_masks_have_one_channel(rng: np.random.Generator) -> None:
    mask = (rng.random((20, 30)) < 0.5).astype(np.uint8) * 255
    (got,) = packed(mask).look_up(torch.tensor([0]), tensor(Affine.translate(3, 4)), (10, 12))
    np.testing.assert_allclose(got[0].numpy(), mask[4:16, 3:13], atol=1e-3)


def test_memory_is_bounded_by_working_in_parts(monkeypatch, rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    maps = tensor(*(a_map(rng, rng.uniform(0.5, 3), (8, 8), (15.0, 10.0)) for _ in range(7)))
    whole = packed(photo).look_up(torch.zeros(7, dtype=torch.long), maps, (8, 8))
    monkeypatch.setattr("vitruvian.training.on_device.photos._PIXELS_AT_ONCE", 100)  # one crop at a time
    parts = packed(photo).look_up(torch.zeros(7, dtype=torch.long), maps, (8, 8))
    assert torch.equal(whole, parts)


def test_other_photos_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"30 x 20 with 3 channel"):
        PackedPhotos([np.zeros((20, 30), np.uint8)], [(30, 20)], 3)
    with pytest.raises(ShapeError, match="float64"):
        PackedPhotos([np.zeros((20, 30))], [(30, 20)], 1)


def test_a_part_of_a_mask_is_where_it_was(rng: np.random.Generator) -> None:
    """Only the part that shows something is kept; beyond it there is nothing."""
    mask = np.zeros((40, 60), np.uint8)
    mask[12:30, 20:47] = 255
    part = PackedPhotos([mask[8:34, 16:51]], [(35, 26)], 1, origins_px=[(16, 8)])
    maps = tensor(*(a_map(rng, rng.uniform(0.5, 1.2), (30, 30), (33.0, 20.0)) for _ in range(5)))
    which, within = torch.zeros(5, dtype=torch.long), torch.tensor([[0, 0, 60, 40]] * 4 + [[0, 0, 60, 20]])
    got, wanted = (p.look_up(which, maps, (30, 30), within) for p in (part, packed(mask)))
    torch.testing.assert_close(got, wanted, rtol=0, atol=0.02)
    assert got.max() > 254
    assert got.min() < 1


def test_copies_share_the_pixels() -> None:
    """Averaging weights copies the module with all that it holds: a GPU has no room for photos twice."""
    photos = packed(np.zeros((4, 5, 3), np.uint8))
    assert copy.deepcopy({"photos": photos})["photos"] is photos
