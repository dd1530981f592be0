"""What is baked is people; phenotypes are drawn within their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import MissingExtraError
from vitruvian.synth.humans import landmarks
from vitruvian.synth.humans.bake import body_path, cache_folder, load_body, sample_phenotypes
from vitruvian.synth.humans.poses import POSED, global_rotations
from vitruvian.synth.humans.wardrobe import load_wardrobe

NAMES = ("gender", "age", "muscle", "weight", "height", "cupsize", "african", "asian", "caucasian", "unheard_of")


@pytest.fixture(scope="module")
def real():
    """The baked body of this machine's cache; baking one takes minutes and is left to `vitruvian synth`."""
    if not body_path().exists():
        pytest.skip("no body has been baked on this machine (vitruvian synth does)")
    return load_body()


def test_phenotypes_are_shares(rng):
    drawn = sample_phenotypes(rng, NAMES, 200)
    assert drawn.shape == (200, len(NAMES))
    assert ((drawn >= 0) & (drawn <= 1)).all()
    np.testing.assert_allclose(drawn[:, 6:9].sum(axis=1), 1)
    assert (drawn[:, -1] == 0.5).all()
    assert 0.05 < (drawn[:, 1] < 0.58).mean() < 0.15, "one child in ten"
    np.testing.assert_array_equal(sample_phenotypes(np.random.default_rng(1), NAMES, 30)[:10],
                                  sample_phenotypes(np.random.default_rng(1), NAMES, 10))  # fmt: skip


def test_the_cache_may_be_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRUVIAN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert body_path().parent == tmp_path
    monkeypatch.delenv("VITRUVIAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "vitruvian"


def test_without_anny_it_says_how_to_get_it(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "anny", None)
    monkeypatch.setenv("VITRUVIAN_CACHE", str(tmp_path))
    with pytest.raises(MissingExtraError, match="synth"):
        load_body()


def test_baked_bodies_are_people(real):
    assert set(POSED) <= set(real.bones)
    drawn = np.unique(real.corner_vertex)
    heights = np.ptp(real.shapes[:, drawn, 1].astype(int), axis=1) * 0.1
    assert 1200 < heights.min() < 1600 < np.median(heights) < 1800 < heights.max() < 2100
    np.testing.assert_allclose(real.weights.sum(axis=1), 1, atol=1e-5)
    for shape in np.eye(len(real))[::9]:
        vertices, heads = real.rest(shape)
        at = dict(zip(landmarks.NAMES, landmarks.locate(real, heads, vertices), strict=True))
        assert at["head_top"][1] > at["left_eye"][1] > at["nose"][1] > at["neck"][1] > at["pelvis"][1]
        assert at["nose"][2] > at["left_ear"][2] + 60
        assert at["left_big_toe"][2] > at["left_ankle"][2] + 80 > at["left_heel"][2] + 80
        assert at["left_big_toe"][0] < at["left_small_toe"][0]
        for joint in ("shoulder", "hip", "wrist", "eye", "ear", "knee"):
            assert at[f"left_{joint}"][0] > 10


def test_curled_fingers_come_nearer_to_the_wrist(real):
    _, heads = real.rest(np.eye(len(real))[0])
    reach = []
    for curl in (0.0, 0.8):
        transforms = real.transforms(
            heads, global_rotations(real, np.tile(np.eye(3), (len(POSED), 1, 1)), (curl, curl))
        )
        posed = np.einsum("bij,bj->bi", transforms[..., :3], heads) + transforms[..., 3]
        tip, palm = (posed[real.bone_index[f"{bone}.L"]] for bone in ("finger3-3", "wrist"))
        reach.append(np.linalg.norm(tip - palm))
    assert reach[1] < 0.9 * reach[0]


@pytest.mark.slow
def test_the_real_wardrobe_fits(real, shared_data):
    wardrobe = load_wardrobe(shared_data / "wardrobe.tar.xz", real, cache_folder())
    assert {kind: len(found) for kind, found in wardrobe.garments.items()} == {
        "suit": 12, "shoes": 6, "hat": 2, "hair": 10,
    }  # fmt: skip
    for shape in (0, 9, 33):
        vertices, _ = real.rest(np.eye(len(real))[shape])
        body = vertices[real.corner_vertex]
        low, high = body.min(axis=0) - 150, body.max(axis=0) + 150
        for found in wardrobe.garments.values():
            for garment in found:
                fitted = garment.fit(vertices)
                assert ((fitted > low) & (fitted < high)).all(), garment.name
