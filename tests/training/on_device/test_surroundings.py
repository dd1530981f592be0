"""Surroundings of batches: the person stays, what is hidden is known, and pasted people are where they were put."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.data.mixing import Mixing
from vitruvian.training.on_device.draws import Draws
from vitruvian.training.on_device.photos import PackedPhotos
from vitruvian.training.on_device.surroundings import Donors, RandomSurroundings

_H, _W = 64, 48
_RED, _GREEN, _BLUE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def plain(colour, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


@pytest.fixture
def donors() -> Donors:
    """A blue person of 12 x 30 pixels, and a green photo without anybody."""
    mask = np.zeros((50, 40), np.uint8)
    mask[10:40, 20:32] = 255
    photos = PackedPhotos([plain(_BLUE, 50, 40), plain(_GREEN, 30, 70)], [(40, 50), (70, 30)], 3)
    masks = PackedPhotos([mask], [(40, 50)], 1)
    return Donors(photos, masks, torch.tensor([0]), torch.tensor([[20.0, 10.0, 31.0, 39.0]]), torch.tensor([1]))


def batch(count: int = 40):
    """Red crops, with somebody in their middle in every second one."""
    crops = torch.tensor(plain(_RED, _H, _W)).permute(2, 0, 1).float().repeat(count, 1, 1, 1)
    masks, has_mask = torch.zeros(count, 1, _H, _W), torch.arange(count) % 2 == 0
    masks[::2, :, 20:50, 15:33] = 255
    return crops, masks, has_mask


def points(rng: np.random.Generator, count: int = 40, joints: int = 9):
    at = rng.uniform(0, 1, (count, joints, 2)) * [_W, _H] * 1.2 - [3, 3]
    at[rng.random((count, joints)) < 0.2] = np.nan
    return torch.tensor(at, dtype=torch.float32)


def changed(change, crops, masks, has_mask, at, seeded):
    """What is made of copies of a batch."""
    return change(crops.clone(), masks.clone(), has_mask, at, change.draw(len(crops), seeded), seeded)


def generator(rng: np.random.Generator):
    return torch.Generator().manual_seed(int(rng.integers(1 << 31)))


def test_a_background_leaves_every_pixel_of_the_person(donors: Donors, rng: np.random.Generator) -> None:
    crops, masks, has_mask = batch()
    change = RandomSurroundings(Mixing(background_prob=1.0), donors)
    got, left = changed(change, crops, masks, has_mask, points(rng), generator(rng))
    assert torch.equal(left, masks)
    assert torch.equal(got[1::2], crops[1::2])  # without a mask there is no background
    assert (got[::2, :, 27:43, 22:26] - crops[::2, :, 27:43, 22:26]).abs().max() < 0.5  # far from the softest edge
    outside = got[::2].clone()
    outside[:, 1, 12:58, 7:41] = 255
    assert outside[:, 1].min() > 254


def test_what_is_in_front_leaves_the_mask_without_it(donors: Donors, rng: np.random.Generator) -> None:
    """Green things and blue people: a masked pixel that is still there is red, up to soft edges."""
    for shares, channel in ((Mixing(thing_prob=1.0), 1), (Mixing(person_prob=1.0), 2)):
        crops, masks, has_mask = batch(200)
        got, left = changed(
            RandomSurroundings(shares, donors), crops, masks, has_mask, points(rng, 200), generator(rng)
        )
        assert (left <= masks).all()
        pasted = got[:, channel].flatten(1).amax(1) > 200
        assert pasted.sum() > 25  # the others would hide too many joints, or are beside the crop
        gone = (masks - left)[::2, 0] >= 255
        assert gone.any()
        assert got[::2, 0][gone].median() < 60
        still = left[::2, 0] >= 255
        assert got[::2, 0][still].median() > 200


def test_few_joints_are_hidden(donors: Donors, rng: np.random.Generator) -> None:
    crops, masks, _ = batch(200)
    at = points(rng, 200)
    has_mask = torch.zeros(200, dtype=torch.bool)  # nobody is put behind
    for shares in (Mixing(thing_prob=1.0), Mixing(person_prob=1.0)):
        got, _ = changed(RandomSurroundings(shares, donors), crops, masks, has_mask, at, generator(rng))
        checked = 0
        for image, joints in zip(got, at.round(), strict=True):
            seen = [(int(x), int(y)) for x, y in joints.tolist() if 0 <= x < _W and 0 <= y < _H]
            hidden = sum(float(image[0, y, x]) < 100 for x, y in seen)  # well within what was pasted
            assert hidden <= 0.35 * len(seen)
            checked += hidden > 0
        assert checked > 10


def test_people_are_put_where_it_was_drawn(donors: Donors, rng: np.random.Generator) -> None:
    """The middle of their mask onto the point, its longer side to the size, at any angle."""
    change, count = RandomSurroundings(Mixing(), donors), 30
    x, y, size = (torch.tensor(rng.uniform(low, 40, count), dtype=torch.float32) for low in (0, 0, 10))
    degrees = torch.tensor(rng.uniform(-180, 180, count), dtype=torch.float32)
    draw = Draws(generator(rng), torch.device("cpu"))
    back = change._placed(draw, torch.zeros(count, dtype=torch.long), x, y, size, degrees).double()
    centre = (back @ torch.stack([x, y, torch.ones(count)], 1).double()[:, :, None])[:, :, 0]
    np.testing.assert_allclose(centre, [[25.5, 24.5]] * count, atol=1e-3)
    turn = back[:, :, :2]
    step = (turn.transpose(1, 2) @ turn).numpy()  # a turn and a size: no shear
    np.testing.assert_allclose(step, np.eye(2) * ((30 / size.double()) ** 2).numpy()[:, None, None], atol=1e-4)
    mirrored = torch.linalg.det(turn) < 0
    upright = torch.stack([torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))], 1).double()
    along = (turn @ upright[:, :, None])[:, :, 0] * (size / 30)[:, None]  # where the photo's x axis lies in the crop
    np.testing.assert_allclose(along, [[-1.0 if m else 1.0, 0.0] for m in mirrored], atol=1e-4)
    assert 3 < mirrored.sum() < 27


def test_parts_of_photos_fill_the_crop(donors: Donors, rng: np.random.Generator) -> None:
    got = RandomSurroundings(Mixing(), donors)._parts(Draws(generator(rng), torch.device("cpu")), 50, (_W, _H))
    assert got[:, 1].min() > 254.9


def test_changes_come_as_often_as_asked(donors: Donors, rng: np.random.Generator) -> None:
    crops, masks, has_mask = batch(3000)
    nowhere = torch.full((3000, 1, 2), torch.nan)
    change = RandomSurroundings(Mixing(background_prob=0.3), donors)
    got, _ = changed(change, crops, masks, has_mask, nowhere, generator(rng))
    other = (got != crops).flatten(1).any(1)
    assert not other[1::2].any()
    assert abs(other[::2].float().mean() - 0.3) < 4.5 * (0.21 / 1500) ** 0.5
