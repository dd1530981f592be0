"""`explain`: people with the maps that their joints were read from, and with what the network looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..codecs import Codec, HeatmapCodec, SimccCodec
from ..data.images import as_image
from ..draw.explain import PersonMaps
from ..errors import VitruvianError
from ..types import Outputs, Poses
from .predictor import Predictor

_BATCH = 8


def explain(
    predictor: Predictor, image: Any, boxes: Any = None, max_people: int = 10
) -> tuple[Poses, list[PersonMaps]]:
    """Find people in one image and say how.

    Parameters
    ----------
    predictor : a loaded model. Attention needs the torch backend, and a network with ``attention_maps``.
    image, boxes : as in `Predictor.predict`, of one image.
    max_people : the best-scored people that are explained.

    Returns
    -------
    The people that are explained, best first, and for each of them its maps.

    Raises
    ------
    VitruvianError
        A model whose codec has no maps over the picture; and what `Predictor.predict` raises.
    """
    codec = predictor.card.codec
    check_maps(codec)
    array, _ = as_image(image)
    poses = predictor.predict(image, boxes)
    poses = poses.select(np.argsort(-poses.person_scores, kind="stable")[:max_people])
    preprocess, people = predictor.card.preprocess, []
    for first in range(0, len(poses), _BATCH):
        part = poses.select(slice(first, first + _BATCH))
        crops, maps_to = zip(*(preprocess.crop(array, box) for box in part.boxes), strict=True)
        batch = np.stack(crops)
        heatmaps = joint_maps(predictor.backend.run(batch), codec)
        attention = getattr(predictor.backend, "attention", lambda _: {})(batch)
        for i, frame_to_input in enumerate(maps_to):
            people.append(
                PersonMaps(
                    crop=batch[i] if preprocess.colour == "rgb" else np.ascontiguousarray(batch[i, :, :, ::-1]),
                    names=tuple(poses.skeleton.names),
                    keypoints_px=frame_to_input.apply(part.keypoints[i]),
                    scores=part.scores[i],
                    heatmaps=heatmaps[i],
                    holistic=attention["holistic"][i, 0] if "holistic" in attention else None,
                    part=attention["part"][i] if "part" in attention else None,
                    score=float(part.person_scores[i]),
                )
            )
    return poses, people


def check_maps(codec: Codec) -> None:
    """`VitruvianError` for a codec whose outputs say nothing about places in the picture."""
    if not isinstance(codec, HeatmapCodec | SimccCodec):
        raise VitruvianError(f"explain shows heatmaps, which a model with the codec '{codec.kind}' does not have")


def joint_maps(outputs: Outputs, codec: Codec) -> np.ndarray:
    """(B, K, h, w) float32 in 0..1: how much speaks for each place, 1 at the peak of a target that was met exactly.

    Linear heatmaps are taken as they are. Logits become probabilities over what a perfect target has at its peak, since
    a probability itself is small everywhere. SimCC's two axes are multiplied, four input pixels to one of the map.
    """
    check_maps(codec)
    if isinstance(codec, HeatmapCodec):
        maps = np.asarray(outputs.arrays[codec.array], np.float32)
        if codec.activation == "softmax":
            flat = _softmax(maps.reshape(*maps.shape[:2], -1)).reshape(maps.shape)
            maps = flat / _peak(codec.sigma) ** 2
        return np.clip(maps, 0, 1)
    assert isinstance(codec, SimccCodec)
    across, down = (_softmax(np.asarray(outputs.arrays[name], np.float32)) for name in ("simcc_x", "simcc_y"))
    width, height = (max(1, side // 4) for side in codec.size_wh)
    peak = _peak(codec.sigma * codec.split * (codec.temperature or 1.0) ** 0.5)
    across, down = _shrunk(across / peak, width), _shrunk(down / peak, height)
    return np.clip(down[..., :, None] * across[..., None, :], 0, 1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


def _peak(sigma: float) -> float:
    """The highest value of a Gaussian on one axis that sums to 1."""
    reach = int(np.ceil(8 * sigma))
    return float(1 / np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).sum())


def _shrunk(profile: np.ndarray, count: int) -> np.ndarray:
    """(..., n) -> (..., count): the highest value of each stretch, so that a narrow peak keeps its height."""
    edges = np.arange(count) * profile.shape[-1] // count
    return np.maximum.reduceat(profile, edges, axis=-1)
