"""`PoseDataset`: samples depend on (seed, epoch, index) alone, and joints stay on what they mark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.data import PoseDataset, SizeSchedule
from vitruvian.errors import VitruvianError
from vitruvian.formats import rle
from vitruvian.geometry import boxes
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import COCO17, LSP14, VITRUVIAN19
from vitruvian.transforms import RandomGeometry, RandomPhotometry
from vitruvian.types import Person, Record

_STILL = RandomPhotometry(0, 0, 0, 0, grey_prob=0, blur_prob=0, jpeg_prob=0, low_res_prob=0, noise_prob=0, erase_prob=0)


def record(skeleton=LSP14, count=1, seed=0, **changes) -> Record:
    """Black photos with one lit square at each joint, of a brightness that tells the joints apart."""
    rng = np.random.default_rng(seed)
    image = np.zeros((220, 180, 3), np.uint8)
    people = []
    for _ in range(count):
        points = np.stack([rng.permutation(len(skeleton)) * 8 + 30, rng.permutation(len(skeleton)) * 11 + 20], 1)
        for k, (x, y) in enumerate(points):
            image[y - 3 : y + 4, x - 3 : x + 4] = 100 + 8 * k
        box = np.array([15.0, 5.0, 165.0, 205.0])
        people.append(Person(points.astype(float), np.full(len(skeleton), 2), **{"box_xyxy": box, **changes}))
    return Record(None, f"image{seed}", (180, 220), skeleton, tuple(people), extra={"pixels": lambda: image})


def dataset(records=None, skeleton=LSP14, **options) -> PoseDataset:
    return PoseDataset(records or [record()], skeleton, Preprocess(size_wh=(192, 256)), **options)


def test_joints_stay_on_what_they_mark(rng):
    """Under every rotation, scale, shift and mirror; a mirrored left joint is the photo's right one."""
    data = dataset(geometry=RandomGeometry(180, 1.0, 0.3, 0.1, 0.5), seed=int(rng.integers(1 << 30)))
    seen = set()
    for epoch in range(60):
        sample = data.sample(0, epoch)
        seen.add(sample.flipped)
        for k in range(14):
            x, y = sample.keypoints_px[k]
            if not (3 < x < 188 and 3 < y < 252):
                continue
            source = LSP14.flip[k] if sample.flipped else k
            value = int(sample.image[round(float(y)), round(float(x)), 0])
            assert abs(value - (100 + 8 * source)) <= 4, (epoch, k, value)
    assert seen == {True, False}


def test_without_augmentation_a_sample_is_the_plain_crop():
    data = dataset()
    sample = data.sample(0, 5)
    crop, frame_to_input = data.preprocess.crop(data.image(0), data.box(0))
    np.testing.assert_array_equal(sample.image, crop)
    assert sample.frame_to_input == frame_to_input


def test_draws_depend_on_seed_epoch_and_index_alone():
    records = [record(seed=0), record(seed=1)]
    make = lambda seed: dataset(records, geometry=RandomGeometry(), photometry=RandomPhotometry(), seed=seed)  # noqa: E731
    first, again, other = make(3), make(3), make(4)
    again.sample(1, 0)  # what was drawn before must not matter
    a, b = first.sample(0, 2), again.sample(0, 2)
    np.testing.assert_array_equal(a.image, b.image)
    assert a.frame_to_input == b.frame_to_input
    assert other.sample(0, 2).frame_to_input != a.frame_to_input
    assert first.sample(0, 3).frame_to_input != a.frame_to_input
    assert first.sample(1, 2).frame_to_input != a.frame_to_input


def test_people_of_whom_a_point_alone_is_known_do_not_teach():
    known, lone = record(seed=0), record(seed=1)
    person = lone.persons[0]
    visibility = np.zeros_like(person.visibility)
    visibility[2] = 2
    lone = replace(lone, persons=(replace(person, visibility=visibility, box_xyxy=None),))
    assert [index for index, _ in dataset([known, lone]).people] == [0]


def test_each_repeat_is_another_view():
    data = dataset([record(seed=0)], geometry=RandomGeometry(), photometry=RandomPhotometry())
    items = [data[0], data[0, 0], data[0, 0, 0], data[0, 0, 1], data[0, 0, 2]]
    images = [item["image"].tobytes() for item in items]
    assert images[0] == images[1] == images[2]
    assert len(set(images)) == 3
    assert data[0, 0, 1]["image"].tobytes() == images[3]


def test_joints_a_source_lacks_are_missing_not_zero():
    sample = dataset(skeleton=VITRUVIAN19).sample(0)
    for k, joint in enumerate(VITRUVIAN19.joints):
        if joint in LSP14.joints:
            expected = sample.frame_to_input.apply(record().persons[0].keypoints_px[LSP14.index(joint)])
            np.testing.assert_allclose(sample.keypoints_px[k], expected, atol=1e-3)
            assert sample.visibility[k] == 2
        else:
            assert np.isnan(sample.keypoints_px[k]).all()
            assert sample.visibility[k] == 0


@pytest.mark.parametrize("geometry", [None, RandomGeometry(30, 1.0, 0.2, 0.1, 0.5, half_body_prob=0.5)])
def test_of_complete_people_what_is_not_labelled_is_elsewhere(rng, geometry):
    """Marked as not in the picture; what the file's skeleton lacks stays unknown, and the crops stay as they were."""
    plain = record()
    points, visibility = plain.persons[0].keypoints_px.copy(), np.full(14, 2)
    missing = rng.permutation(14)[:4]
    points[missing], visibility[missing] = np.nan, 0
    person = replace(plain.persons[0], keypoints_px=points, visibility=visibility)
    unknown, known = (
        dataset([replace(plain, persons=(p,))], VITRUVIAN19, geometry=geometry)
        for p in (person, replace(person, extra={"complete": True}))
    )
    for epoch in range(8):
        before, after = unknown.sample(0, epoch), known.sample(0, epoch)
        np.testing.assert_array_equal(before.image, after.image)
        said = np.array([VITRUVIAN19.index(name) for name in np.array(LSP14.names)[missing]])
        said = np.asarray(VITRUVIAN19.flip)[said] if after.flipped else said
        assert (after.visibility[said] == 1).all()
        assert (np.abs(after.keypoints_px[said]) > 1e4).any(axis=1).all()
        others = np.setdiff1d(np.arange(19), said)
        np.testing.assert_array_equal(before.visibility[others], after.visibility[others])
        np.testing.assert_array_equal(before.keypoints_px[others], after.keypoints_px[others])


def test_sources_of_several_skeletons_mix():
    data = dataset([record(LSP14), record(COCO17, seed=1)], skeleton=VITRUVIAN19)
    assert [int((data.sample(i).visibility > 0).sum()) for i in range(2)] == [14, 17]


def test_crowds_and_people_without_joints_are_left_out():
    whole = record(count=3)
    crowd = replace(whole.persons[0], is_crowd=True)
    empty = Person(np.full((14, 2), np.nan), np.zeros(14), box_xyxy=whole.persons[0].box_xyxy)
    assert len(dataset([replace(whole, persons=(crowd, empty, whole.persons[2]))])) == 1
    with pytest.raises(VitruvianError, match="no person with labelled joints among 1 images"):
        dataset([replace(whole, persons=(crowd, empty))])


def test_a_person_without_a_box_gets_one_around_the_joints():
    person = record().persons[0]
    box = dataset([record(box_xyxy=None)]).box(0)
    low, high = np.nanmin(person.keypoints_px, 0), np.nanmax(person.keypoints_px, 0)
    margin = 0.15 * (high - low).max()
    np.testing.assert_allclose(box, [*(low - margin), *(high + margin)])


def test_progressive_sizes():
    sizes = SizeSchedule((192, 256), ((2, (48, 64)), (5, (96, 128))))
    assert [sizes.at(e) for e in (0, 1, 2, 4, 5, 90)] == [(48, 64)] * 2 + [(96, 128)] * 2 + [(192, 256)] * 2
    data = dataset(sizes=sizes)
    assert data[(0, 0)]["image"].shape == (64, 48, 3)
    assert data[(0, 9)]["image"].shape == (256, 192, 3)
    data.epoch = 3
    assert data[0]["image"].shape == (128, 96, 3)


def test_photos_are_decoded_once():
    calls = []
    base = record(count=2)
    pixels = base.extra["pixels"]
    counted = replace(base, extra={"pixels": lambda: (calls.append(1), pixels())[1]})
    data = dataset([counted])
    data.preload()
    for i in range(len(data)):
        data.sample(i, 1)
    assert len(calls) == 1


def test_photos_that_do_not_fit_are_decoded_each_time():
    """Room for one of three photos (180 x 220 x 3 bytes); the samples are the same."""
    decoded = []

    def decode(one):
        decoded.append(one.image_id)
        return one.extra["pixels"]()

    records = [record(seed=i) for i in range(3)]
    data = dataset(records, decode=decode, cache_bytes=2 * 180 * 220 * 3 - 1)
    data.preload()
    assert decoded == ["image0", "image1"], "preloading stops at the first photo that cannot be kept"
    samples = [data.sample(i).image for i in (0, 1, 2, 1)]
    assert decoded[2:] == ["image1", "image2", "image1"]
    for i, image in zip((0, 1, 2, 1), samples, strict=True):
        np.testing.assert_array_equal(image, dataset(records).sample(i).image)


def test_photometry_leaves_joints_alone():
    plain, coloured = dataset(photometry=_STILL), dataset(photometry=RandomPhotometry(erase_prob=1.0))
    np.testing.assert_array_equal(plain.sample(0).image, dataset().sample(0).image)
    np.testing.assert_array_equal(plain.sample(0).keypoints_px, coloured.sample(0).keypoints_px)
    assert (plain.sample(0).image != coloured.sample(0).image).any()


# --- masks -----------------------------------------------------------------------------------------------------------


def masked(segmentation=True, seed: int = 0, **changes) -> Record:
    """A red rectangle on black, which is the mask, with a lit corner that tells left from right."""
    mask = np.zeros((220, 180), bool)
    mask[60:150, 40:110] = True
    image = np.where(mask[..., None], [200, 0, 0], 0).astype(np.uint8)
    image[60:90, 40:60, 1] = 200
    points, seen = np.full((14, 2), np.nan), np.zeros(14)
    points[0], seen[0] = (70, 100), 2
    person = Person(points, seen, box_xyxy=np.array([15.0, 5, 165, 205]), segmentation=rle.encode(mask))
    person = replace(person, **({} if segmentation else {"segmentation": None}), **changes)
    return Record(None, f"mask{seed}", (180, 220), LSP14, (person,), extra={"pixels": lambda: image})


def test_masks_stay_on_their_person(rng):
    """Under every rotation, scale, shift and mirror: red is what the mask says, and the lit corner is in it."""
    geometry = RandomGeometry(180, 1.0, 0.3, 0.1, 0.5)
    data = dataset([masked()], teaches="mask", geometry=geometry, seed=int(rng.integers(1 << 30)))
    seen = set()
    for epoch in range(40):
        item, flipped = data[(0, epoch)], data.sample(0, epoch).flipped
        seen.add(flipped)
        red = item["image"][..., 0] > 100
        assert item["has_mask"]
        assert item["mask"].max() <= 1
        assert (red != (item["mask"] > 0)).sum() <= 0.02 * max(int(red.sum()), 500), epoch
    assert seen == {True, False}


def test_a_mirrored_mask_is_the_mirrored_mask():
    """One bright pixel of the photo, alone in the mask, ends where the mirror takes it."""
    mask = np.zeros((256, 192), bool)
    mask[100, 30] = True
    image = (mask[..., None] * np.full(3, 250)).astype(np.uint8)
    person = Person(
        np.full((14, 2), np.nan),
        np.zeros(14),
        box_xyxy=np.array([-0.5, -0.5, 191.5, 255.5]),
        segmentation=rle.encode(mask),
    )
    one = Record(None, "pixel", (192, 256), LSP14, (person,), extra={"pixels": lambda: image})
    for flip_prob, x in ((0.0, 30), (1.0, 191 - 30)):
        geometry = RandomGeometry(0, 0, 0, 0, flip_prob)
        data = PoseDataset([one], LSP14, Preprocess((192, 256), padding=1.0), geometry, teaches="mask")
        item = data[0]
        np.testing.assert_array_equal(np.argwhere(item["mask"]), [[100, x]])
        np.testing.assert_array_equal(np.argwhere(item["image"][..., 0] > 125), [[100, x]])


def test_who_teaches():
    """People with joints, with masks, or with either; those without a mask say so."""
    jointless = masked(seed=1, visibility=np.zeros(14))
    people = [masked(), masked(segmentation=False, seed=2), jointless, masked(is_crowd=True, seed=3)]
    assert [len(dataset(people, teaches=who)) for who in ("joint", "mask", "either")] == [2, 2, 3]
    assert "mask" not in dataset(people)[0]
    either = dataset(people, teaches="either")
    assert [bool(either[i]["has_mask"]) for i in range(3)] == [True, False, True]
    assert either.sample(1).mask is None
    assert not either[1]["mask"].any()
    with pytest.raises(VitruvianError, match="no person with a mask among 1 images"):
        dataset([masked(segmentation=False)], teaches="mask")
    with pytest.raises(VitruvianError, match="'joint', 'mask' or 'either'"):
        dataset(people, teaches="all")


def test_polygons_and_run_lengths_give_one_mask():
    polygon = [[40.0, 60, 110, 60, 110, 150, 40, 150]]
    items = [dataset([masked(**change)], teaches="mask")[0] for change in ({}, {"segmentation": polygon})]
    np.testing.assert_array_equal(items[0]["mask"], items[1]["mask"])


def test_masks_are_the_same_with_and_without_memory():
    kept, never = (dataset([masked()], teaches="mask", cache_bytes=room) for room in (1 << 30, 0))
    for _ in range(2):
        np.testing.assert_array_equal(kept[0]["mask"], never[0]["mask"])


@pytest.mark.parametrize("masked", [False, True])
def test_a_cut_photo_shows_a_part_of_the_person_and_nothing_beyond(rng, masked):
    """Every pixel of the crop is the photo's or empty; joints are where they are in it, and the others nowhere."""
    seed, mask = int(rng.integers(1 << 30)), np.zeros((220, 180), bool)
    mask[8:200, 20:160] = True
    segmentation = {"segmentation": rle.encode(mask)} if masked else {}
    geometry = RandomGeometry(0, 0, 0, 0, flip_prob=0, cut_prob=1.0)
    white = replace(record(**segmentation), extra={"pixels": lambda: np.full((220, 180, 3), 250, np.uint8)})
    data = dataset([white], geometry=geometry, seed=seed, teaches="mask" if masked else "joint")
    joints = white.persons[0].keypoints_px
    hidden, shares = [], []
    for epoch in range(60):
        sample = data.sample(0, epoch)
        shown = sample.image[..., 0] > 125
        rows, columns = boxes.span(shown)
        corners = np.array([[columns.start, rows.start], [columns.stop, rows.stop]]) - 0.5
        (x0, y0), (x1, y1) = sample.frame_to_input.inverse().apply(corners)
        inside = (joints >= (x0, y0)).all(axis=1) & (joints <= (x1, y1)).all(axis=1)
        near = (np.abs(sample.keypoints_px) < 1e4).all(axis=1)
        assert near.tolist() == inside.tolist(), (seed, epoch)
        assert (sample.visibility > 0).all()
        hidden.append(14 - inside.sum())
        shares.append(shown.mean())
        if masked:
            assert not sample.mask[~shown].any(), (seed, epoch)
            part = boxes.around_mask(sample.mask)
            assert max((part[2:] - part[:2]) / (192, 256)) == pytest.approx(0.8, abs=0.02), (seed, epoch)
    assert max(hidden) >= 7, (seed, hidden)
    assert min(shares) < 0.9, (seed, shares)


def test_a_cut_that_leaves_next_to_nothing_is_not_made():
    small = record(box_xyxy=np.array([60.0, 60, 75, 75]))
    cut, plain = (dataset([small], geometry=RandomGeometry(0, 0, 0, 0, 0, cut_prob=c)) for c in (1.0, 0.0))
    for epoch in range(40):
        view = cut.geometry.cut(np.random.default_rng((0, epoch, 0)), cut.box(0))
        left = np.minimum(view[2:], 75) - np.maximum(view[:2], 60)
        if left.min() < 11:
            np.testing.assert_array_equal(cut.sample(0, epoch).image, plain.sample(0, epoch).image)
