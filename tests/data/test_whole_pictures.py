"""Whole pictures: mask and joints stay with the picture, sizes, what is left out, batches of one size."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.data.whole_pictures import WholePictures, same_size_batches
from vitruvian.errors import VitruvianError
from vitruvian.formats import rle
from vitruvian.skeletons import BODY25, LSP14
from vitruvian.transforms import RandomGeometry, RandomPhotometry
from vitruvian.types import Person, Record


def record(size_wh=(40, 60), people: int = 1, **changes) -> Record:
    """Red where the mask is, blue elsewhere; green squares at the joints, of a brightness that tells them apart."""
    width, height = size_wh
    mask = np.zeros((height, width), bool)
    mask[height // 4 : -height // 4, width // 4 : -width // 5] = True
    image = np.where(mask[..., None], [250, 0, 0], [0, 0, 250]).astype(np.uint8)
    points = np.stack([8 + 24 * (np.arange(25) % 5) / 4, 10 + 40 * (np.arange(25) // 5) / 4], axis=1).round()
    for k, (x, y) in enumerate(points.astype(int)):
        image[y - 1 : y + 2, x - 1 : x + 2, 1] = 100 + 6 * k
    fields = {"visibility": np.full(25, 2), "segmentation": rle.encode(mask), **changes}
    person = Person(points, fields.pop("visibility"), **fields)
    return Record(None, "x", size_wh, BODY25, (person,) * people, extra={"pixels": lambda: image})


def test_a_plain_picture_is_padded() -> None:
    data = WholePictures([record((40, 60))], BODY25)
    item = data[0]
    assert data.size_wh(0) == (48, 64)
    assert item["image"].shape == (64, 48, 3)
    assert not item["image"][60:].any()
    assert not item["image"][:, 40:].any()
    np.testing.assert_array_equal(item["mask"], item["image"][..., 0] > 0)
    np.testing.assert_allclose(item["keypoints_px"], data.people[0][1].keypoints_px)
    np.testing.assert_array_equal(item["frame_to_input"], np.eye(2, 3))


@pytest.mark.parametrize(("room", "decodings"), [(2**20, 1), (0, 4)])
def test_pictures_are_kept_where_there_is_room(room: int, decodings: int) -> None:
    decoded = []

    def decode(one: Record) -> np.ndarray:
        decoded.append(one)
        return one.extra["pixels"]()

    data = WholePictures([record((40, 60))], BODY25, photometry=RandomPhotometry(), decode=decode, cache_bytes=room)
    data.preload()
    views = [data[0, epoch, 0]["image"] for epoch in range(3)]
    assert len(decoded) == decodings
    assert not np.array_equal(views[0], views[1])
    np.testing.assert_array_equal(data._pictures[0], record((40, 60)).extra["pixels"]())


def test_mask_and_joints_move_with_the_picture(rng: np.random.Generator) -> None:
    data = WholePictures([record((48, 64))], BODY25, RandomGeometry(30, 1.0, 0.2, 0.1, 0.5), seed=int(rng.integers(99)))
    seen = set()
    for epoch in range(40):
        sample = data.sample(0, epoch)
        seen.add(sample.flipped)
        red = sample.image[..., 0] > 125
        assert (red != (sample.mask > 0)).mean() < 0.01
        for k, (x, y) in enumerate(sample.keypoints_px.round().astype(int)):
            if 3 <= x < 45 and 3 <= y < 61:
                source = BODY25.flip[k] if sample.flipped else k
                assert abs(int(sample.image[y, x, 1]) - (100 + 6 * source)) <= 40
    assert seen == {True, False}
    again = data.sample(0, 7)
    np.testing.assert_array_equal(again.image, data.sample(0, 7).image)
    assert not np.array_equal(again.image, data.sample(0, 8).image)
    repeated = [data[key]["image"].tobytes() for key in ((0, 7), (0, 7, 0), (0, 7, 1), (0, 7, 2))]
    assert repeated[0] == repeated[1] == again.image.tobytes()
    assert len(set(repeated)) == 3


def test_colours_change_the_picture_alone() -> None:
    plain, loud = (WholePictures([record()], BODY25, photometry=p)[0] for p in (None, RandomPhotometry()))
    assert not np.array_equal(plain["image"], loud["image"])
    for name in ("mask", "keypoints_px", "visibility"):
        np.testing.assert_array_equal(plain[name], loud[name])


def test_what_is_left_out() -> None:
    good = record()
    useless = [record(people=2), record(people=0), record(segmentation=None), record(visibility=np.zeros(25))]
    data = WholePictures([*useless, good, record(is_crowd=True)], LSP14)
    assert data.records == [good]
    assert data[0]["keypoints_px"].shape == (14, 2)
    with pytest.raises(VitruvianError, match="none of 4 pictures"):
        WholePictures(useless, BODY25)


def test_batches_have_one_size_and_everybody_once(rng: np.random.Generator) -> None:
    sizes = [(128, 192), (240, 128), (128, 176)]
    of = [sizes[i] for i in rng.integers(0, 3, 50)]
    for generator in (None, rng):
        batches = same_size_batches(of, 4, generator)
        assert sorted(i for batch in batches for i in batch) == list(range(50))
        assert all(len({of[i] for i in batch}) == 1 for batch in batches)
        assert len(batches) == sum(-(-of.count(size) // 4) for size in sizes)
    assert same_size_batches([(1, 2), (3, 4), (1, 2), (1, 2)], 2) == [[0, 2], [1], [3]]
    assert same_size_batches(of, 4, np.random.default_rng(1)) != same_size_batches(of, 4, np.random.default_rng(2))
    with pytest.raises(VitruvianError, match="at least 1"):
        same_size_batches(of, 0)
