"""`LitPose`: a network, its codec and its loss as a Lightning module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..codecs import Codec, HeatmapCodec, PixelsCodec
from ..codecs.heatmap import PRESENCE
from ..losses import LOSSES
from ..models.hourglass import STACKS
from ..preprocess import Preprocess
from ..skeletons import Skeleton
from ..types import Targets
from .on_device.crops import SEED, SIZE, CropMaker
from .optimised import LitOptimised
from .recipe import OptimPart
from .validation import Measured


class LitPose(LitOptimised):
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
        super().__init__(network, optim, total_steps, steps_per_epoch)
        self.codec, self.skeleton, self.preprocess = codec, skeleton, preprocess
        self.loss, self.loss_options = LOSSES[loss], loss_options
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), persistent=False)
        self.crops: CropMaker | None = None
        """Makes batches that come without pixels; for recipes with ``augment_on: device``."""
        self._measured = Measured()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if self.crops is None or "image" in batch:  # people of validation come as crops
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        size_wh, seed = batch.pop(SIZE)[0].tolist(), int(batch.pop(SEED)[0])
        return self.crops(super().transfer_batch_to_device(batch, device, dataloader_idx), size_wh, seed)

    def normalise(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float, channels last in memory (already the case after permuting)."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std  # type: ignore[operator]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, H, W, 3) uint8 RGB crops -> the codec's arrays."""
        return self.network(self.normalise(images))

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        targets = self._targets(self._codec_for(batch["image"]), batch)
        loss = self.supervised_loss(self(batch["image"]), targets)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def supervised_loss(self, arrays: dict[str, Tensor], targets: Targets) -> Tensor:
        """The recipe's loss; of a stacked network the sum over its stacks, all with the same targets (Newell et al.,
        ECCV 2016, section 3.2). What joints are in the picture is for the last stack alone to say.

        Raises
        ------
        FloatingPointError
            It is not finite.
        """
        stacks = arrays.get(STACKS)
        loss = self.loss(arrays, targets, **self.loss_options)
        if stacks is not None:
            options = {name: value for name, value in self.loss_options.items() if name != PRESENCE}
            earlier = [{HeatmapCodec.array: maps} for maps in stacks.unbind(1)[:-1]]
            loss = torch.stack([loss, *(self.loss(one, targets, **options) for one in earlier)]).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at step {self.global_step}; a lower optim.lr or optim.clip helps"
            )
        return loss

    def _codec_for(self, images: Tensor) -> Codec:
        """The codec at the size of these crops, which progressive resizing changes."""
        height, width = images.shape[1:3]
        return self.codec if (width, height) == self.codec.size_wh else self.codec.resized((width, height))

    def _targets(self, codec: Codec, batch: dict[str, Tensor]) -> Targets:
        """The codec's targets, with masks where it has a head for them."""
        targets = codec.encode_torch(batch["keypoints_px"], batch["visibility"])
        if isinstance(codec, PixelsCodec) and "mask" in codec.heads:
            targets = codec.add_mask(targets, batch["mask"], batch["has_mask"])
        return targets

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        codec = self._codec_for(batch["image"])
        self._measured.add(codec, self(batch["image"]), self._targets(codec, batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the validation people that the codec allows; see `validation`."""
        dataset = self.trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        for name, value in self._measured.figures(dataset).items():
            self.log(name, value, prog_bar=True, sync_dist=True)
        self._measured = Measured()
