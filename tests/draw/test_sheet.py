"""`contact_sheet`: sizes in closed form, images in their tiles, people over them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitruvian.draw import contact_sheet, palette
from vitruvian.errors import VitruvianError
from vitruvian.skeletons import COCO17
from vitruvian.types import Person, Poses, Record


def solid(color: tuple[int, int, int], size_wh: tuple[int, int] = (40, 20)) -> np.ndarray:
    return np.full((size_wh[1], size_wh[0], 3), color, np.uint8)


def arm() -> tuple[np.ndarray, np.ndarray]:
    keypoints, visibility = np.zeros((17, 2)), np.zeros(17, int)
    for name, place in (("left_elbow", (8, 10)), ("left_wrist", (30, 10))):
        keypoints[COCO17.index(name)], visibility[COCO17.index(name)] = place, 2
    return keypoints, visibility


@pytest.mark.parametrize(
    ("count", "columns", "rows_columns"),
    [(1, None, (1, 1)), (4, None, (2, 2)), (5, None, (2, 3)), (5, 2, (3, 2)), (3, 10, (1, 3)), (7, 7, (1, 7))],
)
@pytest.mark.parametrize("captions", [False, True])
def test_the_size_of_a_sheet(count, columns, rows_columns, captions):
    rows, wide = rows_columns
    lines = [f"image {i}" for i in range(count)] if captions else None
    sheet = contact_sheet([solid((9, 9, 9))] * count, captions=lines, columns=columns, tile_wh=(50, 30), gap=6)
    assert sheet.shape == (rows * (30 + 20 * captions + 6) + 6, wide * (50 + 6) + 6, 3)
    assert sheet.dtype == np.uint8


def test_images_lie_in_their_tiles_in_proportion(rng):
    colors = [tuple(int(v) for v in rng.integers(60, 256, 3)) for _ in range(5)]
    sheet = contact_sheet([solid(c) for c in colors], columns=3, tile_wh=(60, 60), gap=4)  # 40 x 20 becomes 60 x 30
    for i, color in enumerate(colors):
        y, x = 4 + i // 3 * 64, 4 + i % 3 * 64
        assert (sheet[y + 15 : y + 45, x : x + 60] == color).all()
        assert not (sheet[y : y + 15, x : x + 60] == color).all(axis=2).any()
        assert not (sheet[y + 45 : y + 60, x : x + 60] == color).all(axis=2).any()


def test_people_of_predictions_and_records(tmp_path):
    keypoints, visibility = arm()
    Image.fromarray(solid((90, 90, 90))).save(tmp_path / "photo.png")
    record = Record(tmp_path / "photo.png", 1, (40, 20), COCO17, (Person(keypoints, visibility),))
    placed = np.where(visibility[:, None] > 0, keypoints, np.nan)
    poses = Poses(placed[None], (visibility > 0)[None] * 0.9, np.array([[0, 0, 39, 19]]), COCO17, (40, 20))
    images = [record, tmp_path / "photo.png", str(tmp_path / "photo.png"), solid((90, 90, 90))]
    sheet = contact_sheet(images, [None, poses, record, None], columns=4, tile_wh=(400, 400), gap=0)
    # the photo is enlarged tenfold and begins 100 rows below the tile's top: x = 19 -> 194.5, y = 10 -> 104.5
    for i in range(3):
        assert (sheet[100 + 104 : 100 + 106, 400 * i + 194] == palette.LEFT).all()
    assert (sheet[100:300, 1200:1600] == 90).all()
    low = contact_sheet([solid((90, 90, 90))], [poses], tile_wh=(80, 80), gap=0, threshold=0.95)
    assert (low[20:60] == 90).all()
    both = Record(tmp_path / "photo.png", 1, (40, 20), COCO17, (Person(keypoints, visibility),) * 2)
    assert contact_sheet([both]).shape == contact_sheet([record]).shape


def test_captions_are_file_names_unless_given(tmp_path):
    Image.fromarray(solid((90, 90, 90))).save(tmp_path / "photo.png")
    sheet = contact_sheet([tmp_path / "photo.png"], tile_wh=(80, 40), gap=4)
    assert sheet.shape == (40 + 20 + 8, 88, 3)
    assert sheet[44:64].max() > 150  # words
    opened = Image.open(tmp_path / "photo.png")
    np.testing.assert_array_equal(contact_sheet([opened], tile_wh=(80, 40), gap=4), sheet)
    named = contact_sheet([solid((90, 90, 90))], captions=["photo.png"], tile_wh=(80, 40), gap=4)
    np.testing.assert_array_equal(named, sheet)
    long = contact_sheet([solid((0, 0, 0))], captions=["a very long caption " * 9], tile_wh=(80, 40), gap=4)
    assert (long[:, 84:] == long[0, 0]).all()  # cut, not written beyond its tile


def test_an_unreadable_image_costs_only_its_tile(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    nameless = Record(None, 5, None, COCO17)
    good = solid((200, 10, 10))
    sheet = contact_sheet([good, tmp_path / "bad.jpg", nameless, good], columns=4, tile_wh=(120, 60), gap=0)
    for i, readable in enumerate((True, False, False, True)):
        tile = sheet[:60, 120 * i : 120 * (i + 1)]
        assert (tile == (200, 10, 10)).all() == readable
        assert (tile.max() > 220) == (not readable)  # the words


@pytest.mark.parametrize("size_wh", [(1, 1), (5000, 1), (1, 5000)])
def test_extreme_proportions(size_wh):
    sheet = contact_sheet([solid((255, 0, 0), size_wh)], tile_wh=(50, 50), gap=2)
    assert sheet.shape == (54, 54, 3)
    assert (sheet == (255, 0, 0)).all(axis=2).sum() >= 50


def test_what_makes_no_sheet():
    image = solid((0, 0, 0))
    for bad, words in (
        ({"images": []}, "got 0 images"),
        ({"images": [image], "people": []}, "1 images but 0 people"),
        ({"images": [image], "captions": ["a", "b"]}, "2 captions"),
        ({"images": [image], "columns": 0}, "columns 0"),
        ({"images": [image], "tile_wh": (0, 10)}, r"tiles of \(0, 10\)"),
    ):
        with pytest.raises(VitruvianError, match=words):
            contact_sheet(**bad)
