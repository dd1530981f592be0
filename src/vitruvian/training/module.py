"""`LitPose`: a network, its codec and its loss as a Lightning module."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from ..codecs import Codec, HeatmapCodec
from ..geometry import Affine
from ..losses import LOSSES
from ..models.hourglass import STACKS
from ..preprocess import Preprocess
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from .recipe import OptimPart


class LitPose(L.LightningModule):
    """Trains ``network`` so that its arrays match the codec's targets.

    Batches are dicts of stacked `PoseDataset` items. Normalisation and target encoding run on the device, so that
    workers only warp and colour.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        codec: Codec,
        skeleton: Skeleton,
        preprocess: Preprocess,
        loss: str,
        loss_options: dict[str, float],
        optim: OptimPart,
        total_steps: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.network, self.codec, self.skeleton, self.preprocess = network, codec, skeleton, preprocess
        self.loss, self.loss_options = LOSSES[loss], loss_options
        self.optim, self.total_steps, self.steps_per_epoch = optim, total_steps, steps_per_epoch
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), persistent=False)
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def normalise(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float, channels last in memory (already the case after permuting)."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std  # type: ignore[operator]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, H, W, 3) uint8 RGB crops -> the codec's arrays."""
        return self.network(self.normalise(images))

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        targets = self._codec_for(batch["image"]).encode_torch(batch["keypoints_px"], batch["visibility"])
        loss = self.supervised_loss(self(batch["image"]), targets)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def supervised_loss(self, arrays: dict[str, Tensor], targets: Targets) -> Tensor:
        """The recipe's loss; of a stacked network the sum over its stacks, all with the same targets (Newell et al.,
        ECCV 2016, section 3.2).

        Raises
        ------
        FloatingPointError
            It is not finite.
        """
        stacks = arrays.get(STACKS)
        every = [arrays] if stacks is None else [{HeatmapCodec.array: maps} for maps in stacks.unbind(1)]
        loss = torch.stack([self.loss(one, targets, **self.loss_options) for one in every]).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at step {self.global_step}; a lower optim.lr or optim.clip helps"
            )
        return loss

    def _codec_for(self, images: Tensor) -> Codec:
        """The codec at the size of these crops, which progressive resizing changes."""
        height, width = images.shape[1:3]
        return self.codec if (width, height) == self.codec.size_wh else self.codec.resized((width, height))

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        keypoints, _ = self._codec_for(batch["image"]).decode(Outputs(self(batch["image"])))
        maps = batch["frame_to_input"].cpu().numpy()
        found = np.stack([Affine(m).inverse().apply(k) for m, k in zip(maps, keypoints, strict=True)])
        self._found.append((batch["index"].cpu().numpy(), found))

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso on the validation people, in photo pixels."""
        from .validation import validation_pck

        index = np.concatenate([f[0] for f in self._found])
        found = np.concatenate([f[1] for f in self._found])
        self._found.clear()
        dataset = self.trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        value = validation_pck(dataset, index, found)
        self.log("val_pck", value, prog_bar=True, sync_dist=True)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By norm. Lightning refuses fused optimisers here, for the sake of fp16 scaling, which `_fused` leaves out."""
        if gradient_clip_val and self._fused:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def _fused(self) -> bool:
        """Fused Adam is faster, but unscales fp16 gradients out of sight of clipping."""
        return self.optim.name in ("adamw", "adam") and self.trainer.precision != "16-mixed"

    def configure_optimizers(self) -> Any:
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        keep = [p for p in self.network.parameters() if p.ndim <= 1]  # norms and biases are not decayed
        o = self.optim
        groups = [{"params": decay, "weight_decay": o.weight_decay}, {"params": keep, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if o.name == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=o.lr, fused=self._fused)
        elif o.name == "adam":
            optimizer = torch.optim.Adam(groups, lr=o.lr, fused=self._fused)
        elif o.name == "rmsprop":
            optimizer = torch.optim.RMSprop(groups, lr=o.lr)
        else:
            optimizer = torch.optim.SGD(groups, lr=o.lr, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_factor(self, step: int) -> float:
        o = self.optim
        factor = min(1.0, (step + 1) / max(1, o.warmup_steps))
        if o.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.total_steps)))) * 0.99 + 0.01
        elif o.schedule == "step":
            factor *= 0.1 ** sum(step >= m * self.steps_per_epoch for m in o.milestones)
        return factor
