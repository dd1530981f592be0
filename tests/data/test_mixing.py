"""`Mixing`: what surrounds a person changes, the person and the joints do not; and what is hidden is known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.data.test_dataset import dataset, record

from vitruvian.data.mixing import Changes, Mixing
from vitruvian.errors import VitruvianError
from vitruvian.formats import rle
from vitruvian.transforms import RandomGeometry
from vitruvian.types import Record

_RED, _GREEN, _BLUE = (np.array(c, np.uint8) for c in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
_SHAPE = (256, 192)


def plain(colour, shape=_SHAPE) -> np.ndarray:
    return np.broadcast_to(colour, (*shape, 3)).copy()


def middle() -> np.ndarray:
    """A mask of somebody in the middle of the crop."""
    mask = np.zeros(_SHAPE, np.uint8)
    mask[60:200, 70:120] = 255
    return mask


def somebody(rng):
    """A blue photo with a blue person of 40 x 100 pixels."""
    mask = np.zeros((150, 120), np.uint8)
    mask[20:120, 50:90] = 255
    return plain(_BLUE, (150, 120)), mask


def green(rng):
    return plain(_GREEN, (90, 130))


def test_a_background_leaves_every_pixel_of_the_person(rng):
    for _ in range(20):
        crop, mask = plain(_RED), middle()
        got, left = Changes(True, False, False).apply(rng, crop, mask, np.zeros((0, 2)), somebody, green)
        edge = np.zeros(_SHAPE, bool)
        edge[53:207, 63:127], edge[67:193, 77:113] = True, False  # where the mask may have been softened
        np.testing.assert_array_equal(got[(mask == 255) & ~edge], np.broadcast_to(_RED, (126 * 36, 3)))
        assert (np.abs(got[(mask == 0) & ~edge].astype(int) - _GREEN) <= 1).all()
        np.testing.assert_array_equal(left, middle())
        np.testing.assert_array_equal(crop, plain(_RED))  # the caller's own is not changed


def test_without_a_mask_there_is_no_background(rng):
    crop = plain(_RED)
    got, left = Changes(True, False, False).apply(rng, crop, None, np.zeros((0, 2)), somebody, green)
    np.testing.assert_array_equal(got, crop)
    assert left is None


@pytest.mark.parametrize("changes", [Changes(False, True, False), Changes(False, False, True)])
def test_what_hides_somebody_leaves_their_mask(changes, rng):
    """Where the person's own colour is gone the mask is too, and nowhere else (but for soft edges)."""
    hidden = behind = 0
    for _ in range(150):  # of which 16 hide somebody at the least likely change
        got, left = changes.apply(rng, plain(_RED), middle(), np.zeros((0, 2)), somebody, green)
        other = _BLUE if changes.person else _GREEN
        pasted = (got == other).all(-1)
        own = (got == _RED).all(-1)
        assert left is not None
        assert not left[pasted & (middle() == 255)].any()
        assert (left[own & (middle() == 255)] >= 128).all()
        assert not left[middle() == 0].any()
        hidden += bool((pasted & (middle() == 255)).any())
        behind += bool(pasted.any() and own[middle() == 255].all())
    assert hidden
    assert behind


def test_few_joints_are_hidden(rng):
    """What would hide more than 35 % of the joints in the crop is not pasted; joints outside do not count."""
    joints = np.array([[x, y] for x in range(10, 190, 30) for y in range(10, 250, 40)] + [[-50.0, 3.0], [np.nan] * 2])
    changed = 0
    for _ in range(60):
        mask = np.full(_SHAPE, 255, np.uint8)
        got, left = Changes(False, True, True).apply(rng, plain(_RED), mask, joints, somebody, green)
        changed += bool((got != _RED).any())
        at = joints[:-2].astype(int)
        assert left is not None
        assert (left[at[:, 1], at[:, 0]] < 128).mean() <= 2 * 0.35
    assert changed > 20


def test_joints_of_a_data_set_stay_and_an_epoch_repeats(rng, monkeypatch):
    """Samples with mixing: the same joints, box and geometry as without, and the same pixels for the same epoch."""
    monkeypatch.setattr("vitruvian.data.mixing.MOST_HIDDEN", 1.0)  # else what would hide many joints is not pasted
    mask = np.zeros((220, 180), bool)
    mask[40:200, 50:130] = True
    people = [record(seed=1, segmentation=rle.encode(mask)), record(seed=2)]
    photos = [Record(None, "empty", (130, 90), people[0].skeleton, (), extra={"pixels": lambda: green(None)})]
    options = {"geometry": RandomGeometry(30, 1.0, 0.2, 0.05, 0.5), "seed": int(rng.integers(1 << 30))}
    mixed = dataset(people, mixing=Mixing(1, 1, 1), photos=photos, **options)
    again = dataset(people, mixing=Mixing(1, 1, 1), photos=photos, **options)
    plainly = dataset(people, **options)
    for index in (0, 1):
        for epoch in range(5):
            one, two, three = (data.sample(index, epoch) for data in (mixed, again, plainly))
            np.testing.assert_array_equal(one.image, two.image)
            np.testing.assert_array_equal(one.keypoints_px, three.keypoints_px)
            np.testing.assert_array_equal(one.frame_to_input.matrix, three.frame_to_input.matrix)
            assert one.mask is None  # asked for joints alone
            assert (one.image != three.image).any()


def test_changes_come_as_often_as_asked(rng):
    drawn = np.array([Mixing(0.3, 0.0, 1.0).draw(rng) for _ in range(4000)])
    assert abs(drawn[:, 0].mean() - 0.3) < 0.04
    assert not drawn[:, 1].any()
    assert drawn[:, 2].all()


def test_impossible_mixing_is_refused():
    with pytest.raises(VitruvianError, match="person_prob"):
        Mixing(person_prob=1.5)
    with pytest.raises(VitruvianError, match="nobody here has one"):
        dataset([record()], mixing=Mixing(person_prob=0.5))
    masked = record(segmentation=[[20, 20, 20, 120, 120, 120]])
    with pytest.raises(VitruvianError, match="need photos"):
        dataset([masked], mixing=Mixing(background_prob=0.5))
