"""Scenes: boxes stay on their people, what is hidden is not asked for, and what is unknown is said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitruvian.data import cutouts
from vitruvian.data.people_scenes import PeopleScenes, SceneMix, collate, person_box
from vitruvian.errors import VitruvianError
from vitruvian.formats import rle
from vitruvian.geometry import boxes as box_tools
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import LSP14, PERSON
from vitruvian.transforms import RandomPhotometry
from vitruvian.types import Person, Record

_SIZE_WH = (96, 80)
_PREPROCESS = Preprocess(size_wh=_SIZE_WH, padding=1.0, fill=0)
_QUIET = SceneMix(blank_prob=0, mosaic_prob=0, paste_prob=0, empty_paste_prob=0, thing_prob=0)


def _person(box: tuple[int, int, int, int], size_wh: tuple[int, int], **fields: Any) -> Person:
    """Somebody who fills a box of whole pixels x0, y0, x1, y1."""
    mask = np.zeros(size_wh[::-1], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    edges = np.array(box) - 0.5
    return Person(np.full((14, 2), np.nan), np.zeros(14), edges, segmentation=rle.encode(mask), **fields)


def _photo(*boxes: tuple[int, int, int, int], size_wh: tuple[int, int] = (60, 50)) -> Record:
    """Black, people white."""
    return Record(None, 0, size_wh, LSP14, tuple(_person(box, size_wh) for box in boxes))


def _pixels(record: Record) -> np.ndarray:
    assert record.size_wh is not None
    image = np.zeros((*record.size_wh[::-1], 3), np.uint8)
    for person in record.persons:
        image[rle.to_mask(person.segmentation, record.size_wh)] = 255
    return image


def _scenes(records: list[Record], holds: str | list[str] = "everybody", **options: Any) -> PeopleScenes:
    names = [holds] * len(records) if isinstance(holds, str) else holds
    return PeopleScenes(records, names, _PREPROCESS, decode=_pixels, **options)


def _bright(image: np.ndarray) -> np.ndarray:
    """(4,) the box around what is white."""
    white = image[..., 0] >= 128
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - 0.5


def test_without_a_mix_it_is_the_letterboxed_photo() -> None:
    scene = _scenes([_photo((10, 5, 30, 45), size_wh=(60, 50))]).scene(0)
    change = _PREPROCESS.frame_to_input(box_tools.whole_image((60, 50)))  # 1.6 times as large
    np.testing.assert_allclose(scene.boxes_xyxy[0], change.apply(np.array([[9.5, 4.5], [29.5, 44.5]])).ravel())
    np.testing.assert_allclose(scene.boxes_xyxy[0], _bright(scene.image), atol=1)
    assert len(scene.unknown_xyxy) == 0


def test_boxes_stay_on_their_people_in_every_zoom_and_mirror(rng: np.random.Generator) -> None:
    scenes = _scenes([_photo((20, 12, 40, 36))], mix=_QUIET, seed=int(rng.integers(1 << 31)))
    kept = 0
    for epoch in range(60):
        scene = scenes.scene(0, epoch)
        if len(scene.boxes_xyxy):
            kept += 1
            np.testing.assert_allclose(scene.boxes_xyxy[0], _bright(scene.image), atol=1.01)
    assert kept > 20


def test_each_repeat_is_another_scene(rng: np.random.Generator) -> None:
    scenes = _scenes([_photo((20, 12, 40, 36))], mix=_QUIET, seed=int(rng.integers(1 << 31)))
    images = [scenes[key]["image"].tobytes() for key in (0, (0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 2))]
    assert images[0] == images[1] == images[2]
    assert len(set(images)) == 3


def test_mosaics_show_their_photos_people(rng: np.random.Generator) -> None:
    mix = replace(_QUIET, mosaic_prob=1.0, mosaic_most=2, zoom=0.1)
    photos = [_photo((20, 12, 40, 36)), _photo((5, 5, 55, 45)), _photo()]
    scenes = _scenes(photos, mix=mix, seed=int(rng.integers(1 << 31)))
    for epoch in range(30):
        scene = scenes.scene(epoch % 3, epoch)
        covered = np.zeros(scene.image.shape[:2], bool)
        known = np.concatenate([scene.boxes_xyxy, scene.unknown_xyxy])
        for x0, y0, x1, y1 in np.rint(known + 0.5).astype(int):
            covered[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = True
        assert not (scene.image[..., 0] >= 160)[~covered].any()


def test_pasted_people_are_boxed_by_what_is_seen_of_them(rng: np.random.Generator) -> None:
    mix = replace(_QUIET, empty_paste_prob=1.0, paste_most=1, person_smallest=0.3, person_largest=0.8, soft_edge_prob=0)
    source, empty = _photo((20, 12, 40, 36)), _photo()
    scenes = _scenes([source, empty], ["everybody", "nobody"], mix=mix, seed=int(rng.integers(1 << 31)))
    assert len(scenes.cutouts()) == 0  # 480 pixels are too few
    source = _photo((20, 2, 45, 48))
    scenes = _scenes([source, empty], ["everybody", "nobody"], mix=mix, seed=int(rng.integers(1 << 31)))
    assert [cutout.size_wh for cutout in scenes.cutouts()] == [(25, 46)]
    for epoch in range(30):
        scene = scenes.scene(1, epoch)
        assert len(scene.boxes_xyxy) == 1
        np.testing.assert_allclose(scene.boxes_xyxy[0], _bright(scene.image), atol=1.01)


@pytest.mark.parametrize("most_px", [0.0, 0.2, 0.3, 2.0])
def test_edges_are_no_softer_than_asked(most_px: float, rng: np.random.Generator, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(cutouts, "paste", lambda *arguments: asked.append(arguments[3]))
    mix = replace(_QUIET, paste_prob=1.0, soft_edge_prob=1.0, soft_edge_px=most_px)
    scenes = _scenes([_photo((20, 2, 45, 48))], mix=mix, seed=int(rng.integers(1 << 31)))
    for epoch in range(20):
        scenes.scene(0, epoch)
    assert len(asked) >= 20
    assert min(most_px, 0.3) * (most_px >= 0.3) <= min(asked) <= max(asked) <= most_px


def test_pasted_things_hide_people_and_are_nobody(rng: np.random.Generator) -> None:
    """All that is pasted is black like the photo without people, so people only become fewer."""
    mix = replace(_QUIET, paste_prob=1.0, paste_most=3, thing_prob=1.0, soft_edge_prob=0, person_smallest=0.5)
    photos = [_photo((20, 2, 45, 48)), _photo()]
    scenes = _scenes(photos, ["everybody", "nobody"], mix=mix, seed=int(rng.integers(1 << 31)))
    hidden = 0
    for epoch in range(40):
        scene, plain = scenes.scene(0, epoch), replace(mix, paste_prob=0.0)
        before = _scenes(photos, ["everybody", "nobody"], mix=plain, seed=scenes.seed).scene(0, epoch)
        assert len(scene.boxes_xyxy) <= len(before.boxes_xyxy)
        assert (scene.image <= before.image).all()
        hidden += int((scene.image < before.image).any())
    assert hidden > 5


def test_people_of_small_sources_are_pasted_more_often(rng: np.random.Generator) -> None:
    photos = [_photo((20, 2, 45, 48)), _photo((5, 5, 50, 40))]
    scenes = _scenes(photos, mix=_QUIET, repeats=[1, 9])
    scenes.cutouts()
    drawn = [scenes._any_cutout(rng).size_wh for _ in range(2000)]
    assert set(drawn) == {(25, 46), (45, 35)}
    assert abs(drawn.count((45, 35)) / 2000 - 0.75) < 0.06  # six standard deviations


def test_who_is_hidden_need_not_be_found() -> None:
    scenes = _scenes([_photo((20, 2, 45, 48))])
    canvas = type("Canvas", (), {})()
    canvas.image = np.zeros((80, 96, 3), np.uint8)
    canvas.people, canvas.unknown = [np.array([9.5, 9.5, 29.5, 29.5]), np.array([9.5, 9.5, 59.5, 29.5])], []
    scenes._note_pasted(
        canvas, np.ones((25, 25), bool), (8, 8)
    )  # hides all of the first, 23 of 50 columns of the other
    assert [box.tolist() for box in canvas.unknown] == [[9.5, 9.5, 29.5, 29.5]]
    assert [box.tolist() for box in canvas.people] == [[9.5, 9.5, 59.5, 29.5], [7.5, 7.5, 32.5, 32.5]]


def test_a_photo_of_one_of_several_is_unknown_around_that_one() -> None:
    scene = _scenes([_photo((10, 5, 30, 45))], "one").scene(0)
    assert len(scene.boxes_xyxy) == 1
    np.testing.assert_allclose(scene.unknown_xyxy, [[-0.5, -0.5, 95.5, 79.5]])


def test_crowds_are_unknown() -> None:
    crowd = _person((5, 5, 40, 40), (60, 50), is_crowd=True)
    scene = _scenes([Record(None, 0, (60, 50), LSP14, (crowd,))]).scene(0)
    assert (len(scene.boxes_xyxy), len(scene.unknown_xyxy)) == (0, 1)


def test_boxes_of_people_without_outline_are_made_of_joints() -> None:
    keypoints = np.column_stack([np.linspace(0, 10, 14), np.linspace(0, 100, 14)])
    loose = np.array([-15.0, -15, 25, 115])
    np.testing.assert_allclose(person_box(Person(keypoints, np.ones(14), loose), _SIZE_WH), [-6, -6, 16, 106])
    few = Person(keypoints, np.r_[np.ones(4), np.zeros(10)], loose)
    np.testing.assert_allclose(person_box(few, _SIZE_WH), loose)
    assert person_box(Person(keypoints, np.zeros(14)), _SIZE_WH) is None


def test_blank_scenes_have_nobody_and_no_unknown_region(rng: np.random.Generator) -> None:
    mix = replace(_QUIET, blank_prob=1.0)
    scenes = _scenes([_photo((20, 12, 40, 36))], "one", mix=mix, seed=int(rng.integers(1 << 31)))
    pictures = [scenes.scene(0, epoch) for epoch in range(40)]
    assert all(len(scene.boxes_xyxy) == len(scene.unknown_xyxy) == 0 for scene in pictures)
    # Some are of one colour, others vary from pixel to pixel.
    assert {bool(np.ptp(scene.image, axis=(0, 1)).max() > 40) for scene in pictures} == {True, False}


def test_a_scene_depends_on_seed_epoch_and_index_alone(rng: np.random.Generator) -> None:
    photos, seed = [_photo((20, 2, 45, 48)), _photo((5, 5, 50, 40))], int(rng.integers(1 << 31))
    make = lambda: _scenes(photos, mix=SceneMix(), photometry=RandomPhotometry(), seed=seed)  # noqa: E731
    a, b = make(), make()
    b.scene(0, 3)
    assert all(np.array_equal(a[1, 2][key], b[1, 2][key]) for key in a[1, 2])
    assert not np.array_equal(a[1, 2]["image"], a[1, 3]["image"])


def test_collate_pads_with_boxes_of_no_area() -> None:
    torch = pytest.importorskip("torch")
    scenes = _scenes([_photo((10, 5, 30, 45), (32, 5, 50, 45)), _photo()])
    batch = collate([scenes[0], scenes[1]])
    assert tuple(batch["boxes_xyxy"].shape) == (2, 2, 4)
    assert tuple(batch["unknown_xyxy"].shape) == (2, 1, 4)
    assert bool((batch["boxes_xyxy"][1] == 0).all())
    assert batch["image"].dtype == torch.uint8


def test_what_cannot_be() -> None:
    with pytest.raises(VitruvianError, match="everybody"):
        _scenes([_photo()], "somebody")
    with pytest.raises(VitruvianError, match="got 0 photos"):
        _scenes([])
    with pytest.raises(VitruvianError, match="mosaic_most"):
        SceneMix(mosaic_most=0)
    with pytest.raises(VitruvianError, match="zoom"):
        SceneMix(zoom=-1)


def test_real_photos_make_scenes(shared_data: Path, rng: np.random.Generator) -> None:
    from vitruvian.data.mask_folder import read_mask_folder

    records = read_mask_folder(shared_data / "photos" / "ccp" / "dev")[:12]
    scenes = PeopleScenes(records, ["one"] * 12, Preprocess(size_wh=(160, 160), padding=1), mix=SceneMix())
    assert len(scenes.cutouts()) == 12
    found = [scenes.scene(i, int(rng.integers(1000))) for i in range(12)]
    assert sum(len(scene.boxes_xyxy) for scene in found) >= 12
    for scene in found:
        assert (box_tools.area(scene.boxes_xyxy) > 0).all()
        assert np.array_equal(box_tools.clip(scene.boxes_xyxy, (160, 160)), scene.boxes_xyxy)
    assert scenes.skeleton == PERSON
