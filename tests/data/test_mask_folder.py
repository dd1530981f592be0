"""Folders of photos and masks: what becomes a person, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.data.mask_folder import read_mask_folder
from vitruvian.errors import FormatError
from vitruvian.formats import rle
from vitruvian.skeletons import LSP14


def _folder(tmp_path: Path, masks: dict[str, np.ndarray], photos: tuple[str, ...] = ("a", "b")) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for photo in photos:
        Image.new("RGB", (20, 30)).save(tmp_path / "images" / f"{photo}.jpg")
    for name, mask in masks.items():
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def _mask(x: slice, y: slice, value: int = 255) -> np.ndarray:
    mask = np.zeros((30, 20))
    mask[y, x] = value
    return mask


def test_a_mask_becomes_a_person(tmp_path: Path, rng: np.random.Generator) -> None:
    mask = (rng.random((30, 20)) < 0.3) * 255
    mask[3, 4] = 255
    folder = _folder(tmp_path, {"a": mask, "b": np.zeros((30, 20))})
    (record,) = read_mask_folder(folder, skeleton=LSP14)
    (person,) = record.persons
    assert (record.image_id, record.size_wh, record.skeleton) == ("a", (20, 30), LSP14)
    np.testing.assert_array_equal(rle.decode(person.segmentation), mask > 0)
    assert person.area_px == (mask > 0).sum()
    assert not person.labelled.any()


def test_the_box_is_the_masks_extent_and_grey_is_cut(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"a_0": _mask(slice(2, 5), slice(6, 10)), "a_1": _mask(slice(7, 9), slice(1, 3), 127)})
    (record,) = read_mask_folder(folder)
    np.testing.assert_array_equal(record.persons[0].box_xyxy, [1.5, 5.5, 4.5, 9.5])
    both = read_mask_folder(folder / "masks", folder / "images", threshold=126)[0].persons
    assert [person.id for person in both] == ["a_0", "a_1"]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a folder"):
        read_mask_folder(tmp_path)
    folder = _folder(tmp_path, {"c": _mask(slice(2), slice(2))})
    with pytest.raises(FormatError, match="no mask for any of the 2 photos"):
        read_mask_folder(folder)
    Image.new("L", (21, 30), 255).save(folder / "masks" / "a.png")
    with pytest.raises(FormatError, match="21 x 30, its photo 20 x 30"):
        read_mask_folder(folder)
