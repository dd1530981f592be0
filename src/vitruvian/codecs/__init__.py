"""Codecs: how joints become what a network is trained on, and how its outputs become joints again.

One object owns encode, decode and flip of one representation, so that the three cannot drift apart. `encode` and
`decode` work on numpy arrays; `encode_torch` builds the same targets for a batch on the trainer's device.

Adding a codec: 1. write ``codecs/<name>.py`` with a frozen dataclass that has the members of `Codec`; 2. add it to
`CODECS` below. The conformance suite (round trip, flip, serialisation, torch parity) picks it up by itself.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import WeightsError
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from .boxes import BoxesCodec
from .heatmap import HeatmapCodec
from .pixels import PixelsCodec
from .simcc import SimccCodec


class Codec(Protocol):
    """What every codec offers. Coordinates are pixels of the network's input (centres at integers)."""

    kind: ClassVar[str]
    refined: bool
    presence: bool
    size_wh: tuple[int, int]

    @property
    def finds_joints(self) -> bool:
        """Whether `decode` can name joints; False for one of masks alone, or of boxes."""
        ...

    def resized(self, size_wh: tuple[int, int]) -> Codec:
        """The same codec for another input size."""
        ...

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one sample's arrays, without the batch axis."""
        ...

    def encode(self, keypoints_px: np.ndarray, visibility: np.ndarray) -> Targets:
        """(B, K, 2) float pixels and (B, K) COCO codes -> `Targets`; weight 0 where nothing can be learned."""
        ...

    def encode_torch(self, keypoints_px: Any, visibility: Any) -> Targets:
        """The same on torch tensors, on their device."""
        ...

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """`Outputs` of numpy arrays or torch tensors -> numpy keypoints (B, K, 2) px and scores (B, K) in [0, 1]."""
        ...

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """What a network said of the mirrored input, brought back: mirrored, with left and right joints exchanged."""
        ...


CODECS: dict[str, type] = {"boxes": BoxesCodec, "heatmap": HeatmapCodec, "pixels": PixelsCodec, "simcc": SimccCodec}


def codec_to_dict(codec: Codec) -> dict:
    """Plain data for a card: the codec's fields and its ``kind``."""
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(codec).items()}  # type: ignore[call-overload]
    return {"kind": codec.kind, **fields}


def codec_from_dict(data: dict) -> Codec:
    """Rebuild a codec from `codec_to_dict`'s output; `WeightsError` for an unknown kind or field."""
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    kind = fields.pop("kind", None)
    if kind not in CODECS:
        raise WeightsError(f"unknown codec kind {kind!r}; known: {', '.join(sorted(CODECS))}")
    try:
        return CODECS[kind](**fields)
    except TypeError as error:
        raise WeightsError(f"codec record of kind '{kind}' does not fit: {error}") from error


__all__ = [
    "CODECS", "BoxesCodec", "Codec", "HeatmapCodec", "PixelsCodec", "SimccCodec", "codec_from_dict", "codec_to_dict",
]  # fmt: skip
