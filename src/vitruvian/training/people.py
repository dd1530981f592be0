"""`LitDetector`: training of a person detector, from scenes made of photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codecs import BoxesCodec, Codec
from ..data.people_scenes import PeopleScenes
from ..detection import PeopleTargets
from ..metrics.boxes import box_stats
from ..predict.select import box_nms
from ..types import Outputs
from .module import LitPose
from .validation import BOXES

_LEAST, _MAX_IOU = 0.01, 0.65
"""Boxes that count for average precision: nearly all, since it asks for the whole curve."""


class LitDetector(LitPose):
    """Trains a network of a `BoxesCodec` on batches of `PeopleScenes`; ``val_ap50`` is the figure that validates it."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._boxes: list[tuple[int, np.ndarray]] = []

    def _targets(self, codec: Codec, batch: dict[str, Tensor]) -> PeopleTargets:  # type: ignore[override]
        """The boxes of a batch, with the codec's points."""
        assert isinstance(codec, BoxesCodec)
        device = batch["image"].device
        points_px, strides_px = (torch.tensor(array, device=device) for array in codec.points_px())
        return PeopleTargets(batch["boxes_xyxy"], batch["unknown_xyxy"], points_px, strides_px)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        codec = self._codec_for(batch["image"])
        assert isinstance(codec, BoxesCodec)
        for index, (boxes, scores) in zip(
            batch["index"].tolist(), codec.decode_boxes(Outputs(self(batch["image"])), _LEAST), strict=True
        ):
            kept = box_nms(boxes, scores, _MAX_IOU)
            self._boxes.append((index, np.column_stack([boxes[kept], scores[kept]])))

    def on_validation_epoch_end(self) -> None:
        """AP50 of the boxes, in the letterboxed pictures."""
        scenes: Any = self.trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        assert isinstance(scenes, PeopleScenes)
        truth = [scenes.scene(index) for index, _ in self._boxes]
        stats = box_stats(
            [(scene.boxes_xyxy, scene.unknown_xyxy) for scene in truth],
            [(found[:, :4], found[:, 4]) for _, found in self._boxes],
        )
        self._boxes.clear()
        self.log(BOXES.key, float(stats["AP50"] or 0.0), prog_bar=True, sync_dist=True)
