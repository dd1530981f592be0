"""The flip test: the ways of averaging with the mirrored picture, and what they do to a network's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..codecs import HeatmapCodec
from ..codecs.heatmap import PRESENCE
from ..errors import VitruvianError
from ..geometry import Affine
from ..preprocess import Preprocess
from ..types import Outputs
from ..weights.card import Card

FLIPS = ("maps", "nearer", "coordinates", "maps_shifted")
"""Ways of averaging with the mirrored picture, see `Predictor.predict`."""

_NEARER = 0.91
_FOR_HEATMAPS = {"nearer": "moves heatmaps to the other picture's place", "maps_shifted": "moves heatmaps by a pixel"}


def flip_way(flip: bool | str, card: Card) -> str | None:
    """How to average with the mirrored picture, or None for not at all."""
    if isinstance(flip, bool | np.bool_):
        if not flip:
            return None
        flip = card.flip or "maps"
    if flip not in FLIPS:
        raise VitruvianError(f"flip must be True, False or one of {', '.join(map(repr, FLIPS))}; got {flip!r}")
    if flip in _FOR_HEATMAPS and card.codec.kind != HeatmapCodec.kind:
        raise VitruvianError(f"flip '{flip}' {_FOR_HEATMAPS[flip]}, this model has '{card.codec.kind}'; use 'maps'")
    return flip


def nearer(preprocess: Preprocess) -> Preprocess:
    """The crops of a second look from nearer: with a smaller margin, where there is one.

    0.91 times as wide: chosen on validation people for masks (Dice +0.3 points), and as good as any from 0.88 to 0.94
    for joints. What a network gets wrong it then gets wrong in two ways, which the mean evens out.
    """
    return replace(preprocess, padding=min(preprocess.padding, max(1.0, _NEARER * preprocess.padding)))


def mean_of_looks(first: Outputs, second: Outputs, first_to_second: Sequence[Affine], codec: HeatmapCodec) -> Outputs:
    """The mean of heatmaps (B, K, h, w) of two crops, in the first one's frame.

    ``first_to_second`` (B) map input pixels, by scale and shift alone. What the second crop does not hold is as the
    first has it.
    """
    own, other = np.asarray(first.arrays[codec.array]), np.asarray(second.arrays[codec.array])
    width, height = codec.map_wh
    across, down = (_sampling(first_to_second, codec, axis, size) for axis, size in ((0, width), (1, height)))
    moved = down[:, None] @ other @ across[:, None].swapaxes(-1, -2)
    held = down.sum(2)[:, None, :, None] * across.sum(2)[:, None, None, :]
    return Outputs({codec.array: (own + moved) / (1 + held)})


def _sampling(maps: Sequence[Affine], codec: HeatmapCodec, axis: int, size: int) -> np.ndarray:
    """(B, size, size) float32 weights of linear interpolation: row u makes pixel u of the first map, on one axis."""
    scale, shift = np.array([[m.matrix[axis, axis], m.matrix[axis, 2]] for m in maps]).T[..., None]
    at: Any = codec.to_map(scale * codec.to_input(np.arange(size)) + shift)
    return np.maximum(0, 1 - np.abs(at[..., None] - np.arange(size))).astype(np.float32)


def shifted_right(mirrored: Outputs) -> Outputs:
    """Maps (..., w) moved a pixel to the right; their first column stays as it was (system 1's ``SHIFT_HEATMAP``).

    A network trained with heatmap pixel u at input pixel u * stride sees a mirrored picture a pixel less 1 / stride too
    far to the left. With centres mapped exactly, as here, it does not, and this would do harm.
    """
    return Outputs(
        {
            k: a if k == PRESENCE else np.concatenate([a[..., :1], a[..., :-1]], axis=-1)
            for k, a in mirrored.arrays.items()
        }
    )


def presence_of(outputs: Outputs, mirrored: Outputs | None) -> np.ndarray | None:
    """(B, K) float32 chances of being in the picture, the mean logit's of both looks; None without that array."""
    if PRESENCE not in outputs.arrays:
        return None
    logits = [np.asarray(x.arrays[PRESENCE], np.float32) for x in (outputs, mirrored) if x is not None]
    return 1 / (1 + np.exp(-np.clip(np.mean(logits, axis=0), -50, 50)))
