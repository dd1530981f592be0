"""The flip test: the ways of averaging with the mirrored picture, and what they do to a network's arrays."""

from __future__ import annotations

import numpy as np

from ..codecs import Codec
from ..codecs.heatmap import PRESENCE
from ..errors import VitruvianError
from ..types import Outputs

FLIPS = ("maps", "coordinates", "maps_shifted")
"""Ways of averaging with the mirrored picture, see `Predictor.predict`."""


def flip_way(flip: bool | str, codec: Codec) -> str | None:
    """How to average with the mirrored picture, or None for not at all."""
    if isinstance(flip, bool | np.bool_):
        return "maps" if flip else None
    if flip not in FLIPS:
        raise VitruvianError(f"flip must be True, False or one of {', '.join(map(repr, FLIPS))}; got {flip!r}")
    if flip == "maps_shifted" and codec.kind != "heatmap":
        raise VitruvianError(
            f"flip 'maps_shifted' moves heatmaps by a pixel, this model has '{codec.kind}'; use 'maps'"
        )
    return flip


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
