"""Two looks at a person, the second from nearer: the mean of their maps, and who asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.geometry import Affine
from vitruvian.predict.flip import FLIPS, flip_way, mean_of_looks, nearer
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import LSP14
from vitruvian.types import Outputs
from vitruvian.weights.card import Card

_CODEC = HeatmapCodec(size_wh=(64, 96), sigma=1.5, blur=0.0)
_PREPROCESS = Preprocess((64, 96), padding=1.25)


def _card(**fields: object) -> Card:
    return replace(Card("tiny", "compact", LSP14, _PREPROCESS, _CODEC), **fields)


def test_the_mean_equals_the_loop(rng: np.random.Generator) -> None:
    first, second = (rng.normal(size=(2, 3, 24, 16)).astype(np.float32) for _ in range(2))
    maps = [Affine.translate(*rng.uniform(-20, 20, 2)) @ Affine.scale(rng.uniform(0.8, 1.4)) for _ in range(2)]
    found = mean_of_looks(Outputs({"heatmaps": first}), Outputs({"heatmaps": second}), maps, _CODEC)
    expected = np.empty(first.shape)
    for b, k, v, u in np.ndindex(first.shape):
        x, y = _CODEC.to_map(maps[b].apply(_CODEC.to_input(np.array([u, v], np.float64))))
        total, held = float(first[b, k, v, u]), 1.0
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < 24 and 0 <= column < 16:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    total, held = total + share * second[b, k, row, column], held + share
        expected[b, k, v, u] = total / held
    np.testing.assert_allclose(found.arrays["heatmaps"], expected, atol=1e-5)


def test_a_joint_stays_where_both_looks_have_it(rng: np.random.Generator) -> None:
    """Its maps in the frames of both crops of a box, averaged in the first, decode to the same place of the photo."""
    box = np.array([10.0, 20.0, 90.0, 160.0])
    frames = [look.frame_to_input(box) for look in (_PREPROCESS, nearer(_PREPROCESS))]
    joints = rng.uniform([25, 35], [75, 145], (1, 8, 2)).astype(np.float32)
    outputs = [Outputs(_CODEC.encode(frame.apply(joints), np.full((1, 8), 2)).arrays) for frame in frames]
    both = mean_of_looks(*outputs, [frames[1] @ frames[0].inverse()], _CODEC)
    found, _ = _CODEC.decode(both)
    np.testing.assert_allclose(frames[0].inverse().apply(found), joints, atol=0.15)  # linear interpolation's


def test_the_second_crop_is_nearer_and_never_narrower_than_the_box() -> None:
    for padding, expected in ((1.25, 1.1375), (1.05, 1.0), (1.0, 1.0), (0.8, 0.8)):
        assert nearer(replace(_PREPROCESS, padding=padding)).padding == pytest.approx(expected)


def test_the_card_says_what_true_means() -> None:
    assert [flip_way(flip, _card()) for flip in (False, True, *FLIPS)] == [None, "maps", *FLIPS]
    card = Card.from_json(_card(flip="nearer").to_json())
    assert [flip_way(flip, card) for flip in (False, True, np.True_, "maps")] == [None, "nearer", "nearer", "maps"]
    with pytest.raises(VitruvianError, match="'maps', 'nearer', 'coordinates', 'maps_shifted'; got 'both'"):
        flip_way("both", card)
    for way in ("nearer", "maps_shifted"):
        with pytest.raises(VitruvianError, match="this model has 'simcc'; use 'maps'"):
            flip_way(way, _card(codec=SimccCodec(size_wh=(64, 96))))
